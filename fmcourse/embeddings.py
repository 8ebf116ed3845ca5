"""Who looks after rows of numbers? Embeddings as data: versions, slices, patches, duplicates, the tail, drift and lineage.

Serves notebook 05. Axes: n items, d numbers per row. Everything here takes arrays, never models. Sources: Orr, Goel & Ré
2022 (the three challenges, as summaries tell: integration with provenance, monitoring, patching), Eyuboglu et al. 2022
(Domino: slices from embeddings and errors together), Yan et al. 2021 (negative flips). Versions and the tail are the
course's own reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse import bundle, uncertainty
from fmcourse.arguments import choose, require
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

__all__ = [
    "DriftDetector",
    "Flips",
    "accuracy_by_count",
    "cluster_slices",
    "drift_detector",
    "duplicate_groups",
    "error_slices",
    "flips",
    "lineage",
    "nearest",
    "precision_at",
    "random_slices",
]

ERROR_WEIGHT = 10.0  # Domino weighs error evidence against embeddings; 10 is its authors' default for both kinds
COMPONENTS = 16  # directions that the mixture sees; a full covariance in 128 would need thousands of items
WIDEST = 0.1  # covariance added to each component, in units of the rescaled directions


@dataclass(frozen=True)
class Flips:
    """What happened to single items between two versions, each as a share of all items.

    Attributes:
        changed: the prediction is another one.
        lost: right before and wrong now, a negative flip.
        gained: wrong before and right now.
    """

    changed: Interval
    lost: Interval
    gained: Interval


def flips(old: ArrayLike, new: ArrayLike, labels: ArrayLike, where: ArrayLike | None = None) -> Flips:
    """Compare two versions item by item; their accuracies differ by gained minus lost only.

    Args:
        old, new: predicted classes, shape (n,).
        labels: right classes, shape (n,).
        where: which items count, shape (n,), True or False; None means all. A patch is judged by two calls: on the slice, and
            on everything else.

    Raises:
        ValueError: another shape than that of `labels`, or no item that counts.

    >>> found = flips([0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 1, 1])
    >>> found.changed.estimate, found.lost.estimate, found.gained.estimate
    (0.5, 0.25, 0.25)
    """
    import numpy as np

    old, new, labels = np.asarray(old), np.asarray(new), np.asarray(labels)
    counted = np.ones(len(labels), bool) if where is None else np.asarray(where, bool)
    for name, values in (("old", old), ("new", new), ("where", counted)):
        require(values.shape == labels.shape, name, f"shape {labels.shape}, that of labels", values.shape)
    require(bool(counted.any()), "where", "at least one item that counts", "none")
    kinds = (old != new, (old == labels) & (new != labels), (old != labels) & (new == labels))
    return Flips(*(uncertainty.wilson(int(kind[counted].sum()), int(counted.sum())) for kind in kinds))


def error_slices(rows: ArrayLike, wrong: ArrayLike, slices: int = 10, weight: float = ERROR_WEIGHT, seed: int = 0) -> np.ndarray:
    """Look for slices that are near to each other *and* wrong: a mixture of Gaussians over rows and errors.

    Domino (Eyuboglu et al. 2022, section 5) weighs labels and predictions apart; here both are one column, the error.

    Args:
        rows: embeddings, shape (n, d).
        wrong: how wrong the model is on each item, 0 to 1, such as one minus the probability of the right class, shape (n,).
        slices: components of the mixture, at least 1.
        weight: how many standard deviations of a direction an error of 1 is worth; 0 looks at the rows alone.
        seed: of the mixture's first guess.

    Returns:
        How much each item belongs to each slice, shape (n, slices): its share in the component, the components in order of
        their mean error, the worst first.

    Raises:
        ValueError: arguments that do not fit together.
    """
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    rows, wrong = _items(rows, wrong, slices)
    seen = PCA(min(COMPONENTS, *rows.shape), whiten=True, random_state=seed).fit_transform(rows)
    seen = np.column_stack([seen, weight * wrong])
    mixture = GaussianMixture(slices, covariance_type="diag", reg_covar=WIDEST, random_state=seed).fit(seen)
    share = mixture.predict_proba(seen)
    return _worst_first(share * (1e-3 + wrong[:, None]), share, wrong)


def cluster_slices(rows: ArrayLike, wrong: ArrayLike, slices: int = 10, seed: int = 0) -> np.ndarray:
    """Return the same from k-means, which does not look at the errors until its clusters stand: the nearest to a centre first.

    Arguments and result are those of :func:`error_slices`.
    """
    import numpy as np
    from sklearn.cluster import KMeans

    rows, wrong = _items(rows, wrong, slices)
    means = KMeans(slices, n_init=4, random_state=seed).fit(rows)
    inside = np.eye(slices)[means.labels_]
    return _worst_first(inside / (1 + means.transform(rows)), inside, wrong)


def random_slices(count: int, slices: int = 10, seed: int = 0) -> np.ndarray:
    """Return scores that know nothing, shape (count, slices): the floor that every method is compared with."""
    import numpy as np

    require(count >= 1 and slices >= 1, "count", "at least one item and one slice", (count, slices))
    return np.random.default_rng(seed).random((count, slices))


def precision_at(scores: ArrayLike, members: ArrayLike, k: int = 10) -> float:
    """Return the share of planted items among the k first of a slice, for the slice where it is highest.

    The best of several slices flatters every method alike: compare with :func:`random_slices`, never with 0.

    Args:
        scores: what one of the three functions above returned, shape (n, slices).
        members: which items belong to the planted slice, shape (n,).
        k: how many a person would look at, from 1 to n.

    >>> precision_at([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]], [True, True, False], k=2)
    1.0
    """
    import numpy as np

    scores, members = np.asarray(scores, float), np.asarray(members, bool)
    require(scores.ndim == 2 and members.shape == scores.shape[:1], "members", f"shape {scores.shape[:1]}", members.shape)
    require(1 <= k <= len(members), "k", f"a whole number from 1 to {len(members)}", k)
    first = np.argsort(-scores, axis=0, kind="stable")[:k]
    return float(members[first].mean(0).max())


def nearest(rows: ArrayLike, others: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row its largest cosine to one of the others, and that one's place, each of shape (n,)."""
    from sklearn.neighbors import NearestNeighbors

    rows, others = _rows(rows), _rows(others)
    require(rows.shape[1] == others.shape[1], "others", f"rows of {rows.shape[1]} numbers", others.shape[1])
    distance, place = NearestNeighbors(n_neighbors=1, metric="cosine").fit(others).kneighbors(rows)
    return 1 - distance[:, 0], place[:, 0]


