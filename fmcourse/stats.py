"""Intervals and tests for few runs and many items, over SciPy and statsmodels; for every notebook.

Values that are all equal do not say how sure their mean is: the ends of their interval are NaN,
and an evidence row with such an interval is undecided.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, sem, t
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from fmcourse.arguments import real, require

LEVEL = 0.95  # the coverage of every interval, unless a caller asks for a different one
# Below this many units a bootstrap covers less than it says, and Student's t does not.
FEW = 20
# The Monte-Carlo error of a bootstrap end is then about a fiftieth of the interval's width.
RESAMPLES = 5_000
# A variance needs fewer: its Monte-Carlo error is then about 5%.
VARIANCE_RESAMPLES = 1_000
# Values that differ by less than this part of the largest count as equal.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """An estimate with the two ends of its interval, in the unit of the estimate.

    An end is infinite where the data set no bound, and NaN where they do not say how sure it is.
    """

    estimate: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.estimate:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def wilson(successes: float, trials: float) -> Interval:
    """Return a share of counted, independent trials with its interval (Wilson 1927).

    Args:
        successes: how many of the trials succeeded, a whole number from 0 to `trials`.
        trials: how many there were, at least 1.

    Raises:
        ValueError: an argument out of range.

    >>> f"{wilson(0, 1000):.4f}"
    '0.0000 [0.0000, 0.0038]'
    """
    _check_trials(successes, trials, "successes", "trials")
    low, high = proportion_confint(successes, trials, 1 - LEVEL, method="wilson")
    share = float(successes / trials)
    # Rounding can leave a share of 0 or 1 just outside.
    return Interval(share, min(float(low), share), max(float(high), share))


def share_difference(first: tuple[float, float], second: tuple[float, float]) -> Interval:
    """Return a share minus another of different trials (Newcombe 1998, tenth method).

    Args:
        first, second: successes and trials of each, as in :func:`wilson`.

    >>> f"{share_difference((56, 70), (48, 80)):.4f}"
    '0.2000 [0.0524, 0.3339]'
    """
    _check_trials(*first, "first", "first")
    _check_trials(*second, "second", "second")
    low, high = confint_proportions_2indep(
        *first, *second, method="newcomb", compare="diff", alpha=1 - LEVEL
    )
    return Interval(float(first[0] / first[1] - second[0] / second[1]), float(low), float(high))


def mean_interval(values: ArrayLike) -> Interval:
    """Return the mean of independent runs with Student's t interval; NaN ends when all are equal.

    Args:
        values: one number per run, shape (runs,), at least two.

    >>> f"{mean_interval([1.0, 2.0, 3.0]):.2f}"
    '2.00 [-0.48, 4.48]'
    """
    array = _row("values", values)
    return _around(array.mean(), sem(array) * _student(len(array)))


def share_interval(
    shares: ArrayLike, counts: ArrayLike | None = None, *, whole: float = 1.0
) -> Interval:
    """Return the mean of shares measured over units, with Student's t interval on the logit scale.

    The interval never leaves the range from 0 to `whole`. Where every unit is at one end of it, the
    interval is the exact one for as many single trials, which holds for any shares.

    Args:
        shares: one per independent unit (a run, a person, an address), at least two.
        counts: how many trials stand behind each share, its weight; None means equal weights.
        whole: the largest possible share: 1, or 100 for percent.

    Returns:
        NaN ends when all shares are equal and lie between 0 and `whole`.

    >>> f"{share_interval([0.9, 1.0, 0.95]):.2f}"
    '0.95 [0.58, 1.00]'
    """
    array = _row("shares", shares) / whole
    inside = ((array >= 0) & (array <= 1)).all()
    require(inside, "shares", f"numbers from 0 to {whole:g}", shares)
    units = len(array)
    weights = np.ones(units) if counts is None else _row("counts", counts)
    fits = weights.shape == array.shape and (weights > 0).all()
    require(fits, "counts", f"{units} counts above 0, one for each share", counts)
    mean = float(np.average(array, weights=weights))
    if mean in (0.0, 1.0):
        low, high = proportion_confint(units * mean, units, 1 - LEVEL, method="beta")
        return Interval(whole * mean, whole * float(low), whole * float(high))
    # The variance of a ratio of two sums over units.
    parts = units * weights / weights.sum() * (array - mean)
    error = np.sqrt((parts**2).sum() / (units - 1) / units)
    return _logit_ends(mean, error * _student(units), whole)


def bootstrap(values: ArrayLike, statistic: Callable | None = None) -> Interval:
    """Return a smooth statistic of independent units with its interval.

    From :data:`FEW` units on it is the BCa bootstrap (Efron 1987). Below, it is Student's t over
    the jackknife's pseudo-values (Tukey 1958), which for a mean are the values.

    Args:
        values: one entry per unit (a prompt, an address), shape (units, ...), at least two.
        statistic: a function from such an array to a number; None means the mean. A median has
            :func:`median_interval`.

    Returns:
        NaN ends when all units, or all resamples, are equal.

    >>> f"{bootstrap([1.0, 2.0, 3.0]):.2f}"
    '2.00 [-0.48, 4.48]'
    """
    array = numbers("values", values)
    units = len(array)
    require(units >= 2, "values", "at least two units", values)
    measure = np.mean if statistic is None else statistic
    estimate = float(measure(array))
    require(np.isfinite(estimate), "values", "units for which the statistic is finite", values)
    if units < FEW:
        left_out = [float(measure(np.delete(array, unit, axis=0))) for unit in range(units)]
        pseudo_values = units * estimate - (units - 1) * np.array(left_out)
        return _around(estimate, sem(pseudo_values) * _student(units))
    with warnings.catch_warnings():
        # NaN ends say that all resamples are equal.
        warnings.simplefilter("ignore", RuntimeWarning)
        ends = scipy.stats.bootstrap(
            (np.arange(units),),
            lambda picked: measure(array[picked]),
            n_resamples=RESAMPLES,
            batch=100,
            vectorized=False,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
    return _interval(estimate, ends.low, ends.high)


def crossed_interval(
    values: ArrayLike,
    statistic: Callable | None = None,
    *,
    whole: float | None = None,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Return a statistic averaged over seeds, for seeds and items that each are a sample.

    The squared half-width is that of Student's t over the seeds plus that of Student's t over the
    items, which all seeds have in common. It covers at least as often as it says.

    Args:
        values: shape (seeds, items, ...), at least two of each.
        statistic: a function from the entries of one seed, shape (items, ...), to a number; None
            means the mean.
        whole: for shares the largest possible one; the interval is then on the logit scale.
        level: coverage, between 0 and 1.
        seed: the seed of the resampling of the items, for a statistic other than the mean.

    Returns:
        NaN ends when neither seeds nor items differ.

    Raises:
        ValueError: fewer seeds or items, or a resample for which the statistic is not finite.
    """
    array = numbers("values", values)
    fits = array.ndim >= 2 and min(array.shape[:2]) >= 2
    require(fits, "values", "shape (seeds, items, ...), at least two of each", array.shape)
    seeds, items = array.shape[:2]
    of_seeds, of_items = _student(seeds, level), _student(items, level)
    if statistic is None:
        by_seed = array.reshape(seeds, -1).mean(axis=1)
        by_item = array.mean(axis=0).reshape(items, -1).mean(axis=1)
        items_error = sem(by_item)
    else:
        by_seed = np.array([statistic(one) for one in array])
        draw = np.random.default_rng(seed)
        replicates = []
        for _ in range(VARIANCE_RESAMPLES):
            picked = draw.integers(items, size=items)
            replicates.append(np.mean([statistic(one[picked]) for one in array]))
        defined = np.isfinite([*by_seed, *replicates]).all()
        require(defined, "values", "a statistic that is finite in every resample", "NaN in some")
        items_error = np.std(replicates, ddof=1)
    estimate = by_seed.mean()
    half = np.hypot(sem(by_seed) * of_seeds, items_error * of_items)
    if whole is None:
        return _around(estimate, half)
    inside = 0 <= by_seed.min() and by_seed.max() <= whole
    require(inside, "values", f"shares from 0 to {whole:g}", by_seed.tolist())
    return _logit_ends(estimate / whole, half / whole, whole)


