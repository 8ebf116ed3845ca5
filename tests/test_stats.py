"""Intervals cover what they say, equal published values, and refuse what decides nothing."""

import itertools
import math

import numpy as np
import pytest
from doubles import CASES, refusals, refused
from scipy import stats as scipy_stats

from fmcourse import stats
from fmcourse.stats import (
    auc,
    auc_interval,
    bootstrap,
    crossed_interval,
    mean_interval,
    median_interval,
    share_difference,
    share_interval,
    sign_flip,
    wilson,
)

ROUNDING = 1e-12
VALUES = [0.3, 0.1, 0.4, 0.1, 0.5, 0.9, 0.2, 0.6]
MANY = np.random.default_rng(0).exponential(size=30)
FEW = (3, 5, 8, 13)


def ends(interval):
    return interval.low, interval.high


def coverage(interval, draw, truth, trials=500):
    """Return how often an interval of freshly drawn data holds the truth."""
    found = [interval(draw()) for _ in range(trials)]
    return np.mean([one.low <= truth <= one.high for one in found])


@pytest.mark.parametrize("units", FEW)
def test_few_units_are_covered(units, draw):
    normal = coverage(mean_interval, lambda: draw.normal(size=units), 0)
    shares = coverage(share_interval, lambda: draw.beta(8, 2, size=units), 0.8)
    median = coverage(median_interval, lambda: draw.lognormal(size=max(units, 5)), 1)
    assert min(normal, shares) >= 0.93 and median >= 0.9


@pytest.mark.parametrize("seeds", FEW)
@pytest.mark.parametrize("spread", [(1, 0.2), (0.3, 3)])
def test_seeds_and_items_are_covered(seeds, spread):
    random = np.random.default_rng(seeds)

    def draw():
        of_seeds = random.normal(0, spread[0], (seeds, 1))
        return of_seeds + random.normal(0, spread[1], 30) + random.normal(size=(seeds, 30))

    assert coverage(crossed_interval, draw, 0) >= 0.93


def test_a_statistic_of_seeds_and_items_has_the_interval_of_its_mean(draw):
    table = draw.normal(size=(4, 60))
    mean, drawn = crossed_interval(table), crossed_interval(table, np.mean)
    assert drawn.estimate == pytest.approx(mean.estimate)
    assert drawn.high - drawn.low == pytest.approx(mean.high - mean.low, rel=0.1)
    assert drawn == crossed_interval(table, np.mean)
    with refused("values", "a statistic that is finite"):
        crossed_interval(np.eye(2), lambda one: 1 / one.sum() if one.any() else math.nan)


@pytest.mark.parametrize("shares", [[0, 0, 0], [1, 1, 0.3], [0, 1]])
def test_no_share_leaves_its_range(shares):
    found = share_interval(np.multiply(shares, 100), whole=100)
    assert 0 <= found.low <= found.estimate <= found.high <= 100 and found.low < found.high
    crossed = crossed_interval(np.outer(shares, [1, 0.5, 0]), whole=1)
    assert math.isnan(crossed.low) or 0 <= crossed.low <= crossed.high <= 1


def test_units_at_an_end_have_the_exact_interval_of_single_trials():
    exact = scipy_stats.binomtest(0, 4).proportion_ci(method="exact")
    assert share_interval([0] * 4).high == pytest.approx(exact.high)
    assert share_interval([1] * 4, [9, 1, 5, 5]).low == pytest.approx(1 - exact.high)
    assert share_interval([1.0, 0.0], [3, 1]).estimate == 0.75


@pytest.mark.parametrize("values", [[0.4] * 5, [0.1 + 0.2, 0.3], [0.4] * 30])
def test_equal_values_claim_no_certainty(values):
    for make in (mean_interval, bootstrap, share_interval):
        found = make(values)
        assert found.estimate == pytest.approx(values[0]) and np.isnan(ends(found)).all()
    assert math.isnan(crossed_interval([values, values]).low)


@pytest.mark.parametrize("successes", [0, 2, np.int64(7)])
def test_wilson_equals_scipys(successes):
    found = wilson(successes, 7)
    theirs = scipy_stats.binomtest(successes, 7).proportion_ci(method="wilson")
    assert ends(found) == pytest.approx(ends(theirs), abs=ROUNDING)
    assert found.low <= found.estimate == successes / 7 <= found.high


