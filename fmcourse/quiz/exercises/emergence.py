"""The exercises of notebook 01: none of n, four sharp curves, and breakthroughness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmcourse import emergence, stats
from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]


def _over(score: np.ndarray, average: Callable[[np.ndarray], float]) -> float:
    """Return the unsigned rise over the root of an average squared step."""
    return np.ptp(score) / np.sqrt(average(np.diff(score) ** 2))


def _sign(score: np.ndarray) -> int:
    return 1 if score.argmax() > score.argmin() else -1


EXERCISES = {
    "breakthroughness": Exercise(
        reference=lambda score: emergence.breakthroughness(range(len(score)), score),
        cases=(
            (np.array([0.0, 0.1, 0.2, 0.9, 1.0]),),
            (np.array([0.3, 0.4, 0.9]),),
            (np.array([1.0, 0.5, 0.4, 0.2]),),
            # Neither its highest nor its lowest value stands at an end.
            (np.array([0.3, 0.1, 0.9, 0.6]),),
        ),
        mistakes={
            "mean step": lambda score: _over(score, np.mean) * _sign(score),
            "no sign": lambda score: _over(score, np.median),
            "largest step": lambda score: _over(score, np.max) * _sign(score),
            "last minus first": (
                lambda score: (score[-1] - score[0]) / np.sqrt(np.median(np.diff(score) ** 2))
            ),
            "absolute steps": (
                lambda score: np.ptp(score) * _sign(score) / np.median(abs(np.diff(score)))
            ),
        },
    ),
    "none-of-n": Exercise(
        reference=lambda items: stats.wilson(0, items).high,
        cases=((10,), (1_000,), (50,)),
        tolerance=1e-3,
        mistakes={
            "zero": lambda items: 0.0,
            "rule of three": lambda items: 3 / items,
            "exact interval": lambda items: 1 - 0.025 ** (1 / items),
            "normal": lambda items: 1.96 * (0.5 * 0.5 / items) ** 0.5,
            "one of n": lambda items: 1 / items,
        },
    ),
    "four-causes": Exercise(
        # A: 20 sums and one seed. B, D: a smooth score turns at the same place. C: 16 digits.
        reference=[2, 3, 1, 3],
        mistakes={
            "all metric": [1, 1, 1, 1],
            "exact match": [2, 3, 1, 1],
            "sampling as change": [3, 3, 1, 3],
            "sampling as metric": [1, 3, 1, 3],
        },
    ),
}
