"""The exercise of notebook 00: what sharing one foundation can do to those whom it fails."""

from __future__ import annotations

from fmcourse.exercises import Exercise, Misconception

__all__ = ["EXERCISES"]


def _cases() -> list[tuple]:
    return [(0.1, 3), (0.5, 2), (0.2, 1), (0.3, 4)]


def _rejected_by_all(error: float, deployers: int) -> float:
    return error**deployers


def _rejected_by_any(error: float, deployers: int) -> float:
    return 1 - (1 - error) ** deployers


def _rejected_times(error: float, deployers: int) -> float:
    return error * deployers


def _rejected_always(error: float, deployers: int) -> float:
    return error


EXERCISES = {
    "failed-by-all": Exercise(
        reference=_rejected_by_all,
        cases=_cases,
        confirm="With errors of 10% and three deployers that is 1 in 1,000. If all three share one model, it is 1 in 10.",
        misconceptions=(
            Misconception(_rejected_by_any, "This is the chance to be failed by at least one. Asked is: by every one."),
            Misconception(_rejected_times, "Chances of independent events multiply; they do not add."),
            Misconception(_rejected_always, "This holds when all deployers use the same model. Here they err independently."),
        ),
    ),
}
