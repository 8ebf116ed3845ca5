"""The task keeps apart the concepts of its parts, held-out ones, styles and classes."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from fmcourse import data
from fmcourse.clip import subgroup_task

FREE = 8  # concepts, at least, that a class has for training and validation
PARTS = {"train": "noto", "validation": "noto", "test": "noto", "shifted": "openmoji"}


@pytest.fixture(scope="module")
def task():
    return subgroup_task()


@pytest.fixture(scope="module")
def rows():
    """Map a style and code points to the columns of a drawing without skin tone and flag."""
    columns = ["codepoints", "group", "subgroup", "skin_tone", "style"]
    table = data.load_emoji(["noto", "openmoji"]).select_columns(columns)
    return {
        (row["style"], row["codepoints"]): row["subgroup"].replace("-", " ")
        for row in table
        if row["skin_tone"] == "none" and row["group"] != "flags"
    }


def content(part):
    return part.concepts, part.labels, [image.tobytes() for image in part.images]


@pytest.mark.parametrize(("part", "style"), PARTS.items())
def test_pictures_and_labels_are_those_of_the_table(task, rows, part, style):
    part = getattr(task, part)
    assert len(part) == len(part.images) == len(part.labels) == len(set(part.concepts)) > 100
    assert {(image.mode, image.size) for image in part.images} == {("RGBA", (64, 64))}
    for code, label in zip(part.concepts, part.labels):
        assert rows[style, code] == task.names[label]
    table = {row["codepoints"]: row["image"] for row in data.load_emoji(style).select(range(300))}
    known = [pair for pair in zip(part.images, part.concepts) if pair[1] in table]
    assert known and all(image.tobytes() == table[code].tobytes() for image, code in known)


def test_what_is_held_out_is_for_the_test_alone(task, rows):
    held_out, twins = data.held_out()
    assert set(task.train.concepts).isdisjoint(task.validation.concepts)
    assert set(task.train.concepts + task.validation.concepts).isdisjoint(held_out | twins)
    drawn = {
        code for style, code in rows if style == "noto" and rows[style, code] in task.names
    } & {code for style, code in rows if style == "openmoji"}
    assert set(task.test.concepts) == drawn & held_out
    assert task.shifted.concepts == task.test.concepts and task.shifted.labels == task.test.labels


def test_classes_are_the_subgroups_with_enough_concepts(task, rows):
    hidden = set().union(*data.held_out())
    free = [name for (style, code), name in rows.items() if style == "noto" and code not in hidden]
    counts = collections.Counter(free)
    assert {name for name, count in counts.items() if count >= FREE} == set(task.names)
    assert len(set(task.names)) == len(task.names) >= 20 and "animal mammal" in task.names
    sampled = collections.Counter(task.validation.labels)
    for label, name in enumerate(task.names):
        assert sampled[label] == max(1, round(0.2 * counts[name]))


def test_seeds_decide_the_validation_alone(task):
    again, other = subgroup_task(seed=np.int64(0)), subgroup_task(seed=1)
    for part in PARTS:
        assert content(getattr(again, part)) == content(getattr(task, part))
    assert content(other.test) == content(task.test)
    assert set(other.validation.concepts) != set(task.validation.concepts)
    trained = task.train.concepts + task.validation.concepts
    assert sorted(other.train.concepts + other.validation.concepts) == sorted(trained)


def test_styles_may_change_sides(task):
    swapped = subgroup_task("openmoji", "noto").shifted
    images = dict(zip(task.test.concepts, task.test.images))
    shared = [pair for pair in zip(swapped.concepts, swapped.images) if pair[0] in images]
    assert len(shared) > 100
    assert all(image.tobytes() == images[code].tobytes() for code, image in shared)


@pytest.mark.parametrize("styles", [("noto", "noto"), ("notto", "openmoji"), ("noto", "xkcd")])
def test_a_wrong_style_is_refused(styles):
    with pytest.raises(ValueError, match="style"):
        subgroup_task(*styles)
