"""Systemic failure beyond expectation, its interval over seeds and people, and a test's power.

Used by notebook 02. The power is that of an exact binomial test of independence.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import binom

from fmcourse import stats
from fmcourse.arguments import real, require, whole
from fmcourse.homogenization.measures import both_rates, checked_failures, systemic_failure_rate
from fmcourse.stats import Interval

__all__ = [
    "Power",
    "excess_failure_rate",
    "interval_over_seeds",
    "power",
    "smallest_detectable",
]


class Power(NamedTuple):
    """What a test of independence with so many people can notice.

    Attributes:
        threshold: the fewest people failed by all that the test calls too many.
        power: the chance that it does so at the H asked about.
        expected: how many would be failed by all if errors were independent.
    """

    threshold: int
    power: float
    expected: float


def excess_failure_rate(failures: ArrayLike) -> float:
    """Return observed minus expected systemic failure rate, as a share of the individuals."""
    observed, expected = both_rates(checked_failures(failures))
    return observed - expected


def interval_over_seeds(
    failures: ArrayLike, statistic: Callable | None = None, seed: int = 0
) -> Interval:
    """Return a statistic, averaged over seeds, with an interval over both seeds and individuals.

    Args:
        failures: one failure matrix per seed, shape (seeds, individuals, deployers).
        statistic: a function from one failure matrix to a number; None means H. The interval of
            :func:`systemic_failure_rate` stays from 0 to 1.
        seed: as in :func:`fmcourse.stats.crossed_interval`.

    Raises:
        ValueError: a different shape; a resample for which the statistic is not defined, as H is
            not where nobody fails.
    """
    stack = stats.numbers("failures", failures)
    fits = stack.ndim == 3 and min(stack.shape[:2]) >= 2
    expected = "shape (seeds, individuals, deployers), at least two seeds and two individuals"
    require(fits, "failures", expected, stack.shape)
    checked = np.stack([checked_failures(one) for one in stack])
    largest = 1.0 if statistic is systemic_failure_rate else None
    measure = statistic or _ratio
    return stats.crossed_interval(checked, measure, whole=largest, seed=seed)


def _ratio(failures: np.ndarray) -> float:
    observed, expected = both_rates(failures)
    return observed / expected if expected else float("nan")


def power(errors: ArrayLike, ratio: float, people: int) -> Power:
    """Return the chance that so many people reveal a given H, by a one-sided exact binomial test
    with at most 5% false positives.

    Args:
        errors: the deployers' error rates, shape (deployers,), taken as known.
        ratio: the H to be noticed; ``ratio`` times the product of the errors is at most 1.
        people: how many individuals the test has, at least 1.

    Raises:
        ValueError: an argument out of range.

    >>> power([0.2] * 4, 3, 600).power < 0.5 < power([0.2] * 4, 3, 6000).power
    True
    """
    expected = _expected(errors)
    people = whole("people", people, 1)
    largest = f"an H from 0 to {1 / expected:.4g}, where every failure is systemic"
    require(real(ratio) and 0 <= ratio <= 1 / expected, "ratio", largest, ratio)
    threshold = int(binom.ppf(stats.LEVEL, people, expected)) + 1
    found = float(binom.sf(threshold - 1, people, ratio * expected))
    return Power(threshold, found, people * expected)


def smallest_detectable(errors: ArrayLike, people: int, wanted: float = 0.8) -> float:
    """Return the smallest H above 1 that so many people reveal with the wanted power.

    Args:
        errors, people: as in :func:`power`.
        wanted: the power, between 0 and 1.

    Returns:
        It is exact to a thousandth; NaN where even the largest possible H would not be revealed.
    """
    between = real(wanted) and 0 < wanted < 1
    require(between, "wanted", "a power between 0 and 1, such as 0.8", wanted)
    largest = 1 / _expected(errors)

    def lacking(ratio: float) -> float:
        return power(errors, ratio, people).power - wanted

    if lacking(largest) < 0:
        return float("nan")
    return brentq(lacking, 1.0, largest, xtol=1e-4) if lacking(1.0) < 0 else 1.0


def _expected(errors: ArrayLike) -> float:
    rates = stats.numbers("errors", errors)
    inside = rates.ndim == 1 and ((rates > 0) & (rates <= 1)).all()
    require(inside, "errors", "error rates above 0 and at most 1, shape (deployers,)", errors)
    return float(rates.prod())
