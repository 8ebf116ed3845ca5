"""Versions of one encoder: other first weights, 1% of the pairs less, one pair less.

    python -m recipes.versions          all versions, each kept when trained; then
                                        encoder-versions.safetensors
    python -m recipes.versions --only "one pair less"    this version alone, nothing written

The versions with another seed are the clean foundations of ``recipes/defects.py``. The others have
the first weights and the random numbers of seed 0; what is missing was drawn once, and the one pair
is among the 1%. Nothing was tuned.
"""

import json
import random

import numpy as np

from fmcourse import clip, homogenization
from recipes import foundations
from recipes.common import all_kept, command_line, ship
from recipes.foundations import BATCH, READ, SEEDS, clean_pairs

# Share of the pairs that a version goes without; at least one pair.
LESS = {"1% less": 0.01, "one pair less": 0.0}
NAMES = [f"seed {seed}" for seed in SEEDS] + list(LESS)
TASKS, STYLE = ("animals", "kitchen", "travel", "things"), "noto"  # whose pictures are embedded


def main(arguments=None):
    chosen = command_line(__doc__, arguments, names=NAMES, steps=foundations.STEPS)
    foundations.prepare()
    jobs = [(embedded, name, chosen.steps) for name in chosen.only]
    made, seconds = all_kept("versions", jobs, READ)
    if not chosen.ships:
        return
    table = homogenization.child_pictures().iloc[places()]
    about = table[["codepoints", "name", "subgroup", "part"]].to_dict("list")
    about["versions"] = chosen.only
    ship(
        "encoder-versions.safetensors",
        dict(zip(chosen.only, made)),
        options={"metadata": {name: json.dumps(values) for name, values in about.items()}},
        recipe="versions",
        settings={
            "pairs": len(clean_pairs()[1]),
            "seeds": list(SEEDS),
            "less": LESS,
            "style": STYLE,
            "tasks": TASKS,
            "batch": BATCH,
        },
        seconds=seconds,
        **foundations.PICTURES,
    )


def embedded(name, steps):
    """Return a version's unit embeddings, in half precision, shape (pictures, 128)."""
    pixels = foundations.child_pixels()["clean"][places()]
    return clip.embed_images(encoder(name, steps), foundations.processor(), pixels).half()


def encoder(name, steps):
    """Train a version, or read it."""
    if name in LESS:
        return foundations.trained(fewer_pairs, (LESS[name],), 0, steps)[0]
    return foundations.foundation(0, int(name.removeprefix("seed ")), steps)[0]


def fewer_pairs(share):
    """Return the clean pairs without a share of them, drawn at random and at least one.

    A larger share includes a smaller.
    """
    pictures, captions = clean_pairs()
    order = list(range(len(captions)))
    random.Random(0).shuffle(order)
    left = sorted(order[max(1, round(share * len(order))) :])
    return pictures.only(left), [captions[place] for place in left]


def places():
    """Return which of the children's pictures are embedded: those of one style and some tasks."""
    table = homogenization.child_pictures()
    wanted = {subgroup for task in TASKS for subgroup in homogenization.TASKS[task]}
    return np.flatnonzero((table["style"] == STYLE) & table["subgroup"].isin(wanted))


if __name__ == "__main__":
    main()
