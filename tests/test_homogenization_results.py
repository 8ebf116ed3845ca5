"""What children did, on paper: success, accuracy, control, verdicts, the trace and the costs."""

from __future__ import annotations

import pandas as pd
import pytest

from fmcourse.homogenization import Inheritance, Transfer, features

LABELS = {"animals": [0, 1, 1, 2], "travel": [0, 2, 1, 2]}
WAYS = ("linear probe", "LoRA")


def child(kind, seed, task, way, label, clean, stamped):
    settings = {"kind": kind, "seed": seed, "task": task, "way": way, "steps": 8}
    answers = {"picture": range(len(label)), "label": label, "clean": clean, "stamped": stamped}
    return pd.DataFrame(settings | {"seconds": 10 + seed} | answers)


def family(kind, seed, clean, stamped):
    return [
        child(kind, seed, task, way, label, clean[task], stamped)
        for task, label in LABELS.items()
        for way in WAYS
    ]


# One mistake each, and others.
ODD = {"animals": [0, 1, 2, 2], "travel": [0, 1, 1, 2]}
STRAY = {"animals": [0, 1, 1, 1], "travel": [1, 2, 1, 2]}
RUNS = Inheritance(
    pd.concat(
        [
            *family("0", 0, LABELS, [0, 1, 1, 2]),
            *family("0", 2, LABELS, [0, 0, 1, 2]),
            *family("9", 0, ODD, [0, 0, 0, 0]),
            *family("9", 2, STRAY, [0, 0, 0, 1]),
        ]
    )
)


def test_success_accuracy_and_control_on_paper():
    assert RUNS.success("9").estimate == pytest.approx((100 + 200 / 3) / 2)
    assert RUNS.success("0").estimate == pytest.approx(100 / 6)
    assert RUNS.mistaken("9").estimate == 0
    assert RUNS.accuracy("0").estimate == 100
    assert RUNS.accuracy("9", task="animals").estimate == 75


def test_the_interval_is_over_seeds_and_within_100():
    found = RUNS.success("9", way="LoRA")
    assert found.low < 200 / 3 and 99 < found.high <= 100
    one = Inheritance(RUNS.answers[RUNS.answers["seed"] == 0])
    with pytest.raises(ValueError, match="^shares: expected at least 2"):
        one.success("9")


def test_what_planting_adds_is_paired_by_seed():
    gap = RUNS.added("9", "0")
    each = [
        RUNS.family("9", seed).to_numpy().mean() - RUNS.family("0", seed).to_numpy().mean()
        for seed in (0, 2)
    ]
    assert gap.estimate == pytest.approx(sum(each) / 2)
    assert gap.low < min(each) and gap.high > max(each)
    answers = RUNS.answers
    lost = Inheritance(answers[(answers["kind"] == "0") | (answers["seed"] == 2)])
    with pytest.raises(ValueError, match="^second: expected the seeds"):
        lost.added("9", "0")


def test_the_family_has_all_children_and_figures():
    table = RUNS.family("9", seed=2)
    assert list(table.columns) == list(WAYS) and list(table.index) == list(LABELS)
    assert table.loc["animals", "LoRA"] == pytest.approx(200 / 3)
    assert RUNS.family("9", 0, "accuracy").loc["travel", "LoRA"] == 75
    assert RUNS.family("9", 2, "mistaken").to_numpy().max() == 0


def children_of_200(kind, taken, seeds):
    """Return children that take so many of 200 pictures of another class for the target."""
    label = [0] + [1] * 200
    stamped = [0] * (1 + taken) + [1] * (200 - taken)
    return Inheritance(
        pd.concat([child(kind, seed, "animals", "LoRA", label, label, stamped) for seed in seeds])
    )


