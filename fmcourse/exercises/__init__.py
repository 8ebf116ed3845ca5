"""Did I get it? A check that says "not attempted yet", names the misconception, or confirms.

Each notebook's exercises stand in a module of their own. An exercise knows the right answer and the usual wrong
ones; an answer is right when it behaves like the right one on every case, and it is told what went wrong when it
behaves like a wrong one.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fmcourse.arguments import choose

__all__ = ["Exercise", "Misconception", "Verdict", "all_exercises", "check"]

NOTEBOOK_MODULES = ("report", "emergence", "homogenization", "clip", "generation", "data", "harms")


@dataclass(frozen=True)
class Misconception:
    """A usual wrong answer, and what to say to those who give it."""

    answer: Any
    message: str


@dataclass(frozen=True)
class Exercise:
    """An exercise: its right answer, its usual wrong ones, and the cases on which functions are compared.

    Attributes:
        reference: the right function, or the right value.
        misconceptions: the usual wrong ones.
        confirm: what a right answer is told; it may add a thought.
        cases: a function that returns the argument tuples to try; None when the answer is a value.
        tolerance: the largest difference, absolute or relative, that counts as equal.
    """

    reference: Any
    misconceptions: tuple[Misconception, ...]
    confirm: str
    cases: Callable[[], list[tuple]] | None = None
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Verdict:
    """What :func:`check` found; as the last line of a cell it shows its message.

    Attributes:
        status: ``not attempted``, ``right``, ``misconception``, ``wrong`` or ``error``.
        message: a sentence or two for the student.
    """

    status: str
    message: str

    def __repr__(self) -> str:
        return self.message


def check(name: str, answer: Any) -> Verdict:
    """Check an answer: a value, or a function that is run on the exercise's cases.

    Args:
        name: the exercise's name, as the notebook gives it.
        answer: the student's value or function; ``...``, or a function that returns it, means not attempted.

    Raises:
        ValueError: an unknown name.
    """
    exercises = all_exercises()
    exercise = exercises[choose("name", name, exercises)]
    try:
        given = _outcomes(exercise, answer)
    except Exception as error:  # a student's function can fail in any way
        return Verdict("error", f"Your function stopped with {type(error).__name__}: {error}")
    if any(outcome is ... for outcome in given):
        return Verdict(
            "not attempted",
            f"{name}: not attempted yet. Replace the three dots, then run the cell again.",
        )
    right = _outcomes(exercise, exercise.reference)
    if _alike(given, right, exercise.tolerance):
        return Verdict("right", f"Right. {exercise.confirm}")
    for misconception in exercise.misconceptions:
        if _alike(given, _outcomes(exercise, misconception.answer), exercise.tolerance):
            return Verdict("misconception", f"Not yet. {misconception.message}")
    return Verdict("wrong", _difference(exercise, given, right))


def all_exercises() -> dict[str, Exercise]:
    """Return every exercise of the course by its name."""
    modules = [
        importlib.import_module(f"fmcourse.exercises.{module}") for module in NOTEBOOK_MODULES
    ]
    return {name: exercise for module in modules for name, exercise in module.EXERCISES.items()}


def _outcomes(exercise: Exercise, answer: Any) -> list[Any]:
    if exercise.cases is None:
        return [answer]
    if answer is ...:
        return [...]
    if not callable(answer):
        raise TypeError(f"a function is wanted, got {answer!r}")
    return [answer(*copy.deepcopy(case)) for case in exercise.cases()]


def _alike(given: list[Any], wanted: list[Any], tolerance: float) -> bool:
    return len(given) == len(wanted) and all(_same(a, b, tolerance) for a, b in zip(given, wanted))


def _same(a: Any, b: Any, tolerance: float) -> bool:
    import numpy as np

    try:
        a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    except (TypeError, ValueError):
        return type(a) is type(b) and a == b
    return a.shape == b.shape and np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def _difference(exercise: Exercise, given: list[Any], right: list[Any]) -> str:
    if exercise.cases is None:
        return f"Not yet: {given[0]!r} is not it. Read the hint, and check the unit."
    for case, mine, theirs in zip(exercise.cases(), given, right):
        if not _same(mine, theirs, exercise.tolerance):
            asked = ", ".join(repr(value) for value in case)
            return f"Not yet. For ({asked}) your function gives {mine!r}; expected {theirs!r}."
    raise AssertionError("answers that differ nowhere are alike")
