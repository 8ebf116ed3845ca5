"""What does the course claim, and what did it measure? One row per claim, kept until the closing table.

Each notebook ends with rows of its own; notebook 06 and ``make course`` show them all.
"""

from __future__ import annotations

import json
import math
import os
import re
from typing import TYPE_CHECKING

from fmcourse import bundle
from fmcourse.arguments import require
from fmcourse.environment import state_folder
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

__all__ = ["COLUMNS", "course", "outside", "record", "rows", "table", "verdict"]

COLUMNS = (
    "claim",
    "section",
    "notebook",
    "expected",
    "estimate",
    "low",
    "high",
    "seeds",
    "control",
    "paper",
    "carries_over",
)


def record(
    claim: str,
    estimate: float,
    interval: Interval | tuple[float, float],
    *,
    section: str,
    notebook: str,
    expected: str,
    band: tuple[float, float],
    seeds: str,
    control: str,
    paper: str,
    carries_over: str,
) -> dict:
    """Keep one evidence row, in place of an older one with the same claim and notebook, and print it in a sentence.

    Args:
        claim: the claim, in a few words.
        estimate: our figure, in the unit that the claim names.
        interval: its two ends, or an :class:`Interval`.
        section: where the report makes the claim, such as ``2.1 Language``.
        notebook: the notebook's file name without its ending.
        expected: the direction, as it was fixed before the run.
        band: the lowest and highest estimate that still agrees with `expected`, fixed before the run.
        seeds: how many seeds, prompts or people stand behind it.
        control: the negative control and its figure.
        paper: the paper's number with its citation, or why there is none.
        carries_over: whether it should hold for large models, and why.

    Returns:
        The row, with a key for each of :data:`COLUMNS` and ``band``.

    Raises:
        ValueError: an empty text, an estimate outside its own interval, or ends in the wrong order.
    """
    low, high = (interval.low, interval.high) if isinstance(interval, Interval) else interval
    texts = dict(claim=claim, section=section, notebook=notebook, expected=expected)
    texts |= dict(seeds=seeds, control=control, paper=paper, carries_over=carries_over)
    for name, text in texts.items():
        require(isinstance(text, str) and text.strip() != "", name, "a text", text)
    require(
        low <= estimate <= high,
        "interval",
        f"two ends around the estimate {estimate:.4g}",
        (low, high),
    )
    require(band[0] < band[1], "band", "a lower end and a higher end", band)
    row = {name: texts.get(name) for name in COLUMNS} | {"band": [float(end) for end in band]}
    row |= {"estimate": float(estimate), "low": float(low), "high": float(high)}
    kept = {other["claim"]: other for other in _read(notebook)} | {claim: row}
    _store(list(kept.values()), notebook)
    print(f"Recorded: {claim}: {estimate:.3g} [{low:.3g}, {high:.3g}]; expected: {expected}.")
    return row


def rows() -> list[dict]:
    """Return all rows kept so far, by notebook and in the order in which they were first recorded."""
    folder = state_folder() / "evidence"
    return [
        row
        for file in sorted(folder.glob("*.json"))
        for row in json.loads(file.read_text(encoding="utf-8"))
    ]


def table() -> pd.DataFrame:
    """Return all rows as a table with the columns of :data:`COLUMNS`; empty, with these columns, before the first."""
    import pandas as pd

    return pd.DataFrame(rows(), columns=list(COLUMNS))


def course() -> pd.DataFrame:
    """Return the rows of the whole course: those that ship, and for a notebook that recorded rows here, these in their place.

    Returns:
        A table with the columns of :data:`COLUMNS`, then ``verdict`` (see :func:`verdict`), by notebook.
    """
    import pandas as pd

    own = rows()
    here = {row["notebook"] for row in own}
    shipped = json.loads(bundle.path("evidence.json").read_text(encoding="utf-8"))
    merged = sorted(
        [*(row for row in shipped if row["notebook"] not in here), *own],
        key=lambda row: row["notebook"],
    )
    judged = [row | {"verdict": verdict(row)} for row in merged]
    return pd.DataFrame(judged, columns=[*COLUMNS, "verdict"])


def verdict(row: Mapping) -> str:
    """Say how a row came out: ``held``, ``null``, ``missed``, or ``in words`` when the expectation names no range.

    A row holds when its whole interval lies in the expected range, and misses when none of it does. Otherwise it is a null:
    the interval reaches from one side of the range's end to the other, and decides nothing.

    Args:
        row: a mapping with ``expected``, such as "above 0", "below -1", "between 1 and 2" or "within 5 points of 0", and
            with ``low`` and ``high``.

    >>> verdict({"expected": "above 0", "low": -0.1, "high": 0.4})
    'null'
    """
    span = _range(row["expected"])
    if span is None:
        return "in words"
    least, most = span
    if least <= row["low"] and row["high"] <= most:
        return "held"
    return "missed" if row["high"] < least or row["low"] > most else "null"


def _range(expected: str) -> tuple[float, float] | None:
    """Return the ends of an expected range, or None when the words are none of the four forms."""
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", expected)]
    ranges = {
        ("above", 1): lambda least: (least, math.inf),
        ("below", 1): lambda most: (-math.inf, most),
        ("between", 2): lambda least, most: (least, most),
        ("within", 2): lambda distance, middle: (middle - distance, middle + distance),
    }
    found = ranges.get((expected.split()[0], len(numbers)))
    return found and found(*numbers)


def outside() -> list[dict]:
    """Return the rows whose estimate lies outside the band that was fixed before the run."""
    return [row for row in rows() if not row["band"][0] <= row["estimate"] <= row["band"][1]]


def _read(notebook: str) -> list[dict]:
    file = state_folder() / "evidence" / f"{notebook}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def _store(kept: list[dict], notebook: str) -> None:
    file = state_folder() / "evidence" / f"{notebook}.json"
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, file)
