"""What the course claims and what was measured: notebooks record rows, and the last shows them.

The claims stand in ``claims.toml``, with the values that agree with each, fixed before the run.
"""

import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import display

from fmcourse import data, files
from fmcourse.arguments import choose, require
from fmcourse.runtime import state_folder
from fmcourse.stats import Interval

COLUMNS = (
    "claim",
    "section",
    "notebook",
    "expected",
    "estimate",
    "low",
    "high",
    "unit",
    "verdict",
    "seeds",
    "control",
    "paper",
    "carries_over",
    "edition",
    "key",
)
# The output of the cell that recorded a row; its data is {"key": ..., "verdict": ...}.
MIME = "application/vnd.fmcourse.evidence+json"
NUMBERS = ("estimate", "low", "high")


@functools.cache
def claims() -> dict[str, dict[str, Any]]:
    """Return the claims of the course, key to its fields, in the order of the notebooks.

    >>> claims()["head-alone"]["expected"]
    [0.5, inf]
    """
    return files.read_toml("claims.toml")["claim"]


def record(key: str, interval: Interval, *, seeds: str, control: Sequence[Any] = ()) -> None:
    """Keep what was measured for a claim, in place of an older row of its key; show the verdict.

    Args:
        key: the claim's key in ``claims.toml``.
        interval: the estimate with its interval, in the claim's unit.
        seeds: how many seeds, prompts or people stand behind it.
        control: the numbers of the claim's control, in the order of its places.

    Raises:
        ValueError: an unknown key, an estimate that is NaN or outside its interval, or a control
            that does not fit.
    """
    claim = claims()[choose("key", key, claims())]
    require(isinstance(interval, Interval), "interval", "an Interval of fmcourse.stats", interval)
    outside = interval.low > interval.estimate or interval.high < interval.estimate
    ordered = not (math.isnan(interval.estimate) or outside)
    require(ordered, "interval", "an estimate inside its interval", interval)
    require(isinstance(seeds, str) and seeds.strip() != "", "seeds", "a text", seeds)
    try:
        said = claim["control"].format(*control)
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"control: expected {claim['control']!r}, got {control!r}") from error
    numbers = [float(getattr(interval, name)) for name in NUMBERS]
    # JSON knows no infinity: such a number is kept as a text, which float() reads again.
    plain = [number if math.isfinite(number) else str(number) for number in numbers]
    row = {"key": key, **dict(zip(NUMBERS, plain)), "seeds": seeds, "control": said}
    files.write_atomic(_file(key), json.dumps(row, indent=1, ensure_ascii=False) + "\n")
    interval = Interval(*numbers)
    shown = {"key": key, "verdict": verdict(claim["expected"], interval)}
    measured = f"{interval:.3g} {claim['unit']}, expected {expectation(claim['expected'])}"
    line = f"{claim['claim']}: {measured}: {shown['verdict']}"
    # One line for readers, the key for tools.
    display({"text/plain": line, MIME: shown}, raw=True)


def verdict(expected: Sequence[float], interval: Interval) -> str:
    """Return ``held`` (the interval lies inside `expected`), ``missed`` (outside) or ``undecided``.

    An interval without a width, or with NaN ends, decides nothing.

    >>> verdict([0, math.inf], Interval(0.2, -0.1, 0.4))
    'undecided'
    """
    least, most = expected
    if not interval.low < interval.high:
        return "undecided"
    if least <= interval.low and interval.high <= most:
        return "held"
    return "missed" if interval.high < least or interval.low > most else "undecided"


def expectation(expected: Sequence[float]) -> str:
    """Return an expected range in words.

    >>> expectation([-5, 5]), expectation([0, math.inf]), expectation([-math.inf, 0.25])
    ('within 5 of 0', 'above 0', 'below 0.25')
    """
    least, most = expected
    if math.isinf(most):
        return f"above {least:g}"
    if math.isinf(least):
        return f"below {most:g}"
    return f"within {most:g} of 0" if least == -most else f"between {least:g} and {most:g}"


def recorded() -> dict[str, dict[str, Any]]:
    """Return what this machine has recorded, by key, in the order of the claims."""
    found: dict[str, dict[str, Any]] = {}
    for key in claims():
        row = files.read_json(_file(key), None)
        try:
            found |= {} if row is None else {key: _measured(row)}
        except (KeyError, TypeError, ValueError):
            print(f"{_file(key)} holds no evidence row and is ignored; record {key!r} again.")
    return found


def table() -> pd.DataFrame:
    """Return every row of the course in the order of the claims, with the columns of `COLUMNS`.

    What this machine recorded stands in place of what ships. A claim without either has no row.
    """
    shipped = json.loads(data.path("evidence.json").read_bytes())
    measured = {row["key"]: _measured(row) for row in shipped} | recorded()
    rows = []
    for key, claim in claims().items():
        if key in measured:
            row = claim | measured[key] | {"key": key}
            interval = Interval(*(row[name] for name in NUMBERS))
            row["verdict"] = verdict(claim["expected"], interval)
            row["expected"] = expectation(claim["expected"])
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def outside_guard() -> list[str]:
    """Return the keys recorded here whose estimate lies outside the guard: files have changed."""
    found = []
    for key, row in recorded().items():
        least, most = claims()[key]["guard"]
        if not least <= row["estimate"] <= most:
            found.append(key)
    return found


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: float(row[name]) for name in NUMBERS}
    return numbers | {name: str(row[name]) for name in ("seeds", "control")}


def _file(key: str) -> Path:
    return state_folder() / "evidence" / f"{key}.json"
