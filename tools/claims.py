"""Links claims to the cells that record them, and keeps what the course measured.

Serves ``python -m tools.course``: the rows that ship, and EVIDENCE.md.
"""

import json
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from nbformat import NotebookNode

from fmcourse import evidence, files
from recipes.common import register
from tools.form import read

COLUMNS = ("claim", "report", "notebook", "expected", "measured", "verdict", "paper", "edition")
# What fits a terminal.
PRINTED = ["claim", "notebook", "estimate", "low", "high", "expected", "verdict"]
MEASURED = ["key", "estimate", "low", "high", "seeds", "control"]
START, END = "<!-- evidence -->", "<!-- /evidence -->"


def recorded(notebook: NotebookNode) -> dict[str, str]:
    """Return the keys of the claims that an executed notebook recorded, each with its cell's id."""
    cells: dict[str, str] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            row = output.get("data", {}).get(evidence.MIME)
            if row:
                cells[row["key"]] = cell.id
    return cells


def close(root: Path, save: bool, seconds: float) -> int:
    """Print every row of the course; return 1 when an estimate is outside its guard.

    Args:
        root: the repository.
        save: whether to keep the rows, unless one is outside.
        seconds: how long the notebooks ran.
    """
    table = evidence.table()
    print(table[PRINTED].to_string(index=False, float_format="%.3g", max_colwidth=60))
    outside = evidence.outside_guard()
    for key in outside:
        print(f"{key}: the estimate lies outside its guard; have files changed?", file=sys.stderr)
    if save and not outside:
        keep(table, root, seconds)
    return 1 if outside else 0


def keep(table: pd.DataFrame, root: Path, seconds: float) -> None:
    """Ship the rows of a table, and renew EVIDENCE.md between its two marks."""
    page = root / "EVIDENCE.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    text = f"{before}{START}\n\n{evidence_table(table, root)}\n\n{END}{after}"
    files.write_atomic(page, text)
    rows = table[MEASURED].to_dict("records")
    for row in rows:
        for name, value in row.items():
            # JSON knows no infinity: evidence reads such a number from a text.
            if isinstance(value, float) and not math.isfinite(value):
                row[name] = str(value)
    path = root / "fmcourse" / "bundled" / "evidence.json"
    files.write_atomic(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    register(
        path,
        licence="CC-BY-4.0",
        attribution="the authors of fmcourse",
        sources=["the notebooks of this course, as executed"],
        recipe="tools/course.py",
        settings={"profile": os.environ.get("FMCOURSE_PROFILE", "tiny")},
        seconds=seconds,
    )


def evidence_table(table: pd.DataFrame, root: Path) -> str:
    """Return rows as EVIDENCE.md shows them: how many of each verdict, then the table."""
    cells: dict[str, str] = {}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        cells |= recorded(read(path))
    counts = table["verdict"].value_counts()
    said = [f"{counts.get(verdict, 0)} {verdict}" for verdict in ("held", "missed", "undecided")]
    lines = [f"{len(table)} rows: {', '.join(said)}.", "", _line(COLUMNS)]
    lines.append("|" + " --- |" * len(COLUMNS))
    for row in table.to_dict("records"):
        # A notebook that was not executed since names no cell.
        cell = f"#cell-id={cells[row['key']]}" if row["key"] in cells else ""
        link = f"[{row['notebook'][:2]}](notebooks/{row['notebook']}.ipynb{cell})"
        interval = f"[{row['low']:.3g}, {row['high']:.3g}]"
        measured = f"{row['estimate']:.3g} {interval} {row['unit']}"
        claim = [row["claim"], row["section"], link, row["expected"], measured]
        lines.append(_line([*claim, row["verdict"], row["paper"], row["edition"]]))
    return "\n".join(lines)


def _line(entries: Iterable[str]) -> str:
    """Return a row of a Markdown table; bars are escaped, and a line break becomes a blank."""
    safe = [text.replace("|", "\\|").replace("\n", " ") for text in entries]
    return f"| {' | '.join(safe)} |"