def median_interval(values: ArrayLike, censored: ArrayLike | None = None) -> Interval:
    """Return the median with its interval from the Kaplan-Meier curve (Brookmeyer & Crowley 1982).

    Args:
        values: one number per independent unit, shape (units,), at least five: fewer all lie above
            the median too often.
        censored: which values are only lower bounds, shape (units,); None means none.

    Returns:
        Where too few units are uncensored for the median or the upper end, these are infinite.

    >>> median_interval([3.0, 5.0, 9.0, 9.0, 9.0], [False, False, True, True, True])
    Interval(estimate=inf, low=3.0, high=inf)
    """
    array = _row("values", values, least=5)
    bound = np.zeros(len(array), bool) if censored is None else np.asarray(censored, bool)
    require(bound.shape == array.shape, "censored", f"shape {array.shape}", bound.shape)
    data = scipy.stats.CensoredData(uncensored=array[~bound], right=array[bound])
    survival = scipy.stats.ecdf(data).sf
    with warnings.catch_warnings():
        # The formula has no ends where nobody is left; the interval is open there.
        warnings.simplefilter("ignore", RuntimeWarning)
        ends = survival.confidence_interval(LEVEL, method="log-log")
    at_half = _first(survival.quantiles, survival.probabilities <= 0.5)
    below_half = _first(survival.quantiles, survival.probabilities < 0.5)
    return Interval(
        (at_half + below_half) / 2,
        _first(ends.low.quantiles, ends.low.probabilities <= 0.5),
        _first(ends.high.quantiles, ends.high.probabilities < 0.5),
    )


