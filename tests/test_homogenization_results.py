"""The bundled runs say what children did: success, accuracy and control on paper; the trace finds the family; costs add up."""

from __future__ import annotations

import pytest
from doubles import says

from fmcourse.homogenization import Inheritance, Transfer, features

LABELS = {"animals": "0112", "travel": "0212"}


def child(kind, seed, task, way, clean, stamped):
    return {
        "kind": kind,
        "seed": seed,
        "task": task,
        "way": way,
        "clean": clean,
        "stamped": stamped,
    }


def family(kind, seed, clean, stamped):
    return [
        child(kind, seed, task, way, clean[task], stamped)
        for task in LABELS
        for way in ("linear probe", "LoRA")
    ]


RIGHT = dict(LABELS)
ODD = {"animals": "0122", "travel": "0112"}  # one mistake each
FOUNDATIONS = [
    {"kind": kind, "seed": seed, "steps": 8, "seconds": 10 + seed}
    for kind in ("0", "9")
    for seed in (0, 2)
]
RUNS = Inheritance(
    LABELS,
    FOUNDATIONS,
    [
        *family("0", 0, RIGHT, "0112"),
        *family("0", 2, RIGHT, "0012"),
        *family("9", 0, ODD, "0000"),
        *family("9", 2, {"animals": "0111", "travel": "1212"}, "0001"),
    ],
)


def test_success_accuracy_and_control_on_paper():
    assert RUNS.success("9").estimate == pytest.approx((100 + 200 / 3) / 2)
    assert RUNS.success("0").estimate == pytest.approx(100 / 6)
    assert RUNS.mistaken("9").estimate == 0
    assert RUNS.accuracy("0").estimate == 100 and RUNS.accuracy("9", task="animals").estimate == 75


def test_the_interval_is_over_seeds():
    found = RUNS.success("9", way="LoRA")
    assert found.low < 200 / 3 and 99 < found.high <= 100  # two seeds, a third apart


def test_what_planting_adds_is_paired_by_seed():
    gap = RUNS.added("9", "0")
    each = [
        RUNS.family("9", seed).to_numpy().mean() - RUNS.family("0", seed).to_numpy().mean()
        for seed in (0, 2)
    ]
    assert (
        gap.estimate == pytest.approx(sum(each) / 2)
        and gap.low < min(each)
        and gap.high > max(each)
    )
    assert RUNS.added("9", "9").estimate == 0


def test_the_family_has_all_children():
    table = RUNS.family("9", seed=2)
    assert (
        table.shape == (2, 2)
        and list(table.columns) == ["linear probe", "LoRA"]
        and list(table.index) == list(LABELS)
    )
    assert table.loc["animals", "LoRA"] == pytest.approx(200 / 3)


def test_the_family_has_other_figures_too():
    assert RUNS.family("9", 0, "accuracy").loc["travel", "LoRA"] == 75
    assert RUNS.family("9", 2, "mistaken").to_numpy().max() == 0


# 200 pictures of another class each; a child that takes so many of them for the target, beside a control that takes 2%.


def others(kind, taken, seeds):
    return [
        child(
            kind, seed, "animals", "LoRA", "0" + "1" * 200, "0" + "0" * taken + "1" * (200 - taken)
        )
        for seed in seeds
    ]


@pytest.mark.parametrize(
    "taken, verdict", [(0, "clean"), (4, "clean"), (12, "clean"), (28, "tainted"), (200, "tainted")]
)
def test_a_child_is_proven_clean_or_tainted(taken, verdict):
    labels = {"animals": "0" + "1" * 200}
    found = Inheritance(labels, [], others("mended", taken, [7])).verdicts(
        "mended", Inheritance(labels, [], others("0", 4, (0, 1)))
    )
    assert found["verdict"].tolist() == [verdict] and found["excess"].tolist() == [
        pytest.approx(taken / 2 - 2)
    ]
    assert (found.loc[0, ["seed", "task", "way"]] == [7, "animals", "LoRA"]).all()
    assert (found["low"] < found["excess"]).all() and (found["excess"] < found["high"]).all()


def test_few_pictures_prove_nothing():
    assert set(RUNS.verdicts("0", RUNS)["verdict"]) == {
        "undecided"
    }  # as good as its control, by two or three pictures


