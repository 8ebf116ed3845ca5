"""How sure are we? Intervals and tests for a handful of trials, thin over SciPy.

Serves every figure and every evidence row. Sources: Wilson 1927 (a share), Newcombe 1998 (a difference of two shares),
Student 1908 (a mean over seeds), Efron & Tibshirani 1993 (bootstrap), Fisher 1935 (sign-flip permutation test), Holm 1979 (several
tests at once).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse.arguments import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

__all__ = [
    "Interval",
    "auc",
    "bootstrap",
    "holm",
    "mean_interval",
    "share_difference",
    "sign_flip",
    "wilson",
]

RESAMPLES = 5_000  # the Monte-Carlo error of a bootstrap end is then about a fiftieth of its width


@dataclass(frozen=True)
class Interval:
    """An estimate with the two ends of its interval, in the unit of the estimate."""

    estimate: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.estimate:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Return a share with its Wilson interval, which stays honest at 0 and at 1.

    Args:
        successes: how many of the trials succeeded, from 0 to `trials`.
        trials: how many there were, at least 1.
        level: coverage, between 0 and 1.

    Raises:
        ValueError: an argument out of range.

    >>> f"{wilson(0, 1000):.4f}"
    '0.0000 [0.0000, 0.0038]'
    """
    from scipy.stats import binomtest

    require(trials >= 1, "trials", "at least 1", trials)
    counted = int(successes) == successes and 0 <= successes <= trials
    require(counted, "successes", f"a count from 0 to {trials}", successes)
    ends = binomtest(int(successes), int(trials)).proportion_ci(_level(level), method="wilson")
    return Interval(successes / trials, float(ends.low), float(ends.high))


def share_difference(
    first: tuple[int, int], second: tuple[int, int], level: float = 0.95
) -> Interval:
    """Return a share minus another of other trials, with Newcombe's interval (his tenth), which is made of two Wilson intervals.

    Args:
        first, second: successes and trials of each, as in :func:`wilson`.
        level: coverage, between 0 and 1.

    >>> f"{share_difference((56, 70), (48, 80)):.4f}"
    '0.2000 [0.0524, 0.3339]'
    """
    one, other = wilson(*first, level), wilson(*second, level)
    gap = one.estimate - other.estimate
    below = ((one.estimate - one.low) ** 2 + (other.high - other.estimate) ** 2) ** 0.5
    above = ((one.high - one.estimate) ** 2 + (other.estimate - other.low) ** 2) ** 0.5
    return Interval(gap, gap - below, gap + above)


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of a few independent runs with Student's t interval.

    Args:
        values: one figure per run, shape (runs,), at least two.
        level: coverage, between 0 and 1.

    >>> f"{mean_interval([1.0, 2.0, 3.0]):.2f}"
    '2.00 [-0.48, 4.48]'
    """
    from scipy import stats

    values = _values(values)
    require(len(values) >= 2, "values", "at least two runs", len(values))
    error = stats.sem(values)
    if error == 0:
        return Interval(float(values.mean()), float(values[0]), float(values[0]))
    low, high = stats.t.interval(_level(level), len(values) - 1, loc=values.mean(), scale=error)
    return Interval(float(values.mean()), float(low), float(high))


def bootstrap(
    values: ArrayLike, statistic: Callable | None = None, *, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return a statistic with its percentile bootstrap interval, resampling the first axis.

    Args:
        values: one entry per independent unit (a prompt, an address, a person), shape (units, ...).
        statistic: a function from such an array to a number; None means the mean.
        level: coverage, between 0 and 1.
        seed: the seed of the resampling; the same seed gives the same interval.

    >>> bootstrap([4.0, 4.0, 4.0])
    Interval(estimate=4.0, low=4.0, high=4.0)
    """
    import numpy as np

    values = _values(values)
    statistic = statistic or np.mean
    draw = np.random.default_rng(seed)
    picks = draw.integers(len(values), size=(RESAMPLES, len(values)))
    replicates = np.array([statistic(values[pick]) for pick in picks])
    tail = (1 - _level(level)) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return Interval(float(statistic(values)), float(low), float(high))


def sign_flip(differences: ArrayLike, seed: int = 0) -> float:
    """Return the two-sided p-value of paired differences under the null that each could as well have the other sign.

    Args:
        differences: one difference per pair, shape (pairs,); exact up to 13 pairs, else 9,999 random flips.
        seed: the seed of the random flips.

    >>> sign_flip([1.0, 2.0, 3.0])
    0.25
    """
    import numpy as np
    from scipy.stats import permutation_test

    differences = _values(differences)
    require(len(differences) >= 2, "values", "at least two pairs", len(differences))
    result = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=9_999,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def auc(lower: ArrayLike, higher: ArrayLike) -> float:
    """Return the chance that a value of `lower` lies below one of `higher`, ties counting half: the area under the ROC curve.

    Args:
        lower, higher: finite values, shape (n,) and (m,), at least one each.

    >>> auc([1.0, 2.0], [2.0, 3.0])
    0.875
    """
    from scipy.stats import mannwhitneyu

    lower, higher = _values(lower), _values(higher)
    return float(
        mannwhitneyu(higher, lower, method="asymptotic").statistic / (len(lower) * len(higher))
    )


def holm(p_values: ArrayLike) -> list[float]:
    """Return p-values adjusted for having tested several hypotheses: the chance of one false alarm or more stays below the level.

    Args:
        p_values: one per test, shape (tests,), each from 0 to 1.

    Returns:
        The adjusted p-values, in the order given; reject those below the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    import numpy as np

    p_values = _values(p_values)
    require(
        bool(((p_values >= 0) & (p_values <= 1)).all()),
        "p_values",
        "probabilities from 0 to 1",
        p_values.tolist(),
    )
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted.tolist()


def _values(values: ArrayLike) -> np.ndarray:
    import numpy as np

    array = np.asarray(values, dtype=float)
    require(array.ndim >= 1 and len(array) > 0, "values", "at least one value", values)
    require(bool(np.isfinite(array).all()), "values", "finite numbers", values)
    return array


def _level(level: float) -> float:
    require(0 < level < 1, "level", "a coverage between 0 and 1, such as 0.95", level)
    return level