def duplicate_groups(rows: ArrayLike, threshold: float) -> np.ndarray:
    """Return the group of each row, shape (n,): rows at least as near as the threshold are linked, and links chain.

    Args:
        rows: embeddings, shape (n, d), of any length.
        threshold: the least cosine of a pair that counts as near-duplicates, above 0 and at most 1.

    >>> duplicate_groups([[1, 0], [1, 0.01], [0, 1]], 0.99).tolist()
    [0, 0, 1]
    """
    from scipy.sparse.csgraph import connected_components
    from sklearn.neighbors import radius_neighbors_graph

    require(0 < threshold <= 1, "threshold", "a cosine above 0 and at most 1", threshold)
    linked = radius_neighbors_graph(_rows(rows), 1 - threshold + 1e-9, metric="cosine")
    return connected_components(linked, directed=False)[1]


def accuracy_by_count(counts: ArrayLike, right: ArrayLike, edges: Sequence[int]) -> dict[str, Interval]:
    """Return the accuracy of items by how often their like was seen in training: where the tail begins.

    Args:
        counts: for each test item, how many training items its class or concept has, shape (n,).
        right: whether the item was right, shape (n,).
        edges: the bins' lower ends, rising; the last bin is open. Items below the first are left out.

    Returns:
        A label such as ``10-19`` or ``100+`` to the accuracy with its Wilson interval; a bin without items is left out.

    >>> [f"{label}: {share:.2f}" for label, share in accuracy_by_count([1, 1, 9], [0, 1, 1], [1, 5]).items()]
    ['1-4: 0.50 [0.09, 0.91]', '5+: 1.00 [0.21, 1.00]']
    """
    import numpy as np

    counts, right = np.asarray(counts), np.asarray(right, bool)
    require(counts.shape == right.shape, "right", f"shape {counts.shape}, that of counts", right.shape)
    rising = len(edges) > 0 and all(low < high for low, high in zip(edges, edges[1:]))
    require(rising, "edges", "rising whole numbers, at least one", edges)
    shares = {}
    for low, high in zip(edges, [*edges[1:], None]):
        inside = (counts >= low) & (True if high is None else counts < high)
        if inside.any():
            label = f"{low}+" if high is None else f"{low}-{high - 1}"
            shares[label] = uncertainty.wilson(int(right[inside].sum()), int(inside.sum()))
    return shares


