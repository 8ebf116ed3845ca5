"""Did the data move? An alarm on the mean of a window, whose threshold is fixed before the window
is seen.

Windows in time hold neighbours, and neighbours are alike: :func:`drift_detector` can be fixed on
random windows, which is usual, or on runs of neighbours, which is what it will meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fmcourse import stats
from fmcourse.arguments import require, whole
from fmcourse.embeddings.rows import as_rows
from fmcourse.stats import Interval

WINDOWS = 1_000  # random ones behind a threshold


@dataclass(frozen=True)
class DriftDetector:
    """An alarm on the mean of a window of rows; everything in it was fixed before the window was
    seen.

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
        window = as_rows(window)
        fixed = f"{self.size} rows, for which the threshold was fixed"
        require(len(window) == self.size, "window", fixed, len(window))
        return float(np.linalg.norm(window.mean(0) - self.centre))

    def alarm(self, window: ArrayLike) -> bool:
        """Return whether the window lies farther away than the threshold."""
        return self.score(window) > self.threshold


def drift_detector(
    reference: ArrayLike, size: int, level: float = 0.05, series: ArrayLike | None = None
) -> DriftDetector:
    """Fix a detector on reference rows alone: its threshold is what `level` of their windows
    exceed.

    A window is compared with the rows left, as a new one will be, or the threshold would be too
    low. Without `series` the windows are random rows, which have no neighbours in time, and real
    windows do. With it they are runs of neighbours, each compared with the rows of the *other*
    series.

    Args:
        reference: rows of the time before, shape (n, d), more than `size`.
        size: rows of a window.
        level: the false-alarm rate aimed at, between 0 and 1.
        series: which series, such as a text, each row belongs to, shape (n,), rows of a series in
            their order; None means that rows have no order.

    Raises:
        ValueError: arguments that do not fit together, or `series` with fewer than two that hold a
            window.
    """
    reference = as_rows(reference)
    size = whole("size", size, 1, len(reference) - 1)
    require(0 < level < 1, "level", "a rate between 0 and 1", level)
    centre = reference.mean(0)
    if series is None:
        draw = np.random.default_rng(0)
        windows = [draw.choice(len(reference), size, replace=False) for _ in range(WINDOWS)]
        # From the distance to all rows to that to the rows left.
        apart, centres = len(reference) / (len(reference) - size), centre
    else:
        series = np.asarray(series)
        fits = series.shape == reference.shape[:1]
        require(fits, "series", f"shape {reference.shape[:1]}, one per row", series.shape)
        windows = list(runs(series, size))
        own = [series[window[0]] for window in windows]
        names = set(own)
        require(len(names) >= 2, "series", f"at least two with {size} rows", len(names))
        others = {name: reference[series != name].mean(0) for name in names}
        apart, centres = 1.0, np.array([others[name] for name in own])
    means = np.array([reference[window].mean(0) for window in windows])
    distances = apart * np.linalg.norm(means - centres, axis=1)
    return DriftDetector(centre, size, float(np.quantile(distances, 1 - level)))


def runs(series: ArrayLike, size: int) -> np.ndarray:
    """Return the places of windows of neighbours, shape (windows, size): none spans two series,
    none overlaps another.

    What is left at the end of a series and is shorter than a window is left out.

    Args:
        series: which series each row belongs to, shape (n,), rows of a series in their order.
        size: rows of a window, at least 1.

    >>> runs(["a", "a", "a", "b", "b"], 2).tolist()
    [[0, 1], [3, 4]]
    """
    series, size = np.asarray(series), whole("size", size, 1)
    windows = [np.empty((0, size), int)]
    for name in np.unique(series):
        own = np.flatnonzero(series == name)
        windows.append(own[: len(own) // size * size].reshape(-1, size))
    return np.concatenate(windows)


def cut_passages(texts: Sequence[str], words: int = 100) -> tuple[list[str], np.ndarray]:
    """Cut texts into passages of equal length, and return them with the place of the text that each
    is from, shape (passages,).

    A rest that is shorter is left out.

    >>> cut_passages(["a b c", "d e"], words=2)
    (['a b', 'd e'], array([0, 1]))
    """
    words = whole("words", words, 1)
    passages, places = [], []
    for place, text in enumerate(texts):
        own = text.split()
        for end in range(words, len(own) + 1, words):
            passages.append(" ".join(own[end - words : end]))
            places.append(place)
    return passages, np.array(places, int)


def ring_rate(rings: ArrayLike, series: ArrayLike) -> Interval:
    """Return the share of windows in which an alarm rings, with an interval over series.

    Args:
        rings: whether the alarm rings in each window, shape (windows,).
        series: the series that each window is from, shape (windows,), at least two series.

    >>> f"{ring_rate([True, True, True, False], ['a', 'a', 'b', 'b']):.2f}"
    '0.75 [0.00, 1.00]'
    """
    rings, series = np.asarray(rings), np.asarray(series)
    yes_or_no = np.isin(rings, (0, 1)).all()
    require(yes_or_no, "rings", "True or False for each window", rings.tolist())
    fits = rings.shape == series.shape and len(np.unique(series)) >= 2
    require(fits, "series", f"shape {rings.shape}, of at least two series", series)
    windows = pd.Series(rings).groupby(series).agg(["mean", "size"])
    return stats.share_interval(windows["mean"], windows["size"])
