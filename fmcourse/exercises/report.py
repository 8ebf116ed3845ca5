"""The exercises of notebook 00: an honest accuracy, what a training run costs, and what sharing one foundation can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmcourse.exercises import Exercise, Misconception

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EXERCISES"]


def _error_cases() -> list[tuple]:
    return [(0.1, 3), (0.5, 2), (0.2, 1), (0.3, 4)]


def _rejected_by_all(error: float, deployers: int) -> float:
    return error**deployers


def _rejected_by_any(error: float, deployers: int) -> float:
    return 1 - (1 - error) ** deployers


def _rejected_times(error: float, deployers: int) -> float:
    return error * deployers


def _rejected_always(error: float, deployers: int) -> float:
    return error


def _answer_cases() -> list[tuple]:
    import numpy as np

    draw = np.random.default_rng(0)
    uneven = np.repeat([0, 1, 2], [60, 5, 10])
    return [
        (np.array([0, 0, 0, 0, 1, 0]), np.array([0, 0, 0, 0, 1, 1])),
        (np.zeros(75, dtype=int), uneven),
        (draw.integers(0, 3, 75), uneven),
    ]


def _each_class_alike(answers: np.ndarray, labels: np.ndarray) -> float:
    import numpy as np

    return np.mean([(answers[labels == label] == label).mean() for label in np.unique(labels)])


def _each_drawing_alike(answers: np.ndarray, labels: np.ndarray) -> float:
    return (answers == labels).mean()


def _each_answer_alike(answers: np.ndarray, labels: np.ndarray) -> float:
    import numpy as np

    return np.mean([(labels[answers == answer] == answer).mean() for answer in np.unique(answers)])


def _worst_class(answers: np.ndarray, labels: np.ndarray) -> float:
    import numpy as np

    return min((answers[labels == label] == label).mean() for label in np.unique(labels))


def _size_cases() -> list[tuple]:
    return [(175e9, 300e9), (1.3e9, 380e9), (2.2e6, 8.7e6)]


def _whole_run(parameters: float, tokens: float) -> float:
    return 6 * parameters * tokens


def _forward_only(parameters: float, tokens: float) -> float:
    return 2 * parameters * tokens


def _backward_only(parameters: float, tokens: float) -> float:
    return 4 * parameters * tokens


def _products(parameters: float, tokens: float) -> float:
    return parameters * tokens


EXERCISES = {
    "balanced-accuracy": Exercise(
        reference=_each_class_alike,
        cases=_answer_cases,
        confirm="Whoever always names the largest class gets 1 in 3 with three classes, however many drawings it has.",
        misconceptions=(
            Misconception(
                _each_drawing_alike,
                "Here every drawing counts the same, so large classes count more. Average over classes.",
            ),
            Misconception(
                _each_answer_alike, "You grouped by what was answered. Group by what is right."
            ),
            Misconception(
                _worst_class,
                "This is the class that fares worst: worth knowing, but asked is the mean over classes.",
            ),
        ),
    ),
    "failed-by-all": Exercise(
        reference=_rejected_by_all,
        cases=_error_cases,
        confirm="With errors of 10% and three deployers that is 1 in 1,000. If all three share one model, it is 1 in 10.",
        misconceptions=(
            Misconception(
                _rejected_by_any,
                "This is the chance to be failed by at least one. Asked is: by every one.",
            ),
            Misconception(
                _rejected_times, "Chances of independent events multiply; they do not add."
            ),
            Misconception(
                _rejected_always,
                "This holds when all deployers use the same model. Here they err independently.",
            ),
        ),
    ),
    "training-cost": Exercise(
        reference=_whole_run,
        cases=_size_cases,
        confirm="For GPT-3's 175 billion parameters and 300 billion tokens that is 3.15e23; its paper counts 3.14e23.",
        misconceptions=(
            Misconception(
                _forward_only,
                "This is the way forward alone. The way back costs twice as much again.",
            ),
            Misconception(_backward_only, "This is the way back alone. Add the way forward."),
            Misconception(
                _products,
                "Forward, each parameter costs a multiplication and an addition; the way back costs twice that.",
            ),
        ),
    ),
}
