"""Sharpness and turning points on paper, and at their limits."""

import math

import numpy as np
import pandas as pd
import pytest
from doubles import CASES

from fmcourse import emergence
from fmcourse.emergence import breakthroughness

SIZES = [8, 16, 32, 64, 128]


@pytest.mark.parametrize("statistic, score, expected", CASES["emergence"]["scores"])
def test_scores_on_paper(statistic, score, expected):
    found = getattr(emergence, statistic)(SIZES, score)
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_resolution_bounds_the_median_step_from_below():
    assert breakthroughness(SIZES, [0.0, 0.0, 0.0, 1.0, 1.0], resolution=0.001) == 1000


def test_sharpness_is_the_mean_over_seeds_not_that_of_the_mean_curve():
    early, late = [0.0, 0.1, 1.0, 1.1, 1.2], [0.0, 0.1, 0.2, 0.3, 1.2]
    found = emergence.sharpness(SIZES, pd.DataFrame([early, late]), breakthroughness)
    assert found.estimate == pytest.approx(12)
    assert breakthroughness(SIZES, np.mean([early, late], 0)) < 5
    # Equal scores do not say how much scores differ.
    assert math.isnan(found.low)


@pytest.mark.parametrize("score, expected", CASES["emergence"]["turning"])
def test_turning_points_on_paper(score, expected):
    found = emergence.turning_point([0, 100, 200, 300], score, 0.5)
    assert found == pytest.approx(expected, nan_ok=True)
