"""What counts as a table of embeddings, and who is like whom in it: nearest rows, joins without a
key, and as many at random.

The control with as many at random is the course's own reading of data management.
"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors

from fmcourse import stats
from fmcourse.arguments import require


def as_rows(rows: ArrayLike) -> np.ndarray:
    """Return rows as floats, shape (n, d); a view where they are floats already.

    Raises:
        ValueError: another number of axes, no number at all, NaN or infinity.

    >>> as_rows([[1, 0]])
    array([[1., 0.]])
    """
    rows = stats.numbers("rows", rows)
    require(rows.ndim == 2, "rows", "shape (n, d)", rows.shape)
    return rows


def nearest(rows: ArrayLike, others: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row its largest cosine to one of the others, and that one's place, each of
    shape (n,).

    Raises:
        ValueError: rows and others of different lengths.
    """
    search = NearestNeighbors(n_neighbors=1, metric="cosine").fit(as_rows(others))
    distance, place = search.kneighbors(as_rows(rows))
    return 1 - distance[:, 0], place[:, 0]


def mutual_nearest(rows: ArrayLike, others: ArrayLike) -> np.ndarray:
    """Return pairs of places that are each other's nearest by cosine, shape (pairs, 2): a join of
    two tables without a key.

    A row whose nearest has a nearer one is left out: fewer rows, and more of them right.

    >>> mutual_nearest([[1, 0], [0.9, 0.1], [0, 1]], [[0, 1], [1, 0]]).tolist()
    [[0, 1], [2, 0]]
    """
    there, back = nearest(rows, others)[1], nearest(others, rows)[1]
    places = np.arange(len(there))
    agreed = back[there] == places
    return np.column_stack([places[agreed], there[agreed]])


def alike(labels: ArrayLike, places: ArrayLike, seed: int = 0) -> np.ndarray:
    """Draw as many items of the same classes at random, shape of `places`: the control for taking
    those items away.

    Args:
        labels: each item's class, shape (n,).
        places: which items are to be matched, each once; they may be drawn themselves.
        seed: of the draw.

    >>> sorted(alike([0, 0, 1, 1, 2], [1, 4]).tolist())[1]
    4
    """
    labels, draw = np.asarray(labels), np.random.default_rng(seed)
    drawn = []
    for label, count in zip(*np.unique(labels[np.asarray(places)], return_counts=True)):
        drawn.append(draw.choice(np.flatnonzero(labels == label), count, replace=False))
    return np.concatenate(drawn)
