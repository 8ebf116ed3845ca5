"""A power law through the turning points of several sizes, and a forecast for a larger one; for
notebook 01.

Sources: Snell et al. 2024 (a law of
emergence fitted on small models), Tobin 1958 (regression with values known only to lie beyond a
limit).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import log_ndtr
from scipy.stats import t
from statsmodels.tools.numdiff import approx_hess

from fmcourse import stats
from fmcourse.arguments import real, require
from fmcourse.stats import Interval

__all__ = ["Law", "fit_law", "forecast"]

# That turned: the law's line has two numbers, and its spread needs one run more.
FEWEST_RUNS = 3
# In log steps: no two seeds agree better, and a law through few runs would claim that they do.
LEAST_SPREAD = 0.01
# The simplex needs no gradient, which in steps of 1e-8 is too rough to see that it has arrived.
SEARCH = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 5_000, "maxfev": 5_000}


@dataclass(frozen=True)
class Law:
    """A power law of turning points: ``log(turning) = intercept + slope * log(scale)``, with normal
    errors of size `spread`."""

    intercept: float
    slope: float
    spread: float

    def at(self, scale: float) -> float:
        """Return the turning point in the middle of the law."""
        return math.exp(self.intercept + self.slope * math.log(scale))


def fit_law(scale: ArrayLike, turning: ArrayLike, limit: float) -> Law:
    """Fit a power law to turning points by maximum likelihood; a run that never turned says "later
    than the limit".

    Leaving such runs out would make the slow sizes look fast. The spread is corrected for the two
    numbers that the line took from the runs that turned. Snell et al. 2024 vary the data of
    *fine-tuning* and ask at which size an ability appears; here the models are trained from
    scratch, and size and data change places.

    Args:
        scale: the size of each run, shape (runs,), positive, at least two different ones.
        turning: its turning point, shape (runs,); NaN for a run that had not turned at `limit`.
        limit: how far every run went, positive.

    Raises:
        ValueError: unequal lengths, sizes or turning points that are not positive, fewer than
            three runs that turned, or data for which no law is the most likely.
    """
    x, y = _law_data(scale, turning, limit)
    seen, centre = np.isfinite(y), x.mean()
    x = x - centre  # so that slope and intercept can be sought apart
    slope, intercept = np.polyfit(x[seen], y[seen], 1)
    residual = np.std(y[seen] - intercept - slope * x[seen])
    start = [intercept, slope, math.log(max(residual, LEAST_SPREAD))]
    data = (x, y, math.log(limit))
    result = minimize(_misfit, start, args=data, method="Nelder-Mead", options=SEARCH)
    found = result.x
    converged = result.success and np.isfinite(found).all()
    require(converged, "turning", "runs that a power law can be fitted to", result.message)
    spread = _spread(found) * math.sqrt(seen.sum() / (seen.sum() - 2))
    return Law(float(found[0] - found[1] * centre), float(found[1]), spread)


def forecast(
    scale: ArrayLike, turning: ArrayLike, limit: float, target: float, level: float = 0.9
) -> Interval:
    """Return where one new run of size `target` should turn: the law's middle, and the ends between
    which such a run falls.

    Student's t, with as many degrees of freedom as runs turned, less two; where every run turned,
    this is the prediction interval of a straight line. It holds as far as the law does: that the
    line bends beyond the sizes seen is not in it.

    Args:
        scale, turning, limit: as for :func:`fit_law`.
        target: the size to forecast, positive.
        level: the share of new runs that the interval should hold.

    Raises:
        ValueError: as for :func:`fit_law`, or a `target` or `level` out of range.
    """
    require(real(target) and target > 0, "target", "a positive size", target)
    require(real(level) and 0 < level < 1, "level", "a share between 0 and 1", level)
    law, (x, y) = fit_law(scale, turning, limit), _law_data(scale, turning, limit)

    def misfit(line: np.ndarray) -> float:
        return _misfit([*line, math.log(law.spread - LEAST_SPREAD)], x, y, math.log(limit))

    # The curvature of the misfit says how well the line is known.
    covariance = np.linalg.inv(approx_hess([law.intercept, law.slope], misfit))
    place = np.array([1.0, math.log(target)])
    error = math.sqrt(law.spread**2 + place @ covariance @ place)
    reach = t.ppf((1 + level) / 2, np.isfinite(y).sum() - 2) * error
    middle = law.at(target)
    return Interval(middle, middle * math.exp(-reach), middle * math.exp(reach))


def _law_data(scale: ArrayLike, turning: ArrayLike, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of sizes and turning points, NaN for a run that had not turned."""
    require(real(limit) and limit > 0, "limit", "a positive number of steps", limit)
    sizes, turned = stats.numbers("scale", scale), np.array(turning, dtype=float)
    seen = np.isfinite(turned)
    inside = sizes.shape == turned.shape and ((turned > 0) & (turned <= limit))[seen].all()
    enough = inside and seen.sum() >= FEWEST_RUNS
    expected = f"one for each scale, up to the limit {limit:g}, at least {FEWEST_RUNS} that turned"
    require(enough, "turning", expected, turned.tolist())
    fits = (sizes > 0).all() and len(np.unique(sizes[seen])) >= 2
    require(fits, "scale", "positive, runs that turned at two or more", sizes.tolist())
    return np.log(sizes), np.log(turned)


def _misfit(law: Sequence[float], x: np.ndarray, y: np.ndarray, limit: float) -> float:
    """Return the negative log likelihood of a law, without constants; runs that had not turned by
    the limit count too."""
    spread, seen = _spread(law), np.isfinite(y)
    middle = law[0] + law[1] * x
    turned = -0.5 * np.square((y[seen] - middle[seen]) / spread).sum() - seen.sum() * math.log(
        spread
    )
    return -(turned + log_ndtr((middle[~seen] - limit) / spread).sum())


def _spread(law: Sequence[float]) -> float:
    return LEAST_SPREAD + math.exp(law[2])
