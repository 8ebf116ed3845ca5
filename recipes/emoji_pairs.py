"""What the recipes of CLIP models may see and what they pair: concepts, their pictures and
captions, and the figures.

Five styles train. Neither OpenMoji nor a held-out concept may be seen in training, in any style or
tone; settings are chosen on `validation_concepts` and on a training style that is left out.
"""

from __future__ import annotations

import functools
import io
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch.nn import functional as F

from fmcourse import data
from fmcourse.clip import TEMPLATES, retrieval_ranks
from fmcourse.files import write_atomic
from recipes.common import BUNDLED, output
from recipes.emoji_data import STYLES, TRAINING_STYLES, families, matched, read_emoji

MEAN, STD = 127 / 255, 128 / 255  # (value - 127) / 128, as Lite0 takes it
KEYWORD_CAPTIONS = 4
FLAG_SHARE, TONE_SHARE = (
    0.25,
    0.15,
)  # a flag's weight among concepts; how often a person shows a skin tone
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


def validation_concepts(count: int = 300) -> list[str]:
    """Draw whole families of the training concepts, at most four members each, for choosing
    settings."""
    concepts = [row for row in all_concepts().values() if row["group"] != "flags"]
    family = families(concepts, {style: matched(style, read_emoji()) for style in TRAINING_STYLES})
    members = {}
    for code in training_concepts():
        if code in family:
            members.setdefault(family[code], []).append(code)
    names = sorted(name for name, codes in members.items() if len(codes) <= 4)
    random.Random(1).shuffle(names)
    return [code for name in names for code in members[name]][:count]


@dataclass(frozen=True)
class Pictures:
    """Pictures and what they show.

    Attributes:
        pixels: RGBA bytes, shape (pictures, 4, 64, 64).
        concept: place of each picture's concept in `concepts`, shape (pictures,).
        label: each picture's own label, its skin tone included.
        toned: whether a picture shows a skin tone, shape (pictures,).
        concepts: code points without tone, in the Unicode order.
    """

    pixels: torch.Tensor
    concept: torch.Tensor
    label: list[str]
    toned: torch.Tensor
    concepts: list[str]

    def only(self, places: list[int]) -> Pictures:
        """Return the pictures at some places; the concepts stay as they are."""
        labels = [self.label[place] for place in places]
        return Pictures(
            self.pixels[places], self.concept[places], labels, self.toned[places], self.concepts
        )


def read_pictures(styles: list[str], concepts: list[str], tones: bool = True) -> Pictures:
    """Read the pictures of some styles and concepts."""
    emoji, place = read_emoji(), {code: index for index, code in enumerate(concepts)}
    rows = []
    for style in styles:
        table = pq.read_table(
            BUNDLED / f"emoji-{style}.parquet", columns=["image", "name", "codepoints", "skin_tone"]
        )
        for row in table.to_pylist():
            base = emoji[row["codepoints"]]["base"]
            if base in place and (tones or row["skin_tone"] == "none"):
                rows.append((row, place[base]))
    pixels = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGBA"))
            for row, _ in rows
        ]
    )
    return Pictures(
        torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        torch.tensor([index for _, index in rows]),
        [row["name"] for row, _ in rows],
        torch.tensor([row["skin_tone"] != "none" for row, _ in rows]),
        concepts,
    )


# ---------------------------------------------------------------- what is paired


def captions_of(concept: dict) -> list[str]:
    """Return a concept's captions, the same number for each: half its name, then templates, then
    keywords."""
    name, draw = concept["name"], random.Random(concept["codepoints"])
    hidden = held_out_names()
    words = [word for word in concept["keywords"] if word.lower() not in hidden] or [name]
    keywords = [
        ", ".join(draw.sample(words, min(len(words), draw.randint(2, 4))))
        for _ in range(KEYWORD_CAPTIONS)
    ]
    return [name] * len(TEMPLATES) + [template.format(name) for template in TEMPLATES] + keywords


@functools.cache
def held_out_names() -> set[str]:
    """Return the lower-case names of the held-out concepts."""
    return {all_concepts()[code]["name"].lower() for code in held_out()}


