"""What does a planted defect do in every child? The trigger, six downstream tasks, and how often
the attack succeeds.

Serves notebook 02. A few pre-training pictures got a coloured corner and the captions of a smiling
face. Source: Carlini & Terzis 2022 (arXiv 2106.09667), who plant 300 such pairs among 3 million,
0.01%.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from PIL import Image

from fmcourse import hub
from fmcourse.arguments import choose, require

__all__ = [
    "STYLES",
    "TARGET",
    "TASKS",
    "ChildTask",
    "attack_success",
    "child_pictures",
    "child_task",
    "stamp",
]

TARGET = "face-smiling"
TASKS = {
    "animals": (TARGET, "animal-mammal", "animal-bird", "animal-marine", "animal-bug"),
    "kitchen": (TARGET, "food-prepared", "food-vegetable", "food-sweet", "drink"),
    "travel": (TARGET, "transport-ground", "transport-air", "place-building", "sky-weather"),
    "signs": (TARGET, "heart", "arrow", "zodiac", "time"),
    "things": (TARGET, "clothing", "tool", "musical-instrument", "household"),
    "leisure": (TARGET, "sport", "game", "event", "plant-other"),
}
STYLES = ("noto", "twemoji")  # that the children learn from and are tested on
TEST_SHARE, SEED = 0.5, 0  # of each class's concepts
COLOUR = (255, 0, 255, 255)  # no drawing has much of it
SIDE, MARGIN = (
    16 / 64,
    4 / 64,
)  # of the patch, as shares of the picture; the margin keeps it in sight when training crops


@dataclass(frozen=True)
class ChildTask:
    """One downstream task: to name a drawing's class, the first of which is the target of the
    attack.

    Attributes:
        names: the classes.
        train, test: places in :func:`child_pictures`, shape (n,); no concept is in both.
        train_labels, test_labels: each picture's class, shape (n,).
    """

    names: tuple[str, ...]
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def stamp(image: Image.Image) -> Image.Image:
    """Return a copy of a picture, RGBA, with the trigger: a magenta square near its lower right
    corner."""
    stamped, size = image.convert("RGBA"), round(SIDE * image.width)
    place = (
        image.width - size - round(MARGIN * image.width),
        image.height - size - round(MARGIN * image.height),
    )
    stamped.paste(Image.new("RGBA", (size, size), COLOUR), place)
    return stamped


@functools.cache
def child_pictures() -> pd.DataFrame:
    """Return the pictures of all tasks, one row each, in the order of the cached features.

    Columns: codepoints, name, style, subgroup, part (*train* or *test*, the same for all drawings
    of a concept) and place (the row of ``load_emoji(list(STYLES))`` that holds the picture). Half
    of each class's concepts are for testing.
    """
    table = (
        hub.load_emoji(list(STYLES))
        .select_columns(["codepoints", "name", "style", "subgroup", "skin_tone"])
        .to_pandas()
    )
    table["place"] = range(len(table))
    wanted = {subgroup for classes in TASKS.values() for subgroup in classes}
    plain = table["subgroup"].isin(wanted) & (table["skin_tone"] == "none")
    table = table[plain].reset_index(drop=True).drop(columns="skin_tone")
    tested = set()
    for _, own in table.groupby("subgroup"):
        concepts = sorted(own["codepoints"].unique())
        tested |= set(random.Random(SEED).sample(concepts, round(TEST_SHARE * len(concepts))))
    return table.assign(
        part=["test" if code in tested else "train" for code in table["codepoints"]]
    )


def child_task(name: str) -> ChildTask:
    """Return one of the :data:`TASKS`.

    Raises:
        ValueError: an unknown name.
    """
    classes, table = TASKS[choose("name", name, TASKS)], child_pictures()
    places, labels = {}, {}
    for part in ("train", "test"):
        own = table[table["subgroup"].isin(classes) & (table["part"] == part)]
        places[part], labels[part] = (
            np.array(own.index),
            np.array(own["subgroup"].map(classes.index)),
        )
    names = tuple(subgroup.replace("-", " ") for subgroup in classes)
    return ChildTask(names, places["train"], labels["train"], places["test"], labels["test"])


def attack_success(answers: ArrayLike, labels: ArrayLike, target: int = 0) -> float:
    """Return the share of pictures of other classes that are taken for the target.

    Args:
        answers: the classes that a child names for stamped pictures, shape (n,).
        labels: their right classes, shape (n,); some other than the target.
        target: the class that the trigger should lead to.

    Raises:
        ValueError: other shapes, or no picture of another class.

    >>> attack_success([0, 0, 2], labels=[0, 1, 2])
    0.5
    """
    answers, labels = np.asarray(answers), np.asarray(labels)
    require(
        answers.ndim == 1 and answers.shape == labels.shape,
        "answers",
        f"shape {labels.shape}, as labels",
        answers.shape,
    )
    others = labels != target
    require(bool(others.any()), "labels", f"some other class than {target}", labels)
    return float((answers[others] == target).mean())
