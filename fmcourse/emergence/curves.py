"""How sharp a curve is and where it turns: BIG-bench's two scores, and turning points; for
notebook 01.

A curve is a scale (width, parameters, steps), strictly increasing, and one
score for each. Sources: Srivastava et al. 2023 (linearity and breakthroughness, appendix B),
Schaeffer et al. 2023 (exact match as a product).
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from fmcourse import stats
from fmcourse.arguments import require
from fmcourse.stats import Interval

__all__ = [
    "breakthroughness",
    "independent_exact",
    "linearity",
    "sharpness",
    "turning_point",
]

FEWEST_POINTS = 3  # two points are always a straight line


def linearity(scale: ArrayLike, score: ArrayLike) -> float:
    """Return BIG-bench's linearity: the signed rise over (number of steps x root-mean-square step),
    1 for equal steps.

    The rise is the largest score minus the smallest, negative when the smallest comes later. The
    paper's appendix could not be read here: that the mean square stands below the line is taken
    from public analyses, and the division by the number of steps, which makes a straight line 1, is
    ours.

    Args:
        scale: strictly increasing, shape (points,), at least 3; its order alone matters.
        score: one figure per point, in any unit.

    Returns:
        A number from -1 to 1; NaN for a constant score.

    Raises:
        ValueError: fewer than 3 points, unequal lengths, a scale that does not increase, values
            that are not finite.

    >>> linearity([1, 2, 4], [0.0, 0.5, 1.0])
    1.0
    """
    score = _curve(scale, score)
    steps = np.diff(score)
    return _ratio(_rise(score), len(steps) * math.sqrt(np.square(steps).mean()))


def breakthroughness(scale: ArrayLike, score: ArrayLike, resolution: float = 0.0) -> float:
    """Return BIG-bench's breakthroughness: the signed rise over the root of the *median* squared
    step, high for one jump.

    Args:
        scale, score: as for :func:`linearity`.
        resolution: the smallest step that the score can tell from noise, such as 1 / items; a
            smaller median step counts as this one. 0 is BIG-bench's definition.

    Returns:
        A number from minus to plus infinity: infinite when at least half of the steps are 0 and
        `resolution` is 0; NaN for a constant score.

    Raises:
        ValueError: as for :func:`linearity`.

    >>> breakthroughness([1, 2, 3, 4], [0.0, 0.1, 0.9, 1.0])
    10.0
    """
    score = _curve(scale, score)
    median = math.sqrt(np.median(np.square(np.diff(score))))
    return _ratio(_rise(score), max(median, resolution))


def sharpness(
    scale: ArrayLike, runs: ArrayLike, statistic: Callable[..., float] = linearity
) -> Interval:
    """Return the mean of a statistic over seeds with Student's t interval, computed run by run.

    A mean of curves would be smoother than any of them, so each run has its own score.

    Args:
        scale: as for :func:`linearity`.
        runs: one curve per seed, shape (seeds, points).
        statistic: :func:`linearity` or :func:`breakthroughness`, or one with its resolution filled
            in.

    Raises:
        ValueError: fewer than two runs, a run that is constant, or one that is infinitely sharp; a
            resolution repairs the last.
    """
    return stats.mean_interval([statistic(scale, curve) for curve in np.atleast_2d(runs)])


def independent_exact(places: ArrayLike) -> np.ndarray:
    """Return the exact match that independent errors would give: the product of the accuracies of
    all places.

    Args:
        places: accuracies from 0 to 1, shape (..., places).

    Returns:
        A new array, shape (...).

    >>> float(independent_exact([0.9, 0.9, 1.0]).round(2))
    0.81
    """
    return stats.numbers("places", places).prod(-1)


def turning_point(scale: ArrayLike, score: ArrayLike, threshold: float = 0.5) -> float:
    """Return the first scale at which the score reaches the threshold, on a straight line between
    two measurements.

    Args:
        scale, score: as for :func:`linearity`.
        threshold: fixed before the run.

    Returns:
        A number within the scale; NaN when the threshold is never reached.

    >>> turning_point([0, 100, 200], [0.0, 0.4, 0.8])
    125.0
    """
    score, scale = _curve(scale, score), np.asarray(scale, dtype=float)
    reached = np.flatnonzero(score >= threshold)
    if len(reached) == 0:
        return math.nan
    after = reached[0]
    if after == 0:
        return float(scale[0])
    return float(np.interp(threshold, score[after - 1 : after + 1], scale[after - 1 : after + 1]))


def _curve(scale: ArrayLike, score: ArrayLike) -> np.ndarray:
    """Return the scores as floats, when scale and scores are a curve."""
    scale, score = stats.numbers("scale", scale), stats.numbers("score", score)
    alike = scale.ndim == 1 and scale.shape == score.shape
    require(alike, "score", "one for each scale", (scale.shape, score.shape))
    rises = len(scale) >= FEWEST_POINTS and (np.diff(scale) > 0).all()
    expected = f"at least {FEWEST_POINTS} strictly increasing numbers"
    require(rises, "scale", expected, scale.tolist())
    return score


def _rise(score: np.ndarray) -> float:
    sign = 1 if score.argmax() > score.argmin() else -1
    return sign * float(score.max() - score.min())


def _ratio(rise: float, step: float) -> float:
    if rise == 0:
        return math.nan
    return rise / step if step else math.copysign(math.inf, rise)
