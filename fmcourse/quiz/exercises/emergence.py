"""The exercises of notebook 01: none of n, four sharp curves, and breakthroughness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmcourse import emergence, stats
from fmcourse.quiz.exercises import Exercise


def _over(score: np.ndarray, average: Callable[[np.ndarray], float]) -> float:
    """Return the signed rise over the root of an average squared step."""
    sign = 1 if score.argmax() > score.argmin() else -1
    return sign * np.ptp(score) / np.sqrt(average(np.diff(score) ** 2))


EXERCISES = {
    "breakthroughness": Exercise(
        reference=lambda score: emergence.breakthroughness(range(len(score)), score),
        array=np.array,
        mistakes={
            "mean step": lambda score: _over(score, np.mean),
            "no sign": lambda score: abs(_over(score, np.median)),
            "largest step": lambda score: _over(score, np.max),
            "last minus first": (
                lambda score: (score[-1] - score[0]) / np.sqrt(np.median(np.diff(score) ** 2))
            ),
            "absolute steps": (
                lambda score: _over(score, lambda squares: np.median(np.sqrt(squares)) ** 2)
            ),
        },
    ),
    "none-of-n": Exercise(
        reference=lambda items: stats.wilson(0, items).high,
        mistakes={
            "zero": lambda items: 0.0,
            "rule of three": lambda items: 3 / items,
            "exact interval": lambda items: 1 - 0.025 ** (1 / items),
            "normal": lambda items: 1.96 * (0.5 * 0.5 / items) ** 0.5,
            "one of n": lambda items: 1 / items,
        },
    ),
}
