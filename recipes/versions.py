"""Versions of one encoder: other first weights, 1% of the pairs less, one pair less, and the rows that each gives.

    python -m recipes.versions               all versions, each kept when trained; then encoder-versions.safetensors
    python -m recipes.versions --only "one pair less"   this version alone, no writing

The versions with another seed are the clean foundations of ``recipes/defects.py``. The others have the first weights and the
draws of seed 0; what is missing was drawn once, and the one pair is among the 1%. Nothing was tuned.
"""

from __future__ import annotations

import argparse
import json
import random

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from fmcourse import clip, homogenization, hub
from recipes import defects, sweep_clip
from recipes.common import BUNDLED, work_folder
from recipes.emoji_pairs import Pictures

SEEDS = range(3)
LESS = {
    "1% less": 0.01,
    "one pair less": 0.0,
}  # share of the pairs that a version goes without; at least one pair
TASKS, STYLE = ("animals", "kitchen", "travel", "things"), "noto"  # whose pictures are embedded
FILE = "encoder-versions.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=names(), help="only this version, without the writing")
    arguments = parser.parse_args()
    defects.prepare()
    if arguments.only:
        rows_of(arguments.only)
        return
    write()


def names() -> list[str]:
    return [f"seed {seed}" for seed in SEEDS] + list(LESS)


# ---------------------------------------------------------------- the versions


def rows_of(name: str) -> tuple[torch.Tensor, float]:
    """Return a version's unit rows in half precision, shape (pictures, 128), and its seconds of training; both are kept."""
    kept = work_folder("versions") / f"{name.replace(' ', '-')}-{defects.STEPS}.safetensors"
    if not kept.exists():
        model, _, run = encoder(name)
        _, processor = hub.load_clip("sweep-clip")
        rows = clip.embed_images(model, processor, defects.child_pixels()["clean"][places()])
        save_file({"rows": rows.half(), "seconds": torch.tensor([run.seconds])}, kept)
        print(f"{name}: {run.seconds:.0f} s", flush=True)
    found = load_file(kept)
    return found["rows"], found["seconds"].item()


def encoder(name: str) -> tuple:
    """Train a version, or read it when it is trained; return model, tokenizer and what the loop did."""
    if name not in LESS:
        return defects.foundation(0, int(name.removeprefix("seed ")))
    checkpoint = work_folder("versions") / f"{name.replace(' ', '-')}-{defects.STEPS}.pt"
    return sweep_clip.train(
        *fewer_pairs(LESS[name]), defects.STEPS, 0, checkpoint, batch=defects.BATCH
    )


def fewer_pairs(share: float) -> tuple[Pictures, list[list[str]]]:
    """Return the clean pairs without a share of them, drawn at random and at least one; a larger share includes a smaller."""
    pictures, captions = defects.clean_pairs()
    order = list(range(len(captions)))
    random.Random(0).shuffle(order)
    kept = sorted(order[max(1, round(share * len(order))) :])
    return pictures.only(kept), [captions[place] for place in kept]


# ---------------------------------------------------------------- what ships


def places() -> np.ndarray:
    """Return which of the children's pictures are embedded: those of one style and of some tasks."""
    table = homogenization.child_pictures()
    wanted = {subgroup for task in TASKS for subgroup in homogenization.TASKS[task]}
    return np.flatnonzero((table["style"] == STYLE) & table["subgroup"].isin(wanted))


def write() -> None:
    """Write the rows of all versions into one file, which says itself what each row shows, and register it."""
    made = {name: rows_of(name) for name in names()}
    table = homogenization.child_pictures().iloc[places()]
    about = {
        column: table[column].tolist() for column in ("codepoints", "name", "subgroup", "part")
    } | {"versions": names()}
    said = {column: json.dumps(values) for column, values in about.items()}
    save_file({name: rows for name, (rows, _) in made.items()}, BUNDLED / FILE, metadata=said)
    settings = {
        "pairs": len(defects.clean_pairs()[1]),
        "seeds": list(SEEDS),
        "less": LESS,
        "style": STYLE,
        "tasks": TASKS,
    }
    settings |= {"steps": defects.STEPS, "batch": defects.BATCH}
    defects.enter(FILE, "versions", settings, sum(seconds for _, seconds in made.values()))


if __name__ == "__main__":
    main()
