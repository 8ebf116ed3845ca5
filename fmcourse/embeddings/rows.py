"""What counts as a table of embeddings: n rows of d finite numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fmcourse.arguments import require

__all__ = ["as_rows"]


def as_rows(rows: ArrayLike) -> np.ndarray:
    """Return rows as floats, shape (n, d); a view where they are floats already.

    Raises:
        ValueError: another number of axes, no number at all, NaN or infinity.

    >>> as_rows([[1, 0]])
    array([[1., 0.]])
    """

    rows = np.asarray(rows, float)
    require(
        rows.ndim == 2 and rows.size > 0, "rows", "shape (n, d), n and d at least 1", rows.shape
    )
    require(bool(np.isfinite(rows).all()), "rows", "finite numbers", "NaN or infinity")
    return rows
