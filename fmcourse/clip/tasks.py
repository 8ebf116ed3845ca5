"""The pictures of notebook 03: drawings and their names, a sample folder, and the task to name a
drawing's subgroup.

The task's test concepts were held out from the bundled model's pre-training, too. The validation
concepts were not, so accuracy on them flatters the model.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import pandas as pd
from PIL import Image

from fmcourse import data
from fmcourse.arguments import choose, require, whole
from fmcourse.files import user_path

STYLE = "noto"  # of the pre-training, like Twemoji
SMALLEST = 8  # concepts of a class that may be trained on, validation included
VALIDATION_SHARE = 0.2
# The labels of the sample folder. No caption tells them apart, and no probe does so well.
SAMPLED = ("even", "odd")
SAMPLED_EACH = 120
SAMPLED_SIDE = 64  # pixels, to which the 8 of a digit are enlarged


@dataclass(frozen=True)
class Part:
    """Some pictures of a task.

    Attributes:
        images: PIL images, RGBA, 64x64.
        labels: the index of each picture's class in the task's names.
        concepts: the code points of what each picture shows.
    """

    images: list[Image.Image]
    labels: list[int]
    concepts: list[str]


@dataclass(frozen=True)
class Task:
    """A classification task, with its shift.

    Attributes:
        names: the classes.
        train, validation: pictures in the style of the task; no concept is in both.
        test: pictures in the same style, of concepts that neither the task nor the bundled model
            has met.
        shifted: the same concepts in the same order, in the shifted style.
    """

    names: list[str]
    train: Part
    validation: Part
    test: Part
    shifted: Part


def subgroup_task(shifted: str = "openmoji", seed: int = 0) -> Task:
    """Return the task to name a drawing's Unicode subgroup, such as *animal mammal*.

    Classes are the subgroups with at least 8 concepts outside the held-out ones; flags and skin
    tones are left out.

    Args:
        shifted: the style that the model does not expect, one of :data:`fmcourse.data.STYLES`; the
            style to train on is Noto.
        seed: of the fifth of the concepts, class by class, that is sampled for validation.

    Raises:
        ValueError: an unknown style, or Noto.
    """
    require(shifted != STYLE, "shifted", f"a different style than {STYLE!r}", shifted)
    drawings, shifted_drawings = data.load_emoji(STYLE), data.load_emoji(shifted)
    own, other = _plain(drawings), _plain(shifted_drawings)
    free = _not_held_out(own)
    counts = free["subgroup"].value_counts()
    classes = [name for name in own["subgroup"].unique() if counts.get(name, 0) >= SMALLEST]
    known = free[free["subgroup"].isin(classes)]
    generator = random.Random(whole("seed", seed))
    sampled = []
    for _, of_class in known.groupby("subgroup", sort=False):
        count = max(1, round(VALIDATION_SHARE * len(of_class)))
        sampled += generator.sample(of_class.index.tolist(), count)
    in_validation = known.index.isin(sampled)
    held_out, _ = data.held_out()
    in_both = own.index.isin(held_out) & own.index.isin(other.index)
    test = own[in_both & own["subgroup"].isin(classes)]
    return Task(
        [name.replace("-", " ") for name in classes],
        _part(drawings, known[~in_validation], classes),
        _part(drawings, known[in_validation], classes),
        _part(drawings, test, classes),
        _part(shifted_drawings, other.loc[test.index], classes),
    )


def _plain(table: datasets.Dataset) -> pd.DataFrame:
    """Return subgroup and row, by code points, of the drawings without skin tones and flags."""
    columns = table.select_columns(["codepoints", "group", "subgroup", "skin_tone"]).to_pandas()
    columns["row"] = range(len(columns))
    plain = columns[(columns["skin_tone"] == "none") & (columns["group"] != "flags")]
    return plain.set_index("codepoints")


def _not_held_out(plain: pd.DataFrame) -> pd.DataFrame:
    return plain[~plain.index.isin(set().union(*data.held_out()))]


def _part(table: datasets.Dataset, chosen: pd.DataFrame, classes: list[str]) -> Part:
    labels = [classes.index(name) for name in chosen["subgroup"]]
    return Part(list(table.select(chosen["row"])["image"]), labels, chosen.index.tolist())


def known_drawings(count: int, seed: int = 0) -> tuple[list[Image.Image], list[str]]:
    """Sample drawings of concepts that the bundled model was trained on, and return their names.

    Args:
        count: how many of Noto's, without skin tones and flags.
        seed: of the sample; the same seed gives the same drawings.

    Raises:
        ValueError: more drawings than there are.
    """
    drawings = data.load_emoji(STYLE)
    known = _not_held_out(_plain(drawings))
    count, seed = whole("count", count, 1, len(known)), whole("seed", seed)
    chosen = drawings.select(known["row"].sample(count, random_state=seed))
    return list(chosen["image"]), list(chosen["name"])


def drawings_of(names: Sequence[str]) -> list[Image.Image]:
    """Return Noto's drawings of some concepts by their names, in the order given.

    Raises:
        ValueError: a name that it does not have.
    """
    drawings = data.load_emoji(STYLE)
    own = list(drawings["name"])
    return [drawings[own.index(choose("names", name, own))]["image"] for name in names]


def sample_folder(folder: str | Path, seed: int = 0) -> Path:
    """Write a small folder of labelled pictures, with the accidents of real ones, and return it.

    Its pictures are 120 handwritten digits of each label, ``even`` and ``odd``: the bundled model
    has neither words nor features for this task, so fine-tuning is worth its cost. A file that is
    no picture and a label with a single picture are what :func:`fmcourse.clip.read_pictures` has to
    cope with.

    Args:
        folder: where to write; made when missing, ``~`` is your home.
        seed: of the digits that are sampled.
    """
    folder = user_path(folder)
    digits = data.load_digits()
    order = random.Random(whole("seed", seed)).sample(range(len(digits)), len(digits))
    labels = digits["label"]
    for parity, label in enumerate(SAMPLED):
        (folder / label).mkdir(parents=True, exist_ok=True)
        own = [index for index in order if labels[index] % 2 == parity]
        for index in own[:SAMPLED_EACH]:
            _enlarged(digits[index]["image"]).save(folder / label / f"digit-{index}.png")
    (folder / "unclear").mkdir(exist_ok=True)
    _enlarged(digits[order[-1]]["image"].rotate(90)).save(folder / "unclear" / "turned.png")
    (folder / SAMPLED[0] / "notes.png").write_text("not a picture", encoding="utf-8")
    return folder


def _enlarged(image: Image.Image) -> Image.Image:
    return image.resize((SAMPLED_SIDE, SAMPLED_SIDE), Image.Resampling.BICUBIC)
