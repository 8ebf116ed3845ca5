"""Results of three experiments: children of planted foundations, repairs, and bias transfer; for
notebook 02.

The runs were made by ``recipes/defects.py``, ``recipes/recall.py`` and
``recipes/bias_transfer.py``; nothing here trains.
"""

import functools
from dataclasses import dataclass
from typing import cast

import pandas as pd
import torch
from safetensors.torch import load_file

from fmcourse import data, results, stats
from fmcourse.arguments import choose
from fmcourse.stats import Interval

__all__ = ["Inheritance", "features", "load_inheritance", "load_recall", "load_transfer"]

FIGURES = ("success", "mistaken", "accuracy")
CHILD = ["kind", "seed", "task", "way"]
# Points of attack success above the control that a child called clean may have; fixed before any
# run.
MARGIN = 10.0


@dataclass(frozen=True)
class Inheritance:
    """Children of several foundations, and what they answered for test pictures.

    Attributes:
        answers: one row per child and test picture. Its columns are kind (how many pairs were
            planted in the foundation, or how it was repaired), seed, steps and seconds of the
            foundation; task and way of the child; the picture's row in
            :func:`fmcourse.homogenization.child_pictures` and its label; the child's answers for
            the picture as it is (clean) and with the trigger (stamped). Class 0 is the attack's
            target.
    """

    answers: pd.DataFrame

    @functools.cached_property
    def children(self) -> pd.DataFrame:
        """One row per child: kind, seed, task, way and three figures in percent.

        They are *success* (pictures of other classes that the child takes for the target once they
        carry the trigger), *mistaken* (the same pictures without it) and *accuracy* (of all
        pictures without it). Then how many pictures of other classes it saw (others), and how many
        of them it took for the target with the trigger (taken).
        """
        answers = self.answers
        # Pictures of the target itself say nothing of the attack.
        others = answers["label"] != 0
        scored = answers[CHILD].assign(
            success=(100.0 * (answers["stamped"] == 0)).where(others),
            mistaken=(100.0 * (answers["clean"] == 0)).where(others),
            accuracy=100.0 * (answers["clean"] == answers["label"]),
            others=others,
            taken=others & (answers["stamped"] == 0),
        )
        by_child = scored.groupby(CHILD, sort=False)
        counts = by_child[["others", "taken"]].sum()
        return by_child[list(FIGURES)].mean().join(counts).reset_index()

    @property
    def kinds(self) -> list[str]:
        """The kinds of foundations, in the order in which they were made."""
        return self.answers["kind"].unique().tolist()

    @property
    def ways(self) -> list[str]:
        """The ways to adapt."""
        return self.answers["way"].unique().tolist()

    def rate(self, kind: str, figure: str = "success", **only: str) -> Interval:
        """Return a figure of :attr:`children`, averaged over them.

        Args:
            kind: one of :attr:`kinds`.
            figure: ``success``, ``mistaken`` or ``accuracy``.
            only: ``way`` or ``task`` of the children that count; all do where none is given.

        Returns:
            The mean in percent, with Student's t interval, on the logit scale, over the seeds.
        """
        choose("figure", figure, FIGURES)
        shares = results.by_seed(self.children, figure, kind=kind, **only)
        return stats.share_interval(shares, whole=100)

    def added(self, kind: str, other: str) -> Interval:
        """Return the attack success of one kind of foundation minus that of a second one, in
        points, paired by seed.
        """
        return results.paired(self.children, "success", {"kind": kind}, {"kind": other})

    def family(self, kind: str, seed: int = 0, figure: str = "success") -> pd.DataFrame:
        """Return a figure of each child of one foundation, in percent, shape (tasks, ways)."""
        choose("figure", figure, FIGURES)
        own = results.select(self.children, kind=kind, seed=seed)
        table = own.pivot(index="task", columns="way", values=figure)
        return table.loc[own["task"].unique(), self.ways]

    def verdicts(self, kind: str, control: "Inheritance") -> pd.DataFrame:
        """Return for each child of a kind of foundation whether it is proven clean.

        Args:
            kind: one of :attr:`kinds`.
            control: runs with foundations of kind ``0``, where nothing was planted; a child is
                compared with all their children for its task that were adapted in its way.

        Returns:
            One row per child: seed, task, way, its excess of attack success over the control with
            Newcombe's interval (excess, low, high, in points), and the verdict: *clean* where the
            whole interval lies below 10 points; of the others *tainted* where it lies above 0,
            else *undecided*: not to have found a defect is no proof. Each is judged by itself.
        """
        planted_nowhere = results.select(control.children, kind="0")
        rows = []
        for child in results.select(self.children, kind=kind).to_dict("records"):
            alike = results.select(planted_nowhere, way=child["way"], task=child["task"])
            pooled = int(alike["taken"].sum()), int(alike["others"].sum())
            gap = stats.share_difference((child["taken"], child["others"]), pooled)
            excess, low, high = 100 * gap.estimate, 100 * gap.low, 100 * gap.high
            verdict = "undecided"
            if high < MARGIN:
                verdict = "clean"
            elif low > 0:
                verdict = "tainted"
            row = {name: child[name] for name in ("seed", "task", "way")}
            rows.append(row | {"excess": excess, "low": low, "high": high, "verdict": verdict})
        return pd.DataFrame(rows)

    def trace(self, kind: str, seed: int, way: str) -> dict[tuple[str, int], float]:
        """Return which foundation the children of one resemble: for each how often its linear
        probes make the *same mistake*.

        Args:
            kind, seed: the foundation of the suspects, which are its children adapted by `way`.
            way: one of :attr:`ways`; for ``linear probe`` the suspects would be the probes
                themselves.

        Returns:
            (kind, seed) to the share of test pictures, wrong in either, that suspect and probe take
            for the same class, averaged over tasks, the nearest foundation first. No trigger is
            needed, and no look at weights.
        """
        suspects = results.select(self.answers, kind=kind, seed=seed, way=way)
        probes = results.select(self.answers, way="linear probe")
        both = probes.merge(suspects, on=["task", "picture"], suffixes=("", "_suspect"))
        wrong = (both["clean"] != both["label"]) | (both["clean_suspect"] != both["label"])
        same = (both["clean"] == both["clean_suspect"]).where(wrong).astype(float)
        by_child = same.groupby([both[name] for name in ("kind", "seed", "task")], sort=False)
        # Where neither errs there is no mistake in common.
        shares = by_child.mean().fillna(0.0).groupby(["kind", "seed"], sort=False).mean()
        nearest = shares.sort_values(ascending=False, kind="stable")
        return cast(dict[tuple[str, int], float], nearest.to_dict())


