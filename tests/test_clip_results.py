"""The bundled runs say what was right, honestly chosen; costs and differences are paired."""

from __future__ import annotations

import numpy as np
import pytest
from doubles import says

from fmcourse.clip import MISTAKES, RIGHT_WAYS, cross_fitted, halves, load_clinic, load_frontier
from fmcourse.clip.results import CHOSEN, Clinic, Frontier


def run(method, seed, test, shifted="0000", **more):
    return {"method": method, "seed": seed, "test": test, "shifted": shifted, **more}


def bits(places, ones, count=4):
    """Return a text of 0 and 1: those `places` are 1 that `ones` names."""
    return "".join(str(int(place in set(places[ones]))) for place in range(count))


FIRST, SECOND = halves(4, 0)
FRONTIER = Frontier(
    [
        run("probe", 0, "1100", "1000"),
        run("probe", 1, "1000", "0000"),
        run("interpolated", 0, bits(FIRST, slice(None)), "1111", alpha=0.0),
        run("interpolated", 0, bits(SECOND, slice(None)), "0000", alpha=1.0),
        run("interpolated", 1, "0000", alpha=0.0),
        run("interpolated", 1, "1111", "1111", alpha=1.0),
    ]
)


def records(*texts):
    return [{"step": 20 * place, "test": text} for place, text in enumerate(texts)]


def clinic_of(**runs):
    return Clinic(
        [
            {"mistake": name.replace("_", " "), "seed": seed, "records": r, "failed": f}
            for name, (r, f) in runs.items()
            for seed in range(2)
        ]
    )


def test_halves_are_a_partition_that_the_seed_draws():
    first, second = halves(7, 3)
    assert sorted([*first, *second]) == list(range(7)) and len(first) == 4
    assert halves(7, 3)[0].tolist() == first.tolist() != halves(7, 4)[0].tolist()
    with says(ValueError, "count: expected at least 2, got 1"):
        halves(1)


def test_no_picture_is_judged_by_its_own_choice():
    first, second = halves(6, 0)
    good_on_first = np.isin(np.arange(6), first).astype(int)
    ways = np.stack([good_on_first, 1 - good_on_first])
    found, chosen = cross_fitted(ways, ways, 0)
    assert chosen == [1, 0]  # each half takes what is good on the other
    assert (
        found.tolist() == [0] * 6
    )  # and is all wrong, while picking on itself would have given 6 of 6


def test_a_way_that_is_best_everywhere_is_chosen_and_ties_go_to_the_first():
    ways = np.array([[0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    assert cross_fitted(ways, 10 * ways)[0].tolist() == [10] * 4
    assert cross_fitted(ways, ways)[1] == [1, 1]
    with says(ValueError, "measured: expected shape (3, 4) as of choosing, got (2, 4)"):
        cross_fitted(ways, ways[:2])


def test_accuracy_is_the_mean_over_seeds_and_pictures():
    assert FRONTIER.right("probe", "test").tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    assert FRONTIER.accuracy("probe", "test").estimate == pytest.approx(37.5)  # 3 of 8
    assert FRONTIER.accuracy("probe", "shifted").estimate == pytest.approx(12.5)


def test_alpha_is_chosen_on_the_other_half_seed_by_seed():
    assert FRONTIER.chosen_alphas() == [(1.0, 0.0), (1.0, 1.0)]
    assert FRONTIER.right(CHOSEN, "test").tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    assert FRONTIER.right(CHOSEN, "shifted")[0].tolist() == [
        int(place in SECOND) for place in range(4)
    ]
    assert FRONTIER.alphas == [0.0, 1.0]
    assert FRONTIER.methods == ["probe", CHOSEN]


def test_a_difference_is_paired_and_in_points():
    gap = FRONTIER.difference(CHOSEN, "probe", "test")
    assert gap.estimate == pytest.approx(50 - 37.5)
    assert gap.low <= gap.estimate <= gap.high
    assert FRONTIER.difference("probe", "probe", "test").estimate == 0


def test_the_cost_of_the_shift_is_paired_by_concept():
    cost = FRONTIER.shift_cost("probe")
    assert cost.estimate == pytest.approx(37.5 - 12.5)
    alike = Frontier([run("probe", seed, "1010", "1010") for seed in range(2)])
    assert alike.shift_cost("probe").estimate == 0


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda: FRONTIER.right("prob", "test"),
            f"method: expected one of 'probe', '{CHOSEN}', 'interpolated', got 'prob'; did you mean 'probe'?",
        ),
        (
            lambda: FRONTIER.right("probe", "train"),
            "part: expected one of 'test', 'shifted', got 'train'",
        ),
    ],
)
def test_errors_of_the_frontier(call, words):
    with says(ValueError, words):
        call()


