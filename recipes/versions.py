"""Versions of one encoder: other first weights, 1% of the pairs less, one pair less.

    python -m recipes.versions          all versions, each kept when trained; then
                                        encoder-versions.safetensors
    python -m recipes.versions --only "one pair less"    this version alone, nothing written

The versions with another seed are the clean foundations of ``recipes/defects.py``. The others have
the first weights and the random numbers of seed 0; what is missing was drawn once, and the one pair
is among the 1%. Nothing was tuned.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import numpy as np
import torch

from fmcourse import clip, homogenization, models
from recipes import foundations, sweep_clip
from recipes.common import checkpoint, command_line, kept, ship_tensors
from recipes.emoji_pairs import Pictures
from recipes.foundations import BATCH, READ, SEEDS, clean_pairs

# Share of the pairs that a version goes without; at least one pair.
LESS = {"1% less": 0.01, "one pair less": 0.0}
NAMES = [f"seed {seed}" for seed in SEEDS] + list(LESS)
TASKS, STYLE = ("animals", "kitchen", "travel", "things"), "noto"  # whose pictures are embedded
FILE = "encoder-versions.safetensors"


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, names=NAMES, steps=foundations.STEPS)
    foundations.prepare()
    made = {
        name: kept("versions", embedded, name, chosen.steps, sources=READ) for name in chosen.only
    }
    if chosen.ships:
        write(made, chosen.steps)


def embedded(name: str, steps: int) -> tuple[torch.Tensor, float]:
    """Return a version's unit embeddings and its seconds of training.

    The embeddings are in half precision, shape (pictures, 128).
    """
    model, _, run = encoder(name, steps)
    _, processor = models.load_clip("sweep-clip")
    pixels = foundations.child_pixels()["clean"][places()]
    print(f"{name}: {run.seconds:.0f} s", flush=True)
    return clip.embed_images(model, processor, pixels).half(), run.seconds


def encoder(name: str, steps: int) -> tuple:
    """Train a version, or read it; return model, tokenizer and what the loop did."""
    if name not in LESS:
        return foundations.foundation(0, int(name.removeprefix("seed ")), steps)
    file = checkpoint("versions", encoder, name, steps, sources=READ)
    return sweep_clip.train(*fewer_pairs(LESS[name]), steps, 0, file, batch=BATCH)


def fewer_pairs(share: float) -> tuple[Pictures, list[list[str]]]:
    """Return the clean pairs without a share of them, drawn at random and at least one.

    A larger share includes a smaller.
    """
    pictures, captions = clean_pairs()
    order = list(range(len(captions)))
    random.Random(0).shuffle(order)
    left = sorted(order[max(1, round(share * len(order))) :])
    return pictures.only(left), [captions[place] for place in left]


def places() -> np.ndarray:
    """Return which of the children's pictures are embedded: those of one style and some tasks."""
    table = homogenization.child_pictures()
    wanted = {subgroup for task in TASKS for subgroup in homogenization.TASKS[task]}
    return np.flatnonzero((table["style"] == STYLE) & table["subgroup"].isin(wanted))


def write(made: dict[str, tuple[torch.Tensor, float]], steps: int) -> None:
    """Write the embeddings of all versions into one file, which says what each row shows."""
    table = homogenization.child_pictures().iloc[places()]
    about = {name: table[name].tolist() for name in ("codepoints", "name", "subgroup", "part")}
    about["versions"] = list(made)
    settings = {
        "pairs": len(clean_pairs()[1]),
        "seeds": list(SEEDS),
        "less": LESS,
        "style": STYLE,
        "tasks": TASKS,
        "steps": steps,
        "batch": BATCH,
    }
    ship_tensors(
        FILE,
        {name: embeddings for name, (embeddings, _) in made.items()},
        {name: json.dumps(values) for name, values in about.items()},
        recipe="versions",
        settings=settings,
        seconds=sum(seconds for _, seconds in made.values()),
        **foundations.PICTURES,
    )


if __name__ == "__main__":
    main()
