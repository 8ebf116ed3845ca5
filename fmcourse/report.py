"""How broad is broad data? Few-shot tasks in a style that no foundation saw, and what a sweep of
foundations made of them.

Serves notebook 00, discussion topic 2. The number of pre-training pairs is fixed; the number of
styles, or of groups of emoji, that they come from varies. The foundations were trained by
``recipes/breadth.py``; nothing here trains more than a probe.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from fmcourse import data, stats
from fmcourse.arguments import choose, require
from fmcourse.stats import Interval

__all__ = [
    "ACROSS",
    "EXAMPLES",
    "GROUPS",
    "NAMES",
    "UNSEEN",
    "Breadth",
    "FewShotTask",
    "few_shot",
    "few_shot_task",
    "foundation_rows",
    "load_breadth",
    "shared_concepts",
    "task_drawings",
]

UNSEEN = "openmoji"
GROUPS = (
    "smileys-emotion",
    "people-body",
    "animals-nature",
    "food-drink",
    "travel-places",
    "activities",
    "objects",
    "symbols",
)  # of Unicode; flags are left out
ACROSS = "which group"  # the task that asks for the group; all others ask for a subgroup within one
EXAMPLES, NAMES = "from examples", "by names"  # two ways of adapting to the groups' tasks
SHOTS, DRAWS = 4, 20  # pictures of a class to learn from, and how often they are drawn anew
SMALLEST, MOST = 7, 5  # concepts of a class, classes of a task
FILE, FEATURES = "breadth.json", "breadth-features.safetensors"


@dataclass(frozen=True)
class FewShotTask:
    """A task: to name a drawing's class after a few examples of each.

    Attributes:
        names: the classes.
        places: rows of ``load_emoji(style)`` that hold the drawings, in the order of their code
            points, shape (n,).
        labels: each drawing's class, shape (n,).
    """

    names: tuple[str, ...]
    places: np.ndarray
    labels: np.ndarray


@functools.cache
def _drawings() -> pd.DataFrame:
    """Return all drawings without skin tone and flags, with their place in their own style's
    table."""
    table = (
        data.load_emoji()
        .select_columns(["codepoints", "name", "group", "subgroup", "style", "skin_tone"])
        .to_pandas()
    )
    table["place"] = table.groupby("style").cumcount()
    return table[(table["skin_tone"] == "none") & table["group"].isin(GROUPS)].drop(
        columns="skin_tone"
    )


@functools.cache
def shared_concepts() -> dict[str, tuple[str, ...]]:
    """Return for each group the code points that the sweep's foundations may be trained on.

    They are drawn in all five training styles, so that a concept can be shown in any of them, and
    they are not held out.
    """
    table, hidden = _drawings(), frozenset.union(*data.held_out())
    styles = table[table["style"] != UNSEEN].groupby("codepoints")["style"].nunique()
    shared = set(styles.index[styles == len(data.STYLES) - 1]) - hidden
    own = table[(table["style"] == data.STYLES[0]) & table["codepoints"].isin(shared)]
    return {group: tuple(sorted(own["codepoints"][own["group"] == group])) for group in GROUPS}


@functools.cache
def task_drawings(name: str, style: str = UNSEEN) -> pd.DataFrame:
    """Return the drawings of a task, sorted by code points: codepoints, name, group, subgroup,
    style and place.

    Args:
        name: one of :data:`GROUPS`: the group's :func:`shared_concepts`, in the subgroups that have
            7 or more, at most the 5 largest; or :data:`ACROSS`, for all eight groups: concepts that
            no bundled model saw, drawn in all six styles.
        style: one of :data:`fmcourse.data.STYLES`.

    Raises:
        ValueError: an unknown name or style.
    """
    table = _drawings()
    own = table[table["style"] == choose("style", style, data.STYLES)]
    if choose("name", name, (*GROUPS, ACROSS)) == ACROSS:
        counts = table.groupby("codepoints")["style"].nunique()
        own = own[
            own["codepoints"].isin(
                set(counts.index[counts == len(data.STYLES)]) & data.held_out()[0]
            )
        ]
    else:
        own = own[own["codepoints"].isin(shared_concepts()[name])]
        counts = (
            own["subgroup"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
        )
        own = own[own["subgroup"].isin(counts.index[counts >= SMALLEST][:MOST])]
    return own.sort_values("codepoints").reset_index(drop=True)


def few_shot_task(name: str, style: str = UNSEEN) -> FewShotTask:
    """Return a task; its arguments are those of :func:`task_drawings`."""
    table = task_drawings(name, style)
    column = table["group"] if name == ACROSS else table["subgroup"]
    names = sorted(column.unique())
    return FewShotTask(
        tuple(names),
        table["place"].to_numpy(copy=True),
        column.map(names.index).to_numpy(copy=True),
    )


def few_shot(
    rows: torch.Tensor,
    labels: np.ndarray,
    fit: Callable[[torch.Tensor, torch.Tensor], Callable[[torch.Tensor], torch.Tensor]],
    tested: torch.Tensor | None = None,
    shots: int = SHOTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """Adapt to a task from a few examples of each class, and see how the rest is sorted; again and
    again.

    Args:
        rows: features, shape (n, d).
        labels: classes from 0, shape (n,); more than `shots` of each.
        fit: from rows and labels to a function from rows to logits, such as
            :func:`fmcourse.clip.linear_probe`.
        tested: features of the same concepts in another style, for the test; None means `rows`.
        shots: examples of each class.
        draws: how often they are drawn.
        seed: of the draws.

    Returns:
        For each draw the accuracy, every class counting the same: chance is 1 / classes. Shape
        (draws,).

    Raises:
        ValueError: a class with too few drawings, or features of another number.
    """

    tested, labels = rows if tested is None else tested, np.asarray(labels)
    alike = len(rows) == len(tested) == len(labels)
    require(
        alike, "tested", f"a row for each of the {len(labels)} labels", (len(rows), len(tested))
    )
    fewest = int(np.bincount(labels).min())
    require(
        0 < shots < fewest,
        "shots",
        f"1 to {fewest - 1}, so that every class has something left",
        shots,
    )
    draw, found = np.random.default_rng(seed), []
    for _ in range(draws):
        order = draw.permutation(len(labels))
        shown = np.concatenate(
            [order[labels[order] == label][:shots] for label in range(labels.max() + 1)]
        )
        rest = np.setdiff1d(order, shown)
        answers = fit(rows[shown], torch.tensor(labels[shown]))(tested[rest]).argmax(1).numpy()
        found.append(_balanced(answers, labels[rest]))
    return np.array(found)


def _balanced(answers: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over classes of the share that is right."""

    return float(
        np.mean([(answers[labels == label] == label).mean() for label in np.unique(labels)])
    )


