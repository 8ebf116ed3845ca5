"""Where does the model fail? Slices that nobody named, found in embeddings and errors, and how good
a finder is.

Source: Eyuboglu et al. 2022 (Domino: slices from embeddings and errors together, measured on slices
that were planted).
"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from fmcourse import stats
from fmcourse.arguments import require, whole
from fmcourse.embeddings.rows import as_rows

SLICES = 10  # that a method looks for
# Domino weighs error evidence against embeddings, as so many standard deviations of a direction;
# 10 is its authors' default for both kinds.
ERROR_WEIGHT = 10.0
# Directions that the mixture sees; a full covariance in 128 would need thousands of items.
COMPONENTS = 16
WIDEST = 0.1  # covariance added to each component, in units of the rescaled directions


def error_slices(rows: ArrayLike, wrong: ArrayLike) -> np.ndarray:
    """Look for slices that are near to each other *and* wrong: a mixture of Gaussians over rows and
    errors.

    Domino (Eyuboglu et al. 2022, section 5) weighs labels and predictions apart; here both are one
    column, the error.

    Args:
        rows: embeddings, shape (n, d), at least :data:`SLICES`.
        wrong: how wrong the model is on each item, 0 to 1, such as one minus the probability of the
            right class, shape (n,).

    Returns:
        How much each item belongs to each slice, shape (n, slices): its share in the component, the
        components in order of their mean error, the worst first.

    Raises:
        ValueError: arguments that do not fit together.
    """
    rows, wrong = _items(rows, wrong)
    seen = PCA(min(COMPONENTS, *rows.shape), whiten=True, random_state=0).fit_transform(rows)
    seen = np.column_stack([seen, ERROR_WEIGHT * wrong])
    mixture = GaussianMixture(SLICES, covariance_type="diag", reg_covar=WIDEST, random_state=0)
    share = mixture.fit(seen).predict_proba(seen)
    return _worst_first(share * (1e-3 + wrong[:, None]), share, wrong)


def cluster_slices(rows: ArrayLike, wrong: ArrayLike) -> np.ndarray:
    """Return the same from k-means, which does not look at the errors until its clusters stand: the
    nearest to a centre first.

    Arguments and result are those of :func:`error_slices`.
    """
    rows, wrong = _items(rows, wrong)
    means = KMeans(SLICES, n_init=4, random_state=0).fit(rows)
    inside = np.eye(SLICES)[means.labels_]
    return _worst_first(inside / (1 + means.transform(rows)), inside, wrong)


def random_slices(count: int, seed: int = 0) -> np.ndarray:
    """Return scores that know nothing, shape (count, slices): the floor that every method is
    compared with.
    """
    return np.random.default_rng(seed).random((whole("count", count, 1), SLICES))


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
    scores, members = as_rows(scores), np.asarray(members, bool)
    fits = members.shape == scores.shape[:1]
    require(fits, "members", f"shape {scores.shape[:1]}", members.shape)
    first = np.argsort(-scores, axis=0, kind="stable")[: whole("k", k, 1, len(members))]
    return float(members[first].mean(0).max())


def _worst_first(scores: np.ndarray, share: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Put the columns in the order of the mean error of what they hold, the highest first."""
    mean = (share * wrong[:, None]).sum(0) / share.sum(0).clip(1e-12)
    return scores[:, (-mean).argsort(kind="stable")]


def _items(rows: ArrayLike, wrong: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    rows, wrong = as_rows(rows), stats.numbers("wrong", wrong)
    require(len(rows) >= SLICES, "rows", f"at least {SLICES}, one for each slice", len(rows))
    fits = wrong.shape == rows.shape[:1] and wrong.min() >= 0 and wrong.max() <= 1
    require(fits, "wrong", f"{len(rows)} numbers from 0 to 1, one per row", wrong.tolist())
    return rows, wrong
