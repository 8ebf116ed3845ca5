"""The bundled runs behind the frontier and the mistakes clinic, as tables of right and wrong
answers.

Serves notebook 03. The runs were made by ``recipes/clip_frontier.py`` and
``recipes/clip_clinic.py``; nothing here trains. Whatever had to be chosen from a run (an alpha, a
step) was chosen on one half of the test pictures in the training style and measured on the other
half, and the other way round: cross-fitting, so that no picture is judged by its own choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fmcourse import results, stats
from fmcourse.arguments import choose, require
from fmcourse.clip.mistakes import MISTAKES, RIGHT, counterpart
from fmcourse.stats import Interval

__all__ = ["Clinic", "Frontier", "cross_fitted", "halves", "load_clinic", "load_frontier"]

INTERPOLATED = "interpolated"
CHOSEN = "interpolated, alpha chosen in Noto"


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
class Frontier:
    """Every method's answers on the test pictures, in the training style and in the shifted one.

    Attributes:
        table: one row per method, alpha (of the interpolation only), seed, part (``test``, the
            training style, or ``shifted``) and picture, with the column `right`. Both parts show
            the same concepts in the same order.
    """

    table: pd.DataFrame

    @property
    def methods(self) -> list[str]:
        """The methods, the interpolation with its chosen alpha in place of its single alphas."""
        return [name for name in self.table["method"].unique() if name != INTERPOLATED] + [CHOSEN]

    @property
    def alphas(self) -> list[float]:
        """The alphas of the interpolation, from the zero-shot end (0) to the fine-tuned one (1)."""
        return sorted(self.table["alpha"].dropna().unique().tolist())

    def right(self, method: str, part: str, alpha: float | None = None) -> np.ndarray:
        """Return which pictures a method got right, 0 or 1, shape (seeds, pictures).

        Args:
            method: one of :attr:`methods`, or ``interpolated`` together with an alpha.
            part: ``test``, the training style, or ``shifted``; the same concepts in the same order.
            alpha: one of :attr:`alphas`, for ``interpolated`` only.
        """
        if method == CHOSEN:
            return np.array([answers for answers, _ in self._cross_fitted(part)])
        runs = results.select(self.table, method=method, part=part)
        if method == INTERPOLATED or alpha is not None:
            runs = results.select(runs, alpha=alpha)
        return _wide(runs, "seed")

    def chosen_alphas(self) -> list[tuple[float, float]]:
        """Return each seed's two alphas: for the first half of the pictures and the second."""
        alphas = self.alphas
        return [
            (alphas[first], alphas[second]) for _, (first, second) in self._cross_fitted("test")
        ]

    def accuracy(self, method: str, part: str, alpha: float | None = None) -> Interval:
        """Return a method's accuracy in percent, with an interval over seeds and pictures."""
        return stats.crossed_interval(100 * self.right(method, part, alpha), whole=100)

    def difference(self, method: str, other: str, part: str) -> Interval:
        """Return a method's accuracy minus a different one's, in points, paired by picture."""
        gained = self.right(method, part) - self.right(other, part)
        return stats.crossed_interval(100 * gained)

    def shift_cost(self, method: str) -> Interval:
        """Return how many points a method loses in the shifted style, paired by concept."""
        lost = self.right(method, "test") - self.right(method, "shifted")
        return stats.crossed_interval(100 * lost)

    def _cross_fitted(self, part: str) -> list[tuple[np.ndarray, list[int]]]:
        """Return each seed's answers with alpha chosen in the training style, and the choices."""
        # Shape (seeds, alphas, pictures).
        choosing = np.stack([self.right(INTERPOLATED, "test", a) for a in self.alphas], axis=1)
        measured = np.stack([self.right(INTERPOLATED, part, a) for a in self.alphas], axis=1)
        seeds = sorted(self.table.loc[self.table["method"] == INTERPOLATED, "seed"].unique())
        return [cross_fitted(*both) for both in zip(choosing, measured, seeds)]


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


def load_frontier() -> Frontier:
    """Return the bundled runs of the frontier."""
    return Frontier(results.load("clip-frontier"))


def load_clinic() -> Clinic:
    """Return the bundled runs of the mistakes clinic."""
    return Clinic(results.load("clip-clinic"))


def _wide(runs: pd.DataFrame, index: str) -> np.ndarray:
    """Return the column `right` as 0 and 1, shape (values of the index, pictures)."""
    return runs.pivot(index=index, columns="picture", values="right").to_numpy(int)
