"""Bundled tables are checked and handed out fresh; means and differences pair the seeds."""

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
        results.load("wrong-address")


def test_means_and_differences_are_over_seeds():
    found = results.over_seeds(TABLE, "hits", way="early")
    assert found == stats.mean_interval([15, 16, 17])
    late = results.paired(TABLE, "hits", {"way": "late", "size": 1}, {"way": "early", "size": 1})
    assert late == stats.mean_interval([0, 1, 2])


@pytest.mark.parametrize(
    ("named", "value", "wanted"),
    [
        ("way", "hits", {"way": "earlier"}),
        ("column", "hits", {"wai": "early"}),
        ("value", "hit", {}),
        ("second", "hits", {"seed": 1}),
    ],
)
def test_a_message_begins_with_the_argument(named, value, wanted):
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        results.paired(TABLE, value, {}, wanted)
