"""What the recipes measured, as tidy tables; each topic reads its results here."""

from __future__ import annotations

import pandas as pd

from fmcourse import bundle
from fmcourse.arguments import choose, require

__all__ = ["load", "select"]


def load(name: str) -> pd.DataFrame:
    """Return a bundled table of results, such as ``clip-clinic``; a fresh copy at each call."""
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
