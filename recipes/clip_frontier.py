"""The frontier of notebook 03: every way to adapt the bundled CLIP, in distribution against OpenMoji, five seeds.

    python -m recipes.clip_frontier choose    compare settings on validation concepts, with a seed that is not shipped
                                              (--starts rows random probe words LoRA FLYP: these alone)
    python -m recipes.clip_frontier           run the five seeds, each kept when done, and write clip-frontier.parquet

A seed draws the training concepts, the order of the batches and the random heads. What ships is, for each method and
seed, which test pictures were right: the notebook computes accuracies, differences and intervals from it.
"""

from __future__ import annotations

import argparse
import functools
import math
import random
import time
from collections.abc import Iterator

import pandas as pd
import torch

import fmcourse
from fmcourse import clip
from fmcourse.clip import adaptation
from recipes.common import BUNDLED, kept_json, register, work_folder

SEEDS = range(5)
SEED_TO_CHOOSE = 100
ALPHAS = [place / 10 for place in range(11)]
QUIET = {"progress": False}
MEASURED = ("test", "shifted")
RATES = {  # of the tower and of the head; chosen by `choose`, start by start
    "fine-tuned from a random head": {"lr": 3e-4, "head_lr": 0.1},
    "LP-FT": adaptation.LP_RATES,
    "fine-tuned from the zero-shot head": {},
}
TOWER_RATES, HEAD_RATES, FIRST_HEAD_RATE = (
    (1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
    (1e-3, 1e-2, 0.1, 1.0),
    0.1,
)
FILE = "clip-frontier.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", nargs="?", default="make", choices=["make", "choose"])
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="*",
        default=list(SEEDS),
        help="run only these, and leave the writing out",
    )
    parser.add_argument(
        "--starts", nargs="*", default=["rows", "random", "probe", "words", "LoRA", "FLYP"]
    )
    arguments = parser.parse_args()
    fmcourse.setup()
    if arguments.stage == "choose":
        choose(arguments.starts)
        return
    rows = [row for seed in arguments.seeds for row in one_seed(seed)]
    if arguments.seeds == list(SEEDS):
        write(rows)


