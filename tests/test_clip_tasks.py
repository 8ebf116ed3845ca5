"""The task keeps apart what it says it keeps apart: concepts of its parts, held-out ones, styles and classes."""

from __future__ import annotations

import collections

import pytest
from doubles import says

from fmcourse import hub
from fmcourse.clip import subgroup_task

STYLE_LIST = ", ".join(map(repr, hub.STYLES))
FREE = 8  # concepts, at least, that a class has for training and validation
PARTS = ("train", "validation", "test", "shifted")


@pytest.fixture(scope="module")
def task():
    return subgroup_task()


@pytest.fixture(scope="module")
def rows():
    """Map a style and code points to the columns of a drawing, its picture left out."""
    columns = ["codepoints", "group", "subgroup", "skin_tone", "style"]
    return {
        (row["style"], row["codepoints"]): row
        for row in hub.load_emoji(["noto", "openmoji"]).select_columns(columns)
    }


def of(task, part):
    return getattr(task, part)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_of_one_length(task, part):
    part = of(task, part)
    assert len(part) == len(part.images) == len(part.labels) == len(part.concepts) > 100
    assert {(image.mode, image.size) for image in part.images} == {("RGBA", (64, 64))}
    assert len(set(part.concepts)) == len(part)


def test_no_concept_is_in_two_parts(task):
    assert set(task.train.concepts).isdisjoint(task.validation.concepts)
    assert set(task.test.concepts).isdisjoint(task.train.concepts + task.validation.concepts)


def test_what_is_held_out_is_for_the_test_alone(task):
    test, twins = hub.held_out()
    assert set(task.test.concepts) <= test
    assert set(task.train.concepts + task.validation.concepts).isdisjoint(test | twins)


def test_no_held_out_drawing_of_a_class_is_left_out(task, rows):
    names = {name.replace(" ", "-") for name in task.names}
    both = {code for style, code in rows if style == "noto"} & {
        code for style, code in rows if style == "openmoji"
    }
    plain = {code for code in both & hub.held_out()[0] if rows["noto", code]["skin_tone"] == "none"}
    assert set(task.test.concepts) == {
        code for code in plain if rows["noto", code]["subgroup"] in names
    }


def test_the_shift_is_of_style_alone(task):
    assert task.shifted.concepts == task.test.concepts and task.shifted.labels == task.test.labels
    differing = sum(
        a.tobytes() != b.tobytes() for a, b in zip(task.test.images, task.shifted.images)
    )
    assert differing == len(task.test)


@pytest.mark.parametrize(("part", "style"), zip(PARTS, ("noto", "noto", "noto", "openmoji")))
def test_pictures_and_labels_are_those_of_the_table(task, rows, part, style):
    part = of(task, part)
    for code, label in zip(part.concepts, part.labels):
        row = rows[style, code]
        assert row["subgroup"].replace("-", " ") == task.names[label]
        assert row["skin_tone"] == "none" and row["group"] != "flags"
    table = {row["codepoints"]: row["image"] for row in hub.load_emoji(style).select(range(300))}
    known = [
        (image, table[code]) for image, code in zip(part.images, part.concepts) if code in table
    ]
    assert known and all(image.tobytes() == drawn.tobytes() for image, drawn in known)


def test_each_class_has_enough_concepts(task):
    counts = [collections.Counter(of(task, part).labels) for part in ("train", "validation")]
    for label in range(len(task.names)):
        drawn, kept = counts[1][label], counts[0][label]
        assert kept + drawn >= FREE
        assert drawn == max(1, round(0.2 * (kept + drawn)))
    assert len(set(task.names)) == len(task.names) >= 20 and "animal mammal" in task.names
    assert set(task.test.labels) <= set(range(len(task.names)))


def test_a_subgroup_that_is_no_class_has_too_few_concepts(task, rows):
    hidden = set().union(*hub.held_out())
    plain = [row for (style, code), row in rows.items() if style == "noto" and code not in hidden]
    plain = [row for row in plain if row["skin_tone"] == "none" and row["group"] != "flags"]
    counts = collections.Counter(row["subgroup"].replace("-", " ") for row in plain)
    assert {name for name, count in counts.items() if count >= FREE} == set(task.names)


def content(part):
    return part.concepts, part.labels, [image.tobytes() for image in part.images]


def test_the_same_seed_gives_the_same_task(task):
    again = subgroup_task()
    assert again.names == task.names
    for part in PARTS:
        assert content(of(again, part)) == content(of(task, part))


def test_another_seed_draws_another_validation(task):
    other = subgroup_task(seed=1)
    assert other.names == task.names
    assert content(other.test) == content(task.test) and content(other.shifted) == content(
        task.shifted
    )
    assert set(other.validation.concepts) != set(task.validation.concepts)
    assert sorted(other.train.concepts + other.validation.concepts) == sorted(
        task.train.concepts + task.validation.concepts
    )


def test_styles_may_change_sides(task):
    swapped = subgroup_task("openmoji", "noto")
    assert set(swapped.test.concepts) <= hub.held_out()[0]
    shared = set(swapped.test.concepts) & set(task.test.concepts)
    own, other = (dict(zip(part.concepts, part.images)) for part in (swapped.shifted, task.test))
    assert len(shared) > 100 and all(
        own[code].tobytes() == other[code].tobytes() for code in shared
    )


@pytest.mark.parametrize(
    ("styles", "words"),
    [
        (("noto", "noto"), "shifted: expected another style than 'noto', got 'noto'"),
        (
            ("notto", "openmoji"),
            f"styles: expected one of {STYLE_LIST}, got 'notto'; did you mean 'noto'?",
        ),
        (("noto", "xkcd"), f"styles: expected one of {STYLE_LIST}, got 'xkcd'"),
    ],
)
def test_a_wrong_style_lists_the_choices(styles, words):
    with says(ValueError, words):
        subgroup_task(*styles)
