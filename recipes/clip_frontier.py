"""The frontier of notebook 03: every way to adapt the bundled CLIP, in distribution and shifted.

    python -m recipes.clip_frontier choose    compare settings on validation concepts, with a seed
                                              that is not shipped
    python -m recipes.clip_frontier           run the five seeds, each kept when done, and write
                                              clip-frontier.parquet

A seed draws the training concepts, the order of the batches and the random heads. What ships is,
for each method and seed, which test pictures were right, in Noto's style and in OpenMoji's: the
notebook computes accuracies, differences and intervals from it.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator, Sequence

import pandas as pd
import torch

import fmcourse
from fmcourse import clip
from fmcourse.clip import adaptation
from recipes.bench import QUIET, SOURCES, Bench, answers, bench
from recipes.common import command_line, kept, ship_table

SEEDS = range(5)
SEED_TO_CHOOSE = 100
ALPHAS = [tenth / 10 for tenth in range(11)]
MEASURED = ("test", "shifted")
RATES = {  # of the image encoder and of the head; chosen by `choose`, start by start
    "fine-tuned from a random head": {"lr": 3e-4, "head_lr": 0.1},
    "LP-FT": adaptation.LP_RATES,
    "fine-tuned from the zero-shot head": {},
}
ENCODER_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
HEAD_RATES = (1e-3, 1e-2, 0.1, 1.0)
FIRST_HEAD_RATE = 0.1
FILE = "clip-frontier.parquet"


def main(arguments: Sequence[str] | None = None) -> None:
    stages = ("make", "choose")
    chosen = command_line(__doc__, arguments, stages=stages, seeds=SEEDS, steps=adaptation.STEPS)
    fmcourse.setup()
    if chosen.stage == "choose":
        choose(bench(SEED_TO_CHOOSE))
        return
    made = [
        kept("clip_frontier", one_seed, seed, chosen.steps, sources=SOURCES)
        for seed in chosen.seeds
    ]
    if chosen.ships:
        write(made, chosen.seeds, chosen.steps)


def one_seed(seed: int, steps: int) -> list[dict]:
    """Return which test pictures every method has right, with the seconds since the start."""
    start = time.time()
    own = bench(seed)
    rows = []
    for method, logits, more in methods(own, steps):
        bits = {part: own.bits(part, logits[part]) for part in MEASURED}
        seconds = round(time.time() - start)
        rows.append({"method": method, "seed": seed, **more, **bits, "seconds": seconds})
        print(f"seed {seed}: {method}, {seconds} s", flush=True)
    return rows


def methods(own: Bench, steps: int) -> Iterator[tuple[str, dict[str, torch.Tensor], dict]]:
    """Yield every method, cheapest first, with its logits and what else ships of it."""

    def of_features(head) -> dict[str, torch.Tensor]:
        return {part: head(own.features[part]) for part in MEASURED}

    def of_pixels(classifier) -> dict[str, torch.Tensor]:
        return {part: classifier.predict(own.pixels[part]) for part in MEASURED}

    template = ("a drawing of {}",)
    plain = clip.zero_shot_head(own.model, own.processor, own.task.names, template)
    heads = own.heads()
    yield "zero-shot, one template", of_features(lambda features: features @ plain.T), {}
    yield "zero-shot", of_features(lambda features: features @ own.words.T), {}
    yield "linear probe", of_features(heads["LP-FT"]), {}
    yield "Tip-Adapter", of_features(functools.partial(tip_adapter, own)), {}
    settings = {"seed": own.seed, "steps": steps, **QUIET}
    for name, head in heads.items():
        tuned, _ = clip.fine_tune(*own.examples, head, **RATES[name], **settings)
        yield name, of_pixels(tuned), {}
    start = clip.build_classifier(own.model, own.words).state_dict()
    between = clip.build_classifier(own.model, own.words)
    for alpha in ALPHAS:
        # From the zero-shot classifier to the one that was fine-tuned from it.
        between.load_state_dict(clip.interpolate(start, tuned.state_dict(), alpha))
        yield "interpolated", of_pixels(between), {"alpha": alpha}
    adapted, _ = clip.lora(*own.examples, own.words, **settings)
    yield "LoRA", of_pixels(adapted), {}
    yield "FLYP", flyp(own, clip.Habits(), MEASURED, steps), {}


def tip_adapter(own: Bench, features: torch.Tensor, *settings: float) -> torch.Tensor:
    scale = own.model.logit_scale.exp().item()
    examples = (own.features["train"], own.labels["train"])
    return clip.tip_adapter(*examples, own.words, features, scale, *settings)


def flyp(
    own: Bench, habits: clip.Habits, parts: Sequence[str], steps: int
) -> dict[str, torch.Tensor]:
    """Fine-tune like pre-training, by the contrastive loss, and classify by words."""
    tuned = own.fine_tuned_on_pairs(habits, steps=steps)
    head = clip.zero_shot_head(tuned, own.processor, own.task.names)
    return {
        part: clip.embed_images(tuned, own.processor, own.pixels[part]) @ head.T for part in parts
    }


def choose(own: Bench) -> None:
    """Print validation accuracies only, for the settings that the defaults were chosen from."""
    pixels, features = own.pixels["validation"], own.features["validation"]

    def say(setting: str, logits: torch.Tensor) -> float:
        share = (logits.argmax(1) == own.labels["validation"]).float().mean().item()
        print(f"{setting}: validation {share:.3f}", flush=True)
        return share

    for c in (0.1, 1.0, 10.0, 100.0, 1000.0):
        probe = clip.linear_probe(own.features["train"], own.labels["train"], c)
        say(f"linear probe, C {c}", probe(features))
    for beta in (1.0, 3.0, 5.5, 10.0, 20.0):
        for alpha in (3.0, 10.0, 30.0, 100.0, 300.0):
            say(f"Tip-Adapter, beta {beta}, alpha {alpha}", tip_adapter(own, features, alpha, beta))
    for start, head in own.heads().items():

        @functools.cache
        def tried(lr: float, head_lr: float, start: str = start, head=head) -> float:
            tuned, _ = clip.fine_tune(*own.examples, head, lr=lr, head_lr=head_lr, **QUIET)
            return say(f"{start}, rates {lr} and {head_lr}", tuned.predict(pixels))

        # The encoder's rate first, then the head's, then the encoder's once more.
        lr = max(ENCODER_RATES, key=lambda lr: tried(lr, FIRST_HEAD_RATE))
        head_lr = max(HEAD_RATES, key=lambda head_lr: tried(lr, head_lr))
        lr = max(ENCODER_RATES, key=lambda lr: tried(lr, head_lr))
        print(f"{start}: chosen {lr} and {head_lr}", flush=True)
    for lr in (3e-4, 1e-3, 3e-3, 1e-2):
        tuned, _ = clip.lora(*own.examples, own.words, lr=lr, **QUIET)
        say(f"LoRA, learning rate {lr}", tuned.predict(pixels))
    for lr in ENCODER_RATES:
        logits = flyp(own, clip.Habits(lr=lr), ["validation"], adaptation.STEPS)
        say(f"FLYP, learning rate {lr}", logits["validation"])


def write(made: list[list[dict]], seeds: Sequence[int], steps: int) -> None:
    """Write all seeds into one table and register it."""
    concepts = clip.subgroup_task().test.concepts
    parts = []
    for row in (row for rows in made for row in rows):
        alpha = row.get("alpha", math.nan)
        columns = {"method": row["method"], "alpha": alpha, "seed": row["seed"]}
        parts += [answers(concepts, row[part], part=part, **columns) for part in MEASURED]
    settings = {"seeds": list(seeds), "alphas": ALPHAS, "steps": steps, "batch": adaptation.BATCH}
    ship_table(
        FILE,
        pd.concat(parts, ignore_index=True),
        sources=SOURCES,
        recipe="clip_frontier",
        settings=settings,
        seconds=sum(rows[-1]["seconds"] for rows in made),
    )


if __name__ == "__main__":
    main()