@dataclass(frozen=True)
class DriftDetector:
    """An alarm on the mean of a window of rows; everything in it was fixed before the window was seen.

    Attributes:
        centre: the mean of the reference rows, shape (d,).
        size: how many rows a window has; the threshold holds for that size.
        threshold: the distance of means above which the alarm sounds.
    """

    centre: np.ndarray
    size: int
    threshold: float

    def score(self, window: ArrayLike) -> float:
        """Return the Euclidean distance of the window's mean from the reference's."""
        import numpy as np

        window = _rows(window)
        require(len(window) == self.size, "window", f"{self.size} rows, for which the threshold was fixed", len(window))
        return float(np.linalg.norm(window.mean(0) - self.centre))

    def alarm(self, window: ArrayLike) -> bool:
        """Return whether the window lies farther away than the threshold."""
        return self.score(window) > self.threshold


def drift_detector(reference: ArrayLike, size: int, level: float = 0.05, draws: int = 1_000, seed: int = 0) -> DriftDetector:
    """Fix a detector on reference rows alone: its threshold is what `level` of random windows of them exceed.

    A window is compared with the rows left, as a new one will be, or the threshold would be too low. A random window has no neighbours in time, and real windows do: count the false alarms on real, unseen windows too.

    Args:
        reference: rows of the time before, shape (n, d), more than `size`.
        size: rows of a window.
        level: the false-alarm rate aimed at, between 0 and 1.
        draws: random windows behind the threshold.
        seed: of their drawing.
    """
    import numpy as np

    reference = _rows(reference)
    require(1 <= size < len(reference), "size", f"a whole number from 1 to {len(reference) - 1}", size)
    require(0 < level < 1, "level", "a rate between 0 and 1", level)
    draw, centre = np.random.default_rng(seed), reference.mean(0)
    apart = len(reference) / (len(reference) - size)  # from the distance to all rows to that to the rows left
    windows = (reference[draw.choice(len(reference), size, replace=False)].mean(0) for _ in range(draws))
    distances = [apart * float(np.linalg.norm(window - centre)) for window in windows]
    return DriftDetector(centre, size, float(np.quantile(distances, 1 - level)))


def lineage(file: str, manifest: Mapping[str, Mapping] | None = None) -> list[str]:
    """Return where a bundled file comes from, nearest first, down to what was not made here.

    Args:
        file: a file of the manifest.
        manifest: file to entry with key ``source``; None means :func:`fmcourse.bundle.manifest`.

    Returns:
        The file, the bundled files that its source names, and theirs; the sources that name none close the list.

    Raises:
        ValueError: a file that the manifest does not know.

    >>> lineage("ladder-small/model.safetensors")[:2]
    ['ladder-small/model.safetensors', 'addresses.parquet']
    """
    manifest = bundle.manifest() if manifest is None else manifest
    waiting, files, origins = [choose("file", file, manifest)], [], []
    while waiting:
        current = waiting.pop(0)
        files.append(current)
        source = manifest[current]["source"]
        parents = [other for other in manifest if other in source and other != current]
        waiting += [parent for parent in parents if parent not in [*files, *waiting]]
        origins += [] if parents or source in origins else [source]
    return files + origins


def _worst_first(scores: np.ndarray, share: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Put the columns in the order of the mean error of what they hold, the highest first."""
    mean = (share * wrong[:, None]).sum(0) / share.sum(0).clip(1e-12)
    return scores[:, (-mean).argsort(kind="stable")]


def _items(rows: ArrayLike, wrong: ArrayLike, slices: int) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    rows, wrong = _rows(rows), np.asarray(wrong, float)
    require(wrong.shape == rows.shape[:1], "wrong", f"shape {rows.shape[:1]}, one number per row", wrong.shape)
    require(bool(((wrong >= 0) & (wrong <= 1)).all()), "wrong", "numbers from 0 to 1", wrong.tolist())
    require(1 <= slices <= len(rows), "slices", f"a whole number from 1 to {len(rows)}", slices)
    return rows, wrong


def _rows(rows: ArrayLike) -> np.ndarray:
    import numpy as np

    rows = np.asarray(rows, float)
    require(rows.ndim == 2 and rows.size > 0, "rows", "shape (n, d), n and d at least 1", rows.shape)
    require(bool(np.isfinite(rows).all()), "rows", "finite numbers", "NaN or infinity")
    return rows
