"""What the recipes of CLIP models may see and what they pair: concepts, their pictures and
captions, and the figures.

Five styles train. Neither OpenMoji nor a held-out concept may be seen in training, in any style or
tone.
"""

from __future__ import annotations

import functools
import io
import random
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from PIL import Image

from fmcourse import data
from fmcourse.clip import TEMPLATES
from recipes.common import BUNDLED
from recipes.emoji_data import TRAINING_STYLES, read_emoji

MEAN, STD = 127 / 255, 128 / 255  # (value - 127) / 128, as Lite0 takes it
SOURCES = [f"emoji-{style}.parquet" for style in TRAINING_STYLES]
READ = [*SOURCES, "emoji-held-out.json"]  # what decides a training
KEYWORD_CAPTIONS = 4
FLAG_SHARE = 0.25  # a flag's weight among concepts
TONE_SHARE = 0.15  # how often a person shows a skin tone
DIRECTED = re.compile(
    r"left|right|clockwise|button|sign|quarter|waxing|waning|o’clock|thirty|clef|flag|hundred|ZZZ|[A-Z]{2}"
)


# ---------------------------------------------------------------- what may be seen


def held_out() -> set[str]:
    """Return the code points of the concepts that no training may see."""
    return set.union(*map(set, data.held_out()))


@functools.cache
def all_concepts() -> dict[str, dict]:
    """Map the code points of each emoji without skin tone to its columns."""
    return {code: row for code, row in read_emoji().items() if row["skin_tone"] == "none"}


def training_concepts() -> list[str]:
    """Return the code points of every concept that is not held out, flags included."""
    hidden = held_out()
    return [code for code in all_concepts() if code not in hidden]


def names_of(concepts: list[str]) -> list[str]:
    return [all_concepts()[code]["name"] for code in concepts]


@dataclass(frozen=True)
class Pictures:
    """Pictures and what they show.

    Attributes:
        pixels: RGBA bytes, shape (pictures, 4, 64, 64).
        concept: place of each picture's concept in `concepts`, shape (pictures,).
        label: each picture's own label, its skin tone included.
        toned: whether a picture shows a skin tone, shape (pictures,).
        concepts: code points without tone, in the Unicode order.
        style: each picture's drawing style.
    """

    pixels: torch.Tensor
    concept: torch.Tensor
    label: list[str]
    toned: torch.Tensor
    concepts: list[str]
    style: list[str]

    def only(self, places: list[int]) -> Pictures:
        """Return the pictures at some places; the concepts stay as they are."""
        return Pictures(
            self.pixels[places],
            self.concept[places],
            [self.label[place] for place in places],
            self.toned[places],
            self.concepts,
            [self.style[place] for place in places],
        )


def read_pictures(styles: list[str], concepts: list[str], tones=True) -> Pictures:
    """Read the pictures of some styles and concepts."""
    columns = ["image", "name", "codepoints", "skin_tone"]
    files = {style: BUNDLED / f"emoji-{style}.parquet" for style in styles}
    tables = [
        pd.read_parquet(file, columns=columns).assign(style=style) for style, file in files.items()
    ]
    table = pd.concat(tables)
    place = {code: index for index, code in enumerate(concepts)}
    table["concept"] = [place.get(read_emoji()[code]["base"]) for code in table["codepoints"]]
    table["toned"] = table["skin_tone"] != "none"
    table = table[table["concept"].notna() & (tones | ~table["toned"])]
    images = [Image.open(io.BytesIO(image["bytes"])).convert("RGBA") for image in table["image"]]
    return Pictures(
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(table["concept"].to_numpy(int)),
        table["name"].tolist(),
        torch.tensor(table["toned"].to_numpy(bool)),
        concepts,
        table["style"].tolist(),
    )


# ---------------------------------------------------------------- what is paired


def captions_of(concept: dict) -> list[str]:
    """Return a concept's captions, the same number for each: half its name, then templates, then
    keywords."""
    name, draw = concept["name"], random.Random(concept["codepoints"])
    hidden = held_out_names()
    words = [word for word in concept["keywords"] if word.lower() not in hidden] or [name]
    captions = [name] * len(TEMPLATES) + [template.format(name) for template in TEMPLATES]
    for _ in range(KEYWORD_CAPTIONS):
        captions.append(", ".join(draw.sample(words, min(len(words), draw.randint(2, 4)))))
    return captions


@functools.cache
def held_out_names() -> set[str]:
    """Return the lower-case names of the held-out concepts."""
    return {name.lower() for name in names_of(held_out())}


class Draws:
    """Draws pictures for a batch: concepts without repetition, for each a style and at times a
    tone."""

    def __init__(self, pictures: Pictures):
        rows = [all_concepts()[code] for code in pictures.concepts]
        # Of each concept, the indices of its pictures without and with a skin tone.
        self.plain: list[list[int]] = [[] for _ in rows]
        self.toned: list[list[int]] = [[] for _ in rows]
        shown = zip(pictures.concept.tolist(), pictures.toned.tolist())
        for index, (concept, toned) in enumerate(shown):
            forms = self.toned if toned else self.plain
            forms[concept].append(index)
        shares = [FLAG_SHARE if row["group"] == "flags" else 1.0 for row in rows]
        self.weights = torch.tensor(shares) * torch.tensor([bool(own) for own in self.plain])
        fixed = [
            row["group"] in ("symbols", "flags") or DIRECTED.search(row["name"]) for row in rows
        ]
        self.may_flip = torch.tensor([not each for each in fixed])

    def draw(self, count) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `count` concepts, and for each the place of a picture of it."""
        concepts = torch.multinomial(self.weights, count)
        return concepts, torch.tensor([self.draw_form(concept) for concept in concepts.tolist()])

    def draw_form(self, concept) -> int:
        forms = self.plain[concept]
        if self.toned[concept] and torch.rand(()) < TONE_SHARE:
            forms = self.toned[concept]
        return forms[torch.randint(len(forms), ()).item()]
