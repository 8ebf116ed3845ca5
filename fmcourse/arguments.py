"""What does a wrong argument hear? One sentence: its name, what was expected, what came, and the valid choices.

Serves every module. The wording is pinned by the tests.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from numbers import Integral
from typing import Any

__all__ = ["choose", "require", "whole"]


def require(condition: bool, name: str, expected: str, got: Any) -> None:
    """Raise a ValueError that names the parameter, what was expected and what came, unless `condition` holds.

    >>> require(0.5 > 0, "temperature", "a number above 0", 0.5)
    >>> require(False, "temperature", "a number above 0", -1)
    Traceback (most recent call last):
    ValueError: temperature: expected a number above 0, got -1
    """
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {_shown(got)}")


def choose(name: str, got: Any, choices: Iterable[str]) -> str:
    """Return `got` when it is one of `choices`; else raise a ValueError that lists them and the nearest.

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


def whole(name: str, value: Any, least: float = -math.inf) -> int:
    """Return a whole number, NumPy's too, as Python's; a ValueError names an argument that is none.

    >>> whole("seed", 3)
    3
    >>> whole("batch_size", 2.5, 1)
    Traceback (most recent call last):
    ValueError: batch_size: expected a whole number, at least 1, got 2.5
    """
    bound = "" if least == -math.inf else f", at least {least}"
    fits = isinstance(value, Integral) and int(value) >= least
    require(fits, name, f"a whole number{bound}", value)
    return int(value)


def _shown(value: Any, longest: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
