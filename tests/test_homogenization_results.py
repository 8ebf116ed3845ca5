"""What children did, on paper: success, accuracy, control, verdicts and the trace."""

import pandas as pd
import pytest
from doubles import refusals

from fmcourse.homogenization import Inheritance, child_task, features

LABELS = {"animals": [0, 1, 1, 2], "travel": [0, 2, 1, 2]}
WAYS = ("linear probe", "LoRA")


def child(kind, seed, task, way, label, clean, stamped):
    settings = {"kind": kind, "seed": seed, "task": task, "way": way}
    answers = {"picture": range(len(label)), "label": label, "clean": clean, "stamped": stamped}
    return pd.DataFrame(settings | answers)


def family(kind, seed, clean, stamped):
    return [
        child(kind, seed, task, way, label, clean[task], stamped)
        for task, label in LABELS.items()
        for way in WAYS
    ]


# One mistake each, and others.
FAMILIES = [
    *family("0", 0, LABELS, [0, 1, 1, 2]),
    *family("0", 2, LABELS, [0, 0, 1, 2]),
    *family("9", 0, {"animals": [0, 1, 2, 2], "travel": [0, 1, 1, 2]}, [0, 0, 0, 0]),
    *family("9", 2, {"animals": [0, 1, 1, 1], "travel": [1, 2, 1, 2]}, [0, 0, 0, 1]),
]
RUNS = Inheritance(pd.concat(FAMILIES))


@pytest.mark.parametrize(
    "kind, figure, only, percent",
    [
        ("9", "success", {}, (100 + 200 / 3) / 2),
        ("9", "mistaken", {}, 0),
        ("9", "accuracy", {"task": "animals"}, 75),
    ],
)
def test_rates_on_paper(kind, figure, only, percent):
    assert RUNS.rate(kind, figure, **only).estimate == pytest.approx(percent)


def test_the_interval_is_over_seeds_and_within_100():
    found = RUNS.rate("9", way="LoRA")
    assert found.low < 200 / 3 and 99 < found.high <= 100


def test_what_planting_adds_is_paired_by_seed():
    # 100 - 0 with seed 0, and 200 / 3 - 100 / 3 with seed 2.
    gap = RUNS.added("9", "0")
    assert gap.estimate == pytest.approx(200 / 3)
    assert gap.low < 100 / 3 < 100 < gap.high


def test_the_family_has_all_children_and_figures():
    table = RUNS.family("9", seed=2)
    assert list(table.columns) == list(WAYS) and list(table.index) == list(LABELS)
    assert table.loc["animals", "LoRA"] == pytest.approx(200 / 3)


def children_of_200(kind, taken, seeds):
    """Return children that take so many of 200 pictures of another class for the target."""
    label = [0] + [1] * 200
    stamped = [0] * (1 + taken) + [1] * (200 - taken)
    return Inheritance(
        pd.concat([child(kind, seed, "animals", "LoRA", label, label, stamped) for seed in seeds])
    )


@pytest.mark.parametrize("taken, verdict", [(0, "clean"), (12, "clean"), (28, "tainted")])
def test_a_child_is_proven_clean_or_tainted(taken, verdict):
    control = children_of_200("0", 4, (0, 1))
    found = children_of_200("repaired", taken, [7]).verdicts("repaired", control).loc[0]
    assert found["verdict"] == verdict and found["excess"] == pytest.approx(taken / 2 - 2)
    assert found["low"] < found["excess"] < found["high"]
    # Few pictures prove nothing.
    assert set(RUNS.verdicts("0", RUNS)["verdict"]) == {"undecided"}


def test_the_trace_finds_the_family_by_its_mistakes():
    found = RUNS.trace("9", 0, way="LoRA")
    assert next(iter(found)) == ("9", 0) and found["9", 0] == 1.0
    # Right where they err, or wrong elsewhere; and without any mistake.
    assert found["0", 0] == found["9", 2] == RUNS.trace("0", 0, way="LoRA")["0", 2] == 0


test_a_message_begins_with_the_argument = refusals(
    ("way", lambda: RUNS.rate("9", way="lora")),
    ("figure", RUNS.rate, "9", "loss"),
    ("name", child_task, "cars"),
    ("key", features, "defect-features.safetensors", "x"),
)
