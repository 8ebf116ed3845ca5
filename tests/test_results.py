"""Bundled tables are checked and handed out fresh; means and differences pair the seeds."""

import pandas as pd
from doubles import refusals, refused

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
    with refused("name", "addresses.parquet"):
        results.load("wrong-address")


def test_means_and_differences_are_over_seeds():
    found = results.over_seeds(TABLE, "hits", way="early")
    assert found == stats.mean_interval([15, 16, 17])
    late = results.paired(TABLE, "hits", {"way": "late", "size": 1}, {"way": "early", "size": 1})
    assert late == stats.mean_interval([0, 1, 2])


test_a_message_begins_with_the_argument = refusals(
    ("way", results.paired, TABLE, "hits", {}, {"way": "earlier"}),
    ("column", results.paired, TABLE, "hits", {}, {"wai": "early"}),
    ("value", results.paired, TABLE, "hit", {}, {}),
    ("second", results.paired, TABLE, "hits", {}, {"seed": 1}),
)
