"""Intervals cover seeds and people, what is hard for all cancels, and the power is the test's."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from fmcourse import stats
from fmcourse.homogenization import (
    excess_failure_rate,
    homogenization,
    interval_over_seeds,
    power,
    smallest_detectable,
    systemic_failure_rate,
)

ERRORS = [0.2, 0.3]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(stats, "VARIANCE_RESAMPLES", 100)


def test_the_excess_on_paper():
    # A quarter is expected, and half are failed by both.
    assert excess_failure_rate([[1, 1], [1, 1], [0, 0], [0, 0]]) == 0.25


def test_the_interval_covers_seeds_and_people(quick, draw):
    hits = 0
    for trial in range(40):
        stack = draw.random((8, 300, 2)) < (0.5, 0.4)
        found = interval_over_seeds(stack, systemic_failure_rate, seed=trial)
        hits += found.low <= 0.2 <= found.high
    assert hits >= binom.ppf(0.001, 40, 0.95)


def test_the_estimate_is_the_mean_over_seeds_and_is_reproducible(quick, draw):
    stack = draw.random((4, 300, 2)) < 0.4
    found = interval_over_seeds(stack)
    assert found.estimate == pytest.approx(np.mean([homogenization(one).ratio for one in stack]))
    assert found == interval_over_seeds(stack) != interval_over_seeds(stack, seed=1)


def test_the_power_on_paper():
    # 10 people, .06 of them failed by both: P(X >= 3) = 1 - .5386 - .3438 - .0988 = .0188, and
    # P(X >= 2) = .1176.
    found = power(ERRORS, 5, 10)
    assert found.threshold == 3 and found.expected == pytest.approx(0.6)
    assert found.power == pytest.approx(binom.sf(2, 10, 0.3))


def test_more_people_notice_less_and_too_few_notice_nothing():
    few, many = (smallest_detectable([0.23] * 4, people) for people in (600, 6_000))
    assert 3 < few and many < 2 and power(ERRORS, 1, 1_000).power <= 0.05
    assert power([0.23] * 4, few, 600).power == pytest.approx(0.8, abs=0.01)
    assert math.isnan(smallest_detectable([0.5] * 2, 1))