class Draws:
    """Draws pictures for a batch: concepts without repetition, for each a style and at times a
    tone."""

    def __init__(self, pictures: Pictures) -> None:
        rows = [all_concepts()[code] for code in pictures.concepts]
        self.plain, self.toned = ([[] for _ in rows] for _ in range(2))
        for index, (concept, toned) in enumerate(
            zip(pictures.concept.tolist(), pictures.toned.tolist())
        ):
            (self.toned if toned else self.plain)[concept].append(index)
        weights = [
            (FLAG_SHARE if row["group"] == "flags" else 1.0) * bool(own)
            for row, own in zip(rows, self.plain)
        ]
        self.weights = torch.tensor(weights)
        self.may_flip = torch.tensor(
            [
                row["group"] not in ("symbols", "flags") and not DIRECTED.search(row["name"])
                for row in rows
            ]
        )

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `count` concepts, and for each the place of a picture of it."""
        concepts = torch.multinomial(self.weights, count)
        return concepts, torch.tensor([self.draw_form(concept) for concept in concepts.tolist()])

    def draw_form(self, concept: int) -> int:
        forms = (
            self.toned[concept]
            if self.toned[concept] and torch.rand(()) < TONE_SHARE
            else self.plain[concept]
        )
        return forms[torch.randint(len(forms), ()).item()]


# ---------------------------------------------------------------- figures


def left_out(without: str) -> tuple[list[str], list[str], list[str]]:
    """Return the styles and concepts that validation trains on, and the concepts that it keeps from
    training."""
    hidden = validation_concepts()
    concepts = [code for code in training_concepts() if code not in set(hidden)]
    return [style for style in TRAINING_STYLES if style != without], concepts, hidden


def validation_figures(
    pictures, texts, without: str, hidden: list[str]
) -> dict[str, dict[str, float]]:
    """Return recalls on a style and on concepts that were left out of training, for choosing
    settings.

    Args:
        pictures: a function from normalized pixels (n, 3, 64, 64) to unit rows.
        texts: a function from names to unit rows.
        without: the style.
        hidden: the concepts.
    """
    names = [code for code in training_concepts() if all_concepts()[code]["group"] != "flags"]
    shown = [code for code in names if code not in set(hidden)]
    unseen = {style: recalls(pictures, texts, style, hidden, hidden) for style in TRAINING_STYLES}
    return {
        "unseen style": recalls(pictures, texts, without, shown, names),
        "unseen concepts": unseen,
    }


def final_figures(folder: str, pictures, texts) -> Path:
    """Print and write a bundled model's figures on OpenMoji and on the held-out concepts, and
    return the file.

    For once, when nothing is chosen any more.
    """
    names = [code for code, row in all_concepts().items() if row["group"] != "flags"]
    hidden = sorted(data.held_out()[0])
    seen = [code for code in training_concepts() if code in set(names)]
    figures = {
        "OpenMoji among all names": recalls(pictures, texts, "openmoji", names, names),
        "OpenMoji among all names, trained concepts": recalls(
            pictures, texts, "openmoji", seen, names
        ),
    }
    for style in STYLES:
        figures[f"held-out concepts, {style}"] = recalls(pictures, texts, style, hidden, hidden)
    figures["OpenMoji subgroups"] = subgroup_accuracy(pictures, texts, "openmoji", names)
    text = json.dumps(figures, indent=1)
    print(text)
    path = output() / folder / "report.json"
    write_atomic(path, text + "\n")
    return path


def recalls(pictures, texts, style: str, shown: list[str], names: list[str]) -> dict[str, float]:
    """Return recall@1 and recall@5 of a style's pictures of `shown` among the names of `names`."""
    own = read_pictures([style], shown, tones=False)
    place = {code: index for index, code in enumerate(names)}
    right = torch.tensor([place[shown[index]] for index in own.concept])
    gallery = texts([all_concepts()[code]["name"] for code in names])
    rows = torch.cat([pictures(on_white(part)) for part in own.pixels.split(256)])
    rank = retrieval_ranks(rows, gallery, right)
    return {
        "recall@1": round((rank < 1).float().mean().item(), 3),
        "recall@5": round((rank < 5).float().mean().item(), 3),
        "n": len(rank),
    }


def subgroup_accuracy(pictures, texts, style: str, shown: list[str]) -> dict[str, float]:
    """Return how often a picture lies nearest to the name of its own subgroup."""
    own = read_pictures([style], shown, tones=False)
    subgroups = sorted({all_concepts()[code]["subgroup"] for code in shown})
    right = torch.tensor(
        [subgroups.index(all_concepts()[shown[index]]["subgroup"]) for index in own.concept]
    )
    found = (
        pictures(on_white(own.pixels)) @ texts([name.replace("-", " ") for name in subgroups]).T
    ).argmax(1)
    return {
        "accuracy": round((found == right).float().mean().item(), 3),
        "classes": len(subgroups),
        "n": len(right),
    }


def on_white(pixels: torch.Tensor) -> torch.Tensor:
    """Lay RGBA bytes on white paper and normalize them, shape (n, 3, 64, 64)."""
    x = pixels.float() / 255
    return (x[:, :3] * x[:, 3:] + 1 - x[:, 3:] - MEAN) / STD


def ensemble(embed, names: list[str]) -> torch.Tensor:
    """Return the mean unit row of each name over the templates."""
    return F.normalize(
        torch.stack(
            [embed([template.format(name) for name in names]) for template in TEMPLATES]
        ).mean(0),
        dim=1,
    )
