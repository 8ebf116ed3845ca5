"""Where does the model fail? Slices that nobody named, found in embeddings and errors, and how good
a finder is.

Sources: Eyuboglu et al. 2022 (Domino: slices from embeddings and errors together, measured on
    slices that were planted).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from fmcourse.arguments import require
from fmcourse.embeddings.rows import as_rows

__all__ = ["cluster_slices", "error_slices", "precision_at", "random_slices"]

# Domino weighs error evidence against embeddings; 10 is its authors' default for both kinds.
ERROR_WEIGHT = 10.0
COMPONENTS = (
    16  # directions that the mixture sees; a full covariance in 128 would need thousands of items
)
WIDEST = 0.1  # covariance added to each component, in units of the rescaled directions


def error_slices(
    rows: ArrayLike, wrong: ArrayLike, slices: int = 10, weight: float = ERROR_WEIGHT, seed: int = 0
) -> np.ndarray:
    """Look for slices that are near to each other *and* wrong: a mixture of Gaussians over rows and
    errors.

    Domino (Eyuboglu et al. 2022, section 5) weighs labels and predictions apart; here both are one
    column, the error.

    Args:
        rows: embeddings, shape (n, d).
        wrong: how wrong the model is on each item, 0 to 1, such as one minus the probability of the
            right class, shape (n,).
        slices: components of the mixture, at least 1.
        weight: how many standard deviations of a direction an error of 1 is worth; 0 looks at the
            rows alone.
        seed: of the mixture's first guess.

    Returns:
        How much each item belongs to each slice, shape (n, slices): its share in the component, the
        components in order of their mean error, the worst first.

    Raises:
        ValueError: arguments that do not fit together.
    """

    rows, wrong = _items(rows, wrong, slices)
    seen = PCA(min(COMPONENTS, *rows.shape), whiten=True, random_state=seed).fit_transform(rows)
    seen = np.column_stack([seen, weight * wrong])
    mixture = GaussianMixture(
        slices, covariance_type="diag", reg_covar=WIDEST, random_state=seed
    ).fit(seen)
    share = mixture.predict_proba(seen)
    return _worst_first(share * (1e-3 + wrong[:, None]), share, wrong)


def cluster_slices(
    rows: ArrayLike, wrong: ArrayLike, slices: int = 10, seed: int = 0
) -> np.ndarray:
    """Return the same from k-means, which does not look at the errors until its clusters stand: the
    nearest to a centre first.

    Arguments and result are those of :func:`error_slices`.
    """

    rows, wrong = _items(rows, wrong, slices)
    means = KMeans(slices, n_init=4, random_state=seed).fit(rows)
    inside = np.eye(slices)[means.labels_]
    return _worst_first(inside / (1 + means.transform(rows)), inside, wrong)


def random_slices(count: int, slices: int = 10, seed: int = 0) -> np.ndarray:
    """Return scores that know nothing, shape (count, slices): the floor that every method is
    compared with."""

    require(count >= 1 and slices >= 1, "count", "at least one item and one slice", (count, slices))
    return np.random.default_rng(seed).random((count, slices))


def precision_at(scores: ArrayLike, members: ArrayLike, k: int = 10) -> float:
    """Return the share of planted items among the k first of a slice, for the slice where it is
    highest.

    The best of several slices flatters every method alike: compare with :func:`random_slices`,
    never with 0.

    Args:
        scores: what one of the three functions above returned, shape (n, slices).
        members: which items belong to the planted slice, shape (n,).
        k: how many a person would look at, from 1 to n.

    >>> precision_at([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]], [True, True, False], k=2)
    1.0
    """

    scores, members = np.asarray(scores, float), np.asarray(members, bool)
    require(
        scores.ndim == 2 and members.shape == scores.shape[:1],
        "members",
        f"shape {scores.shape[:1]}",
        members.shape,
    )
    require(1 <= k <= len(members), "k", f"a whole number from 1 to {len(members)}", k)
    first = np.argsort(-scores, axis=0, kind="stable")[:k]
    return float(members[first].mean(0).max())


def _worst_first(scores: np.ndarray, share: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Put the columns in the order of the mean error of what they hold, the highest first."""
    mean = (share * wrong[:, None]).sum(0) / share.sum(0).clip(1e-12)
    return scores[:, (-mean).argsort(kind="stable")]


def _items(rows: ArrayLike, wrong: ArrayLike, slices: int) -> tuple[np.ndarray, np.ndarray]:

    rows, wrong = as_rows(rows), np.asarray(wrong, float)
    require(
        wrong.shape == rows.shape[:1],
        "wrong",
        f"shape {rows.shape[:1]}, one number per row",
        wrong.shape,
    )
    require(
        bool(((wrong >= 0) & (wrong <= 1)).all()), "wrong", "numbers from 0 to 1", wrong.tolist()
    )
    require(1 <= slices <= len(rows), "slices", f"a whole number from 1 to {len(rows)}", slices)
    return rows, wrong
