"""What does a run look like while it runs? Training that tells of each measurement, and a figure of them that moves.

Serves the two live runs of notebook 01.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fmcourse import plots, training
from fmcourse.arguments import require
from fmcourse.progress import MovingFigure

if TYPE_CHECKING:
    from transformers import GPTNeoForCausalLM

__all__ = ["Watch", "fit_watched"]


class Watch:
    """What :func:`train_adder` and :func:`train_induction` can call after each measurement; it draws all so far.

    Args:
        every: steps between two measurements.
        names: what is drawn: the name in the records to the label of its line.
        title, y_label: of the figure.

    Attributes:
        records: the measurements so far.

    >>> watch = Watch(100, {"exact": "exact match"}, "Learning to add", "share of 1,000 sums")
    >>> watch({"exact": 0.0, "nll": 2.5})
    >>> watch.records
    [{'exact': 0.0, 'nll': 2.5}]
    """

    def __init__(self, every: int, names: Mapping[str, str], title: str, y_label: str) -> None:
        require(every >= 1, "every", "at least 1 step", every)
        require(len(names) > 0, "names", "at least one line", names)
        self.every, self.names, self.title, self.y_label = every, dict(names), title, y_label
        self.records: list[dict[str, float]] = []
        self._figure = MovingFigure()

    def __call__(self, record: Mapping[str, float]) -> None:
        self.records.append(dict(record))
        self._figure.show(self.drawing())

    def drawing(self) -> plots.Drawing:
        """Return the figure of all measurements so far."""
        steps = [self.every * place for place in range(len(self.records))]
        lines = {
            label: (steps, [record[name] for record in self.records])
            for name, label in self.names.items()
        }
        return plots.curves(lines, self.title, "training step", self.y_label)


def fit_watched(
    model: GPTNeoForCausalLM,
    batch_at: Callable[[int], Any],
    score: Callable[[GPTNeoForCausalLM], dict[str, float]],
    on_measure: Callable[[dict[str, float]], None] | None,
    *,
    lr: float,
    **how: Any,
) -> training.Run:
    """Train in place with AdamW at a constant rate, and hand each record to `on_measure` as soon as it is there.

    Args:
        model, batch_at, how: as in :func:`fmcourse.training.fit`.
        score: what is measured; it returns a record.
        on_measure: called with each new record, ``step`` left out; None calls nothing.
        lr: the learning rate.
    """

    def measure(model: GPTNeoForCausalLM) -> dict[str, float]:
        record = score(model)
        if on_measure:
            on_measure(record)
        return record

    return training.fit(model, batch_at, optimizer=training.adamw(lr), measure=measure, **how)
