"""How sure is it, and could this test have noticed? Intervals over people and seeds, the excess over a reference, power.

Serves notebook 02. Source: Owen 2007 (resampling both factors of a crossed table); the power is that of an exact binomial test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse import uncertainty
from fmcourse.arguments import require
from fmcourse.homogenization.measures import both_rates, checked_failures
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

__all__ = [
    "Power",
    "excess",
    "excess_failure_rate",
    "interval_over_seeds",
    "power",
    "smallest_detectable",
]

RESAMPLES = 1_000  # each of all seeds' people; the Monte-Carlo error of an end is about a twentieth of the interval's width


@dataclass(frozen=True)
class Power:
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
    return _excess(checked_failures(failures))


def excess(shared: ArrayLike, reference: ArrayLike, level: float = 0.95, seed: int = 0) -> Interval:
    """Return how much more systemic failure sharing brings than the same pipeline without it, beyond what errors explain.

    Args:
        shared: failures of deployers that share something, shape (individuals, deployers).
        reference: failures of as many deployers that share nothing, of the same individuals in the same order.
        level, seed: as in :func:`fmcourse.uncertainty.bootstrap`; individuals are resampled in pairs.

    Returns:
        The shared side's observed minus expected rate less that of the reference. What is hard for everyone is on both
        sides, and cancels.

    Raises:
        ValueError: failures of another shape than the reference's.
    """
    import numpy as np

    shared, reference = checked_failures(shared), checked_failures(reference)
    require(
        shared.shape == reference.shape,
        "reference",
        f"shape {shared.shape}, as shared",
        reference.shape,
    )

    def gap(both: np.ndarray) -> float:
        return _excess(both[:, 0]) - _excess(both[:, 1])

    return uncertainty.bootstrap(np.stack([shared, reference], 1), gap, level=level, seed=seed)


def _excess(failures: np.ndarray) -> float:
    observed, expected = both_rates(failures)
    return observed - expected


def interval_over_seeds(
    failures: ArrayLike, statistic: Callable | None = None, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return a statistic, averaged over seeds, with an interval over both seeds and individuals.

    Args:
        failures: one failure matrix per seed, shape (seeds, individuals, deployers), at least two seeds.
        statistic: a function from one failure matrix to a number; None means H of :func:`homogenization`.
        level: coverage, between 0 and 1.
        seed: of the resampling, which draws seeds and individuals anew, both with replacement. With few seeds the interval
            is somewhat too narrow.

    Raises:
        ValueError: another shape; a resample for which the statistic is not defined, as H is not where nobody fails.
    """
    import numpy as np

    failures = np.asarray(failures)
    fits = failures.ndim == 3 and len(failures) >= 2
    require(
        fits,
        "failures",
        "shape (seeds, individuals, deployers), at least two seeds",
        failures.shape,
    )
    require(0 < level < 1, "level", "a coverage between 0 and 1, such as 0.95", level)
    if statistic is None:
        failures, statistic = np.stack([checked_failures(one) for one in failures]), _ratio
    draw, (seeds, people) = np.random.default_rng(seed), failures.shape[:2]
    means = []
    for _ in range(RESAMPLES):
        who = draw.integers(people, size=people)
        means.append(
            np.mean([statistic(failures[place, who]) for place in draw.integers(seeds, size=seeds)])
        )
    estimate = float(np.mean([statistic(one) for one in failures]))
    defined = bool(np.isfinite(means).all()) and np.isfinite(estimate)
    require(
        defined,
        "failures",
        "so many failures that the statistic is defined in every resample",
        "NaN in some",
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high))


def _ratio(failures: np.ndarray) -> float:
    observed, expected = both_rates(failures)
    return observed / expected if expected else float("nan")


def power(errors: ArrayLike, ratio: float, people: int, level: float = 0.95) -> Power:
    """Return the chance that so many people reveal a given H, by a one-sided exact binomial test of independence.

    Args:
        errors: the deployers' error rates, shape (deployers,), taken as known.
        ratio: the H to be noticed; ``ratio`` times the product of the errors is at most 1.
        people: how many individuals the test has, at least 1.
        level: one minus the chance of a false alarm.

    Raises:
        ValueError: an argument out of range.

    >>> power([0.2] * 4, 3, 600).power < 0.5 < power([0.2] * 4, 3, 6000).power
    True
    """
    import numpy as np
    from scipy.stats import binom

    errors = np.asarray(errors, dtype=float)
    inside = errors.ndim == 1 and len(errors) > 0 and bool(((errors > 0) & (errors <= 1)).all())
    require(inside, "errors", "error rates above 0 and at most 1, shape (deployers,)", errors)
    require(people >= 1, "people", "at least 1", people)
    require(0 < level < 1, "level", "one minus the chance of a false alarm, between 0 and 1", level)
    expected = float(errors.prod())
    require(
        0 <= ratio <= 1 / expected,
        "ratio",
        f"an H from 0 to {1 / expected:.4g}, where every failure is systemic",
        ratio,
    )
    threshold = int(binom.ppf(level, people, expected)) + 1
    return Power(
        threshold, float(binom.sf(threshold - 1, people, ratio * expected)), people * expected
    )


def smallest_detectable(
    errors: ArrayLike, people: int, wanted: float = 0.8, level: float = 0.95
) -> float:
    """Return the smallest H above 1 that so many people reveal with the wanted power, to within a thousandth.

    Args:
        errors, people, level: as in :func:`power`.
        wanted: the power, between 0 and 1.

    Returns:
        NaN where even the largest possible H would not be revealed.
    """
    import numpy as np

    low, high = 1.0, 1 / float(np.prod(errors))
    if power(errors, high, people, level).power < wanted:
        return float("nan")
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (
            (low, middle)
            if power(errors, middle, people, level).power >= wanted
            else (middle, high)
        )
    return high
