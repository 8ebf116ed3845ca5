"""How sharp is a curve, and where does it turn? BIG-bench's two scores, a null, and turning points.

Serves notebook 01. A curve is a scale (width, parameters, steps), strictly increasing, and one score for each. Sources:
Srivastava et al. 2023 (linearity and breakthroughness, appendix B), Schaeffer et al. 2023 (exact match as a product).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from fmcourse import uncertainty
from fmcourse.arguments import require
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

__all__ = [
    "breakthroughness",
    "independent_exact",
    "linearity",
    "permutation_p",
    "sharpness",
    "turning_point",
]

FEWEST_POINTS = 3  # two points are always a straight line
SHUFFLES = 9_999


def linearity(scale: ArrayLike, score: ArrayLike) -> float:
    """Return BIG-bench's linearity: the signed rise over (number of steps x root-mean-square step), 1 for equal steps.

    The rise is the largest score minus the smallest, negative when the smallest comes later. The paper's appendix could not
    be read here: that the mean square stands below the line is taken from public analyses, and the division by the number
    of steps, which makes a straight line 1, is ours.

    Args:
        scale: strictly increasing, shape (points,), at least 3; its order alone matters.
        score: one figure per point, in any unit.

    Returns:
        A number from -1 to 1; NaN for a constant score.

    Raises:
        ValueError: fewer than 3 points, unequal lengths, a scale that does not increase, values that are not finite.

    >>> linearity([1, 2, 4], [0.0, 0.5, 1.0])
    1.0
    """
    import numpy as np

    score = _curve(scale, score)
    steps = np.diff(score)
    return _ratio(_rise(score), len(steps) * math.sqrt(np.square(steps).mean()))


def breakthroughness(scale: ArrayLike, score: ArrayLike, resolution: float = 0.0) -> float:
    """Return BIG-bench's breakthroughness: the signed rise over the root of the *median* squared step, high for one jump.

    Args:
        scale, score: as for :func:`linearity`.
        resolution: the smallest step that the score can tell from noise, such as 1 / items; a smaller median step counts
            as this one. 0 is BIG-bench's definition.

    Returns:
        A number from minus to plus infinity: infinite when at least half of the steps are 0 and `resolution` is 0; NaN
        for a constant score.

    Raises:
        ValueError: as for :func:`linearity`, or a negative `resolution`.

    >>> breakthroughness([1, 2, 3, 4], [0.0, 0.1, 0.9, 1.0])
    10.0
    """
    import numpy as np

    require(resolution >= 0, "resolution", "a step of at least 0", resolution)
    score = _curve(scale, score)
    median = math.sqrt(np.median(np.square(np.diff(score))))
    return _ratio(_rise(score), max(median, resolution))


def sharpness(
    scale: ArrayLike, runs: ArrayLike, statistic: Callable = linearity, seed: int = 0
) -> Interval:
    """Return the mean of a statistic over seeds with its interval, computed run by run.

    A mean of curves would be smoother than any of them, so each run has its own score.

    Args:
        scale: as for :func:`linearity`.
        runs: one curve per seed, shape (seeds, points).
        statistic: :func:`linearity` or :func:`breakthroughness`, or one with its resolution filled in.
        seed: the seed of the resampling.

    Raises:
        ValueError: fewer than two runs, a run that is constant, or one that is infinitely sharp; a resolution mends the last.
    """
    import numpy as np

    found = [statistic(scale, run) for run in runs]
    require(len(found) >= 2, "runs", "at least two curves", found)
    require(
        bool(np.isfinite(found).all()), "runs", "curves whose statistic is a finite number", found
    )
    return uncertainty.bootstrap(found, seed=seed)


def permutation_p(
    scale: ArrayLike, score: ArrayLike, statistic: Callable = linearity, seed: int = 0
) -> float:
    """Return how often the same scores in random order reach the statistic, as a one-sided p-value.

    Args:
        scale, score, statistic: as for :func:`sharpness`, one curve; exact up to 7 points, else 9,999 random orders.
        seed: the seed of the random orders.

    Returns:
        A number above 0, up to 1; NaN for a constant score, which has one order only.

    >>> round(permutation_p([1, 2, 3, 4], [0.0, 0.3, 0.7, 1.0]), 3)
    0.042
    """
    import numpy as np
    from scipy.stats import permutation_test

    score = _curve(scale, score)
    if _rise(score) == 0:
        return math.nan
    result = permutation_test(
        (score,),
        lambda shuffled: float(
            np.nan_to_num(statistic(scale, shuffled))
        ),  # an infinite one counts as the largest number
        permutation_type="pairings",
        alternative="greater",
        vectorized=False,
        n_resamples=SHUFFLES,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def independent_exact(places: ArrayLike) -> np.ndarray:
    """Return the exact match that independent errors would give: the product of the accuracies of all places.

    Args:
        places: accuracies from 0 to 1, shape (..., places).

    Returns:
        A new array, shape (...).

    >>> float(independent_exact([0.9, 0.9, 1.0]).round(2))
    0.81
    """
    import numpy as np

    places = np.asarray(places, dtype=float)
    require(places.ndim >= 1 and places.shape[-1] > 0, "places", "at least one place", places)
    require(bool(((places >= 0) & (places <= 1)).all()), "places", "accuracies from 0 to 1", places)
    return places.prod(-1)


def turning_point(scale: ArrayLike, score: ArrayLike, threshold: float = 0.5) -> float:
    """Return the first scale at which the score reaches the threshold, on a straight line between two measurements.

    Args:
        scale, score: as for :func:`linearity`.
        threshold: fixed before the run.

    Returns:
        A number within the scale; NaN when the threshold is never reached.

    >>> turning_point([0, 100, 200], [0.0, 0.4, 0.8])
    125.0
    """
    import numpy as np

    score, scale = _curve(scale, score), np.asarray(scale, dtype=float)
    reached = np.flatnonzero(score >= threshold)
    if len(reached) == 0:
        return math.nan
    after = reached[0]
    if after == 0:
        return float(scale[0])
    return float(np.interp(threshold, score[after - 1 : after + 1], scale[after - 1 : after + 1]))


def _curve(scale: ArrayLike, score: ArrayLike) -> np.ndarray:
    import numpy as np

    scale, score = np.asarray(scale, dtype=float), np.asarray(score, dtype=float)
    require(
        scale.ndim == 1 and scale.shape == score.shape,
        "score",
        "one for each scale",
        (scale.shape, score.shape),
    )
    require(len(scale) >= FEWEST_POINTS, "scale", f"at least {FEWEST_POINTS} points", len(scale))
    require(bool(np.isfinite(scale).all()), "scale", "finite numbers", scale.tolist())
    require(bool(np.isfinite(score).all()), "score", "finite numbers", score.tolist())
    require(
        bool((np.diff(scale) > 0).all()), "scale", "strictly increasing numbers", scale.tolist()
    )
    return score


def _rise(score: np.ndarray) -> float:
    sign = 1 if score.argmax() > score.argmin() else -1
    return sign * float(score.max() - score.min())


def _ratio(rise: float, step: float) -> float:
    if rise == 0:
        return math.nan
    return rise / step if step else math.copysign(math.inf, rise)
