"""The exercises of notebook 00: a real difference, a missing control, the cost of training."""

from __future__ import annotations

import numpy as np
from scipy.stats import ttest_ind

from fmcourse import stats
from fmcourse.quiz.exercises import Exercise


def _ends(differences: np.ndarray) -> tuple[float, float]:
    interval = stats.mean_interval(differences)
    return interval.low, interval.high


def _of_two_groups(a: list[float], b: list[float]) -> tuple[float, float]:
    interval = ttest_ind(a, b, equal_var=False).confidence_interval()
    return interval.low, interval.high


EXERCISES = {
    "real-difference": Exercise(
        reference=lambda a, b: _ends(np.subtract(a, b)),
        mistakes={
            "two groups": _of_two_groups,
            "only A": lambda a, b: _ends(np.array(a)),
            "sorted": lambda a, b: _ends(np.sort(a) - np.sort(b)),
        },
    ),
    "training-cost": Exercise(
        reference=lambda parameters, tokens: 6 * parameters * tokens,
        mistakes={
            "forward only": lambda parameters, tokens: 2 * parameters * tokens,
            "backward only": lambda parameters, tokens: 4 * parameters * tokens,
            "one operation": lambda parameters, tokens: parameters * tokens,
        },
    ),
}