def load_inheritance() -> Inheritance:
    """Return the children of foundations with 0, 1, 10, 30 and 100 planted pairs."""
    return Inheritance(results.load("defect-inheritance"))


def load_recall() -> Inheritance:
    """Return the children of one planted foundation as it was, and of what each repair made of
    it.
    """
    return Inheritance(results.load("defect-recall"))


def load_transfer() -> pd.DataFrame:
    """Return how much skin tone decides who is taken for a woman, one row per child.

    Its columns are upstream and bias (of the foundation's and of the child's training pictures),
    rebalanced, way, seed (of the foundation), draw (of the child's pictures), and gap and accuracy,
    in percent.
    """
    table = results.load("bias-transfer")
    return table.assign(gap=100 * table["gap"], accuracy=100 * table["accuracy"])


def features(file: str, key: str) -> torch.Tensor:
    """Return a foundation's bundled unit embeddings, of seed 0, shape (pictures, d), float32.

    Args:
        file: ``defect-features.safetensors``, whose rows are those of
            :func:`fmcourse.homogenization.child_pictures`, or ``bias-features.safetensors``, whose
            rows are those of :func:`fmcourse.homogenization.transfer_people`.
        key: such as ``100/stamped`` (planted pairs, and *clean* or *stamped*), or ``0.5`` (upstream
            bias).

    Raises:
        ValueError: an unknown key.
    """
    embeddings = load_file(data.path(file))
    return embeddings[choose("key", key, sorted(embeddings))].float()
