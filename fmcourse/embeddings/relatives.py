"""Who is like whom? Nearest rows, joins without a key, near-duplicates, and the tail of rare
classes.

Sources: Lee et al. 2022 (near-duplicates in training data). The tail is the course's own reading of
    data management.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors, radius_neighbors_graph

from fmcourse import stats
from fmcourse.arguments import require
from fmcourse.embeddings.rows import as_rows
from fmcourse.stats import Interval

__all__ = ["accuracy_by_count", "alike", "duplicate_groups", "mutual_nearest", "nearest"]


def nearest(rows: ArrayLike, others: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row its largest cosine to one of the others, and that one's place, each of
    shape (n,)."""

    rows, others = as_rows(rows), as_rows(others)
    require(
        rows.shape[1] == others.shape[1],
        "others",
        f"rows of {rows.shape[1]} numbers",
        others.shape[1],
    )
    distance, place = NearestNeighbors(n_neighbors=1, metric="cosine").fit(others).kneighbors(rows)
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
    wanted = zip(*np.unique(labels[np.asarray(places)], return_counts=True))
    return np.concatenate(
        [
            draw.choice(np.flatnonzero(labels == label), count, replace=False)
            for label, count in wanted
        ]
    )


def duplicate_groups(rows: ArrayLike, threshold: float) -> np.ndarray:
    """Return the group of each row, shape (n,): rows at least as near as the threshold are linked,
    and links chain.

    Args:
        rows: embeddings, shape (n, d), of any length.
        threshold: the least cosine of a pair that counts as near-duplicates, above 0 and at most 1.

    >>> duplicate_groups([[1, 0], [1, 0.01], [0, 1]], 0.99).tolist()
    [0, 0, 1]
    """

    require(0 < threshold <= 1, "threshold", "a cosine above 0 and at most 1", threshold)
    linked = radius_neighbors_graph(as_rows(rows), 1 - threshold + 1e-9, metric="cosine")
    return connected_components(linked, directed=False)[1]


def accuracy_by_count(
    counts: ArrayLike, right: ArrayLike, edges: Sequence[int]
) -> dict[str, Interval]:
    """Return the accuracy of items by how often their like was seen in training: where the tail
    begins.

    Args:
        counts: for each test item, how many training items its class or concept has, shape (n,).
        right: whether the item was right, shape (n,).
        edges: the bins' lower ends, rising; the last bin is open. Items below the first are left
            out.

    Returns:
        A label such as ``10-19`` or ``100+`` to the accuracy with its Wilson interval; a bin
        without items is left out.

    >>> shares = accuracy_by_count([1, 1, 9], [0, 1, 1], [1, 5])
    >>> [f"{label}: {share:.2f}" for label, share in shares.items()]
    ['1-4: 0.50 [0.09, 0.91]', '5+: 1.00 [0.21, 1.00]']
    """

    counts, right = np.asarray(counts), np.asarray(right, bool)
    require(
        counts.shape == right.shape, "right", f"shape {counts.shape}, that of counts", right.shape
    )
    rising = len(edges) > 0 and all(low < high for low, high in itertools.pairwise(edges))
    require(rising, "edges", "rising whole numbers, at least one", edges)
    shares = {}
    for low, high in zip(edges, [*edges[1:], None]):
        inside = (counts >= low) & (True if high is None else counts < high)
        if inside.any():
            label = f"{low}+" if high is None else f"{low}-{high - 1}"
            shares[label] = stats.wilson(int(right[inside].sum()), int(inside.sum()))
    return shares
