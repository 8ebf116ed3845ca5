"""Reads what a student typed as an answer: a choice, or a number with or without its unit. Used by
predictions."""

import contextlib
import difflib
import numbers
import re

from fmcourse.quiz.questions import Question

OPEN = ("", "...", "…")  # what stands in the form before anybody has answered
NUMBER = re.compile(r"([-+]?)(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?\s*(.*)", re.DOTALL)
THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.\d*)?")
DIGIT_SPACE = re.compile(r"(?<=\d)[\s_'’](?=\d{3}(?!\d))")  # 100 000, 100_000, 100'000
MULTIPLES = {"k": 1e3, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
SHARES = {"none": 0.0, "half": 0.5, "all": 1.0}
OTHER_NAMES = {
    "%": ("percent", "per cent"),
    "percentage points": ("point", "pp"),
    "times": ("x", "×", "fold", "-fold"),
}


def is_open(answer) -> bool:
    """Return whether this is no answer yet: three dots, None or nothing."""
    if isinstance(answer, str):
        return answer.strip() in OPEN
    return answer is None or answer is ...


def read(question: Question, answer) -> str | float:
    """Return an answer as the question's choice, or as a number in the question's unit.

    Raises:
        ValueError: the question does not allow it, with one sentence for the student.
    """
    return _choice(question, answer) if question.choices else _number(question, answer)


def _choice(question: Question, answer) -> str:
    said = " ".join(str(answer).split()).casefold()
    for choice in question.choices:
        if choice.casefold() == said:
            return choice
    near = difflib.get_close_matches(said, question.choices, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{answer!r} is not {question.allowed}.{hint}")


def _number(question: Question, answer) -> float:
    if isinstance(answer, str):
        value, is_bare = _typed(question, answer)
    else:
        value, is_bare = _of_library(question, answer), True
    if is_bare and question.unit == "%" and 0 < abs(value) < 1:
        raise ValueError(
            f"Did you mean {100 * value:g}%? Then write {100 * value:g}."
            f' For less than one percent, write "{value:g}%".'
        )
    if not question.allows(value):
        raise ValueError(f"{answer!s:.40} is out of range; write {question.allowed}.")
    return float(value)


def _of_library(question: Question, answer):
    """Return a number of Python, NumPy or torch; neither a truth value nor an array of several."""
    # An array of several has no one item.
    with contextlib.suppress(ValueError, RuntimeError):
        answer = answer.item() if hasattr(answer, "item") else answer
    if isinstance(answer, numbers.Real) and not isinstance(answer, bool):
        return answer
    raise ValueError(f"{answer!r:.40} is no number; write {question.allowed}.")


def _typed(question: Question, answer: str) -> tuple[float, bool]:
    """Return the number that a text gives, in the question's unit, and whether it came without a
    unit."""
    text = DIGIT_SPACE.sub("", answer.strip().lower().replace("−", "-"))
    if text in SHARES and question.low == 0 and question.high <= 100:
        return SHARES[text] * question.high, False
    found = NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"{answer!r:.40} is no number; write {question.allowed}.")
    sign, digits, power, rest = found.groups()
    ambiguous = "," in digits and not THOUSANDS.fullmatch(digits)
    if ambiguous or re.match(r"[.,]\d", rest):
        raise ValueError(
            f"{answer!r}: a comma parts thousands, a point decimals; write 1,000 or 1.5."
        )
    value = float(sign + digits.replace(",", "") + (power or ""))
    words = rest.strip(" .").split()
    multiple = MULTIPLES.get(words[0], 1.0) if words else 1.0
    name = " ".join(words if multiple == 1 else words[1:])
    unit = question.unit.split()
    unit_multiple = MULTIPLES.get(unit[0], 1.0)
    own_name = question.unit if unit_multiple == 1 else " ".join(unit[1:])
    names = {other.rstrip("s") for other in (own_name, *OTHER_NAMES.get(question.unit, ()))}
    if name and name.rstrip("s") not in names:
        raise ValueError(f"{answer!r}: the unit is {question.unit}; write {question.allowed}.")
    # A bare number counts in the question's unit, which may be millions.
    return value * multiple / (unit_multiple if words else 1), not words
