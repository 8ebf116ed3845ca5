"""What does a kept evidence row say beyond what its notebook recorded? The cell, and what became of the expectation."""

from __future__ import annotations

import math
import re
from typing import Any

from nbformat import NotebookNode

from tools.form import texts

__all__ = ["outcome", "recording_cell"]

NUMBER = r"(-?\d+(?:\.\d+)?)"
RANGES = {  # what `expected` may say, and the range that it means
    rf"above {NUMBER}": lambda low: (low, math.inf),
    rf"below {NUMBER}": lambda high: (-math.inf, high),
    rf"between {NUMBER} and {NUMBER}": lambda low, high: (low, high),
    rf"within {NUMBER}(?: points)? of {NUMBER}": lambda width, middle: (middle - width, middle + width),
}


def recording_cell(notebook: NotebookNode, claim: str) -> str:
    """Return the id of the cell of an executed notebook whose output says that a claim was recorded, the last if several do.

    Raises:
        ValueError: none does.
    """
    said = re.compile(rf"^Recorded: {re.escape(claim)}: \S+ \[", re.MULTILINE)
    for cell in reversed(notebook.cells):
        if any(said.search(text) for _, text in texts(cell.get("outputs", []))):
            return cell.id
    raise ValueError(f"no cell printed that it recorded {claim!r}; execute the notebook, and let evidence.record speak")


def outcome(row: dict[str, Any]) -> str:
    """Return what a row's interval says of what was expected: ``as expected``, ``not so``, or ``null`` where it leaves both open.

    An expectation without a number, such as "above the control", is left alone: the answer is empty.

    >>> outcome({"expected": "above 0", "low": -1.7, "high": 4.2})
    'null'
    """
    found = ((re.fullmatch(pattern, row["expected"]), meaning) for pattern, meaning in RANGES.items())
    low, high = next((meaning(*map(float, match.groups())) for match, meaning in found if match), (math.nan, math.nan))
    if low <= row["low"] and row["high"] <= high:
        return "as expected"
    if row["high"] < low or row["low"] > high:
        return "not so"
    return "" if math.isnan(low) else "null"
