"""The bundled runs behind sections 1 to 3 of notebook 03's further part: remedies for forgetting,
what fine-tuning keeps, and the mistakes clinic.

The runs were made by ``recipes/clip_forgetting.py``, ``recipes/clip_retention.py`` and
``recipes/clip_clinic.py``; nothing here trains. Alpha and steps are chosen on pictures that are not
reported. In the clinic these are the other half of the test pictures, in turn: cross-fitting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fmcourse import results, stats
from fmcourse.arguments import choose, require
from fmcourse.clip.mistakes import MISTAKES, RIGHT, counterpart
from fmcourse.stats import Interval

__all__ = [
    "Clinic",
    "Comparison",
    "cross_fitted",
    "halves",
    "load_clinic",
    "load_forgetting",
    "load_retention",
]

TO_CHOOSE = ", to choose"
PRETRAINED = ("noto", "twemoji")
PRETRAINED_STYLES = "styles of pre-training"


def halves(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sample two halves of the indices 0 ... count - 1; the first has one more when the count is
    odd.

    >>> [len(half) for half in halves(5)]
    [3, 2]
    """
    require(count >= 2, "count", "at least 2", count)
    first, second = np.array_split(np.random.default_rng(seed).permutation(count), 2)
    return first, second


def cross_fitted(
    choosing: np.ndarray, measured: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, list[int]]:
    """Choose one of several ways on each half of the pictures, and measure it on the other half.

    Args:
        choosing: what the choice may see, right (1) or wrong (0), shape (ways, pictures).
        measured: what is reported, of the same shape and pictures; it may be the same array.
        seed: of the two halves.

    Returns:
        The measured answers, shape (pictures,), and the two ways chosen, first of equals, for the
        first half and the second.

    Raises:
        ValueError: tables of different shapes.
    """
    expected = f"shape {choosing.shape} as of choosing"
    require(choosing.shape == measured.shape, "measured", expected, measured.shape)
    first, second = halves(choosing.shape[1], seed)
    way_of_first = int(choosing[:, second].mean(1).argmax())
    way_of_second = int(choosing[:, first].mean(1).argmax())
    answers = np.empty(choosing.shape[1], measured.dtype)
    answers[first] = measured[way_of_first, first]
    answers[second] = measured[way_of_second, second]
    return answers, [way_of_first, way_of_second]


@dataclass(frozen=True)
class Comparison:
    """Ways to adapt one model, each measured on several parts after training with several seeds.

    Attributes:
        table: one row per seed, method, step, alpha and part, with the columns `right` and `total`.
        choosing: the parts on which an interpolation's alpha is chosen; none of them is reported.
        ends: interpolated method to the methods at its alphas 0 and 1.
    """

    table: pd.DataFrame
    choosing: tuple[str, ...]
    ends: dict[str, tuple[str, str]]

    @property
    def methods(self) -> list[str]:
        """The methods in the order of the table, each once."""
        return self.table["method"].unique().tolist()

    def shares(self, method: str, part: str) -> pd.Series:
        """Return the percentage right, by seed, at the last step; of an interpolation at the chosen
        alpha.

        Raises:
            ValueError: a method or a part that was not measured.
        """
        if method not in self.ends:
            return self._last(method, part)
        path = self._path(method, part)
        chosen = path.columns.get_indexer(pd.Index(self.alphas(method).loc[path.index]))
        return pd.Series(path.to_numpy()[np.arange(len(path)), chosen], path.index)

    def alphas(self, method: str) -> pd.Series:
        """Return each seed's alpha: the largest mean over the parts to choose on, first of equals.

        Raises:
            ValueError: a method without alphas.
        """
        choose("method", method, self.ends)
        paths = [self._path(method, part) for part in self.choosing]
        return sum(paths[1:], paths[0]).idxmax(axis=1)

    def accuracy(self, method: str, part: str) -> Interval:
        """Return the percentage right, with an interval over seeds."""
        return stats.share_interval(self.shares(method, part), whole=100)

    def difference(self, method: str, other: str, part: str) -> Interval:
        """Return a method's percentage right minus a different one's, in points, paired by seed."""
        return stats.mean_interval(self.shares(method, part) - self.shares(other, part))

    def gain_kept(self, method: str, part: str) -> Interval:
        """Return how much of the gain from alpha 0 to alpha 1 is left at the chosen alpha, in
        percent."""
        first, last = self.ends[choose("method", method, self.ends)]
        before = self._last(first, part)
        gains = self._last(last, part) - before
        return stats.mean_interval(100 * (self.shares(method, part) - before) / gains)

    def along(self, method: str, part: str) -> tuple[list[float], list[Interval]]:
        """Return a line as figures draw it: every alpha, and the percentage right at each."""
        path = self._path(method, part)
        alphas = [float(alpha) for alpha in path.columns]
        return alphas, [stats.mean_interval(path[alpha]) for alpha in alphas]

    def _last(self, method: str, part: str) -> pd.Series:
        runs = results.select(self.table, method=method, part=part)
        return _percent(runs[runs["steps"] == runs["steps"].max()].set_index("seed"))

    def _path(self, method: str, part: str) -> pd.DataFrame:
        """Return the percentage right, one row per seed and one column per alpha, ends included."""
        first, last = self.ends[method]
        runs = results.select(self.table, method=method, part=part)
        between = _percent(runs.set_index(["seed", "alpha"])).unstack()
        between[0.0] = self._last(first, part)
        between[1.0] = self._last(last, part)
        return between.sort_index(axis=1)


