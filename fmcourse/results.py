"""The bundled results of the long experiments as tidy tables, with the questions that every
notebook asks of them.
"""

from __future__ import annotations

import pandas as pd

from fmcourse import bundle
from fmcourse.arguments import choose, require

__all__ = ["load", "select"]


def load(name: str) -> pd.DataFrame:
    """Return a bundled table of results, one row per measurement; a fresh copy at each call.

    Args:
        name: the file's name under ``bundled`` without ``.parquet``.

    Raises:
        ValueError: the manifest knows no such table.
        OSError: the file is missing or altered.
    """
    return pd.read_parquet(bundle.path(f"{name}.parquet"))


def select(table: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """Return the rows in which each named column has the wanted value.

    Raises:
        ValueError: no such column, or no row has this value.
    """
    for column, value in wanted.items():
        choose("column", column, table.columns)
        there = table[column].unique().tolist()
        require(value in there, column, f"one of {there}", value)
        table = table[table[column] == value]
    return table
