"""A figure of measurements that moves while a model trains; for notebook 01's live runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from fmcourse import plots
from fmcourse.arguments import choose, require
from fmcourse.training import MovingFigure

__all__ = ["Watch", "watched"]


class Watch:
    """What :func:`train_adder` and :func:`train_induction` can call after each measurement; it
    draws all so far.

    Args:
        names: what is drawn: the name in the records to the label of its line.
        title, y_label: of the figure.

    Attributes:
        records: the measurements so far. A run that goes on from a checkpoint adds those that it
            makes anew.

    >>> watch = Watch({"exact": "exact match"}, "Learning to add", "share of 1,000 sums")
    >>> watch({"step": 0, "exact": 0.0, "nll": 2.5})
    >>> watch.records
    [{'step': 0, 'exact': 0.0, 'nll': 2.5}]
    """

    def __init__(self, names: Mapping[str, str], title: str, y_label: str) -> None:
        named = isinstance(names, Mapping) and len(names) > 0
        require(named, "names", "a mapping from records to labels, at least one", names)
        self.names, self.title, self.y_label = dict(names), title, y_label
        self.records: list[dict[str, float]] = []
        self._figure = MovingFigure()

    def __call__(self, record: Mapping[str, float]) -> None:
        """Add one measurement, with its ``step``, and draw all.

        Raises:
            ValueError: the record lacks the step or a name that is drawn.
        """
        for name in ("step", *self.names):
            choose("names", name, record)
        self.records.append(dict(record))
        self._figure.show(self.drawing())

    def drawing(self) -> plots.Drawing:
        """Return the figure of all measurements so far."""
        steps = [record["step"] for record in self.records]
        lines = {
            label: (steps, [record[name] for record in self.records])
            for name, label in self.names.items()
        }
        return plots.curves(lines, self.title, "training step", self.y_label)


def watched(
    score: Callable[[Any], dict[str, float]],
    on_measure: Callable[[dict[str, float]], None] | None,
) -> Callable[[torch.nn.Module, int], dict[str, float]]:
    """Return a measurement for :func:`fmcourse.training.fit` that hands on each record at once.

    Args:
        score: what is measured of a model; it returns a record.
        on_measure: called with the record and its ``step``; None calls nothing.
    """

    def measure(model: torch.nn.Module, step: int) -> dict[str, float]:
        record = score(model)
        if on_measure:
            on_measure({"step": step, **record})
        return record

    return measure
