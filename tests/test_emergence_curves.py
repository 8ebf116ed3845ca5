"""Sharpness and turning points on paper, and at their limits."""

import math

import numpy as np
import pandas as pd
import pytest

from fmcourse.emergence import (
    breakthroughness,
    linearity,
    sharpness,
    turning_point,
)

SIZES = [8, 16, 32, 64, 128]
LINE = [0.0, 0.25, 0.5, 0.75, 1.0]
JUMP = [0.0, 0.1, 0.2, 1.0, 1.1]  # steps .1, .1, .8, .1


@pytest.mark.parametrize(
    "statistic, score, expected",
    [
        (linearity, LINE[::-1], -1),
        (linearity, JUMP, 1.1 / (4 * math.sqrt(0.67 / 4))),
        (breakthroughness, JUMP, 11),
        (linearity, [0.3] * 5, math.nan),
        (breakthroughness, [0.0, 0.0, 0.0, 1.0, 1.0], math.inf),
        (breakthroughness, [1.0, 1.0, 0.0, 0.0, 0.0], -math.inf),
    ],
)
def test_scores_on_paper(statistic, score, expected):
    assert statistic(SIZES, score) == pytest.approx(expected, nan_ok=True)


def test_a_resolution_bounds_the_median_step_from_below():
    assert breakthroughness(SIZES, [0.0, 0.0, 0.0, 1.0, 1.0], resolution=0.001) == 1000


def test_sharpness_is_the_mean_over_seeds_not_that_of_the_mean_curve():
    early, late = [0.0, 0.1, 1.0, 1.1, 1.2], [0.0, 0.1, 0.2, 0.3, 1.2]
    found = sharpness(SIZES, pd.DataFrame([early, late]), breakthroughness)
    assert found.estimate == pytest.approx(12)
    assert breakthroughness(SIZES, np.mean([early, late], 0)) < 5
    # Equal scores do not say how much scores differ.
    assert math.isnan(found.low)


@pytest.mark.parametrize(
    "score, threshold, expected",
    [
        ([0.0, 0.0, 0.25, 1.0], 0.5, 200 + 100 / 3),
        ([0.0, 0.5, 0.2, 1.0], 0.5, 100),  # the first time counts
        ([0.6, 0.7, 0.8, 0.9], 0.5, 0),
        ([0.0, 0.1, 0.2, 0.3], 0.5, math.nan),
    ],
)
def test_turning_points_on_paper(score, threshold, expected):
    found = turning_point([0, 100, 200, 300], score, threshold)
    assert found == pytest.approx(expected, nan_ok=True)
