"""What fine-tuning costs where the model was good: styles of pre-training, for notebook 03.

    python -m recipes.clip_retention choose        compare learning rates on validation, on splits
                                                   that do not ship
    python -m recipes.clip_retention               run ten splits, each kept when done, and write
                                                   the table
    python -m recipes.clip_retention --seeds 90    run this split alone, print it, write nothing

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

import collections
import functools
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

import fmcourse
from fmcourse import clip, data
from recipes.clip_forgetting import known_drawings
from recipes.common import command_line, kept, ship_table

SPLITS = tuple(range(10))
SPLITS_TO_CHOOSE = (100, 101, 102)
STYLES = ("openmoji", "noto", "twemoji")
SMALLEST = 8  # concepts of a class
VALIDATION = 0.2  # of the concepts to learn from
STEPS = 60
ALPHAS = tuple(tenth / 10 for tenth in range(1, 10))
GRID = (1e-4, 3e-4, 1e-3)  # of the image encoder
# Of the image encoder and of the head, start by start; chosen by `choose`. A random head has far to
# go and a head of names little, so their own rates differ.
RATES = {
    "random head": {"lr": 1e-4, "head_lr": 0.1},
    "LP-FT": {"lr": 1e-3, "head_lr": 0.1},
    "names": {"lr": 1e-4, "head_lr": 1e-3},
}
FILE = "clip-retention.parquet"
SOURCES = ["emoji-clip/model.safetensors", *(f"emoji-{style}.parquet" for style in STYLES)]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, stages=("make", "choose"), seeds=SPLITS, steps=STEPS)
    fmcourse.setup()
    if chosen.stage == "choose":
        choose()
        return
    started = time.time()
    rows = []
    for split in chosen.seeds:
        rows += kept("clip_retention", measured, split, chosen.steps, sources=SOURCES)
    table = pd.DataFrame(rows)
    if not chosen.ships:
        print(table.to_string())
        return
    ship_table(
        FILE,
        table,
        sources=SOURCES,
        recipe="clip_retention",
        settings={
            "splits": chosen.seeds,
            "steps": chosen.steps,
            "rates": RATES,
            "grid": list(GRID),
            "alphas": list(ALPHAS),
        },
        seconds=time.time() - started,
    )


class Split:
    """One split of the known concepts, as pixels and unit embeddings."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.model, self.processor = fmcourse.load_clip("emoji-clip")
        drawings = {style: known_drawings(style) for style in STYLES}
        shared = [code for code in drawings["openmoji"] if all(code in drawings[s] for s in STYLES)]
        subgroups = subgroup_of(shared)
        sizes = collections.Counter(subgroups[code] for code in shared)
        self.classes = sorted(name for name, size in sizes.items() if size >= SMALLEST)
        used = [code for code in shared if subgroups[code] in self.classes]
        parts = self._parts(used, subgroups)
        self.labels, self.pixels, self.features = {}, {}, {}
        for part, codes in parts.items():
            labels = [self.classes.index(subgroups[code]) for code in codes]
            styles = STYLES if part == "test" else ("openmoji",)
            for style in styles:
                key = style if part == "test" else part
                images = [drawings[style][code][1] for code in codes]
                self.labels[key] = torch.tensor(labels)
                self.pixels[key] = clip.pixels_of(self.processor, images)
                self.features[key] = clip.embed_images(self.model, self.processor, self.pixels[key])
        names = [drawings["openmoji"][code][0] for code in parts["train"]]
        self.head = self._members_names(names)

    def _parts(self, codes: list[str], subgroups: dict[str, str]) -> dict[str, list[str]]:
        """Deal the concepts of each class out: half for the test, the rest to learn from."""
        draw = np.random.default_rng(self.seed)
        parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for name in self.classes:
            own = [code for code in codes if subgroups[code] == name]
            own = [own[index] for index in draw.permutation(len(own))]
            tested = len(own) // 2
            validated = max(1, round(VALIDATION * (len(own) - tested)))
            parts["test"] += own[:tested]
            parts["validation"] += own[tested : tested + validated]
            parts["train"] += own[tested + validated :]
        return parts

    def _members_names(self, names: list[str]) -> torch.Tensor:
        """Return a head of words: for each class the mean of its training concepts' names."""
        rows = clip.zero_shot_head(self.model, self.processor, names)
        means = [rows[self.labels["train"] == label].mean(0) for label in range(len(self.classes))]
        return functional.normalize(torch.stack(means), dim=-1)

    @property
    def examples(self) -> tuple:
        return self.model, self.processor, self.pixels["train"], self.labels["train"]

    def starts(self) -> dict[str, clip.Head | torch.Tensor]:
        probe = clip.linear_probe(self.features["train"], self.labels["train"])
        blank = clip.random_head(len(self.classes), self.head.shape[1], self.seed)
        return {"random head": blank, "LP-FT": probe, "names": self.head}

    def tuned(
        self, start: str, head: clip.Head | torch.Tensor, steps: int, **rates: float
    ) -> torch.nn.Module:
        rates = {**RATES[start], **rates}
        settings = {"steps": steps, "seed": self.seed, "progress": False}
        return clip.fine_tune(*self.examples, head, **rates, **settings)[0]

    def logits(self, classifier: torch.nn.Module, part: str) -> torch.Tensor:
        return classifier.predict(self.pixels[part])

    def right(self, part: str, logits: torch.Tensor) -> int:
        return int((logits.argmax(1) == self.labels[part]).sum())


