"""What did the sweeps measure? The bundled curves of the autopsy, the dose-response, the forecast,
the quanta and grokking.

Serves notebook 01. The runs were made by ``recipes/emergence_*.py``; nothing here trains. A sweep
is a list of runs, each a mapping with its settings and its records, one record per measurement.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from fmcourse import bundle, uncertainty
from fmcourse.arguments import require
from fmcourse.emergence.addition import PLACES, TEST_SUMS
from fmcourse.emergence.curves import turning_point
from fmcourse.uncertainty import Interval

__all__ = [
    "Sweep",
    "load_autopsy",
    "load_dose",
    "load_forecast",
    "load_grokking",
    "load_inquest",
    "load_parity",
    "load_target",
]


@dataclass(frozen=True)
class Sweep:
    """The runs of one sweep.

    Attributes:
        runs: one mapping per run: ``settings`` (name to value), ``records`` (one mapping per
            measurement, with ``step``), ``parameters`` and ``seconds``.
    """

    runs: list[dict]

    def values(self, setting: str) -> list:
        """Return the different values of a setting, in order."""
        return sorted({run["settings"][setting] for run in self.runs if setting in run["settings"]})

    def only(self, **settings: object) -> Sweep:
        """Return the runs with these settings.

        Raises:
            ValueError: there is none.
        """
        runs = [run for run in self.runs if settings.items() <= run["settings"].items()]
        require(len(runs) > 0, "settings", f"some of {self._choices(settings)}", settings)
        return Sweep(runs)

    @property
    def steps(self) -> np.ndarray:
        """The steps at which the runs were measured, shape (measurements,)."""
        return self._column("step")[0]

    @property
    def parameters(self) -> list[int]:
        """The number of weights of each run."""
        return [run["parameters"] for run in self.runs]

    def curves(self, name: str) -> np.ndarray:
        """Return what was measured under a name, one curve per run, shape (runs, measurements).

        Raises:
            ValueError: no record has it.
        """
        require(
            name in self.runs[0]["records"][0],
            "name",
            f"one of {sorted(self.runs[0]['records'][0])}",
            name,
        )
        return self._column(name)

    def intervals(self, name: str, items: int = TEST_SUMS) -> list[list[Interval]]:
        """Return a share measured on so many items with its 95% Wilson interval, one list per
        run."""
        return [
            [uncertainty.wilson(round(items * share), items) for share in curve]
            for curve in self.curves(name)
        ]

    def last(self, name: str) -> np.ndarray:
        """Return the last measurement of each run, shape (runs,)."""
        return self.curves(name)[:, -1]

    def places(self) -> np.ndarray:
        """Return the accuracy of each place of an answer, shape (runs, measurements, places)."""
        return np.stack([self.curves(place) for place in PLACES], -1)

    def turning_points(self, name: str = "exact", threshold: float = 0.5) -> np.ndarray:
        """Return the step at which each run turned, NaN for those that did not, shape (runs,)."""
        return np.array(
            [turning_point(self.steps, curve, threshold) for curve in self.curves(name)]
        )

    def _column(self, name: str) -> np.ndarray:
        return np.array([[record[name] for record in run["records"]] for run in self.runs])

    def _choices(self, settings: dict) -> dict:
        return {name: self.values(name) for name in settings}


def load_autopsy() -> Sweep:
    """Return the addition sweep: settings ``width``, ``reverse`` and ``seed``."""
    return _read("emergence-autopsy.json")


def load_dose() -> Sweep:
    """Return the induction sweep: settings ``layers``, ``bursty``, ``tokens`` and ``seed``."""
    return _read("emergence-dose.json")


def load_parity() -> Sweep:
    """Return the sparse-parity runs: setting ``seed``."""
    return _read("emergence-parity.json")


def load_grokking() -> Sweep:
    """Return the modular-addition runs: settings ``weight_decay`` and ``seed``."""
    return _read("emergence-grokking.json")


def load_forecast() -> dict:
    """Return the course's own forecast, made before its target was trained: estimate, low, high,
    target and the law."""
    return json.loads(bundle.path("emergence-forecast.json").read_text(encoding="utf-8"))


def load_target() -> Sweep:
    """Open the runs that the forecast is about; predict first."""
    return _read("emergence-target.json")


def load_inquest() -> Sweep:
    """Return runs of the target's width at a third of the learning rate, made after its answer was
    known."""
    return _read("emergence-inquest.json")


def _read(file: str) -> Sweep:
    return Sweep(json.loads(bundle.path(file).read_text(encoding="utf-8"))["runs"])
