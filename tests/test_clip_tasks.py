"""The pictures of notebook 03: what is known, what is held out, and the loop that it shows."""

import ast
import collections
import json

import numpy as np
import pytest
import torch
from doubles import refusals

from fmcourse import clip, data, models
from fmcourse.clip import subgroup_task

PARTS = {"train": "noto", "validation": "noto", "test": "noto", "shifted": "openmoji"}


@pytest.fixture(scope="module")
def task():
    return subgroup_task()


@pytest.mark.parametrize("part, style", PARTS.items())
def test_pictures_and_labels_are_those_of_the_table(task, part, style):
    part, table = getattr(task, part), data.load_emoji(style)
    columns = table.remove_columns("image").to_pandas().set_index("codepoints")
    own = columns.loc[part.concepts]
    assert own.index.is_unique and len(own) == len(part.labels) == len(part.images) > 100
    assert (own["skin_tone"] == "none").all() and (own["group"] != "flags").all()
    names = own["subgroup"].str.replace("-", " ")
    assert names.tolist() == [task.names[label] for label in part.labels]
    row = columns.index.get_loc(part.concepts[3])
    assert table[row]["image"].tobytes() == part.images[3].tobytes()


def test_what_is_held_out_is_for_the_test_alone(task):
    held_out, twins = data.held_out()
    learnt, validated = set(task.train.concepts), set(task.validation.concepts)
    assert learnt.isdisjoint(validated) and (learnt | validated).isdisjoint(held_out | twins)
    assert set(task.test.concepts) <= held_out
    assert task.shifted.concepts == task.test.concepts and task.shifted.labels == task.test.labels
    # A fifth of each class is sampled for validation.
    sampled = collections.Counter(task.validation.labels)
    for label, count in collections.Counter(task.train.labels).items():
        whole = count + sampled[label]
        # At least eight concepts of a class are for training and validation.
        assert whole >= 8 and sampled[label] == max(1, round(0.2 * whole))


def test_seeds_decide_the_validation_alone(task):
    again, other = subgroup_task(seed=np.int64(0)), subgroup_task(seed=1)
    assert again.train.concepts == task.train.concepts and other.test.labels == task.test.labels
    assert set(other.validation.concepts) != set(task.validation.concepts)
    trained = task.train.concepts + task.validation.concepts
    assert sorted(other.train.concepts + other.validation.concepts) == sorted(trained)


def test_known_drawings_are_of_the_pre_training():
    images, names = clip.known_drawings(300, seed=1)
    assert len(images) == len(names) == len(set(names)) == 300
    assert clip.known_drawings(300, seed=1)[1] == names != clip.known_drawings(300)[1]
    assert clip.drawings_of(names[:3])[2].tobytes() == images[2].tobytes()
    table = data.load_emoji("noto").remove_columns("image").to_pandas().set_index("name")
    found = table[table["skin_tone"] == "none"].loc[names]
    assert set(found["codepoints"]).isdisjoint(set().union(*data.held_out()))
    assert "flags" not in set(found["group"])


test_drawings_that_there_are_not = refusals(
    ("count", clip.known_drawings, 10_000),
    ("count", clip.known_drawings, 0),
    ("shifted", subgroup_task, "noto"),
    ("styles", subgroup_task, "xkcd"),
    ("names", clip.drawings_of, ["cat", "catt"]),
)


def test_the_sample_folder_has_two_labels_and_two_accidents(tmp_path):
    pictures = clip.read_pictures(clip.sample_folder(tmp_path / "sample"))
    assert pictures.names == ["even", "odd", "unclear"]
    assert [pictures.labels.count(label) for label in range(3)] == [120, 120, 1]
    assert len(pictures.problems) == 2 and "notes.png" in pictures.problems[0]
    other = clip.read_pictures(clip.sample_folder(tmp_path / "other", seed=1))
    assert other.labels == pictures.labels and other.images != pictures.images


def test_the_loop_of_the_notebook_gives_the_weights_of_fine_tune(root, printed):
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
    assert f"loss {run.losses[0]:.2f}" in printed()
