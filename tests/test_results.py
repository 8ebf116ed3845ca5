"""Bundled tables are checked and handed out fresh; means, differences and curves pair the seeds."""

from __future__ import annotations

import pandas as pd
import pytest

from fmcourse import results, stats

TABLE = pd.DataFrame(
    [
        {"way": way, "size": size, "seed": seed, "hits": seed + 10 * size + (way == "late") * seed}
        for way in ("early", "late")
        for size in (1, 2)
        for seed in (0, 1, 2)
    ]
)


def test_a_table_is_a_fresh_copy():
    first = results.load("addresses")
    columns = list(first.columns)
    first["new"] = 1
    assert list(results.load("addresses").columns) == columns and len(first) > 0
    with pytest.raises(ValueError, match=r"^name: .*addresses\.parquet"):
        results.load("adresses")


def test_means_differences_and_curves_are_over_seeds():
    found = results.over_seeds(TABLE, "hits", way="early")
    assert found == stats.mean_interval([15, 16, 17])
    late = results.paired(TABLE, "hits", {"way": "late", "size": 1}, {"way": "early", "size": 1})
    assert late == stats.mean_interval([0, 1, 2])
    places, intervals = results.curve(TABLE, "size", "hits", way="early")
    assert places == [1, 2] and [one.estimate for one in intervals] == [11, 21]


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: results.select(TABLE, way="erly"), "way"),
        (lambda: results.select(TABLE, wai="early"), "column"),
        (lambda: results.over_seeds(TABLE, "hit"), "value"),
        (lambda: results.curve(TABLE, "sizes", "hits"), "x"),
        (lambda: results.paired(TABLE, "hits", {}, {"seed": 1}), "second"),
    ],
)
def test_a_message_begins_with_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        call()