def subgroup_of(codes: list[str]) -> dict[str, str]:
    table = data.load_emoji("openmoji").select_columns(["codepoints", "subgroup"])
    found = {row["codepoints"]: row["subgroup"] for row in table}
    return {code: found[code] for code in codes}


def measured(seed: int, steps: int) -> list[dict]:
    """Return one row per method, alpha and part of a split."""
    split = Split(seed)
    rows: list[dict] = []

    def keep(method: str, logits_of, lr: float = 0.0, alpha: float = 1.0) -> None:
        for part in ("validation", *STYLES):
            right = split.right(part, logits_of(part))
            about = {"split": seed, "method": method, "lr": lr, "alpha": alpha, "part": part}
            rows.append(about | {"right": right, "total": len(split.labels[part])})
        shares = [f"{row['right'] / row['total']:.3f}" for row in rows[-4:]]
        print(seed, method, lr, alpha, shares, flush=True)

    starts = split.starts()
    keep("members' names", lambda part: split.features[part] @ split.head.T)
    keep("linear probe", lambda part: starts["LP-FT"](split.features[part]))
    tuned = {}
    for name, head in starts.items():
        for lr in GRID:
            tuned[name, lr] = split.tuned(name, head, steps, lr=lr)
            keep(name, functools.partial(split.logits, tuned[name, lr]), lr)
    lr = RATES["names"]["lr"]
    last = tuned["names", lr].state_dict()
    first = clip.build_classifier(split.model, split.head).state_dict()
    mixed = clip.build_classifier(split.model, split.head)
    for alpha in ALPHAS:
        mixed.load_state_dict(clip.interpolate(first, last, alpha))
        keep("interpolated", functools.partial(split.logits, mixed), lr, alpha)
    return rows


def choose() -> None:
    """Print validation accuracies of the learning rates, start by start, summed over three
    splits."""
    right: collections.Counter = collections.Counter()
    total = 0
    for seed in SPLITS_TO_CHOOSE:
        split = Split(seed)
        total += len(split.labels["validation"])
        for name, head in split.starts().items():
            for lr in GRID:
                classifier = split.tuned(name, head, STEPS, lr=lr)
                logits = classifier.predict(split.pixels["validation"])
                right[name, lr] += split.right("validation", logits)
                print(f"{name}, rate {lr:g}: {right[name, lr]} of {total}", flush=True)


if __name__ == "__main__":
    main()
