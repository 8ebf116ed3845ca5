"""Links claims to the cells that record them, and keeps what the course measured.

Serves ``python -m tools.course``: the printed table, EVIDENCE.md and the rows that ship.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from nbformat import NotebookNode

from fmcourse import evidence
from recipes.common import register
from tools.form import read
from tools.tables import markdown, renew

__all__ = ["close", "evidence_table", "keep", "recorded"]

COLUMNS = ("claim", "report", "notebook", "expected", "measured", "verdict", "paper")


def recorded(notebook: NotebookNode) -> dict[str, str]:
    """Return the keys of the claims that an executed notebook recorded, each with its cell's id."""
    cells = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            row = output.get("data", {}).get(evidence.MIME)
            if row:
                cells[row["key"]] = cell.id
    return cells


def close(root: Path, save: bool, seconds: float) -> int:
    return 0
