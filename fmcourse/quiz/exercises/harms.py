"""The exercises of notebook 06: a lead, a threshold that counts every look, none in ten, and a
price in pairs."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable

import numpy as np
import scipy.stats

from fmcourse.quiz.exercises import Exercise

HARM = 0.1  # as safeguards.HARM


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


def _price_unpaired(unmended: list[float], mended: list[float], seeds: int) -> list[float]:
    error = np.hypot(scipy.stats.sem(unmended), scipy.stats.sem(mended))
    return [_price(unmended, mended, seeds)[0], error]


EXERCISES = {
    "lead-time": Exercise(
        reference=_lead,
        mistakes={
            "no sign": lambda *run: abs(_lead(*run)),
            "cut at zero": lambda *run: max(0, _lead(*run)),
            "at threshold": functools.partial(_lead, fires=operator.ge),
            "checkpoints": lambda steps, *run: _lead(list(range(len(steps))), *run),
        },
    ),
    "every-look": Exercise(
        reference=lambda runs: max(max(run) for run in runs),
        mistakes={
            "every twentieth look": lambda runs: np.quantile(np.concatenate(runs), 0.95),
            "last look": lambda runs: max(run[-1] for run in runs),
            "mean of highest": lambda runs: np.mean([max(run) for run in runs]),
        },
    ),
    "paired-price": Exercise(
        reference=_price,
        mistakes={
            "unpaired": _price_unpaired,
            "sign": lambda unmended, mended, seeds: _price(mended, unmended, seeds),
            "spread": _mean_with(lambda differences: differences.std(ddof=1)),
            "known mean": _mean_with(lambda differences: scipy.stats.sem(differences, ddof=0)),
        },
    ),
}
