"""What does a run look like while it runs? A figure of its measurements that moves.

Serves the two live runs of notebook 01.
"""

from __future__ import annotations

from collections.abc import Mapping

from fmcourse import plotting
from fmcourse.arguments import require
from fmcourse.progress import MovingFigure

__all__ = ["Watch"]


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

    def drawing(self) -> plotting.Drawing:
        """Return the figure of all measurements so far."""
        steps = [self.every * place for place in range(len(self.records))]
        lines = {label: (steps, [record[name] for record in self.records]) for name, label in self.names.items()}
        return plotting.curves(lines, self.title, "training step", self.y_label)
