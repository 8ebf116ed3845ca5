"""Checks of the notebooks' exercises: an answer is right when it behaves like the right one, in
whatever form.

The functions of each notebook's exercises stand in a module of their own beside this one, their
cases, numbers and texts in ``texts.toml``. A wrong answer is told what is wrong: by a usual mistake
of this exercise that behaves like it, then by a slip that any exercise knows, then by its size.
Nobody is told the right value at once; from the third try on there is a hint.
"""

from __future__ import annotations

import copy
import functools
import importlib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fmcourse.arguments import choose
from fmcourse.quiz import kept
from fmcourse.stats import Interval

__all__ = ["Exercise", "Verdict", "all_exercises", "check", "progress"]

NOTEBOOKS = (
    "report",
    "emergence",
    "homogenization",
    "clip",
    "generation",
    "data",
    "harms",
    "prompting",
)
KIND = "exercises"
HINT_FROM = 3  # tries
LONGEST = 160  # characters of a shown case

# Slips of any exercise: what brings their numbers back to the right ones, and what to say.
SLIPS: tuple[tuple[Callable[[np.ndarray], np.ndarray], str], ...] = (
    (lambda mine: mine / 100, "This is in percent. Asked is a share, from 0 to 1."),
    (lambda mine: 1 - mine, "This is the complement: one minus what is asked."),
    (lambda mine: -mine, "The sign is turned round."),
    (np.transpose, "Rows and columns are exchanged."),
)
# Results that are no numbers.
KINDS = (
    (type(None), "The result is None. Is `return` missing?"),
    (str, "This is text, not a number. Leave the quotation marks out."),
    (Interval, "This is a whole interval. Asked is one number of it: .estimate, .low or .high?"),
)
HERE = Path(__file__).parent
TEXTS = tomllib.loads((HERE / "texts.toml").read_text(encoding="utf-8"))
# What Python says of common slips, and what it means. {} is what the first parentheses matched.
ERRORS = tomllib.loads((HERE / "errors.toml").read_text(encoding="utf-8"))["meanings"]


@dataclass(frozen=True)
class Exercise:
    """An exercise: its right answer, its usual wrong ones, and the cases on which functions are
    compared.

    Attributes:
        reference: the right function, or the right value.
        mistakes: usual wrong answers; their names are those of the texts.
        cases: the argument tuples to try; none when the answer is a value.
        tolerance: the largest difference, absolute or relative, that counts as equal.
        form: brings outcomes that mean the same to one form before they are compared.
        array: what makes an argument of each list among the cases of the texts.
    """

    reference: Any
    mistakes: dict[str, Any]
    cases: tuple[tuple, ...] = ()
    tolerance: float = 1e-5
    form: Callable[[Any], Any] | None = None
    array: Callable[[list], Any] = list


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


# How often each exercise was tried in this kernel since it was last right.
_tries: Counter[str] = Counter()


def check(name: str, answer: Any) -> Verdict:
    """Check an answer: a value, or a function that is run on the exercise's cases.

    Args:
        name: the exercise's name, as the notebook gives it.
        answer: the student's value or function; ``...``, or a function that returns it, means not
            attempted.

    Raises:
        ValueError: an unknown name.
    """
    exercises = all_exercises()
    exercise = exercises[choose("name", name, exercises)]
    verdict = _judge(exercise, TEXTS[name], answer)
    if verdict.status == "not attempted":
        return verdict
    if verdict.status == "right":
        _tries[name] = 0
        kept.write(KIND, name, {"done": True})
        return verdict
    _tries[name] += 1
    if _tries[name] < HINT_FROM:
        return verdict
    hint = TEXTS[name].get("hint")
    if hint is None:
        case = min(exercise.cases, key=lambda each: len(repr(each)))
        asked, right = _shown(case), _shown(exercise.reference(*case))
        hint = f"A small case, by hand: for {asked} the answer is {right}."
    return Verdict(verdict.status, f"{verdict.message} {hint}")


