"""The bundled runs behind sections 5 to 7 of notebook 03: remedies for forgetting, what fine-tuning
keeps, and the mistakes clinic.

The runs were made by ``recipes/clip_forgetting.py``, ``recipes/clip_retention.py``,
``recipes/clip_shift.py`` and ``recipes/clip_clinic.py``; nothing here trains. Alpha and steps are
chosen on pictures that are not reported. In the clinic these are the other half of the test
pictures, in turn: cross-fitting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fmcourse import results, stats
from fmcourse.arguments import choose
from fmcourse.clip.mistakes import MISTAKES, RIGHT
from fmcourse.stats import Interval

__all__ = [
    "Clinic",
    "Comparison",
    "load_clinic",
    "load_forgetting",
    "load_retention",
    "load_shift",
]

TO_CHOOSE = ", to choose"
PRETRAINED = ("noto", "twemoji")
PRETRAINED_STYLES = "styles of pre-training"
# Of the image encoder; chosen on the new style's validation, see `recipes/clip_retention.py`.
CHOSEN_RATES = {"random head": 1e-4, "LP-FT": 1e-3, "names": 1e-4, "interpolated": 1e-4}


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
        alphas = self.alphas(method)
        columns = path.columns.get_indexer(pd.Index(alphas.loc[path.index]))
        return pd.Series(path.to_numpy()[range(len(path)), columns], path.index)

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
        return _over_seeds(self.shares(method, part) - self.shares(other, part))

    def gain_kept(self, method: str, part: str) -> Interval:
        """Return how much of the gain from alpha 0 to alpha 1 is left at the chosen alpha, in
        percent."""
        first, last = self.ends[choose("method", method, self.ends)]
        before = self._last(first, part)
        gains = self._last(last, part) - before
        return stats.mean_interval(100 * (self.shares(method, part) - before) / gains)

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


def _over_seeds(values: pd.Series) -> Interval:
    # A probe's encoder is the model's own, so that no seed differs: an interval of no width.
    if values.nunique() == 1:
        return Interval(values.iloc[0], values.iloc[0], values.iloc[0])
    return stats.mean_interval(values)


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
    together. A start such as ``LP-FT`` is the run at the rate that was chosen for it; ``LP-FT at
    1e-4`` is the run at this rate. ``interpolated`` lies between the members' names and ``names``.
    """
    table, ends = _by_rate("clip-retention")
    both = table[table["part"].isin(PRETRAINED)].assign(part=PRETRAINED_STYLES)
    keys = ["seed", "method", "steps", "alpha", "part"]
    pooled = both.groupby(keys, sort=False, as_index=False)[["right", "total"]].sum()
    return Comparison(pd.concat([table, pooled]), ("validation",), ends)


def load_shift() -> Comparison:
    """Return the bundled runs of fine-tuning on OpenMoji, of a model whose pre-training left out
    one style of each concept.

    Its parts are ``openmoji``, ``left out`` (drawings that no training saw) and ``seen``. Its
    methods are those of :func:`load_retention`, and ``interpolated`` at each rate.
    """
    table, ends = _by_rate("clip-shift")
    return Comparison(table, ("validation",), ends)


def _by_rate(name: str) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Return the runs of a start at its own rate and at each rate, and the interpolations' ends."""
    table = results.load(name).rename(columns={"split": "seed"}).assign(steps=0)
    own_rates = table["method"].map(CHOSEN_RATES)
    tuned = table[own_rates.notna()]
    rates = tuned["lr"].map("{:.0e}".format).str.replace("e-0", "e-")
    named = tuned.assign(method=tuned["method"] + " at " + rates)
    own = table[table["lr"] == own_rates.fillna(table["lr"])]
    both = pd.concat([own, named])
    mixed = [name for name in both["method"].unique() if name.startswith("interpolated")]
    ends = {name: ("members' names", name.replace("interpolated", "names")) for name in mixed}
    return both, ends


@dataclass(frozen=True)
class Clinic:
    """Contrastive fine-tuning done right and with each mistake.

    Attributes:
        table: one row per mistake (or ``done right``), seed, measured step and test picture, with
            the columns `right`, `named` (how many of the known drawings are named after this step)
            and `failed`: why the run broke off, if it did.
    """

    table: pd.DataFrame

    def accuracy(self, name: str = RIGHT) -> Interval:
        """Return the test accuracy in percent of a mistake or ``done right``."""
        return stats.crossed_interval(100 * self._kept(name), whole=100)

    def cost(self, mistake: str) -> Interval:
        """Return what a mistake of :data:`MISTAKES` costs in test accuracy, in points.

        Both sides keep the step that was chosen by cross-fitting. A run that ends in NaN leaves no
        model, and costs all. For the step picked on the test set the cost is the flattery: the
        accuracy that would be reported minus the cross-fitted one.
        """
        right, wrong = self._kept(RIGHT), self._kept(mistake)
        points = 100 * (right - wrong)
        return stats.crossed_interval(-points if _picks_on_the_test_set(mistake) else points)

    def forgotten(self, name: str) -> Interval:
        """Return how many of the known drawings are named no more after the last step, in percent
        of those before."""
        runs = self._runs(name).sort_values("step").groupby("seed")
        before, after = runs["named"].first(), runs["named"].last()
        return _over_seeds(100 * (1 - after.where(runs["failed"].first().isna(), 0) / before))

    def _runs(self, name: str) -> pd.DataFrame:
        # Picking on the test set is trained as the right way is, and has no runs of its own.
        trained = RIGHT if _picks_on_the_test_set(name) else name
        return results.select(self.table, mistake=trained)

    def _kept(self, name: str) -> np.ndarray:
        """Return which test pictures are right at the step kept, shape (seeds, pictures)."""
        answers = []
        for seed, run in self._runs(name).groupby("seed"):
            steps = run.pivot(index="step", columns="picture", values="right").to_numpy(int)
            if run["failed"].notna().any():
                steps = 0 * steps
            if _picks_on_the_test_set(name):
                answers.append(steps[steps.mean(1).argmax()])
            else:
                answers.append(_cross_fitted(steps, seed))
        return np.array(answers)


def _picks_on_the_test_set(name: str) -> bool:
    return name in MISTAKES and MISTAKES[name].test_set


def _cross_fitted(steps: np.ndarray, seed: Any) -> np.ndarray:
    """Choose a step on each half of the pictures, first of equals, and take its answers on the
    other half.

    Args:
        steps: which pictures are right at each step, shape (steps, pictures).
        seed: of the two halves.
    """
    order = np.random.default_rng(seed).permutation(steps.shape[1])
    first, second = np.array_split(order, 2)
    answers = steps[steps[:, second].mean(1).argmax()].copy()
    answers[second] = steps[steps[:, first].mean(1).argmax(), second]
    return answers


def load_clinic() -> Clinic:
    """Return the bundled runs of the mistakes clinic."""
    return Clinic(results.load("clip-clinic"))
