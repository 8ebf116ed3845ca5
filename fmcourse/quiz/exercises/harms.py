"""The exercises of notebook 06: a lead, a threshold that counts every look, none in ten, and a
price in pairs."""

from __future__ import annotations

import functools
import operator
import statistics
from collections.abc import Callable

import numpy as np
import scipy.stats

from fmcourse import stats
from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]

HARM = 0.1  # as safeguards.HARM
UPPER_END = stats.wilson(0, 10).high
STEPS = [0, 10, 20, 30]


def _lead(
    steps: list[int],
    values: list[float],
    harm: list[float],
    threshold: float,
    fires: Callable = operator.gt,
) -> int:
    alarm = next(step for step, value in zip(steps, values) if fires(value, threshold))
    return next(step for step, share in zip(steps, harm) if share >= HARM) - alarm


def _mean_with(error: Callable[[np.ndarray], float]) -> Callable:
    """Return an answer: the mean of the pairs' differences, with this function of them as its
    error."""

    def price(unmended: list[float], mended: list[float], seeds: int) -> list[float]:
        differences = np.subtract(mended, unmended)
        return [differences.mean(), error(differences)]

    return price


_price = _mean_with(scipy.stats.sem)


def _price_turned(unmended: list[float], mended: list[float], seeds: int) -> list[float]:
    mean, error = _price(unmended, mended, seeds)
    return [-mean, error]


def _price_unpaired(unmended: list[float], mended: list[float], seeds: int) -> list[float]:
    spread = statistics.variance(unmended) + statistics.variance(mended)
    return [_price(unmended, mended, seeds)[0], (spread / seeds) ** 0.5]


EXERCISES = {
    "lead-time": Exercise(
        reference=_lead,
        cases=(
            (STEPS, [0.6, 0.8, 0.9, 0.9], [0.0, 0.0, 0.05, 0.3], 0.6),
            (STEPS, [0.5, 0.6, 0.6, 0.9], [0.0, 0.1, 0.2, 0.3], 0.6),
            (STEPS, [0.7, 0.6, 0.6, 0.9], [0.0, 0.0, 0.1, 0.3], 0.6),
        ),
        mistakes={
            "no sign": lambda *run: abs(_lead(*run)),
            "cut at zero": lambda *run: max(0, _lead(*run)),
            "at threshold": functools.partial(_lead, fires=operator.ge),
            "checkpoints": lambda steps, *run: _lead(list(range(len(steps))), *run),
        },
    ),
    "stop-or-go": Exercise(reference=1, mistakes={"go on": 2, "undecidable": 3}),
    "every-look": Exercise(
        reference=lambda runs: max(max(run) for run in runs),
        cases=(
            ([[0.5, 0.6, 0.4], [0.5, 0.5, 0.7]],),
            ([[0.1, 0.9, 0.3], [0.2, 0.2, 0.2], [0.4, 0.3, 0.5]],),
            ([[0.5, 0.4, 0.3, 0.2]],),
        ),
        mistakes={
            "every twentieth look": lambda runs: np.quantile(np.concatenate(runs), 0.95),
            "last look": lambda runs: max(run[-1] for run in runs),
            "mean of highest": lambda runs: statistics.mean(max(run) for run in runs),
        },
    ),
    "none-in-ten": Exercise(
        reference=UPPER_END,
        tolerance=0.005,
        mistakes={
            "estimate": 0,
            "level": 0.05,
            "rule of three": 0.3,
            "exact interval": 1 - 0.025**0.1,
        },
    ),
    "paired-price": Exercise(
        reference=_price,
        cases=(
            ([4.0, 5.0, 6.0], [4.2, 5.2, 6.2], 3),
            ([4.5, 4.0], [4.4, 4.2], 2),
            ([3.0, 5.0, 4.0, 4.5], [3.5, 4.5, 4.0, 4.9], 4),
        ),
        mistakes={
            "unpaired": _price_unpaired,
            "sign": _price_turned,
            "spread": _mean_with(lambda differences: differences.std(ddof=1)),
            "known mean": _mean_with(lambda differences: scipy.stats.sem(differences, ddof=0)),
        },
    ),
}