def progress() -> None:
    """Print for each notebook how many of its exercises are done, and which are open."""
    done = kept.read(KIND)
    for number, module in enumerate(NOTEBOOKS):
        names = _exercises_of(module)
        missing = [name for name in names if name not in done]
        still = f"; open: {', '.join(missing)}" if missing else ""
        print(f"notebook {number:02d}: {len(names) - len(missing)} of {len(names)} done{still}")


def all_exercises() -> dict[str, Exercise]:
    """Return every exercise of the course by its name."""
    return {name: each for module in NOTEBOOKS for name, each in _exercises_of(module).items()}


@functools.cache
def _exercises_of(notebook: str) -> dict[str, Exercise]:
    functions = importlib.import_module(f"{__name__}.{notebook}").EXERCISES
    found = {}
    for name, texts in TEXTS.items():
        if texts["notebook"] != notebook:
            continue
        own = functions.get(name) or Exercise(texts["answer"], texts["wrong"])
        cases = list(own.cases)
        for case in texts.get("cases", ()):
            cases.append(tuple(own.array(p) if isinstance(p, list) else p for p in case))
        tolerance = texts.get("tolerance", own.tolerance)
        found[name] = replace(own, cases=tuple(cases), tolerance=tolerance)
    return found


def _judge(exercise: Exercise, texts: dict[str, Any], answer: Any) -> Verdict:
    untouched = Verdict("not attempted", "Not attempted yet. Replace the three dots, run again.")
    if answer is ...:
        return untouched
    if callable(answer) != callable(exercise.reference):
        wanted = "a function: its name, without parentheses" if exercise.cases else "a number"
        return Verdict("error", f"Not yet. Asked is {wanted}; got {_shown(answer)}.")
    try:
        given = _outcomes(exercise, answer)
    except Exception as error:  # a student's function can fail in any way
        return Verdict("error", f"Your function stopped. {_translated(error)}")
    if any(outcome is ... for outcome in given):
        return untouched

    def behaves_like(other: Any) -> bool:
        pairs = zip(given, _outcomes(exercise, other))
        return all(_same(exercise, mine, theirs) for mine, theirs in pairs)

    if behaves_like(exercise.reference):
        return Verdict("right", f"Right. {texts['confirm']}")
    for mistake, other in exercise.mistakes.items():
        if behaves_like(other):
            return Verdict("misconception", f"Not yet. {texts['mistakes'][mistake]}")
    right = _outcomes(exercise, exercise.reference)
    slip = _slip(exercise, given, right)
    if slip:
        return Verdict("misconception", f"Not yet. {slip}")
    return Verdict("wrong", f"Not yet. {_difference(exercise, given, right)}")


def _outcomes(exercise: Exercise, answer: Any) -> list[Any]:
    if not exercise.cases:
        return [answer]
    found = [answer(*copy.deepcopy(case)) for case in exercise.cases]
    # What comes piece by piece can be read once only.
    return [list(outcome) if isinstance(outcome, Iterator) else outcome for outcome in found]


def _translated(error: Exception) -> str:
    said = f"Python says {type(error).__name__}: {error}"
    for pattern, meaning in ERRORS.items():
        found = re.search(pattern, said)
        if found:
            return f"{meaning.format(*found.groups())} ({said})"
    return said


def _same(exercise: Exercise, mine: Any, theirs: Any) -> bool:
    a, b = _numbers(mine), _numbers(theirs)
    if a is None or b is None:
        return False
    if exercise.form:
        a, b = exercise.form(a), exercise.form(b)
    tolerance = exercise.tolerance
    if isinstance(mine, torch.Tensor) and mine.dtype in (torch.float16, torch.bfloat16):
        # Half precision may be off by two steps of its rounding.
        tolerance = max(tolerance, 2 * torch.finfo(mine.dtype).eps)
    return _close(a, b, tolerance)