class Bench:
    """One seed's task, with pixels and features of the bundled CLIP made once."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.model, self.processor = fmcourse.load_clip("emoji-clip")
        self.task = clip.subgroup_task(seed=seed)
        self.parts = ("train", "validation", "test", "shifted")
        self.labels = {part: torch.tensor(getattr(self.task, part).labels) for part in self.parts}

    @functools.cached_property
    def pixels(self) -> dict[str, torch.Tensor]:
        return {
            part: clip.pixels_of(self.processor, getattr(self.task, part).images)
            for part in self.parts
        }

    @functools.cached_property
    def features(self) -> dict[str, torch.Tensor]:
        return {
            part: clip.embed_images(self.model, self.processor, pixels)
            for part, pixels in self.pixels.items()
        }

    @functools.cached_property
    def words(self) -> torch.Tensor:
        return clip.zero_shot_head(self.model, self.processor, self.task.names)

    @property
    def captions(self) -> list[str]:
        """One sentence per training picture, its template drawn by the seed."""
        draw = random.Random(self.seed)
        return [
            draw.choice(clip.TEMPLATES).format(self.task.names[label])
            for label in self.labels["train"]
        ]

    @property
    def examples(self) -> tuple:
        return self.model, self.processor, self.pixels["train"], self.labels["train"]

    def of_rows(self, head) -> dict[str, torch.Tensor]:
        """Apply a function from rows to logits to the two test parts."""
        return {part: head(self.features[part]) for part in MEASURED}

    def of_pixels(self, classifier) -> dict[str, torch.Tensor]:
        return {part: classifier.predict(self.pixels[part]) for part in MEASURED}

    def row(self, method: str, logits: dict[str, torch.Tensor], **more: object) -> dict:
        """Return what ships of one method: which test pictures were right, 1, or wrong, 0."""
        return {
            "method": method,
            "seed": self.seed,
            **more,
            **{part: self.bits(part, logits[part]) for part in MEASURED},
        }

    def bits(self, part: str, logits: torch.Tensor) -> str:
        return "".join(map(str, (logits.argmax(1) == self.labels[part]).int().tolist()))


def one_seed(seed: int) -> list[dict]:
    """Return all rows of one seed; they are kept in the work folder when done."""
    return kept_json(
        work_folder("clip_frontier") / f"seed-{seed}.json", lambda: timed(methods(Bench(seed)))
    )


def timed(rows: Iterator[dict]) -> list[dict]:
    """Return the rows, each with the seconds since the start, and say so as they come."""
    start, kept = time.time(), []
    for row in rows:
        kept.append(row | {"seconds": round(time.time() - start)})
        print(f"seed {row['seed']}: {row['method']}, {kept[-1]['seconds']} s", flush=True)
    return kept


def methods(bench: Bench) -> Iterator[dict]:
    """Yield a row for every method, cheapest first."""
    plain = clip.zero_shot_head(
        bench.model, bench.processor, bench.task.names, ("a drawing of {}",)
    )
    yield bench.row("zero-shot, one template", bench.of_rows(lambda rows: rows @ plain.T))
    yield bench.row("zero-shot", bench.of_rows(lambda rows: rows @ bench.words.T))
    probe = clip.linear_probe(bench.features["train"], bench.labels["train"])
    yield bench.row("linear probe", bench.of_rows(probe))
    yield bench.row("Tip-Adapter", bench.of_rows(functools.partial(tip_adapter, bench)))
    blank = clip.random_head(len(bench.task.names), bench.words.shape[1], bench.seed)
    starts = {
        "fine-tuned from a random head": blank,
        "LP-FT": probe,
        "fine-tuned from the zero-shot head": bench.words,
    }
    for name, head in starts.items():
        tuned, _ = clip.fine_tune(*bench.examples, head, **RATES[name], seed=bench.seed, **QUIET)
        yield bench.row(name, bench.of_pixels(tuned))
    yield from interpolated(bench, tuned)
    adapted, _ = clip.lora(*bench.examples, bench.words, seed=bench.seed, **QUIET)
    yield bench.row("LoRA", bench.of_pixels(adapted))
    yield bench.row("FLYP", flyp(bench))


def tip_adapter(bench: Bench, rows: torch.Tensor) -> torch.Tensor:
    scale = bench.model.logit_scale.exp().item()
    return clip.tip_adapter(
        bench.features["train"], bench.labels["train"], bench.words, rows, scale
    )


def interpolated(bench: Bench, tuned: torch.nn.Module) -> Iterator[dict]:
    """Yield the way from the zero-shot classifier to the fine-tuned one."""
    start, end = (clip.build_classifier(bench.model, bench.words).state_dict(), tuned.state_dict())
    between = clip.build_classifier(bench.model, bench.words)
    for alpha in ALPHAS:
        between.load_state_dict(clip.interpolate(start, end, alpha))
        yield bench.row("interpolated", bench.of_pixels(between), alpha=alpha)


def flyp(
    bench: Bench, habits: clip.Habits = clip.Habits(), parts: tuple[str, ...] = MEASURED
) -> dict[str, torch.Tensor]:
    """Fine-tune like pre-training, by the contrastive loss, and classify by words."""
    settings = {"ids": bench.labels["train"], "seed": bench.seed, **QUIET}
    tuned, _ = clip.fine_tune_pairs(*bench.examples[:3], bench.captions, habits, **settings)
    head = clip.zero_shot_head(tuned, bench.processor, bench.task.names)
    return {
        part: clip.embed_images(tuned, bench.processor, bench.pixels[part]) @ head.T
        for part in parts
    }


def choose(starts: list[str]) -> None:
    """Print validation accuracies only, for the settings that the defaults were chosen from."""
    bench = Bench(SEED_TO_CHOOSE)
    for start in starts:
        {"rows": choose_for_rows, "LoRA": choose_lora, "FLYP": choose_flyp}.get(
            start, choose_rates
        )(bench, start)


def say(bench: Bench, setting: str, logits: torch.Tensor) -> float:
    """Print and return the accuracy on validation."""
    share = (logits.argmax(1) == bench.labels["validation"]).float().mean().item()
    print(f"{setting}: validation {share:.3f}", flush=True)
    return share


def choose_for_rows(bench: Bench, start: str) -> None:
    """Try settings of the methods that leave the tower alone."""
    rows, seen, scale = (
        bench.features["validation"],
        bench.features["train"],
        bench.model.logit_scale.exp().item(),
    )
    for strength in (0.1, 1.0, 10.0, 100.0, 1000.0):
        say(
            bench,
            f"linear probe, strength {strength}",
            clip.linear_probe(seen, bench.labels["train"], strength)(rows),
        )
    for sharpness in (1.0, 3.0, 5.5, 10.0, 20.0):
        for trust in (3.0, 10.0, 30.0, 100.0, 300.0):
            votes = clip.tip_adapter(
                seen, bench.labels["train"], bench.words, rows, scale, trust, sharpness
            )
            say(bench, f"Tip-Adapter, sharpness {sharpness}, trust {trust}", votes)


def choose_rates(bench: Bench, start: str) -> None:
    """Try rates of fine-tuning from one start: the tower's first, then the head's, then the tower's once more."""
    head = {
        "random": lambda: clip.random_head(len(bench.task.names), bench.words.shape[1], bench.seed),
        "probe": lambda: clip.linear_probe(bench.features["train"], bench.labels["train"]),
        "words": lambda: bench.words,
    }[start]()

    @functools.cache
    def tried(lr: float, head_lr: float) -> float:
        tuned, _ = clip.fine_tune(*bench.examples, head, lr=lr, head_lr=head_lr, **QUIET)
        return say(
            bench,
            f"fine-tuned from {start}, rates {lr} and {head_lr}",
            tuned.predict(bench.pixels["validation"]),
        )

    lr = max(TOWER_RATES, key=lambda lr: tried(lr, FIRST_HEAD_RATE))
    head_lr = max(HEAD_RATES, key=lambda head_lr: tried(lr, head_lr))
    lr = max(TOWER_RATES, key=lambda lr: tried(lr, head_lr))
    print(f"fine-tuned from {start}: chosen {lr} and {head_lr}", flush=True)


