"""Sharpness on paper, beside a plain loop, and at its limits; turning points."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from doubles import says

from fmcourse.emergence import (
    breakthroughness,
    independent_exact,
    linearity,
    permutation_p,
    sharpness,
    turning_point,
)

ROUNDING = 1e-12  # a few operations in double precision
SIZES = [8, 16, 32, 64, 128]
S_SHAPED = [0.0, 0.02, 0.5, 0.97, 1.0]
BOTH = pytest.mark.parametrize("statistic", [linearity, breakthroughness])


def by_a_loop(score, average):
    """Return the rise over an average of squared steps, written out."""
    steps = [(after - before) ** 2 for before, after in itertools.pairwise(score)]
    rise = max(score) - min(score)
    return (rise if score.index(max(score)) > score.index(min(score)) else -rise) / math.sqrt(
        average(steps)
    )


def test_a_straight_line_on_paper():
    assert linearity(SIZES, [0.0, 0.25, 0.5, 0.75, 1.0]) == 1  # rise 1, four steps of a quarter
    assert (
        breakthroughness(SIZES, [0.0, 0.25, 0.5, 0.75, 1.0]) == 4
    )  # rise 1, median step a quarter


def test_one_jump_on_paper():
    jump = [0.0, 0.1, 0.2, 1.0, 1.1]  # steps .1, .1, .8, .1
    assert abs(linearity(SIZES, jump) - 1.1 / (4 * math.sqrt(0.67 / 4))) <= ROUNDING
    assert abs(breakthroughness(SIZES, jump) - 11) <= 1e-9  # tenths are rounded in binary


def test_both_equal_a_loop():
    mean, median = (
        (lambda steps: sum(steps) / len(steps)),
        (lambda steps: sorted(steps)[1] / 2 + sorted(steps)[2] / 2),
    )
    assert abs(linearity(SIZES, S_SHAPED) - by_a_loop(S_SHAPED, mean) / 4) <= ROUNDING
    assert abs(breakthroughness(SIZES, S_SHAPED) - by_a_loop(S_SHAPED, median)) <= ROUNDING


@BOTH
def test_a_falling_score_is_negative(statistic):
    assert statistic(SIZES, S_SHAPED[::-1]) == -statistic(SIZES, S_SHAPED)


@BOTH
def test_unit_and_origin_of_the_score_do_not_matter(statistic):
    moved = [5 + 100 * value for value in S_SHAPED]
    assert (
        abs(statistic(SIZES, moved) - statistic(SIZES, S_SHAPED)) <= 1e-9
    )  # 5 + 2 is rounded at 1e-15


@BOTH
def test_only_the_order_of_the_scale_matters(statistic):
    assert statistic(range(5), S_SHAPED) == statistic(np.log(SIZES), S_SHAPED)


@BOTH
def test_a_constant_score_is_nan(statistic):
    assert math.isnan(statistic(SIZES, [0.3] * 5))


def test_a_step_on_flat_ground_is_infinitely_sharp_unless_it_has_a_resolution():
    step = [0.0, 0.0, 0.0, 1.0, 1.0]
    assert breakthroughness(SIZES, step) == math.inf
    assert breakthroughness(SIZES, step[::-1]) == -math.inf
    assert breakthroughness(SIZES, step, resolution=0.001) == 1000
    assert breakthroughness(SIZES, S_SHAPED, resolution=0.001) == breakthroughness(SIZES, S_SHAPED)


@BOTH
def test_the_inputs_stay(statistic):
    score = np.array(S_SHAPED)
    statistic(SIZES, score)
    assert score.tolist() == S_SHAPED


CURVE_ERRORS = [
    (([], []), "scale: expected at least 3 points, got 0"),
    (([1, 2], [0.0, 1.0]), "scale: expected at least 3 points, got 2"),
    (([1, 2, 3], [0.0, 1.0]), "score: expected one for each scale, got ((3,), (2,))"),
    (
        ([1, 3, 2], [0.0, 0.5, 1.0]),
        "scale: expected strictly increasing numbers, got [1.0, 3.0, 2.0]",
    ),
    (
        ([1, 1, 2], [0.0, 0.5, 1.0]),
        "scale: expected strictly increasing numbers, got [1.0, 1.0, 2.0]",
    ),
    (([1, 2, 3], [0.0, math.nan, 1.0]), "score: expected finite numbers, got [0.0, nan, 1.0]"),
    (([1, 2, math.inf], [0.0, 0.5, 1.0]), "scale: expected finite numbers, got [1.0, 2.0, inf]"),
]


@pytest.mark.parametrize("function", [linearity, breakthroughness, turning_point, permutation_p])
@pytest.mark.parametrize(("curve", "words"), CURVE_ERRORS, ids=[words for _, words in CURVE_ERRORS])
def test_the_words_of_each_error(function, curve, words):
    with says(ValueError, words):
        function(*curve)


def test_a_negative_resolution():
    with says(ValueError, "resolution: expected a step of at least 0, got -1"):
        breakthroughness(SIZES, S_SHAPED, resolution=-1)


def test_sharpness_is_the_mean_over_seeds_not_that_of_the_mean_curve():
    early, late = [0.0, 0.1, 1.0, 1.1, 1.2], [0.0, 0.1, 0.2, 0.3, 1.2]
    found = sharpness(SIZES, [early, late], breakthroughness)
    assert abs(found.estimate - 12) <= 1e-9
    assert (
        breakthroughness(SIZES, np.mean([early, late], 0)) < 5
    )  # the mean of two jumps looks smooth
    # Equal scores do not say how much scores differ.
    assert math.isnan(found.low)


def brute_force(score, statistic):
    values = [statistic(range(len(score)), order) for order in itertools.permutations(score)]
    return sum(value >= statistic(range(len(score)), score) - ROUNDING for value in values) / len(
        values
    )


@pytest.mark.parametrize("score", [[0.0, 0.3, 0.7, 1.0], [0.1, 0.0, 0.9, 1.0, 0.8]])
@BOTH
def test_the_permutation_null_equals_brute_force(score, statistic):
    assert (
        abs(permutation_p(range(len(score)), score, statistic) - brute_force(score, statistic))
        <= ROUNDING
    )


def test_an_infinite_statistic_is_counted_like_any_other():
    assert (
        permutation_p(range(4), [0.0, 0.0, 0.0, 1.0], breakthroughness) == 0.25
    )  # of four places of the 1, one is as sharp


@BOTH
def test_a_constant_score_has_one_order_only(statistic):
    assert math.isnan(permutation_p(range(4), [0.5] * 4, statistic))


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "runs: expected at least two curves, got []"),
        (
            [[0.0, 0.1, 0.2], [0.5] * 3],
            "runs: expected curves whose statistic is a finite number, got [1.0, nan]",
        ),
    ],
)
def test_runs_that_have_no_sharpness(runs, words):
    with says(ValueError, words):
        sharpness([1, 2, 3], runs)


def test_an_infinitely_sharp_run_asks_for_a_resolution():
    with says(
        ValueError, "runs: expected curves whose statistic is a finite number, got [inf, inf]"
    ):
        sharpness(range(4), [[0.0, 0.0, 0.0, 1.0]] * 2, breakthroughness)


def test_a_random_order_is_no_surprise():
    assert permutation_p(range(6), [0.5, 0.1, 0.9, 0.3, 0.8, 0.2]) > 0.2


def test_independent_errors_multiply():
    assert independent_exact([0.5, 0.5, 1.0]) == 0.25
    assert independent_exact([[1.0, 1.0], [0.0, 1.0]]).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("places", [[0.5, 1.1], [-0.1], [math.nan, 0.5]])
def test_places_that_are_no_accuracies(places):
    with pytest.raises(ValueError, match="^places: expected accuracies from 0 to 1, got"):
        independent_exact(places)


def test_no_places():
    with pytest.raises(ValueError, match="^places: expected at least one place"):
        independent_exact([])


def test_turning_points_on_paper():
    steps = [0, 100, 200, 300]
    assert turning_point(steps, [0.0, 0.0, 0.25, 1.0]) == 200 + 100 / 3
    assert turning_point(steps, [0.0, 0.5, 0.2, 1.0]) == 100  # the first time counts
    assert turning_point(steps, [0.6, 0.7, 0.8, 0.9]) == 0
    assert math.isnan(turning_point(steps, [0.0, 0.1, 0.2, 0.3]))
    assert turning_point(steps, [0.0, 0.1, 0.2, 0.3], threshold=0.15) == 150
