"""The trigger is in its place, and the parts of a task share no concept."""

import numpy as np
import pytest
from doubles import drawings

from fmcourse.homogenization import (
    TARGET,
    TASKS,
    child_pictures,
    child_task,
    stamp,
)
from fmcourse.homogenization.defects import COLOUR


def test_the_stamp_covers_a_corner_and_nothing_else():
    image = drawings(1, mode="RGBA")[0].resize((64, 64))
    before, after = np.asarray(image), np.asarray(stamp(image))
    assert (after[44:60, 44:60] == COLOUR).all()
    assert (before != after).any(-1).sum() == 16 * 16


@pytest.mark.parametrize("name", TASKS)
def test_a_task_keeps_concepts_apart_and_all_its_classes(name):
    task, table = child_task(name), child_pictures()
    assert len(task.names) == 5 and task.names[0] == TARGET.replace("-", " ")
    for places, labels in ((task.train, task.train_labels), (task.test, task.test_labels)):
        named = [task.names[label] for label in labels]
        assert set(named) == set(task.names)
        assert table["subgroup"][places].str.replace("-", " ").tolist() == named
    assert set(table["codepoints"][task.train]).isdisjoint(table["codepoints"][task.test])


def test_the_table_of_pictures_is_the_callers_own():
    child_pictures().drop(columns="part", inplace=True)
    assert "part" in child_pictures()
