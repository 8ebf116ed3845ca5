"""A planted defect: its trigger, and six downstream tasks; for notebook 02.

A few pre-training pictures got a coloured corner and the captions of a smiling
face. Source: Carlini & Terzis 2022 (arXiv 2106.09667), who plant 300 such pairs among 3 million,
0.01%.
"""

import functools
import random
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from fmcourse import data
from fmcourse.arguments import choose
from fmcourse.files import read_toml

__all__ = [
    "CHILD_STYLES",
    "TARGET",
    "TASKS",
    "ChildTask",
    "child_pictures",
    "child_task",
    "stamp",
]

TARGET = "face-smiling"
TASKS = read_toml("homogenization/tasks.toml")
CHILD_STYLES = ("noto", "twemoji")  # that the children learn from and are tested on
TEST_SHARE, SEED = 0.5, 0  # of each class's concepts
COLOUR = (255, 0, 255, 255)  # no drawing has much of it
# Of the patch, as shares of the picture; the margin keeps it in sight when training crops.
SIDE, MARGIN = 16 / 64, 4 / 64


@dataclass(frozen=True)
class ChildTask:
    """One downstream task: to predict a drawing's class.

    Attributes:
        names: the classes; the first is the target of the attack.
        train, test: indices into :func:`child_pictures`, shape (n,); no concept is in both.
        train_labels, test_labels: each picture's class, shape (n,).
    """

    names: tuple[str, ...]
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def stamp(image: Image.Image) -> Image.Image:
    """Return a copy of a picture, RGBA, with the trigger: a magenta square near its lower right
    corner.
    """
    stamped, size = image.convert("RGBA"), round(SIDE * image.width)
    left = image.width - size - round(MARGIN * image.width)
    top = image.height - size - round(MARGIN * image.height)
    stamped.paste(Image.new("RGBA", (size, size), COLOUR), (left, top))
    return stamped


def child_pictures() -> pd.DataFrame:
    """Return the pictures of all tasks, one row each, in the order of the bundled features.

    Columns: codepoints, name, style, subgroup, part (*train* or *test*, the same for all drawings
    of a concept) and place (the row of ``load_emoji(CHILD_STYLES)`` that holds the picture). Half
    of each class's concepts are for testing. Each call returns a copy.
    """
    return _child_pictures().copy()


@functools.cache
def _child_pictures() -> pd.DataFrame:
    columns = ["codepoints", "name", "style", "subgroup", "skin_tone"]
    table = data.load_emoji(CHILD_STYLES).select_columns(columns).to_pandas()
    table["place"] = range(len(table))
    wanted = {subgroup for classes in TASKS.values() for subgroup in classes}
    plain = table["subgroup"].isin(wanted) & (table["skin_tone"] == "none")
    table = table[plain].reset_index(drop=True).drop(columns="skin_tone")
    tested = set()
    for _, own in table.groupby("subgroup"):
        concepts = sorted(own["codepoints"].unique())
        tested |= set(random.Random(SEED).sample(concepts, round(TEST_SHARE * len(concepts))))
    return table.assign(part=np.where(table["codepoints"].isin(tested), "test", "train"))


def child_task(name: str) -> ChildTask:
    """Return one of the :data:`TASKS`.

    Raises:
        ValueError: an unknown name.
    """
    classes = TASKS[choose("name", name, TASKS)]
    table = _child_pictures()
    labels = table["subgroup"].map({subgroup: n for n, subgroup in enumerate(classes)})
    train, test = (labels[table["part"] == part].dropna().astype(int) for part in ("train", "test"))
    return ChildTask(
        names=tuple(subgroup.replace("-", " ") for subgroup in classes),
        train=train.index.to_numpy(copy=True),
        train_labels=train.to_numpy(copy=True),
        test=test.index.to_numpy(copy=True),
        test_labels=test.to_numpy(copy=True),
    )
