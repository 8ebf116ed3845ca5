"""The exercises of notebook 00: a balanced accuracy, what a training run costs, and failing
everywhere at once."""

from __future__ import annotations

import numpy as np

from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]

UNEVEN = np.repeat([0, 1, 2], [60, 5, 10])
ANSWERS = (
    (np.array([0, 0, 0, 0, 1, 0]), np.array([0, 0, 0, 0, 1, 1])),
    (np.zeros(75, dtype=int), UNEVEN),
    (np.random.default_rng(0).integers(0, 3, 75), UNEVEN),
)


def _of_each_class(answers: np.ndarray, labels: np.ndarray) -> list[float]:
    return [(answers[labels == label] == label).mean() for label in np.unique(labels)]


EXERCISES = {
    "balanced-accuracy": Exercise(
        reference=lambda answers, labels: np.mean(_of_each_class(answers, labels)),
        cases=ANSWERS,
        mistakes={
            "each drawing": lambda answers, labels: (answers == labels).mean(),
            "grouped by answer": lambda answers, labels: np.mean(_of_each_class(labels, answers)),
            "lowest class": lambda answers, labels: min(_of_each_class(answers, labels)),
        },
    ),
    "training-cost": Exercise(
        reference=lambda parameters, tokens: 6 * parameters * tokens,
        cases=((175e9, 300e9), (1.3e9, 380e9), (2.2e6, 8.7e6)),
        mistakes={
            "forward only": lambda parameters, tokens: 2 * parameters * tokens,
            "backward only": lambda parameters, tokens: 4 * parameters * tokens,
            "one operation": lambda parameters, tokens: parameters * tokens,
        },
    ),
    "failed-by-all": Exercise(
        reference=lambda error, deployers: error**deployers,
        cases=((0.1, 3), (0.5, 2), (0.2, 1), (0.3, 4)),
        mistakes={
            "by any": lambda error, deployers: 1 - (1 - error) ** deployers,
            "by none": lambda error, deployers: (1 - error) ** deployers,
            "added": lambda error, deployers: error * deployers,
            "shared model": lambda error, deployers: error,
        },
    ),
}
