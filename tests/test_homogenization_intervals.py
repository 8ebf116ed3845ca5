"""Intervals cover seeds and people, what is hard for all cancels, and the power is the test's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from fmcourse import stats
from fmcourse.homogenization import (
    excess,
    excess_failure_rate,
    homogenization,
    interval_over_seeds,
    power,
    smallest_detectable,
    systemic_failure_rate,
)

ERRORS = [0.2, 0.3]


def independent(draw, people=300, rates=(0.5, 0.4)):
    return draw.random((people, len(rates))) < rates


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(stats, "VARIANCE_RESAMPLES", 100)


def test_the_excess_on_paper():
    shared = np.array(
        [[1, 1], [1, 1], [0, 0], [0, 0]], bool
    )  # half failed by both, a quarter expected
    apart = np.array(
        [[1, 0], [1, 0], [0, 1], [0, 1]], bool
    )  # nobody failed by both, a quarter expected
    assert excess_failure_rate(shared) == 0.25 and excess_failure_rate(apart) == -0.25
    assert excess(shared, apart).estimate == 0.5


def test_what_is_hard_for_everyone_cancels():
    draw = np.random.default_rng(0)
    hard = draw.random(2_000) < 0.2
    one, other = (independent(draw, 2_000) | hard[:, None] for _ in range(2))
    assert homogenization(one).ratio > 1.1
    found = excess(one, other)
    assert found.low < 0 < found.high


def test_what_sharing_adds_is_found():
    draw = np.random.default_rng(0)
    apart = independent(draw, 2_000)
    found = excess(np.repeat(apart[:, :1], 2, 1), apart)
    assert found.low > 0.2  # half the people fail one deployer, and so both; a quarter was expected


def test_the_interval_covers_seeds_and_people(quick):
    draw, hits = np.random.default_rng(0), 0
    for trial in range(40):
        stack = np.stack([independent(draw) for _ in range(8)])
        found = interval_over_seeds(stack, systemic_failure_rate, seed=trial)
        hits += found.low <= 0.2 <= found.high
    assert hits >= binom.ppf(0.001, 40, 0.95)


def test_seeds_that_differ_widen_the_interval(quick):
    draw = np.random.default_rng(0)
    alike = np.stack([independent(draw, 2_000) for _ in range(6)])
    unlike = np.stack(
        [independent(draw, 2_000, (rate, 0.5)) for rate in (0.1, 0.3, 0.5, 0.5, 0.7, 0.9)]
    )
    narrow, wide = (interval_over_seeds(stack, systemic_failure_rate) for stack in (alike, unlike))
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_the_estimate_is_the_mean_over_seeds_and_the_draw_is_reproducible(quick):
    draw = np.random.default_rng(3)
    stack = np.stack([independent(draw) for _ in range(4)])
    found = interval_over_seeds(stack)
    assert found.estimate == pytest.approx(np.mean([homogenization(one).ratio for one in stack]))
    assert found == interval_over_seeds(stack) != interval_over_seeds(stack, seed=1)


def test_the_power_on_paper():
    # 10 people, .06 of them failed by both: P(X >= 3) = 1 - .5386 - .3438 - .0988 = .0188, and
    # P(X >= 2) = .1176.
    found = power(ERRORS, 5, 10)
    assert found.threshold == 3 and found.expected == pytest.approx(0.6)
    assert found.power == pytest.approx(binom.sf(2, 10, 0.3))


def test_the_test_keeps_its_level_and_has_the_power_it_says():
    draw = np.random.default_rng(0)
    found = power(ERRORS, 1.5, 1_000)
    assert power(ERRORS, 1, 1_000).power <= 0.05
    counts = draw.binomial(1_000, 1.5 * 0.06, size=4_000)
    assert np.mean(counts >= found.threshold) == pytest.approx(
        found.power, abs=0.02
    )  # two and a half standard errors


def test_more_people_notice_less():
    few, many = (smallest_detectable([0.23] * 4, people) for people in (600, 6_000))
    assert (
        3 < few and many < 2 and power([0.23] * 4, few, 600).power == pytest.approx(0.8, abs=0.01)
    )


def test_too_few_people_notice_nothing():
    assert math.isnan(smallest_detectable([0.5] * 2, 1))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: excess([[True, True]] * 2, [[True]] * 2), "reference"),
        (lambda: interval_over_seeds([[[True]]]), "failures"),
        (lambda: interval_over_seeds([[[True]], [[False]]]), "failures"),
        (lambda: interval_over_seeds([[[True], [True]], [[False], [False]]]), "values"),
        (lambda: interval_over_seeds([[[True], [False]]] * 2, level=95), "level"),
        (lambda: power([0.5, 0.0], 1, 10), "errors"),
        (lambda: power([0.5], 1, 9, level=1), "level"),
        (lambda: power([0.5], 1, 0), "people"),
        (lambda: power([0.5], 1, 2.5), "people"),
        (lambda: power([0.5, 0.5], 5, 10), "ratio"),
        (lambda: power([0.5, 0.5], math.nan, 10), "ratio"),
        (lambda: smallest_detectable([0.0] * 4, 10), "errors"),
        (lambda: smallest_detectable([0.2], 10, wanted=80), "wanted"),
    ],
)
def test_a_message_begins_with_the_argument(call, argument, quick):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        call()
