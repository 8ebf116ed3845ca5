"""What fine-tuning costs where the model was good: styles of pre-training, for notebook 03.

    python -m recipes.clip_retention               run ten splits, each kept when done, and write
                                                   the table
    python -m recipes.clip_retention --seeds 100 101 102    run these splits alone, print what was
                                                   right at each learning rate, write nothing

Kumar et al. 2022 (arXiv 2202.10054) and Wortsman et al. 2022 (arXiv 2109.01903) speak of models
with good features that are fine-tuned on new data and tested under a shift. So the concepts here
are known to the foundation, the first head is made of the members' names, and the training drawings
are of OpenMoji, a style that the foundation never saw. Scored are unseen OpenMoji drawings, and
Noto and Twemoji drawings of the same concepts. The latter two were in pre-training, so they measure
retention.

A split draws the concepts to learn from, those of validation, and the batches. Every start is
trained at every rate, so that starts can also be compared at equal rates.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

import fmcourse
from fmcourse import clip, data
from recipes.clip_forgetting import known_drawings
from recipes.common import command_line, ship_runs

SPLITS = tuple(range(10))
STYLES = ("openmoji", "noto", "twemoji")
SMALLEST = 8  # concepts of a class
VALIDATION = 0.2  # of the concepts to learn from
STEPS = 60
ALPHAS = tuple(tenth / 10 for tenth in range(1, 10))
GRID = (1e-4, 3e-4, 1e-3)  # of the image encoder
# Of the image encoder and of the head, start by start; chosen on the validation parts of the splits
# 100 to 102. A random head has far to go and a head of names little, so their own rates differ.
RATES = {
    "random head": {"lr": 1e-4, "head_lr": 0.1},
    "LP-FT": {"lr": 1e-3, "head_lr": 0.1},
    "names": {"lr": 1e-4, "head_lr": 1e-3},
}
SOURCES = ["emoji-clip/model.safetensors", *(f"emoji-{style}.parquet" for style in STYLES)]


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SPLITS, steps=STEPS)
    fmcourse.setup()
    ship_runs(
        "clip-retention.parquet",
        [(measured, split, chosen.steps) for split in chosen.seeds],
        chosen.ships,
        recipe="clip_retention",
        sources=SOURCES,
        settings={
            "rates": RATES,
            "grid": list(GRID),
            "alphas": list(ALPHAS),
        },
    )


class Split:
    """One split of the known concepts, as pixels and unit embeddings.

    Args:
        seed: of the split.
        foundation: the model that is adapted, with its processor.
        drawings: part to code points to name and drawing; training is on the part ``openmoji``.
        words: maps names to the unit rows of a zero-shot head.
    """

    def __init__(self, seed, foundation: tuple, drawings: dict[str, dict], words: Callable):
        self.seed = seed
        self.model, self.processor = foundation
        self.tested = list(drawings)
        subgroups = subgroup_of(drawings)
        sizes = subgroups.value_counts()
        self.classes = sorted(sizes.index[sizes >= SMALLEST])
        parts = self._parts(subgroups)
        shown = {"train": "openmoji", "validation": "openmoji"} | dict(zip(drawings, drawings))
        self.labels, self.pixels, self.features = {}, {}, {}
        for key, style in shown.items():
            codes = parts.get(key, parts["test"])
            labels = [self.classes.index(subgroups[code]) for code in codes]
            images = [drawings[style][code][1] for code in codes]
            self.labels[key] = torch.tensor(labels)
            self.pixels[key] = clip.pixels_of(self.processor, images)
            self.features[key] = clip.embed_images(self.model, self.processor, self.pixels[key])
        names = [drawings["openmoji"][code][0] for code in parts["train"]]
        self.head = self._members_names(words(names))

    def _parts(self, subgroups: pd.Series) -> dict[str, list[str]]:
        """Deal the concepts of each class out: half for the test, the rest to learn from."""
        draw = np.random.default_rng(self.seed)
        parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for name in self.classes:
            own = draw.permutation(subgroups.index[subgroups == name]).tolist()
            tested = len(own) // 2
            validated = max(1, round(VALIDATION * (len(own) - tested)))
            parts["test"] += own[:tested]
            parts["validation"] += own[tested : tested + validated]
            parts["train"] += own[tested + validated :]
        return parts

    def _members_names(self, rows: torch.Tensor) -> torch.Tensor:
        """Return a head of words: for each class the mean of its training concepts' names."""
        means = [rows[self.labels["train"] == label].mean(0) for label in range(len(self.classes))]
        return functional.normalize(torch.stack(means), dim=-1)

    def starts(self) -> dict[str, clip.Head | torch.Tensor]:
        probe = clip.linear_probe(self.features["train"], self.labels["train"])
        blank = clip.random_head(len(self.classes), self.head.shape[1], self.seed)
        return {"random head": blank, "LP-FT": probe, "names": self.head}


def subgroup_of(drawings: dict[str, dict]) -> pd.Series:
    """Return the subgroups of the concepts that all parts draw, by code points."""
    table = data.load_emoji("openmoji").select_columns(["codepoints", "subgroup"]).to_pandas()
    found = table.set_index("codepoints")["subgroup"]
    shared = [code for code in found.index if all(code in own for own in drawings.values())]
    return found[shared]


def measured(seed, steps) -> list[dict]:
    foundation = fmcourse.load_clip("emoji-clip")
    drawings = {style: known_drawings(style) for style in STYLES}
    words = functools.partial(clip.zero_shot_head, *foundation)
    return compared(Split(seed, foundation, drawings, words), steps, [RATES["names"]["lr"]])


def compared(split: Split, steps, mixed_rates: Sequence[float]) -> list[dict]:
    """Return one row per method, rate, alpha and part of a split.

    Fine-tuning from the members' names is interpolated at each of `mixed_rates`.
    """
    rows: list[dict] = []

    def keep(method, logits_of, lr=0.0, alpha=1.0):
        about = {"split": split.seed, "method": method, "lr": lr, "alpha": alpha}
        for part in ("validation", *split.tested):
            labels = split.labels[part]
            right = int((logits_of(part).argmax(1) == labels).sum())
            rows.append(about | {"part": part, "right": right, "total": len(labels)})

    def keep_tuned(method, classifier, lr, alpha=1.0):
        keep(method, lambda part: classifier.predict(split.pixels[part]), lr, alpha)

    starts = split.starts()
    keep("members' names", lambda part: split.features[part] @ split.head.T)
    keep("linear probe", lambda part: starts["LP-FT"](split.features[part]))
    examples = (split.model, split.processor, split.pixels["train"], split.labels["train"])
    tuned = {}
    for name, head in starts.items():
        for lr in GRID:
            rates = RATES[name] | {"lr": lr}
            settings = {"steps": steps, "seed": split.seed, "progress": False}
            tuned[name, lr], _ = clip.fine_tune(*examples, head, **rates, **settings)
            keep_tuned(name, tuned[name, lr], lr)
    mixed = clip.build_classifier(split.model, split.head)
    first = copy.deepcopy(mixed.state_dict())
    for lr in mixed_rates:
        for alpha in ALPHAS:
            weights = clip.interpolate(first, tuned["names", lr].state_dict(), alpha)
            mixed.load_state_dict(weights)
            keep_tuned("interpolated", mixed, lr, alpha)
    return rows


if __name__ == "__main__":
    main()
