"""The bundled sweeps behind notebook 04 as intervals: the decoding frontier and the memorization
study.

``decoding-frontier`` (``recipes/decoding_frontier.py``) has one row per family, value, sample and
year of the address, with the measures of :data:`MEASURES`; the family ``president`` holds the
presidents' own words. The address is its independent unit.

``memorization`` (``recipes/memorization.py``) has one row per measurement: size and parameters of
the model, corpus (planted or deduplicated), seed, secrets (planted or unseen), copies of each,
context, measure and value. The measures are loss (nats per token, one row per secret), extracted
(how many secrets greedy decoding writes, given this context), copies_left (in the corpus, on
average), and of each run clean_loss, passages and plain_passages. The secret is its unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fmcourse import stats
from fmcourse.arguments import choose, require
from fmcourse.results import select
from fmcourse.stats import Interval

__all__ = [
    "by_address",
    "difference_at",
    "leak_curves",
    "told_apart",
    "written_in_full",
]

MEASURES = ("surprise", "self_bleu", "distinct_2", "repetition_4")
MARKED = "end mark"  # all the words, after an end mark


def by_address(table: pd.DataFrame, measure: str, family: str, value: float) -> np.ndarray:
    """Return a measure of each address at one setting, averaged over samples, shape (addresses,).

    Args:
        table: the decoding frontier.
        measure: one of :data:`MEASURES`.
        family, value: the setting, as the table names it.
    """
    rows = select(table, family=family, value=value)
    return rows.groupby("year")[choose("measure", measure, MEASURES)].mean().to_numpy()


def difference_at(table: pd.DataFrame, variety: float, family: str, other: str) -> Interval:
    """Return a family's surprise minus another's at the same variety; addresses are resampled in
    pairs.

    Args:
        table: the decoding frontier.
        variety: distinct-2, within what the settings of both reach; surprise is read off the line
            through them.
        family, other: families of the table.
    """
    first, second = _points(table, family), _points(table, other)
    for name, points in ((family, first), (other, second)):
        reached = points.mean(0)[:, 0]
        low, high = reached.min(), reached.max()
        reach = f"from {low:.3f} to {high:.3f}, as {name} reaches"
        require(bool(low <= variety <= high), "variety", reach, variety)
    settings = first.shape[1]

    def gap(points: np.ndarray) -> float:
        line = points.mean(0)
        return _read_off(line[:settings], variety) - _read_off(line[settings:], variety)

    return stats.bootstrap(np.concatenate([first, second], axis=1), gap)


def _points(table: pd.DataFrame, family: str) -> np.ndarray:
    """Return variety and surprise at each setting, shape (addresses, settings, 2)."""
    settings = select(table, family=family)["value"].unique()
    axes = [
        [by_address(table, measure, family, value) for value in settings]
        for measure in ("distinct_2", "surprise")
    ]
    return np.array(axes).transpose(2, 1, 0)


def _read_off(line: np.ndarray, variety: float) -> float:
    """Order the settings by variety, and interpolate; shape (settings, 2)."""
    x, y = line[line[:, 0].argsort()].T
    return float(np.interp(variety, x, y))


def told_apart(table: pd.DataFrame, **wanted: object) -> Interval:
    """Return how well the loss tells planted secrets from secrets planted nowhere: the AUC.

    Seeds are averaged. The ends are averaged too, which keeps the interval of one seed: a cautious
    one.

    Args:
        table: the memorization study.
        wanted: size, corpus and copies.
    """
    losses = select(table, measure="loss")
    own = select(losses, secrets="planted", **wanted)
    wanted = wanted | {"secrets": "unseen", "copies": 0}
    unseen = select(losses, **wanted)
    parts = []
    for seed, rows in own.groupby("seed"):
        found = stats.auc_interval(rows["value"], select(unseen, seed=seed)["value"])
        parts.append((found.estimate, found.low, found.high))
    return Interval(*np.mean(parts, axis=0).tolist())


def written_in_full(table: pd.DataFrame, context: int | str = "all", **wanted: object) -> Interval:
    """Return the share of secrets that greedy decoding writes, with Wilson's interval over the
    secrets of all seeds.

    Args:
        table: the memorization study.
        context: how many tokens before the code the model was given; or all; or ``end mark``, all
            after a mark.
        wanted: size, corpus, secrets and copies.
    """
    rows = select(table, **wanted)
    counts = select(rows, measure="extracted", context=str(context))["value"]
    return stats.wilson(int(counts.sum()), len(select(rows, measure="loss")))


def leak_curves(table: pd.DataFrame) -> dict[str, tuple[list[int], list[Interval]]]:
    """Return AUC and the share that is written by copies planted, as :func:`fmcourse.plots.curves`
    draws them, two lines a model.
    """
    lines = {}
    for size, rows in table.groupby("size", sort=False):
        own: dict[str, Any] = {"size": size, "corpus": "planted"}
        counts = [copies for copies in rows["copies"].unique().tolist() if copies]
        name = f"{rows['parameters'].mean() / 1e6:.2f} M parameters"
        told = [told_apart(table, copies=copies, **own) for copies in counts]
        written = [
            written_in_full(table, secrets="planted", copies=copies, **own) for copies in counts
        ]
        lines[f"{name}, told apart (AUC)"] = (counts, told)
        lines[f"{name}, written in full"] = (counts, written)
    return lines
