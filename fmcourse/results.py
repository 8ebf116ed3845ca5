"""What the recipes measured, as tidy tables; the classes of results in each topic read theirs here."""

from __future__ import annotations

import pandas as pd

from fmcourse import bundle

__all__ = ["load"]


def load(name: str) -> pd.DataFrame:
    """Return a bundled table of results, such as ``clip-clinic``; each call returns a copy of its own."""
    return pd.read_parquet(bundle.path(f"{name}.parquet"))