def choose_lora(bench: Bench, start: str) -> None:
    for lr in (3e-4, 1e-3, 3e-3, 1e-2):
        tuned, _ = clip.lora(*bench.examples, bench.words, lr=lr, **QUIET)
        say(bench, f"LoRA, learning rate {lr}", tuned.predict(bench.pixels["validation"]))


def choose_flyp(bench: Bench, start: str) -> None:
    for lr in TOWER_RATES:
        say(
            bench,
            f"FLYP, learning rate {lr}",
            flyp(bench, clip.Habits(lr=lr), parts=["validation"])["validation"],
        )


def write(rows: list[dict]) -> None:
    """Write all seeds into one table and register it."""
    concepts, parts = clip.subgroup_task().test.concepts, []
    for row in rows:
        columns = {
            "method": row["method"],
            "alpha": row.get("alpha", math.nan),
            "seed": row["seed"],
        }
        parts += [answers(concepts, row[part], part=part, **columns) for part in MEASURED]
    seconds = sum(max(row["seconds"] for row in rows if row["seed"] == seed) for seed in SEEDS)
    sources = ["emoji-clip/model.safetensors", "emoji-noto.parquet", "emoji-openmoji.parquet"]
    ship(FILE, parts, "clip_frontier", sources, {"seeds": list(SEEDS), "alphas": ALPHAS}, seconds)


def answers(concepts: list[str], bits: str, **columns: object) -> pd.DataFrame:
    """Return a row for each test picture, right or wrong, with some columns that are the same in all rows."""
    right = [bit == "1" for bit in bits]
    rows = {"picture": range(len(concepts)), "concept": concepts, "right": right}
    return pd.DataFrame(columns | rows)


def ship(
    file: str,
    parts: list[pd.DataFrame],
    recipe: str,
    sources: list[str],
    settings: dict,
    seconds: float,
) -> None:
    """Write runs on the subgroup task to the bundle as one table, and enter them in the manifest."""
    path = BUNDLED / file
    pd.concat(parts, ignore_index=True).to_parquet(path, index=False, compression="zstd")
    register(
        path,
        licence="CC-BY-4.0",
        attribution="fmcourse",
        sources=sources,
        recipe=f"recipes/{recipe}.py",
        settings={**settings, "steps": clip.adaptation.STEPS, "batch": clip.adaptation.BATCH},
        seconds=seconds,
    )


if __name__ == "__main__":
    main()