def _numbers(value: Any) -> np.ndarray | None:
    """Return numbers in any form as an array of floats, an interval as its estimate; else None."""
    value = getattr(value, "estimate", value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double().numpy()
    if isinstance(value, (list, tuple, set)):
        value = [_numbers(part) for part in value]
        if any(part is None for part in value):
            return None
    try:
        found = np.asarray(value)
        return found.astype(float) if found.dtype.kind in "biuf" else None
    except ValueError:  # a list of lists of different lengths
        return None


def _close(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-5) -> bool:
    return a.shape == b.shape and np.allclose(a, b, tolerance, tolerance, equal_nan=True)


def _slip(exercise: Exercise, given: Sequence[Any], right: Sequence[Any]) -> str | None:
    """Return what the answer shows of slips that are made in any exercise, if it does."""
    for kind, message in KINDS:
        if any(isinstance(outcome, kind) for outcome in given):
            return message
    pairs = []
    for outcome, wanted in zip(given, right):
        mine, theirs = _numbers(outcome), _numbers(wanted)
        if mine is None or theirs is None:
            return None
        if mine.shape != theirs.shape and mine.T.shape != theirs.shape:
            asked = f"of shape {theirs.shape}" if theirs.shape else "one number"
            is_flat = _close(mine.ravel(), theirs.ravel())
            so = "The numbers are right, but" if is_flat else "Your result is"
            return f"{so} of shape {mine.shape}. Asked is {asked}."
        if np.isnan(mine).any() and not np.isnan(theirs).any():
            return "A result is nan: 0 divided by 0, or the mean of nothing?"
        pairs.append((mine, theirs))
    for undo, message in () if _options(exercise) else SLIPS:
        if all(_close(undo(mine), theirs, exercise.tolerance) for mine, theirs in pairs):
            return message
    counts = [mine / theirs for mine, theirs in pairs if theirs.all()]
    if exercise.cases and counts:
        whole = np.concatenate([count.ravel() for count in counts])
        if (whole >= 2).all() and _close(whole, whole.round()):
            return "Is this a count? Asked is a share: divide by how many there are."
    return None


def _options(exercise: Exercise) -> str:
    """Name the answers that an exercise offers, if it is a choice among a few numbers."""
    offered = [exercise.reference, *exercise.mistakes.values()]
    small = all(isinstance(one, int) and 0 < one < 10 for one in offered)
    return ", ".join(str(one) for one in sorted(offered)) if small else ""


def _difference(exercise: Exercise, given: Sequence[Any], right: Sequence[Any]) -> str:
    """Say how an answer differs, without the right value."""
    cases = exercise.cases or ((),)
    each = zip(cases, given, right)
    wrong = [
        (case, mine, theirs) for case, mine, theirs in each if not _same(exercise, mine, theirs)
    ]
    case, outcome, wanted = min(wrong, key=lambda found: len(repr(found[0])))
    mine, theirs = _numbers(outcome), _numbers(wanted)
    said = "That is not it"
    if options := _options(exercise):
        said = f"Choose one of {options}"
    elif mine is not None and theirs is not None and mine.ndim == theirs.ndim == 0:
        said = f"That is too {'large' if mine > theirs else 'small'}"
        if not 1 / 7 < abs(mine / (theirs or 1)) < 7:
            said += ", by far: check the unit, and what is counted"
    if not exercise.cases:
        return f"{said}."
    asked = _shown(case)
    asked = f"For {asked} it" if len(asked) < LONGEST else "In one of the others it"
    good = f"Your function is right in {len(cases) - len(wrong)} of {len(cases)} cases."
    return f"{good} {asked} gives {_shown(outcome)}. {said}."


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_shown(part) for part in value)})"
    numbers = None if isinstance(value, int) else _numbers(value)
    if numbers is None or not numbers.size:
        return f"{value!r:.{LONGEST}}"
    return np.array2string(numbers, precision=4, separator=", ")