def _percent(runs: pd.DataFrame) -> pd.Series:
    return 100 * runs["right"] / runs["total"]


def load_forgetting() -> Comparison:
    """Return the bundled runs of what CLIP forgets when it learns digits, and of the remedies.

    Its parts are ``digits``, ``names`` (of drawings in Noto) and ``openmoji``.
    """
    table = results.load("clip-forgetting")
    table["part"] = table["task"].where(~table["choosing"], table["task"] + TO_CHOOSE)
    ends = {f"{rate}, interpolated": ("before", rate) for rate in ("1e-3", "3e-4")}
    return Comparison(table, (f"digits{TO_CHOOSE}", f"names{TO_CHOOSE}"), ends)


def load_retention() -> Comparison:
    """Return the bundled runs of what fine-tuning on OpenMoji keeps of the pre-training's styles.

    Its parts are ``openmoji``, ``noto``, ``twemoji`` and ``styles of pre-training``, the last two
    together.
    """
    table = results.load("clip-retention").rename(columns={"split": "seed"}).assign(steps=0)
    both = table[table["part"].isin(PRETRAINED)].assign(part=PRETRAINED_STYLES)
    keys = ["seed", "method", "steps", "alpha", "part"]
    pooled = both.groupby(keys, sort=False, as_index=False)[["right", "total"]].sum()
    ends = {"interpolated": ("members' names", "names")}
    return Comparison(pd.concat([table, pooled]), ("validation",), ends)


@dataclass(frozen=True)
class Clinic:
    """Contrastive fine-tuning done right and with each mistake.

    Attributes:
        table: one row per mistake (or right way), seed, measured step and test picture, with the
            columns `right` and `failed`: why the run broke off, if it did.
    """

    table: pd.DataFrame

    def cost(self, mistake: str, step: str = "picked") -> Interval:
        """Return what a mistake of :data:`MISTAKES` costs in test accuracy, in points, averaged
        over seeds.

        A run that ends in NaN leaves no model, and costs all. For the step picked on the test set
        the cost is the flattery: the accuracy that would be reported minus the cross-fitted one.

        Args:
            mistake: its name.
            step: ``picked``, the step chosen by cross-fitting on both sides, or ``last``, the end
                of both runs.
        """
        choose("mistake", mistake, MISTAKES)
        if MISTAKES[mistake].pick == "test":
            lost = self._right(RIGHT, "best") - self._right(RIGHT, step)
        else:
            lost = self._right(counterpart(mistake), step) - self._right(mistake, step)
        return stats.crossed_interval(100 * lost)

    def accuracy(self, name: str = RIGHT, step: str = "picked") -> Interval:
        """Return the test accuracy in percent of a mistake or ``done right``; see :meth:`cost`."""
        return stats.crossed_interval(100 * self._right(name, step), whole=100)

    def failures(self, mistake: str) -> list[str]:
        """Return the messages of the runs that broke off."""
        # Picking on the test set is trained as the right way is, and has no runs of its own.
        runs = self.table[self.table["mistake"] == mistake]
        return runs.drop_duplicates("seed")["failed"].dropna().tolist()

    def _right(self, name: str, step: str) -> np.ndarray:
        """Return which test pictures each seed got right, shape (seeds, pictures)."""
        choose("step", step, ("picked", "last", "best"))
        answers = []
        runs = results.select(self.table, mistake=name)
        for seed in sorted(runs["seed"].unique()):
            run = runs[runs["seed"] == seed]
            steps = _wide(run, "step")
            if run["failed"].notna().any():
                steps = 0 * steps
            chosen = {"last": steps[-1], "best": steps[steps.mean(1).argmax()]}
            if step == "picked":
                chosen["picked"], _ = cross_fitted(steps, steps, seed)
            answers.append(chosen[step])
        return np.array(answers)


def load_clinic() -> Clinic:
    """Return the bundled runs of the mistakes clinic."""
    return Clinic(results.load("clip-clinic"))


def _wide(runs: pd.DataFrame, index: str) -> np.ndarray:
    """Return the column `right` as 0 and 1, shape (values of the index, pictures)."""
    return runs.pivot(index=index, columns="picture", values="right").to_numpy(int)
