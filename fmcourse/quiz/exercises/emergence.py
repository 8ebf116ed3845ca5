"""The exercises of notebook 01: independent errors, breakthroughness, none of n, where to look, and
a turning point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmcourse import emergence, uncertainty
from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]

STEPS = np.array([0, 100, 200, 300])


def _over(score: np.ndarray, average: Callable[[np.ndarray], float]) -> float:
    """Return the unsigned rise over the root of an average squared step."""
    return np.ptp(score) / np.sqrt(average(np.diff(score) ** 2))


def _sign(score: np.ndarray) -> int:
    return 1 if score.argmax() > score.argmin() else -1


def _between(steps: np.ndarray, score: np.ndarray) -> float:
    after = (score >= 0.5).argmax()
    share = (0.5 - score[after - 1]) / (score[after] - score[after - 1])
    return steps[after - 1] + share * (steps[after] - steps[after - 1])


EXERCISES = {
    "independent-exact": Exercise(
        reference=emergence.independent_exact,
        cases=tuple((np.array(each),) for each in ([0.9, 0.8, 0.5, 1.0], [0.5, 0.5], [1.0, 0.0])),
        mistakes={
            "mean": lambda places: places.mean(),
            "weakest": lambda places: places.min(),
            "power of mean": lambda places: places.mean() ** len(places),
            "all wrong": lambda places: (1 - places).prod(),
        },
    ),
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
        reference=lambda items: uncertainty.wilson(0, items).high,
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
    "where-to-look": Exercise(
        reference=lambda position, period: position - period + 1,
        cases=((14, 10), (25, 24), (40, 12)),
        mistakes={
            "the copy": lambda position, period: position - period,
            "before the copy": lambda position, period: position - period - 1,
            "previous token": lambda position, period: position - 1,
        },
    ),
    "turning-point": Exercise(
        reference=lambda steps, score: steps[score >= 0.5][0],
        cases=tuple(
            (STEPS, np.array(score))
            for score in ([0.0, 0.1, 0.9, 1.0], [0.0, 0.6, 0.4, 0.8], [0.0, 0.2, 0.5, 0.7])
        ),
        mistakes={
            "above 0.5": lambda steps, score: steps[score > 0.5][0],
            "steepest": lambda steps, score: steps[np.diff(score).argmax()],
            "last below": lambda steps, score: steps[score < 0.5][-1],
            "index": lambda steps, score: (score >= 0.5).argmax(),
            "interpolated": _between,
        },
    ),
}
