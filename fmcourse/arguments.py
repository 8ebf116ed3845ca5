"""Checks arguments: an error names the parameter, what was expected, what came and the choices.

Serves every module.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = ["choose", "require"]


def require(condition: bool, name: str, expected: str, got: Any) -> None:
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


def choose(name: str, got: Any, choices: Iterable[str]) -> str:
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


def _shown(value: Any, longest: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
