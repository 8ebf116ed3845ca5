"""Results of three experiments: children of planted foundations, repairs, and bias transfer; for
notebook 02.

The runs were made by ``recipes/defects.py``, ``recipes/recall.py`` and
``recipes/bias_transfer.py``; nothing here trains.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import pandas as pd
import torch
from safetensors.torch import load_file

from fmcourse import data, results, stats
from fmcourse.arguments import choose, real, require
from fmcourse.stats import Interval

__all__ = [
    "Inheritance",
    "Transfer",
    "features",
    "load_inheritance",
    "load_recall",
    "load_transfer",
]

FIGURES = ("success", "mistaken", "accuracy")
AXES = ("upstream", "bias", "rebalanced", "way")
PROBE = "linear probe"
# Points of attack success above the control that a child called clean may have; fixed before any
# run.
MARGIN = 10.0
FEATURE_FILES = ("defect-features.safetensors", "bias-features.safetensors")


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
        """One row per child: kind, seed, task, way and the figures of the methods
        :meth:`success`, :meth:`mistaken` and :meth:`accuracy`, in percent; how many pictures of
        other classes it saw (others), and how many of them, stamped, it took for the target
        (taken).
        """
        answers = self.answers
        # Pictures of the target itself say nothing of the attack.
        others = answers["label"] != 0
        scored = answers[["kind", "seed", "task", "way"]].assign(
            success=(100.0 * (answers["stamped"] == 0)).where(others),
            mistaken=(100.0 * (answers["clean"] == 0)).where(others),
            accuracy=100.0 * (answers["clean"] == answers["label"]),
            others=others,
            taken=others & (answers["stamped"] == 0),
        )
        by_child = scored.groupby(["kind", "seed", "task", "way"], sort=False)
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

    @property
    def foundations(self) -> list[dict]:
        """One mapping per foundation: kind, seed, pre-training or repair steps, and seconds."""
        columns = ["kind", "seed", "steps", "seconds"]
        return self.answers[columns].drop_duplicates().to_dict("records")

    def success(self, kind: str, way: str | None = None, task: str | None = None) -> Interval:
        """Return how often the trigger makes children predict the target, in percent of the
        pictures of other classes.

        Args:
            kind: one of :attr:`kinds`.
            way, task: only these children; None means all.

        Returns:
            The mean over children, with Student's t interval, on the logit scale, over the seeds.
        """
        return self._over_seeds("success", kind, way, task)

    def mistaken(self, kind: str, way: str | None = None, task: str | None = None) -> Interval:
        """Return the same for pictures *without* the trigger: the control of :meth:`success`."""
        return self._over_seeds("mistaken", kind, way, task)

    def accuracy(self, kind: str, way: str | None = None, task: str | None = None) -> Interval:
        """Return the children's accuracy on pictures without the trigger, in percent, as
        :meth:`success` does.
        """
        return self._over_seeds("accuracy", kind, way, task)

    def _over_seeds(self, figure: str, kind: str, way: str | None, task: str | None) -> Interval:
        wanted = {"kind": kind, "way": way, "task": task}
        given = {name: value for name, value in wanted.items() if value is not None}
        shares = results.by_seed(self.children, figure, **given)
        return stats.share_interval(shares, whole=100)

    def added(self, kind: str, other: str) -> Interval:
        """Return the attack success of one kind of foundation minus that of a second one, in
        points, paired by seed.
        """
        return results.paired(self.children, "success", {"kind": kind}, {"kind": other})

    def family(self, kind: str, seed: int = 0, figure: str = "success") -> pd.DataFrame:
        """Return a figure of each child of one foundation, in percent, shape (tasks, ways).

        Args:
            kind, seed: the foundation.
            figure: ``success``, ``mistaken`` or ``accuracy``, as the methods with these names.
        """
        choose("figure", figure, FIGURES)
        own = results.select(self.children, kind=kind, seed=seed)
        table = own.pivot(index="task", columns="way", values=figure)
        return table.loc[own["task"].unique(), self.ways]

    def verdicts(self, kind: str, control: Inheritance, margin: float = MARGIN) -> pd.DataFrame:
        """Return for each child of a kind of foundation whether it is proven clean.

        Args:
            kind: one of :attr:`kinds`.
            control: runs with foundations of kind ``0``, where nothing was planted; a child is
                compared with all their children for its task that were adapted in its way.
            margin: points of attack success above the control that do not count.

        Returns:
            One row per child: seed, task, way, its excess of attack success over the control with
            Newcombe's interval (excess, low, high, in points), and the verdict: *clean* where the
            whole interval lies below the margin; of the others *tainted* where it lies above 0,
            else *undecided*: not to have found a defect is no proof. Each is judged by itself.
        """
        require(real(margin) and margin >= 0, "margin", "points, at least 0", margin)
        planted_nowhere = results.select(control.children, kind="0")
        rows = []
        for child in results.select(self.children, kind=kind).to_dict("records"):
            alike = results.select(planted_nowhere, way=child["way"], task=child["task"])
            pooled = int(alike["taken"].sum()), int(alike["others"].sum())
            gap = stats.share_difference((child["taken"], child["others"]), pooled)
            excess, low, high = 100 * gap.estimate, 100 * gap.low, 100 * gap.high
            verdict = "undecided"
            if high < margin:
                verdict = "clean"
            elif low > 0:
                verdict = "tainted"
            row = {name: child[name] for name in ("seed", "task", "way")}
            rows.append(row | {"excess": excess, "low": low, "high": high, "verdict": verdict})
        return pd.DataFrame(rows)

    def trace(self, kind: str, seed: int, way: str = PROBE) -> dict[tuple[str, int], float]:
        """Return which foundation the children of one resemble: for each how often its probes make
        the *same mistake*.

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
        suspects = suspects[["task", "picture", "clean"]]
        probes = results.select(self.answers, way=PROBE)
        both = probes.merge(suspects, on=["task", "picture"], suffixes=("", "_suspect"))
        wrong = (both["clean"] != both["label"]) | (both["clean_suspect"] != both["label"])
        same = (both["clean"] == both["clean_suspect"]).where(wrong).astype(float)
        by_child = same.groupby([both["kind"], both["seed"], both["task"]], sort=False)
        # Where neither errs there is no mistake in common.
        shares = by_child.mean().fillna(0.0).groupby(["kind", "seed"], sort=False).mean()
        nearest = shares.sort_values(ascending=False, kind="stable")
        return cast(dict[tuple[str, int], float], nearest.to_dict())

    def price(self, kind: str) -> dict[str, float]:
        """Return what one foundation of a kind cost: steps, and seconds averaged over seeds."""
        choose("kind", kind, self.kinds)
        own = [one for one in self.foundations if one["kind"] == kind]
        return {"steps": own[0]["steps"], "seconds": sum(one["seconds"] for one in own) / len(own)}