def test_a_cost_is_what_the_right_way_has_more():
    clinic = clinic_of(
        done_right=(records("0000", "1110"), None),
        rows_not_normalized=(records("1000", "1000"), None),
    )
    assert clinic.accuracy(step="last").estimate == pytest.approx(75)
    assert clinic.cost("rows not normalized", "last").estimate == pytest.approx(50)
    assert clinic.cost("rows not normalized").estimate == pytest.approx(
        50
    )  # the last step is best on either half


def test_the_picked_step_may_save_what_the_last_one_lost():
    clinic = clinic_of(
        done_right=(records("0000", "1111"), None),
        learning_rate_1e_3=(records("1111", "0000"), None),
    )
    for broken in clinic.runs[2:]:
        broken["mistake"] = "learning rate 1e-3"
    assert clinic.cost("learning rate 1e-3").estimate == 0
    assert clinic.cost("learning rate 1e-3", "last").estimate == 100


def test_a_run_that_broke_off_costs_all():
    right = records("0000", "1110")
    clinic = clinic_of(
        done_right=(right, None), fp16_weights_with_Adam=(right[:1], "nan at step 1")
    )
    assert clinic.cost("fp16 weights with Adam", "last").estimate == pytest.approx(75)
    assert clinic.failures("fp16 weights with Adam") == ["nan at step 1"] * 2


def test_picking_on_the_test_set_costs_nothing_where_both_choices_agree():
    right = records("0" * 40, "1" * 40)
    clinic = Clinic(
        [{"mistake": "done right", "seed": s, "records": right, "failed": None} for s in range(3)]
    )
    assert clinic.cost("step picked on the test set").estimate == 0


def test_picking_on_the_test_set_flatters_where_the_steps_differ_by_chance_only():
    draw = np.random.default_rng(0)

    def noise():
        return records(*("".join(map(str, draw.integers(0, 2, 40))) for _ in range(8)))

    clinic = Clinic(
        [
            {"mistake": "done right", "seed": s, "records": noise(), "failed": None}
            for s in range(60)
        ]
    )
    assert (
        clinic.cost("step picked on the test set").low > 2
    )  # the best of 8 coins seems good, and is not


def test_an_unknown_step_is_named():
    with says(ValueError, "step: expected one of 'picked', 'last', got 'first'"):
        clinic_of().cost("rows not normalized", "first")


def test_an_unknown_mistake_is_named():
    with pytest.raises(ValueError, match="^mistake: expected one of 'diagonal targets"):
        clinic_of().cost("haste")


def test_the_bundled_runs_are_complete():
    frontier, clinic = load_frontier(), load_clinic()
    assert len(frontier.methods) == 10 and frontier.alphas == [place / 10 for place in range(11)]
    shapes = {
        frontier.right(method, part).shape
        for method in frontier.methods
        for part in ("test", "shifted")
    }
    assert len(shapes) == 1 and shapes.pop()[0] == 5
    assert {r["mistake"] for r in clinic.runs} == {
        *RIGHT_WAYS,
        *(m for m, habits in MISTAKES.items() if habits.pick != "test"),
    }
    assert len(clinic.runs) == 5 * 8