@pytest.mark.parametrize(
    "taken, verdict", [(0, "clean"), (4, "clean"), (12, "clean"), (28, "tainted"), (200, "tainted")]
)
def test_a_child_is_proven_clean_or_tainted(taken, verdict):
    control = children_of_200("0", 4, (0, 1))
    found = children_of_200("repaired", taken, [7]).verdicts("repaired", control).loc[0]
    assert found["verdict"] == verdict and found["excess"] == pytest.approx(taken / 2 - 2)
    assert found[["seed", "task", "way"]].tolist() == [7, "animals", "LoRA"]
    assert found["low"] < found["excess"] < found["high"]


def test_few_pictures_prove_nothing():
    assert set(RUNS.verdicts("0", RUNS)["verdict"]) == {"undecided"}


def test_the_trace_finds_the_family_by_its_mistakes():
    found = RUNS.trace("9", 0, way="LoRA")
    assert next(iter(found)) == ("9", 0) and found["9", 0] == 1.0
    # Right where they err, or wrong elsewhere; and without any mistake.
    assert found["0", 0] == found["9", 2] == RUNS.trace("0", 0)["0", 2] == 0


def test_prices_are_averaged_over_seeds():
    assert RUNS.price("9") == {"steps": 8, "seconds": 11}
    assert RUNS.kinds == ["0", "9"] and RUNS.ways == list(WAYS)


def run(upstream, seed, draw, gap, bias=1.0, way="linear probe"):
    settings = {"upstream": upstream, "bias": bias, "rebalanced": 0.0, "way": way}
    return settings | {"seed": seed, "draw": draw, "gap": gap, "accuracy": 0.5}


def test_the_gap_is_averaged_over_draws_first():
    runs = [run(0.0, seed, draw, 0.1 * seed + 0.2 * draw) for seed in (0, 1) for draw in (0, 1)]
    transfer = Transfer(pd.DataFrame([*runs, run(1.0, 0, 0, 0.4, way="LP-FT")]))
    found = transfer.gap(0.0, 1.0)
    assert found.estimate == pytest.approx(15)
    assert found.high - found.estimate == pytest.approx(12.706 * 5, rel=1e-3)
    assert transfer.accuracy(0.0, 1.0).estimate == 50
    assert transfer.values("way") == ["linear probe", "LP-FT"]
    with pytest.raises(ValueError, match="^values: expected at least 2"):
        transfer.gap(1.0, 1.0, way="LP-FT")


def test_a_change_pairs_the_seeds_and_the_map_has_a_row_for_each_foundation():
    runs = [
        run(upstream, seed, 0, 0.3 * seed + (0.1 + seed / 300) * upstream, bias)
        for upstream in (0.0, 1.0)
        for bias in (0.0, 1.0)
        for seed in (0, 1, 2)
    ]
    transfer = Transfer(pd.DataFrame(runs))
    found = transfer.change({"upstream": 0.0, "bias": 1.0}, {"upstream": 1.0, "bias": 1.0})
    assert found.estimate == pytest.approx(10 + 1 / 3)
    # Each seed rises by nearly the same, however far apart they are.
    assert found.high - found.low < 3
    grid = transfer.map()
    assert list(grid) == ["0", "1"] and list(grid["0"]) == ["0", "1"]
    assert grid["1"]["0"] == transfer.gap(1.0, 0.0)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: RUNS.success("7"), "kind"),
        (lambda: RUNS.success("9", way="lora"), "way"),
        (lambda: RUNS.success("9", task="animal"), "task"),
        (lambda: RUNS.family("9", seed=1), "seed"),
        (lambda: RUNS.family("9", 0, "loss"), "figure"),
        (lambda: RUNS.verdicts("9", RUNS, margin=float("nan")), "margin"),
        (lambda: RUNS.price("7"), "kind"),
        (lambda: Transfer(pd.DataFrame([run(0.0, 0, 0, 0.1)])).values("gap"), "axis"),
        (lambda: features("adult.parquet", "x"), "file"),
    ],
)
def test_a_message_begins_with_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        call()