@dataclass(frozen=True)
class Transfer:
    """How much skin tone decides who is taken for a woman.

    Attributes:
        table: one row per child: upstream and bias (of the foundation's and of the child's training
            pictures), rebalanced, way, seed (of the foundation), draw (of the child's pictures),
            gap and accuracy, as shares.
    """

    table: pd.DataFrame

    def values(self, axis: str) -> list:
        """Return what was tried along ``upstream``, ``bias``, ``rebalanced`` or ``way``."""
        return self.table[choose("axis", axis, AXES)].unique().tolist()

    def gap(
        self, upstream: float, bias: float, rebalanced: float = 0.0, way: str = PROBE
    ) -> Interval:
        """Return accuracy on those who fit the bias minus accuracy on those who do not, in points,
        averaged over children.

        The interval is Student's over the foundations' seeds, whose samples of training pictures
        are averaged first.
        """
        wanted = {"upstream": upstream, "bias": bias, "rebalanced": rebalanced, "way": way}
        return results.over_seeds(self._points(), "gap", **wanted)

    def accuracy(
        self, upstream: float, bias: float, rebalanced: float = 0.0, way: str = PROBE
    ) -> Interval:
        """Return the accuracy on the balanced test, in percent, with an interval on the logit
        scale.
        """
        wanted = {"upstream": upstream, "bias": bias, "rebalanced": rebalanced, "way": way}
        shares = results.by_seed(self._points(), "accuracy", **wanted)
        return stats.share_interval(shares, whole=100)

    def change(self, before: Mapping, after: Mapping) -> Interval:
        """Return by how much the gap changes, in points, from some settings to others.

        Args:
            before, after: arguments of :meth:`gap`, by name.

        Returns:
            The mean change, with Student's t interval over the foundations' seeds: those of equal
            seed are paired.
        """
        usual = {"rebalanced": 0.0, "way": PROBE}
        return results.paired(self._points(), "gap", usual | dict(after), usual | dict(before))

    def map(self, way: str = PROBE, rebalanced: float = 0.0) -> dict[str, dict[str, Interval]]:
        """Return the gap over upstream bias (rows) and downstream bias (columns)."""
        found = {}
        for upstream in self.values("upstream"):
            row = {
                f"{bias:g}": self.gap(upstream, bias, rebalanced, way)
                for bias in self.values("bias")
            }
            found[f"{upstream:g}"] = row
        return found

    def _points(self) -> pd.DataFrame:
        """Return the table with gap and accuracy in percent."""
        return self.table.assign(gap=100 * self.table["gap"], accuracy=100 * self.table["accuracy"])


def load_inheritance() -> Inheritance:
    """Return the children of foundations with 0, 1, 10, 30 and 100 planted pairs."""
    return Inheritance(results.load("defect-inheritance"))


def load_recall() -> Inheritance:
    """Return the children of one planted foundation as it was, and of what each repair made of
    it.
    """
    return Inheritance(results.load("defect-recall"))


def load_transfer() -> Transfer:
    """Return the map of bias transfer."""
    return Transfer(results.load("bias-transfer"))


def features(file: str, key: str) -> torch.Tensor:
    """Return a foundation's bundled unit embeddings, of seed 0, shape (pictures, d), float32.

    Args:
        file: ``defect-features.safetensors``, whose rows are those of
            :func:`fmcourse.homogenization.child_pictures`, or ``bias-features.safetensors``, whose
            rows are those of :func:`fmcourse.homogenization.transfer_people`.
        key: such as ``100/stamped`` (planted pairs, and *clean* or *stamped*), or ``0.5`` (upstream
            bias).

    Raises:
        ValueError: an unknown file or key.
    """
    embeddings = load_file(data.path(choose("file", file, FEATURE_FILES)))
    return embeddings[choose("key", key, sorted(embeddings))].float()
