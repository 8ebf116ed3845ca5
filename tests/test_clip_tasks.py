"""The pictures of notebook 03: what is known, what is held out, and the loop that it shows."""

from __future__ import annotations

import ast
import collections
import json

import numpy as np
import pytest
import torch

from fmcourse import clip, data, models
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
    table = data.load_emoji(style)
    row = table[list(table["codepoints"]).index(part.concepts[3])]
    assert row["image"].tobytes() == part.images[3].tobytes()


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


@pytest.mark.parametrize("styles", [("noto", "noto"), ("notto", "openmoji"), ("noto", "xkcd")])
def test_a_wrong_style_is_refused(styles):
    with pytest.raises(ValueError, match="style"):
        subgroup_task(*styles)


def test_known_drawings_are_of_the_pre_training():
    images, names = clip.known_drawings(300, seed=1)
    assert len(images) == len(names) == len(set(names)) == 300
    again = clip.known_drawings(300, seed=1)
    assert again[1] == names != clip.known_drawings(300)[1]
    assert clip.drawings_of(names[:3])[2].tobytes() == images[2].tobytes()
    table = data.load_emoji("noto").select_columns(["name", "codepoints", "skin_tone", "group"])
    found = {row["name"]: row for row in table if row["skin_tone"] == "none"}
    hidden = set().union(*data.held_out())
    assert all(found[name]["codepoints"] not in hidden for name in names)
    assert all(found[name]["group"] != "flags" for name in names)


@pytest.mark.parametrize(
    ("words", "ask"),
    [
        ("count", lambda: clip.known_drawings(10_000)),
        ("count", lambda: clip.known_drawings(0)),
        ("style", lambda: clip.known_drawings(3, "notto")),
        ("cat", lambda: clip.drawings_of(["cat", "catt"])),
    ],
)
def test_drawings_that_there_are_not(words, ask):
    with pytest.raises(ValueError, match=words):
        ask()


def test_the_sample_folder_has_two_labels_and_two_accidents(tmp_path):
    pictures = clip.read_pictures(clip.sample_folder(tmp_path / "sample"))
    assert pictures.names == ["even", "odd", "unclear"]
    assert [pictures.labels.count(label) for label in range(3)] == [120, 120, 1]
    assert len(pictures.problems) == 2 and "notes.png" in pictures.problems[0]
    other = clip.read_pictures(clip.sample_folder(tmp_path / "other", seed=1))
    assert other.labels == pictures.labels
    assert {image.tobytes() for image in other.images} != {
        image.tobytes() for image in pictures.images
    }


def test_the_loop_of_the_notebook_gives_the_weights_of_fine_tune(root, capsys):
    notebook = json.loads((root / "notebooks" / "03_clip_fine_tuning.ipynb").read_text("utf-8"))
    (cell,) = [cell for cell in notebook["cells"] if cell["id"] == "loop"]
    # The function alone: the cell's further lines train twice.
    tree = ast.parse("".join(cell["source"]))
    tree.body = tree.body[:1]
    model, processor = models.load_clip("emoji-clip")
    digits = data.load_digits().select(range(40))
    pixels = clip.pixels_of(processor, list(digits["image"]))
    labels = torch.tensor(list(digits["label"]))
    head = clip.zero_shot_head(model, processor, [f"{number} apples" for number in range(10)])
    names = {"clip": clip, "torch": torch, "functional": torch.nn.functional, "model": model}
    names |= {"digit_head": head, "learn_pixels": pixels, "learn_labels": labels}
    exec(compile(tree, "loop", "exec"), names)
    by_hand = names["fine_tune"](lr=1e-3, steps=2)
    settings = {"steps": 2, "batch_size": 32, "lr": 1e-3, "seed": 0, "progress": False}
    ours, run = clip.fine_tune(model, processor, pixels, labels, head, **settings)
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, by_hand.state_dict()[name]), name
    assert f"loss {run.losses[0]:.2f}" in capsys.readouterr().out
