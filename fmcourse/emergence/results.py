"""Curves of the bundled sweeps; for notebook 01.

The runs were made by ``recipes/emergence_*.py``; nothing here trains.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fmcourse import data, results, stats
from fmcourse.arguments import choose
from fmcourse.emergence.addition import PLACES, TEST_SUMS
from fmcourse.emergence.curves import turning_point
from fmcourse.stats import Interval

__all__ = ["Sweep", "load_forecast", "load_sweep"]


@dataclass(frozen=True)
class Sweep:
    """The runs of one sweep.

    Attributes:
        table: one row per run and measurement, run by run. Its columns are the settings, then
            ``parameters`` (number of weights), ``seconds`` and ``step``, then what was measured.
    """

    table: pd.DataFrame

    @classmethod
    def of(cls, runs: Sequence[Mapping]) -> "Sweep":
        """Return runs as a recipe keeps them: ``settings``, ``parameters``, ``seconds`` and
        ``records``, one mapping per measurement.
        """
        rows = []
        for run in runs:
            cost = {"parameters": run["parameters"], "seconds": run["seconds"]}
            rows += [run["settings"] | cost | record for record in run["records"]]
        return cls(pd.DataFrame(rows))

    @property
    def runs(self) -> pd.DataFrame:
        """The settings of each run with its ``parameters`` and ``seconds``, shape (runs, ...)."""
        steps = self.table["step"]
        before = self.table.columns[: self.table.columns.get_loc("step")]
        return self.table.loc[steps == steps.iloc[0], before].reset_index(drop=True)

    def values(self, setting: str) -> list:
        """Return the different values of a setting, in order."""
        return sorted(self.table[setting].unique().tolist())

    def only(self, **settings: object) -> "Sweep":
        """Return the runs with these settings.

        Raises:
            ValueError: there is none.
        """
        return Sweep(results.select(self.table, **settings))

    @property
    def steps(self) -> np.ndarray:
        """The steps at which the runs were measured, shape (measurements,)."""
        return self.curves("step")[0]

    def curves(self, name: str) -> np.ndarray:
        """Return what was measured under a name, one curve per run, shape (runs, measurements).

        Raises:
            ValueError: not all of these runs have it.
        """
        measured = self.table.dropna(axis="columns").columns
        choose("name", name, [one for one in measured if one not in self.runs])
        return self.table[name].to_numpy().reshape(len(self.runs), -1)

    def intervals(self, name: str) -> list[list[Interval]]:
        """Return a share of the test sums with its 95% Wilson interval, one list per run."""
        found = []
        for curve in self.curves(name):
            found.append([stats.wilson(round(TEST_SUMS * share), TEST_SUMS) for share in curve])
        return found

    def last(self, name: str) -> np.ndarray:
        """Return the last measurement of each run, shape (runs,)."""
        return self.curves(name)[:, -1]

    def places(self) -> np.ndarray:
        """Return the accuracy of each place of an answer, shape (runs, measurements, places)."""
        return np.stack([self.curves(place) for place in PLACES], -1)

    def turning_points(self, name: str = "exact", threshold: float = 0.5) -> np.ndarray:
        """Return the step at which each run turned, NaN for those that did not, shape (runs,)."""
        curves = self.curves(name)
        return np.array([turning_point(self.steps, curve, threshold) for curve in curves])


def load_sweep(name: str) -> Sweep:
    """Return a bundled sweep, made by a recipe.

    Args:
        name: ``autopsy`` (addition: settings ``width``, ``reverse`` and ``seed``), ``dose``
            (induction: ``layers``, ``bursty``, ``tokens`` and ``seed``), ``target`` (the runs that
            the forecast is about; predict first), ``inquest`` (the same width at a third of the
            learning rate, made after the answer was known), ``parity`` (``seed``) or ``grokking``
            (``weight_decay`` and ``seed``).

    Raises:
        ValueError: there is no such sweep.
    """
    return Sweep(results.load(f"emergence-{name}"))


def load_forecast() -> dict:
    """Return the course's own forecast, made before its target was trained: estimate, low, high,
    target and the law.
    """
    return json.loads(data.path("emergence-forecast.json").read_bytes())
