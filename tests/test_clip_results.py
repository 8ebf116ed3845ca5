"""The bundled runs say what was right, honestly chosen; costs and differences are paired."""

from __future__ import annotations

import numpy as np
import pytest
from doubles import says

from fmcourse.clip import MISTAKES, load_clinic, load_frontier
from fmcourse.clip.results import CHOSEN, Clinic, Frontier


def run(method, seed, validation, test, shifted="0000", **more):
    return {"method": method, "seed": seed, "validation": validation, "test": test, "shifted": shifted, **more}


FRONTIER = Frontier([
    run("probe", 0, 0.5, "1100", "1000"),
    run("probe", 1, 0.5, "1000", "0000"),
    run("interpolated", 0, 0.6, "1110", alpha=0.0),
    run("interpolated", 0, 0.6, "1111", alpha=1.0),
    run("interpolated", 1, 0.4, "0000", alpha=0.0),
    run("interpolated", 1, 0.7, "0011", alpha=1.0),
])  # fmt: skip


def records(*pairs):
    return [{"step": 20 * place, "validation": v, "test": bits} for place, (v, bits) in enumerate(pairs)]


def clinic_of(**runs):
    return Clinic([{"mistake": name.replace("_", " "), "seed": 0, "records": r, "failed": f} for name, (r, f) in runs.items()])


def test_accuracy_is_the_mean_over_seeds_and_pictures():
    assert FRONTIER.right("probe", "test").tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    assert FRONTIER.accuracy("probe", "test").estimate == pytest.approx(37.5)  # 3 of 8
    assert FRONTIER.accuracy("probe", "shifted").estimate == pytest.approx(12.5)


def test_alpha_is_chosen_on_validation_seed_by_seed_and_a_tie_goes_to_the_foundation():
    assert FRONTIER.chosen_alphas() == [0.0, 1.0]
    assert FRONTIER.right(CHOSEN, "test").tolist() == [[1, 1, 1, 0], [0, 0, 1, 1]]
    assert FRONTIER.alphas == [0.0, 1.0]
    assert FRONTIER.methods == ["probe", CHOSEN]


def test_a_difference_is_paired_and_in_points():
    gap = FRONTIER.difference(CHOSEN, "probe", "test")
    assert gap.estimate == pytest.approx(62.5 - 37.5)
    assert gap.low <= gap.estimate <= gap.high
    assert FRONTIER.difference("probe", "probe", "test").high == 0


@pytest.mark.parametrize("call, words", [
    (lambda: FRONTIER.right("prob", "test"),
     f"method: expected one of 'probe', '{CHOSEN}', 'interpolated', got 'prob'; did you mean 'probe'?"),
    (lambda: FRONTIER.right("probe", "train"), "part: expected one of 'test', 'shifted', got 'train'"),
])  # fmt: skip
def test_errors_of_the_frontier(call, words):
    with says(ValueError, words):
        call()


def test_a_cost_is_what_the_right_way_has_more():
    clinic = clinic_of(
        done_right=(records((0.1, "0000"), (0.9, "1110")), None),
        rows_not_normalized=(records((0.3, "1000"), (0.2, "1111")), None),
    )
    assert clinic.accuracy().estimate == pytest.approx(75)
    assert clinic.cost("rows not normalized").estimate == pytest.approx(50)  # validation picks its first step


def test_a_run_that_broke_off_costs_all():
    right = records((0.1, "0000"), (0.9, "1110"))
    clinic = clinic_of(done_right=(right, None), fp16_weights_with_Adam=(right[:1], "nan at step 1"))
    assert clinic.cost("fp16 weights with Adam").estimate == pytest.approx(75)
    assert clinic.failures("fp16 weights with Adam") == ["nan at step 1"]


def test_picking_on_the_test_set_costs_nothing_where_both_choices_agree():
    right = records((0.1, "0" * 40), (0.9, "1" * 40))
    clinic = Clinic([{"mistake": "done right", "seed": s, "records": right, "failed": None} for s in range(3)])
    assert clinic.cost("step picked on the test set").estimate == 0


def test_picking_on_the_test_set_flatters_where_the_steps_differ_by_chance_only():
    draw = np.random.default_rng(0)

    def noise():
        return records(*((draw.random(), "".join(map(str, draw.integers(0, 2, 40)))) for _ in range(8)))

    clinic = Clinic([{"mistake": "done right", "seed": s, "records": noise(), "failed": None} for s in range(60)])
    assert clinic.cost("step picked on the test set").low > 2  # the best of 8 coins seems good, and is not


def test_an_unknown_mistake_is_named():
    with pytest.raises(ValueError, match="^mistake: expected one of 'diagonal targets"):
        clinic_of().cost("haste")


def test_the_bundled_runs_are_complete():
    frontier, clinic = load_frontier(), load_clinic()
    assert len(frontier.methods) == 10 and frontier.alphas == [place / 10 for place in range(11)]
    shapes = {frontier.right(method, part).shape for method in frontier.methods for part in ("test", "shifted")}
    assert len(shapes) == 1 and shapes.pop()[0] == 5
    assert {r["mistake"] for r in clinic.runs} == {"done right", *(m for m, habits in MISTAKES.items() if habits.pick != "test")}
    assert len(clinic.runs) == 5 * 7