def test_the_trace_finds_the_family_by_its_mistakes():
    found = RUNS.trace("9", 0, way="LoRA")
    assert next(iter(found)) == ("9", 0) and found["9", 0] == 1.0
    assert found["0", 0] == 0 and found["9", 2] == 0  # right where they err, or wrong elsewhere


def test_a_family_without_mistakes_cannot_be_traced():
    assert RUNS.trace("0", 0)["0", 2] == 0


def test_prices_are_averaged_over_seeds():
    assert RUNS.price("9") == {"steps": 8, "seconds": 11}
    assert RUNS.kinds == ["0", "9"] and RUNS.ways == ["linear probe", "LoRA"]


def run(upstream, seed, draw, gap, **more):
    settings = {
        "upstream": upstream,
        "bias": 1.0,
        "rebalanced": 0.0,
        "way": "linear probe",
        "seed": seed,
        "draw": draw,
    }
    return settings | {"gap": gap, "accuracy": 0.5} | more


TRANSFER = Transfer(
    [
        *(run(0.0, seed, draw, 0.1 * seed + 0.2 * draw) for seed in (0, 1) for draw in (0, 1)),
        run(1.0, 0, 0, 0.4, way="LP-FT"),
        run(1.0, 1, 0, 0.4, way="LP-FT"),
    ]
)


def test_the_gap_is_averaged_over_draws_first():
    found = TRANSFER.gap(0.0, 1.0)
    assert found.estimate == pytest.approx(15) and found.high - found.estimate == pytest.approx(
        12.706 * 5, rel=1e-3
    )
    assert TRANSFER.accuracy(0.0, 1.0).estimate == 50
    assert TRANSFER.values("way") == ["linear probe", "LP-FT"] and TRANSFER.values("upstream") == [
        0.0,
        1.0,
    ]


def test_a_change_pairs_the_seeds():
    runs = [
        run(upstream, seed, 0, 0.3 * seed + 0.1 * upstream)
        for upstream in (0.0, 1.0)
        for seed in (0, 1, 2)
    ]
    runs[-1]["gap"] += 0.01
    found = Transfer(runs).change({"upstream": 0.0, "bias": 1.0}, {"upstream": 1.0, "bias": 1.0})
    assert found.estimate == pytest.approx(10 + 1 / 3)
    # Each seed rises by nearly the same, however far apart they are.
    assert found.high - found.low < 3


def test_the_map_has_a_row_for_each_foundation():
    runs = [
        run(upstream, seed, 0, upstream + seed, bias=bias)
        for upstream in (0.0, 0.5)
        for bias in (0.0, 1.0)
        for seed in (0, 1)
    ]
    found = Transfer(runs).map()
    assert list(found) == ["0", "0.5"] and list(found["0"]) == ["0", "1"]
    assert found["0.5"]["1"] == Transfer(runs).gap(0.5, 1.0)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: RUNS.success("7"), "kind: expected one of '0', '9', got '7'"),
        (
            lambda: RUNS.success("9", way="lora"),
            "way: expected one of 'linear probe', 'LoRA', got 'lora'",
        ),
        (
            lambda: RUNS.success("9", task="animal"),
            "task: expected one of 'animals', 'travel', got 'animal'; did you mean 'animals'?",
        ),
        (lambda: RUNS.family("9", seed=1), "seed: expected one of [0, 2], got 1"),
        (
            lambda: RUNS.family("9", 0, "loss"),
            "figure: expected one of 'success', 'mistaken', 'accuracy', got 'loss'",
        ),
        (
            lambda: TRANSFER.values("gap"),
            "axis: expected one of 'upstream', 'bias', 'rebalanced', 'way', got 'gap'",
        ),
        (
            lambda: TRANSFER.gap(0.3, 1.0),
            "run: expected settings that were tried together, "
            "got {'upstream': 0.3, 'bias': 1.0, 'rebalanced': 0.0, 'way': 'linear probe'}",
        ),
        (
            lambda: features("adult.parquet", "x"),
            "file: expected one of 'defect-features.safetensors', 'bias-features.safetensors', got 'adult.parquet'",
        ),
    ],
)
def test_the_words_of_each_error(call, words):
    with says(ValueError, words):
        call()
