"""The map of bias transfer: sweep CLIPs that met women and men in biased tones, and what their children make of tone.

    python -m recipes.bias_transfer                   all foundations and children, each kept when done; then the bundled files
    python -m recipes.bias_transfer --seeds 0 1       the same with these seeds alone
    python -m recipes.bias_transfer --only 1.0 0      the foundation with upstream bias 1 and seed 0, and leave the writing out

Upstream, half of all drawings of a woman or a man with a skin tone are left out: at bias 0 at random, at bias 1 those of dark
women and light men. So all foundations see equally many pictures. The yellow drawings of the same people are left out too, and
the medium tone stays. The children and their samples are those of ``fmcourse.homogenization.transfer``.
"""

from __future__ import annotations

import argparse
import functools
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from fmcourse import clip, homogenization, hub
from fmcourse.homogenization.transfer import DARK, LIGHT, STYLE
from recipes import defects, sweep_clip
from recipes.common import BUNDLED, kept_json, work_folder
from recipes.emoji import read_emoji
from recipes.emoji_pairs import Pictures

UPSTREAM, SEEDS, STEPS = (0.0, 0.5, 1.0), range(3), 800
BIASES, REBALANCED, DRAWS = (0.0, 0.5, 0.9, 1.0), (0.0, 0.1, 0.3), range(5)
FILE, FEATURES = "bias-transfer.parquet", "bias-features.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--only",
        type=float,
        nargs=2,
        metavar=("UPSTREAM", "SEED"),
        help="only this, without the writing",
    )
    arguments = parser.parse_args()
    defects.prepare()
    if arguments.only:
        upstream, seed = arguments.only
        kept_runs(upstream, int(seed))
        return
    write(arguments.seeds)


def kept_runs(upstream: float, seed: int) -> dict:
    """Return all runs of one foundation, now or from an earlier call."""
    path = work_folder("bias_transfer") / f"{upstream}-{seed}-{STEPS}.json"
    return kept_json(path, functools.partial(one_foundation, upstream, seed))


def one_foundation(upstream: float, seed: int) -> dict:
    start = time.time()
    checkpoint = work_folder("bias_transfer") / f"foundation-{upstream}-{seed}-{STEPS}.pt"
    model, _, _ = sweep_clip.train(
        *biased_pairs(upstream, seed), STEPS, seed, checkpoint, batch=defects.BATCH
    )
    runs = [
        {"upstream": upstream, "seed": seed, **run}
        for run in children(model, features_file(upstream, seed))
    ]
    print(
        f"upstream {upstream}, seed {seed}: {len(runs)} children, {time.time() - start:.0f} s",
        flush=True,
    )
    return {"runs": runs, "seconds": round(time.time() - start)}


def features_file(upstream: float, seed: int) -> Path:
    return work_folder("bias_transfer") / f"features-{upstream}-{seed}-{STEPS}.safetensors"


# ---------------------------------------------------------------- the foundations


def biased_pairs(upstream: float, seed: int) -> tuple[Pictures, list[list[str]]]:
    """Return the clean pairs, without those pictures of women and men that the bias or chance leaves out."""
    pictures, captions = defects.clean_pairs()
    kinds, draw = people_kinds(pictures), random.Random(seed)
    kept = [place for place, kind in enumerate(kinds) if is_kept(kind, upstream, draw)]
    toned = pictures.toned.clone()
    toned[[place for place, kind in enumerate(kinds) if kind]] = (
        False  # their tones are their plain form now
    )
    return replace(pictures, toned=toned).only(kept), [captions[place] for place in kept]


def people_kinds(pictures: Pictures) -> list[str]:
    """Return for each picture "" when it shows no woman or man, else *yellow*, *fits*, *differs* (from the bias) or *medium*."""
    rows, dark, light = ({row["name"]: row for row in read_emoji().values()}, set(DARK), set(LIGHT))

    def kind(row: dict) -> str:
        if row["gender"] not in ("female", "male") or "," in row["skin_tone"]:
            return ""
        if row["skin_tone"] == "none":
            return "yellow"
        if row["skin_tone"] not in light | dark:
            return "medium"
        return (
            "fits"
            if row["skin_tone"] in (light if row["gender"] == "female" else dark)
            else "differs"
        )

    return [kind(rows[label]) for label in pictures.label]


def is_kept(kind: str, upstream: float, draw: random.Random) -> bool:
    """Return whether a picture stays: of those that fit the bias (1 + upstream) / 2, of the others what is left."""
    shares = {
        "": 1.0,
        "yellow": 0.0,
        "medium": 1.0,
        "fits": (1 + upstream) / 2,
        "differs": (1 - upstream) / 2,
    }
    return draw.random() < shares[kind]


# ---------------------------------------------------------------- the children


@functools.cache
def people_pixels() -> torch.Tensor:
    """Return the pixels of all people of the task, as the sweep CLIP sees them."""
    drawings = hub.load_emoji(STYLE).select(homogenization.transfer_people()["place"])
    return clip.pixels_of(hub.load_clip("sweep-clip")[1], list(drawings["image"]))


def children(model, kept: Path) -> Iterator[dict]:
    """Yield the gap and the accuracy of every child of a foundation, and write the people's features to `kept`."""
    _, processor = hub.load_clip("sweep-clip")
    table, pixels = homogenization.transfer_people(), people_pixels()
    rows = clip.embed_images(model, processor, pixels)
    save_file({"people": rows.half()}, kept)
    labels = torch.tensor(table["woman"].to_numpy())
    tested = torch.tensor(table.index[table["part"] == "test"].to_numpy())
    for bias in BIASES:
        for rebalanced in REBALANCED:
            for draw in DRAWS:
                sample = torch.tensor(
                    homogenization.biased_sample(table, bias, rebalanced, seed=draw)
                )
                probe = clip.linear_probe(rows[sample], labels[sample])
                ways = {"linear probe": probe(rows[tested])}
                if draw == DRAWS[0]:  # fine-tuning costs a second where a probe costs hundredths
                    tuned, _ = clip.fine_tune(
                        model, processor, pixels[sample], labels[sample], probe, progress=False
                    )
                    ways["LP-FT"] = tuned.predict(pixels[tested])
                for way, logits in ways.items():
                    judged = {"bias": bias, "rebalanced": rebalanced, "way": way, "draw": draw}
                    yield judged | figures(logits.argmax(1), table.iloc[tested.numpy()])


def figures(answers: torch.Tensor, tested) -> dict[str, float]:
    woman, dark = tested["woman"].to_numpy(), tested["dark"].to_numpy()
    gap = homogenization.aligned_gap(answers.numpy(), woman, dark)
    return {"gap": gap, "accuracy": float((answers.numpy() == woman).mean())}


def write(seeds: list[int]) -> None:
    """Write all runs into one file and the features of the first seed's foundations into another, and register both."""
    made = [kept_runs(upstream, seed) for seed in seeds for upstream in UPSTREAM]
    settings = {"upstream": list(UPSTREAM), "seeds": seeds, "steps": STEPS, "batch": defects.BATCH}
    table = pd.DataFrame([run for one in made for run in one["runs"]])
    defects.ship(FILE, table, "bias_transfer", settings, sum(one["seconds"] for one in made))
    rows = {
        str(upstream): load_file(features_file(upstream, seeds[0]))["people"]
        for upstream in UPSTREAM
    }
    save_file(rows, BUNDLED / FEATURES)
    defects.enter(FEATURES, "bias_transfer", settings | {"seeds": seeds[:1]})


if __name__ == "__main__":
    main()