@pytest.mark.parametrize("first, second, low, high", CASES["stats"]["newcombe"])
def test_share_difference_equals_newcombes_table(first, second, low, high):
    assert ends(share_difference(first, second)) == pytest.approx((low, high), abs=5e-5)
    assert ends(share_difference(second, first)) == pytest.approx((-high, -low), abs=5e-5)


def test_below_twenty_units_a_bootstrap_is_students():
    assert ends(bootstrap(VALUES)) == pytest.approx(ends(mean_interval(VALUES)))
    pairs = np.column_stack([VALUES, np.add(VALUES, 1)])
    ratio = bootstrap(pairs, lambda rows: rows[:, 0].sum() / rows[:, 1].sum())
    assert ratio.estimate == pytest.approx(3.1 / 11.1)
    assert ratio.low < ratio.estimate < ratio.high


def test_from_twenty_units_on_it_is_scipys_bca():
    found = bootstrap(MANY, np.std)
    low, high = ends(scipy_stats.bootstrap((MANY,), np.std, rng=1).confidence_interval)
    assert ends(found) == pytest.approx((low, high), abs=4 * (high - low) / 50)
    assert found == bootstrap(MANY, np.std)
    # Rows are kept whole: were numbers drawn alone, the two columns would come apart.
    twice = bootstrap(np.column_stack([MANY, MANY]), lambda rows: np.ptp(rows, axis=1).max())
    assert twice.estimate == 0 and math.isnan(twice.low)


def test_a_median_equals_numpys_and_early_bounds_do_not_count():
    for values in (VALUES, VALUES[:7]):
        assert median_interval(values).estimate == pytest.approx(np.median(values))
    # A bound below all that was seen adds nobody to either side of the median.
    early = median_interval([*VALUES, 0.01], [False] * 8 + [True])
    assert early.estimate == pytest.approx(np.median(VALUES))


def brute_force(differences):
    signs = list(itertools.product((1, -1), repeat=len(differences)))
    return np.mean(np.abs(np.dot(signs, differences)) >= abs(sum(differences)) - ROUNDING)


def test_sign_flip_equals_brute_force():
    assert sign_flip([0.0] * 3) == 1 and sign_flip([1.0] * 13) == 2 / 2**13
    for differences in ([1.0, 1.0, -1.0, 2.0, 0.25], VALUES):
        assert sign_flip(differences) == pytest.approx(brute_force(differences), abs=ROUNDING)
    values = [*VALUES, *np.negative(VALUES[:6]), 0.8]
    # Four standard errors of the 9,999 random flips.
    assert sign_flip(values) == pytest.approx(brute_force(values), abs=4 * 0.5 / math.sqrt(9_999))
    assert sign_flip(values) == sign_flip(values)


def test_auc_is_the_share_of_pairs_in_order_and_its_interval_keeps_a_width(draw):
    lower, higher = draw.integers(0, 9, 20), draw.integers(2, 11, 30)
    pairs = [(a < b) + 0.5 * (a == b) for a, b in itertools.product(lower, higher)]
    assert auc(lower, higher) == pytest.approx(np.mean(pairs), abs=ROUNDING)
    apart, turned = auc_interval(range(30), range(40, 70)), auc_interval(range(40, 70), range(30))
    assert 0.9 < apart.low < apart.high == apart.estimate == 1
    assert 1 - turned.high == pytest.approx(apart.low)
    truth = scipy_stats.norm.cdf(1 / math.sqrt(2))
    two = [[0], [1]]

    found = coverage(lambda pair: auc_interval(*pair), lambda: draw.normal(two, 1, (2, 30)), truth)
    assert found >= 0.93


test_a_message_begins_with_the_argument = refusals(
    *((named, getattr(stats, name), *given) for name, given, named in CASES["stats"]["refused"]),
    ("values", bootstrap, VALUES, lambda drawn: math.nan),
    ("values", lambda: crossed_interval(np.eye(2), whole=0.1)),
    ("level", lambda: crossed_interval(np.eye(2), level=95)),
)
