"""The bundled runs say what was right, honestly chosen; costs and differences are paired."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fmcourse.clip import MISTAKES, RIGHT_WAYS, cross_fitted, halves, load_clinic, load_frontier
from fmcourse.clip.results import CHOSEN, Clinic, Frontier

FIRST, SECOND = halves(4, 0)


def table(*runs):
    """Return a row for each picture of each run: a text of 0 and 1 and the run's other columns."""
    parts = []
    for bits, columns in runs:
        right = [bit == "1" for bit in bits]
        parts.append(pd.DataFrame(columns | {"picture": range(len(bits)), "right": right}))
    return pd.concat(parts)


def frontier_run(method, seed, test, shifted, alpha=math.nan):
    columns = {"method": method, "seed": seed, "alpha": alpha}
    return [(bits, columns | {"part": p}) for p, bits in (("test", test), ("shifted", shifted))]


def bits(half):
    return "".join(str(int(picture in half)) for picture in range(4))


FRONTIER = Frontier(
    table(
        *frontier_run("probe", 0, "1100", "1000"),
        *frontier_run("probe", 1, "1000", "0000"),
        *frontier_run("interpolated", 0, bits(FIRST), "1111", 0.0),
        *frontier_run("interpolated", 0, bits(SECOND), "0000", 1.0),
        *frontier_run("interpolated", 1, "0000", "0000", 0.0),
        *frontier_run("interpolated", 1, "1111", "1111", 1.0),
    )
)


def clinic_of(*runs):
    """Return a clinic of runs: name, seed, the answers at each step, and why it broke off."""
    rows = []
    if len(runs) < 60:  # the same again, since an interval needs two seeds
        runs += tuple((name, 1, steps, failed) for name, _, steps, failed in runs)
    for name, seed, steps, failed in runs:
        columns = {"mistake": name, "seed": seed, "failed": failed}
        rows += [(bits, columns | {"step": 20 * index}) for index, bits in enumerate(steps)]
    return Clinic(table(*rows))


def test_halves_are_a_partition_that_the_seed_decides():
    first, second = halves(7, 3)
    assert sorted([*first, *second]) == list(range(7)) and len(first) == 4
    assert halves(7, 3)[0].tolist() == first.tolist() != halves(7, 4)[0].tolist()
    with pytest.raises(ValueError, match="count"):
        halves(1)


def test_no_picture_is_judged_by_its_own_choice():
    good_on_first = np.isin(np.arange(4), FIRST).astype(int)
    ways = np.stack([good_on_first, 1 - good_on_first])
    answers, chosen = cross_fitted(ways, ways, 0)
    # Each half takes what is good on the other, and is all wrong.
    assert chosen == [1, 0] and answers.tolist() == [0] * 4


def test_a_way_that_is_best_everywhere_is_chosen_and_ties_go_to_the_first():
    ways = np.array([[0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    assert cross_fitted(ways, 10 * ways)[0].tolist() == [10] * 4
    assert cross_fitted(ways, ways)[1] == [1, 1]
    with pytest.raises(ValueError, match="measured"):
        cross_fitted(ways, ways[:2])


def test_accuracy_is_the_mean_over_seeds_and_pictures():
    assert FRONTIER.right("probe", "test").tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    assert FRONTIER.accuracy("probe", "test").estimate == pytest.approx(37.5)  # 3 of 8
    assert FRONTIER.accuracy("interpolated", "shifted", 1.0).estimate == pytest.approx(50)


def test_alpha_is_chosen_on_the_other_half_seed_by_seed():
    assert FRONTIER.chosen_alphas() == [(1.0, 0.0), (1.0, 1.0)]
    assert FRONTIER.right(CHOSEN, "test").tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    wanted = [int(picture in SECOND) for picture in range(4)]
    assert FRONTIER.right(CHOSEN, "shifted")[0].tolist() == wanted
    assert FRONTIER.alphas == [0.0, 1.0] and FRONTIER.methods == ["probe", CHOSEN]


def test_differences_are_paired_and_in_points():
    gap = FRONTIER.difference(CHOSEN, "probe", "test")
    assert gap.estimate == pytest.approx(50 - 37.5) and gap.low <= gap.estimate <= gap.high
    assert FRONTIER.difference("probe", "probe", "test").estimate == 0
    assert FRONTIER.shift_cost("probe").estimate == pytest.approx(37.5 - 12.5)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("method", ("prob", "test")),
        ("part", ("probe", "train")),
        ("alpha", ("probe", "test", 0.5)),
        ("alpha", ("interpolated", "test")),
    ],
)
def test_what_was_not_measured(name, given):
    with pytest.raises(ValueError, match=name):
        FRONTIER.right(*given)


def test_a_cost_is_what_the_right_way_has_more():
    clinic = clinic_of(
        ("done right", 0, ["0000", "1110"], None),
        ("rows not normalized", 0, ["1000", "1000"], None),
        ("learning rate 1e-3", 0, ["1111", "0000"], None),
        ("fp16 weights with Adam", 0, ["0000"], "nan at step 1"),
    )
    assert clinic.accuracy(step="last").estimate == pytest.approx(75)
    # The last step is best on either half.
    for step in ("picked", "last"):
        assert clinic.cost("rows not normalized", step).estimate == pytest.approx(50)
    # The picked step saves what the last one lost.
    assert clinic.accuracy("learning rate 1e-3").estimate == 100
    assert clinic.cost("learning rate 1e-3", "last").estimate == pytest.approx(75)
    # A run that broke off costs all.
    assert clinic.cost("fp16 weights with Adam", "last").estimate == pytest.approx(75)
    assert clinic.failures("fp16 weights with Adam") == ["nan at step 1"] * 2
    assert clinic.failures("done right") == []
    assert clinic.failures("step picked on the test set") == []
    for given in (("rows not normalized", "first"), ("haste",)):
        with pytest.raises(ValueError, match=r"step|mistake"):
            clinic.cost(*given)


def test_picking_on_the_test_set_flatters_where_the_steps_differ_by_chance_only():
    generator = np.random.default_rng(0)
    noise = ["".join(map(str, generator.integers(0, 2, 40))) for _ in range(60 * 8)]
    runs = [("done right", seed, noise[8 * seed : 8 * seed + 8], None) for seed in range(60)]
    # The best of 8 coins seems good, and is not.
    assert clinic_of(*runs).cost("step picked on the test set").low > 2
    clear = clinic_of(("done right", 0, ["0" * 40, "1" * 40], None))
    assert clear.cost("step picked on the test set").estimate == 0


def test_the_bundled_runs_are_complete():
    frontier, clinic = load_frontier(), load_clinic()
    assert len(frontier.methods) == 10 and frontier.alphas == [tenth / 10 for tenth in range(11)]
    for method in frontier.methods:
        for part in ("test", "shifted"):
            assert frontier.right(method, part).shape == (5, 233)
    trained = {name for name, habits in MISTAKES.items() if habits.pick != "test"}
    runs = clinic.table.groupby("mistake")
    assert set(runs.groups) == {*RIGHT_WAYS, *trained}
    assert (runs["seed"].nunique() == 5).all() and (runs["picture"].nunique() == 233).all()
    frontier.table.drop(frontier.table.index, inplace=True)
    assert len(load_frontier().table) == 5 * 20 * 2 * 233  # each call gives a table of its own
