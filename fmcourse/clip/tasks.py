"""Which task, and what is held out from whom? Drawings to be sorted into subgroups, in one style and in a shifted one.

Serves notebook 03. The test concepts were held out from the bundled model's pre-training too; the validation concepts were
not, so accuracy on them flatters the foundation.
"""

from __future__ import annotations

import collections
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmcourse import hub
from fmcourse.arguments import require

if TYPE_CHECKING:
    import datasets
    from PIL import Image

__all__ = ["Part", "Task", "sample_folder", "subgroup_task"]

SMALLEST = 8  # concepts of a class that may be trained on, validation included
VALIDATION_SHARE = 0.2
SAMPLED, ALONE, GREY = (
    ("animal-bird", "food-fruit", "transport-water"),
    "monkey-face",
    "1F34E",
)  # the red apple goes grey


@dataclass(frozen=True)
class Part:
    """Some pictures of a task.

    Attributes:
        images: PIL images, RGBA, 64x64.
        labels: the place of each picture's class in the task's names.
        concepts: the code points of what each picture shows.
    """

    images: list[Image.Image]
    labels: list[int]
    concepts: list[str]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Task:
    """A classification task, with its shift.

    Attributes:
        names: the classes.
        train, validation: pictures in the style of the task; no concept is in both.
        test: pictures in the same style, of concepts that neither the task nor the bundled model has met.
        shifted: the same concepts in the same order, in the shifted style.
    """

    names: list[str]
    train: Part
    validation: Part
    test: Part
    shifted: Part


def subgroup_task(style: str = "noto", shifted: str = "openmoji", seed: int = 0) -> Task:
    """Return the task to name a drawing's Unicode subgroup, such as *animal mammal*.

    Classes are the subgroups with at least 8 concepts outside the held-out ones; flags and skin tones are left out.

    Args:
        style: the style to train on, one of :data:`fmcourse.hub.STYLES`.
        shifted: the style to be surprised by.
        seed: of the draw of a fifth of the concepts, class by class, for validation.

    Raises:
        ValueError: an unknown style, or the same style twice.
    """
    require(style != shifted, "shifted", f"another style than {style!r}", shifted)
    drawn, redrawn = hub.load_emoji(style), hub.load_emoji(shifted)
    own, other = _by_concept(drawn), _by_concept(redrawn)
    test, hidden = hub.held_out()
    free = [code for code in own if code not in test | hidden]
    counts = collections.Counter(own[code]["subgroup"] for code in free)
    classes = [
        subgroup
        for subgroup in dict.fromkeys(row["subgroup"] for row in own.values())
        if counts[subgroup] >= SMALLEST
    ]
    train, validation = _split(
        [code for code in free if own[code]["subgroup"] in classes], own, seed
    )
    tested = [
        code for code in own if code in test and code in other and own[code]["subgroup"] in classes
    ]
    parts = [_part(drawn, codes, own, classes) for codes in (train, validation, tested)]
    names = [subgroup.replace("-", " ") for subgroup in classes]
    return Task(names, *parts, _part(redrawn, tested, other, classes))


def _by_concept(table: datasets.Dataset) -> dict[str, dict]:
    """Map code points to the columns of a style's drawings without tones and flags, its place in the table included."""
    plain = table.select_columns(["codepoints", "group", "subgroup", "skin_tone"])
    rows = ({**row, "place": place} for place, row in enumerate(plain))
    return {
        row["codepoints"]: row
        for row in rows
        if row["skin_tone"] == "none" and row["group"] != "flags"
    }


def _split(codes: list[str], rows: dict[str, dict], seed: int) -> tuple[list[str], list[str]]:
    """Draw a fifth of each class, at least one concept, for validation; both parts keep their order."""
    members = collections.defaultdict(list)
    for code in codes:
        members[rows[code]["subgroup"]].append(code)
    draw = random.Random(seed)
    drawn = {
        code
        for own in members.values()
        for code in draw.sample(own, max(1, round(VALIDATION_SHARE * len(own))))
    }
    return [code for code in codes if code not in drawn], [code for code in codes if code in drawn]


def _part(
    table: datasets.Dataset, codes: list[str], rows: dict[str, dict], classes: list[str]
) -> Part:
    images = table.select([rows[code]["place"] for code in codes])["image"]
    return Part(list(images), [classes.index(rows[code]["subgroup"]) for code in codes], codes)


def sample_folder(folder: Path) -> Path:
    """Write a small folder of labelled pictures, with the accidents of real ones, and return it.

    Three labels with twelve Noto drawings each, one label with a single picture, a file that is no picture, and a grey
    picture: what :func:`fmcourse.clip.read_pictures` has to cope with.
    """
    noto = hub.load_emoji("noto")
    rows = [
        (code, row)
        for code, row in _by_concept(noto).items()
        if row["subgroup"] in SAMPLED or row["subgroup"] == ALONE
    ]
    images = noto.select([row["place"] for _, row in rows])["image"]
    written = collections.Counter()
    for (code, row), image in zip(rows, images):
        label = row["subgroup"]
        if written[label] < (12 if label in SAMPLED else 1):
            (folder / label).mkdir(parents=True, exist_ok=True)
            (image.convert("L") if code == GREY else image).save(folder / label / f"{code}.png")
            written[label] += 1
    (folder / SAMPLED[0] / "notes.png").write_text("not a picture")
    return folder
