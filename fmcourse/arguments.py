"""Checks arguments: an error names the parameter, what was expected, what came and the choices.

Serves every module.
"""

import difflib
import math
import numbers
import operator
from collections.abc import Iterable, Mapping

LONGEST = 80  # characters that a message shows of a value


def require(condition: object, name: str, expected: str, got) -> None:
    """Raise a ValueError unless `condition` holds.

    Args:
        condition: whether the argument is right.
        name: the parameter.
        expected: what it should be, in words that follow "expected".
        got: what came; a long value is cut.

    >>> require(0.5 > 0, "temperature", "a number above 0", 0.5)
    >>> require(False, "temperature", "a number above 0", -1)
    Traceback (most recent call last):
    ValueError: temperature: expected a number above 0, got -1
    """
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {_shown(got)}")


def choose(name: str, got, choices: Iterable[str]) -> str:
    """Return `got` when it is one of `choices`.

    Raises:
        ValueError: it is none of them; the message lists them, and names the nearest.

    >>> choose("profile", "tinny", ["tiny", "full"])
    Traceback (most recent call last):
    ValueError: profile: expected one of 'tiny', 'full', got 'tinny'; did you mean 'tiny'?
    """
    choices = list(choices)
    if got not in choices:
        near = difflib.get_close_matches(str(got), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"{name}: expected one of {', '.join(map(repr, choices))}, got {_shown(got)}{hint}"
        )
    return got


def whole(
    name: str, value, least: int | None = None, most: int | None = None, hint: str = ""
) -> int:
    """Return a whole number of Python, NumPy or torch as an int.

    Args:
        name: the parameter.
        value: what came; fractions, truth values and text are refused.
        least, most: the range; None means no bound.
        hint: what the message says behind the range.

    Raises:
        ValueError: no whole number, or one out of range.

    >>> whole("width", 3, 2)
    3
    """
    expected = "a whole number"
    if least is not None:
        expected += f" of at least {least}" if most is None else f" from {least} to {most}"
    truth = isinstance(value, bool) or "bool" in str(getattr(value, "dtype", ""))
    try:
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        require(False, name, expected + hint, value)
    above = least is None or number >= least
    below = most is None or number <= most
    require(above and below and not truth, name, expected + hint, value)
    return number


def real(value) -> bool:
    """Say whether a value is a finite number of Python or NumPy; truth values are none.

    >>> real(0.5), real("0.5"), real(math.nan)
    (True, False, False)
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and -math.inf < value < math.inf


def texts(name: str, values, least: int = 1) -> list[str]:
    """Return a list, an array or a column of texts as a list.

    Raises:
        ValueError: one text, a set or dictionary, something that is no text, or fewer than `least`.

    >>> texts("names", ("cat", "dog"))
    ['cat', 'dog']
    """
    # A set has no order.
    unfit = isinstance(values, (str, bytes, Mapping, set, frozenset))
    several = hasattr(values, "__iter__") and not unfit
    found = list(values) if several else []
    known = len(found) >= least and all(isinstance(text, str) for text in found)
    require(known, name, f"a list of strings, at least {least}", values)
    return [str(text) for text in found]


def _shown(value) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