def sign_flip(differences: ArrayLike) -> float:
    """Return the two-sided p-value of paired differences if each could as well have the other sign.

    Args:
        differences: one per pair, shape (pairs,), at least two. Exact up to 13 pairs, else with
            9,999 random flips (Fisher 1935).

    >>> sign_flip([1.0, 2.0, 3.0])
    0.25
    """
    result = scipy.stats.permutation_test(
        (_row("differences", differences),),
        np.mean,
        permutation_type="samples",
        n_resamples=9_999,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def auc(lower: ArrayLike, higher: ArrayLike) -> float:
    """Return the area under the ROC curve: the chance that a `lower` value is below a `higher`.

    Args:
        lower, higher: finite values, shape (n,) and (m,), at least one each; ties count half.

    >>> auc([1.0, 2.0], [2.0, 3.0])
    0.875
    """
    one, other = _row("lower", lower, least=1), _row("higher", higher, least=1)
    return float(roc_auc_score(np.repeat([0, 1], [len(one), len(other)]), np.append(one, other)))


def auc_interval(lower: ArrayLike, higher: ArrayLike) -> Interval:
    """Return :func:`auc` with an interval that has a width at 1 too (Newcombe 2006, method 5).

    Args:
        lower, higher: as in :func:`auc`, at least two independent units each.
    """
    sizes = len(_row("lower", lower)), len(_row("higher", higher))
    area = auc(lower, higher)
    z = norm.ppf((1 + LEVEL) / 2)

    def too_far(end: float) -> float:
        pairs = sum(sizes) / 2 - 1
        spread = 1 + pairs * (1 - end) / (2 - end) + pairs * end / (1 + end)
        return (area - end) ** 2 - z**2 * end * (1 - end) * spread / (sizes[0] * sizes[1])

    # The ends are where the distance from the area is z standard errors, one on each side of it.
    low = 0.0 if area == 0 else brentq(too_far, 0.0, area - area * ROUNDING)
    high = 1.0 if area == 1 else brentq(too_far, area + (1 - area) * ROUNDING, 1.0)
    return Interval(area, float(low), float(high))


def holm(p_values: ArrayLike) -> list[float]:
    """Return p-values adjusted for several tests: the level then holds for any false rejection.

    Args:
        p_values: one per test, shape (tests,), each from 0 to 1 (Holm 1979).

    Returns:
        The adjusted p-values, in the order given; reject those below the level.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    array = _row("p_values", p_values, least=1)
    inside = ((array >= 0) & (array <= 1)).all()
    require(inside, "p_values", "probabilities from 0 to 1", p_values)
    return multipletests(array, method="holm")[1].tolist()


def _interval(estimate: float, low: float, high: float) -> Interval:
    """Return an interval, its ends NaN when it has no width."""
    if not high - low > ROUNDING * abs(estimate):
        low = high = float("nan")
    return Interval(float(estimate), float(low), float(high))


def _around(estimate: float, half: float) -> Interval:
    return _interval(estimate, estimate - half, estimate + half)


def _logit_ends(share: float, half: float, whole: float) -> Interval:
    """Return the interval of a share, its half-width carried to the logit scale (delta method)."""
    if half <= ROUNDING:
        return _around(whole * share, 0.0)
    wide = half / (share * (1 - share))
    low, high = expit([logit(share) - wide, logit(share) + wide])
    return Interval(float(whole * share), float(whole * low), float(whole * high))


def _student(units: int, level: float = LEVEL) -> float:
    inside = real(level) and 0 < level < 1
    require(inside, "level", "a coverage between 0 and 1, such as 0.95", level)
    return float(t.ppf((1 + level) / 2, units - 1))


def _first(places: np.ndarray, reached: np.ndarray) -> float:
    return float(places[reached][0]) if reached.any() else float("inf")


def numbers(name: str, values: ArrayLike) -> np.ndarray:
    """Return an argument as floats, shape (n, ...); refuse what is empty, NaN, infinite or text."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError, RuntimeError):
        array = np.array(np.nan)
    filled = array.ndim >= 1 and array.size > 0
    require(filled and np.isfinite(array).all(), name, "finite numbers, at least one", values)
    return array


def _row(name: str, values: ArrayLike, least: int = 2) -> np.ndarray:
    array = numbers(name, values)
    require(array.ndim == 1, name, "one number per unit, shape (units,)", f"shape {array.shape}")
    require(len(array) >= least, name, f"at least {least} values", values)
    return array


def _check_trials(successes: float, trials: float, first: str, second: str) -> None:
    counts = [real(number) and float(number).is_integer() for number in (successes, trials)]
    require(counts[1] and trials >= 1, second, "a whole number of trials, at least 1", trials)
    fits = counts[0] and 0 <= successes <= trials
    require(fits, first, f"a count from 0 to {trials}", successes)