# ---------------------------------------------------------------- the bundled sweep


@dataclass(frozen=True)
class Breadth:
    """How well the foundations of the sweep were adapted.

    Attributes:
        runs: one mapping per foundation: axis (*styles*, *groups*, *all*, *longer* or *untrained*),
            breadth, seed, trained (the styles, or the groups), pairs, and *tasks*, each with a
            share that is right. A group's task is there twice: by its name for few-shot probes,
            with ``/named`` for drawings that lie nearest to their own name among all names of the
            task. The task :data:`ACROSS` is there three times: as it is in the unseen style, with
            ``/seen`` in a style that the foundation was trained on, and with ``/shifted`` learnt in
            that style and tested in the unseen one.
    """

    runs: list[dict]

    def breadths(self, axis: str) -> list[int]:
        """Return the breadths that were tried along an axis, the narrowest first."""
        axes = sorted({run["axis"] for run in self.runs})
        return sorted(
            {run["breadth"] for run in self.runs if run["axis"] == choose("axis", axis, axes)}
        )

    def accuracy(
        self,
        axis: str,
        breadth: int,
        task: str = EXAMPLES,
        part: str | None = None,
        above_untrained: bool = False,
    ) -> Interval:
        """Return what is right, in percent.

        Args:
            axis, breadth: which foundations.
            task: a task as in :attr:`runs`; :data:`EXAMPLES` or :data:`NAMES` for the mean over the
                groups' tasks in that way.
            part: ``inside`` or ``outside``: of those eight only the tasks of groups that the
                foundation was trained on, or not.
            above_untrained: subtract from each task what foundations with random weights get right
                in it, on average; so tasks of unequal difficulty can be compared.

        Returns:
            The mean over foundations, with Student's t interval over their seeds.

        Raises:
            ValueError: an unknown name, or settings that were not tried together.
        """
        return stats.mean_interval(
            list(self._by_seed(axis, breadth, task, part, above_untrained).values())
        )

    def curve(
        self,
        axis: str,
        task: str = EXAMPLES,
        part: str | None = None,
        above_untrained: bool = False,
    ) -> tuple[list[int], list[Interval]]:
        """Return the breadths of an axis and the accuracy at each; breadths without such a task are
        left out."""
        tried = [
            breadth for breadth in self.breadths(axis) if self._by_seed(axis, breadth, task, part)
        ]
        return tried, [
            self.accuracy(axis, breadth, task, part, above_untrained) for breadth in tried
        ]

    def change(
        self,
        before: tuple[str, int],
        after: tuple[str, int],
        task: str = EXAMPLES,
        part: str | None = None,
        above_untrained: bool = False,
    ) -> Interval:
        """Return by how many points accuracy changes from some foundations to others, those of
        equal seed being paired.

        Args:
            before, after: axis and breadth of each.
            task, part, above_untrained: as in :meth:`accuracy`.
        """
        first, second = (
            self._by_seed(*which, task, part, above_untrained) for which in (before, after)
        )
        return stats.mean_interval(
            [second[seed] - value for seed, value in first.items() if seed in second]
        )

    def _by_seed(
        self, axis: str, breadth: int, task: str, part: str | None, above_untrained: bool = False
    ) -> dict[int, float]:
        require(breadth in self.breadths(axis), "breadth", f"one of {self.breadths(axis)}", breadth)
        own = [run for run in self.runs if (run["axis"], run["breadth"]) == (axis, breadth)]
        blank = (
            [run["tasks"] for run in self.runs if run["axis"] == "untrained"]
            if above_untrained
            else []
        )
        base = {
            name: sum(tasks[name] for tasks in blank) / len(blank) if blank else 0.0
            for name in own[0]["tasks"]
        }
        each = {
            run["seed"]: [run["tasks"][name] - base[name] for name in self._tasks(run, task, part)]
            for run in own
        }
        return {
            seed: 100 * sum(shares) / len(shares) for seed, shares in sorted(each.items()) if shares
        }

    def _tasks(self, run: dict, task: str, part: str | None) -> list[str]:
        if choose("task", task, (EXAMPLES, NAMES, *run["tasks"])) in run["tasks"]:
            return [task]
        kept: tuple[str, ...] = GROUPS
        if part is not None:
            inside = choose("part", part, ("inside", "outside")) == "inside"
            kept = tuple(group for group in GROUPS if (group in run["trained"]) == inside)
        return [group + ("/named" if task == NAMES else "") for group in kept]


def load_breadth() -> Breadth:
    """Return the bundled sweep."""
    return Breadth(json.loads(data.path(FILE).read_text(encoding="utf-8"))["runs"])


def foundation_rows(key: str, task: str) -> torch.Tensor:
    """Return cached unit rows of a task's drawings in the unseen style from a foundation of seed 0,
    shape (n, d), float32.

    Args:
        key: ``1`` or ``5``, the number of styles that the foundation was trained on.
        task: one of :data:`GROUPS`.

    Raises:
        ValueError: an unknown key or task.
    """

    rows = load_file(data.path(FEATURES))
    keys = sorted({name.split("/")[0] for name in rows})
    return rows[f"{choose('key', key, keys)}/{choose('task', task, GROUPS)}"].float()
