"""Sharpness on paper, beside a plain loop, and at its limits; turning points."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

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


def test_a_straight_line_on_paper():
    assert linearity(SIZES, [0.0, 0.25, 0.5, 0.75, 1.0]) == 1  # rise 1, four steps of a quarter
    assert (
        breakthroughness(SIZES, [0.0, 0.25, 0.5, 0.75, 1.0]) == 4
    )  # rise 1, median step a quarter


def test_one_jump_on_paper():
    jump = [0.0, 0.1, 0.2, 1.0, 1.1]  # steps .1, .1, .8, .1
    assert abs(linearity(SIZES, jump) - 1.1 / (4 * math.sqrt(0.67 / 4))) <= ROUNDING
    assert abs(breakthroughness(SIZES, jump) - 11) <= 1e-9  # tenths are rounded in binary


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


def test_sharpness_is_the_mean_over_seeds_not_that_of_the_mean_curve():
    early, late = [0.0, 0.1, 1.0, 1.1, 1.2], [0.0, 0.1, 0.2, 0.3, 1.2]
    found = sharpness(SIZES, [early, late], breakthroughness)
    assert abs(found.estimate - 12) <= 1e-9
    assert (
        breakthroughness(SIZES, np.mean([early, late], 0)) < 5
    )  # the mean of two jumps looks smooth
    # Equal scores do not say how much scores differ.
    assert math.isnan(found.low)


def test_the_interval_of_a_sharpness_is_students():
    runs = [[0.0, 0.2, 1.0], [0.0, 0.4, 1.0], [0.0, 0.5, 1.0]]
    values = [linearity([1, 2, 3], run) for run in runs]
    low, high = scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values))
    found = sharpness([1, 2, 3], pd.DataFrame(runs))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


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


def test_independent_errors_multiply():
    assert independent_exact([0.5, 0.5, 1.0]) == 0.25
    assert independent_exact([[1.0, 1.0], [0.0, 1.0]]).tolist() == [1.0, 0.0]


def test_turning_points_on_paper():
    steps = [0, 100, 200, 300]
    assert turning_point(steps, [0.0, 0.0, 0.25, 1.0]) == 200 + 100 / 3
    assert turning_point(steps, [0.0, 0.5, 0.2, 1.0]) == 100  # the first time counts
    assert turning_point(steps, [0.6, 0.7, 0.8, 0.9]) == 0
    assert math.isnan(turning_point(steps, [0.0, 0.1, 0.2, 0.3]))
    assert turning_point(steps, [0.0, 0.1, 0.2, 0.3], threshold=0.15) == 150
