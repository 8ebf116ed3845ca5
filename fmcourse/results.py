"""Bundled results of the long experiments as tidy tables, and the questions notebooks ask them."""

from collections.abc import Mapping

import pandas as pd

from fmcourse import data, stats
from fmcourse.arguments import choose, require
from fmcourse.stats import Interval


def load(name: str) -> pd.DataFrame:
    """Return a bundled table of results, one row per measurement; a fresh copy at each call.

    Args:
        name: the file's name under ``bundled`` without ``.parquet``.

    Raises:
        ValueError: the manifest knows no such table.
        OSError: the file is missing or altered.
    """
    return pd.read_parquet(data.path(f"{name}.parquet"))


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


def by_seed(table: pd.DataFrame, value: str, **wanted: object) -> pd.Series:
    """Return the mean of a column for each value of ``seed``, over the rows of :func:`select`."""
    chosen = select(table, **wanted)
    choose("value", value, table.columns)
    return chosen.groupby("seed")[value].mean()


def over_seeds(table: pd.DataFrame, value: str, **wanted: object) -> Interval:
    """Return the mean of a column with Student's t interval over seeds, each averaged first."""
    return stats.mean_interval(by_seed(table, value, **wanted))


def paired(
    table: pd.DataFrame, value: str, first: Mapping[str, object], second: Mapping[str, object]
) -> Interval:
    """Return the mean of a column under `first` minus that under `second`, paired by seed.

    Args:
        table: a table with the column ``seed``.
        value: the column that was measured.
        first, second: what is wanted of each side, as for :func:`select`.

    Raises:
        ValueError: the two sides have different seeds.
    """
    one, other = by_seed(table, value, **first), by_seed(table, value, **second)
    require(
        one.index.equals(other.index),
        "second",
        f"the seeds {one.index.tolist()}, as first has",
        other.index.tolist(),
    )
    return stats.mean_interval(one - other)
