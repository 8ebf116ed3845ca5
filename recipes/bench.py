"""What the recipes of notebook 03 share: one seed's subgroup task, with the bundled CLIP's pixels.

A seed draws the training concepts, the order of the batches and the random heads.
"""

from __future__ import annotations

import functools
import random

import pandas as pd
import torch

import fmcourse
from fmcourse import clip

PARTS = ("train", "validation", "test", "shifted")
QUIET = {"progress": False}
SOURCES = ["emoji-clip/model.safetensors", "emoji-noto.parquet", "emoji-openmoji.parquet"]


@functools.lru_cache(maxsize=1)
def bench(seed: int) -> Bench:
    """Return one seed's task; the last one is kept, for its pixels and features."""
    return Bench(seed)


class Bench:
    """One seed's task, with pixels and features of the bundled CLIP made once."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.model, self.processor = fmcourse.load_clip("emoji-clip")
        self.task = clip.subgroup_task(seed=seed)
        self.labels = {part: torch.tensor(getattr(self.task, part).labels) for part in PARTS}

    @functools.cached_property
    def pixels(self) -> dict[str, torch.Tensor]:
        images = {part: getattr(self.task, part).images for part in PARTS}
        return {part: clip.pixels_of(self.processor, own) for part, own in images.items()}

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
    def examples(self) -> tuple:
        return self.model, self.processor, self.pixels["train"], self.labels["train"]

    def heads(self) -> dict[str, clip.Head | torch.Tensor]:
        """Return what fine-tuning can start from."""
        probe = clip.linear_probe(self.features["train"], self.labels["train"])
        blank = clip.random_head(len(self.task.names), self.words.shape[1], self.seed)
        return {
            "fine-tuned from a random head": blank,
            "LP-FT": probe,
            "fine-tuned from the zero-shot head": self.words,
        }

    def fine_tuned_on_pairs(self, habits: clip.Habits, **settings) -> torch.nn.Module:
        """Fine-tune like pre-training, by the contrastive loss.

        Each training picture has one sentence, its template drawn by the seed.
        """
        draw = random.Random(self.seed)
        names = [self.task.names[label] for label in self.labels["train"]]
        captions = [draw.choice(clip.TEMPLATES).format(name) for name in names]
        settings |= {"ids": self.labels["train"], "seed": self.seed, **QUIET}
        return clip.fine_tune_pairs(*self.examples[:3], captions, habits, **settings)[0]

    def bits(self, part: str, logits: torch.Tensor) -> str:
        """Return 1 for each picture of a part that is right, else 0."""
        return "".join(map(str, (logits.argmax(1) == self.labels[part]).int().tolist()))


def answers(concepts: list[str], bits: str, **columns: object) -> pd.DataFrame:
    """Return a row for each test picture, right or wrong, with `columns` the same in all rows."""
    right = [bit == "1" for bit in bits]
    rows = {"picture": range(len(concepts)), "concept": concepts, "right": right}
    return pd.DataFrame(columns | rows)
