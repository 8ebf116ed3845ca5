"""Are the same people failed by everybody, and who inherits a foundation's defect? Measures, worlds, people, recalls.

Serves notebook 02. The measures take failure matrices, shape (individuals, deployers), from wherever they come.
"""

from __future__ import annotations

from fmcourse.homogenization.census import adult_failures, adult_people
from fmcourse.homogenization.intervals import Power, excess, excess_failure_rate, interval_over_seeds, power, smallest_detectable
from fmcourse.homogenization.measures import (
    Counts,
    Homogenization,
    expected_failure_rate,
    failure_counts,
    failure_matrix,
    group_failure,
    homogenization,
    shuffled,
    systemic_failure_rate,
)
from fmcourse.homogenization.worlds import World, simulate

__all__ = [
    "Counts",
    "Homogenization",
    "Power",
    "World",
    "adult_failures",
    "adult_people",
    "excess",
    "excess_failure_rate",
    "expected_failure_rate",
    "failure_counts",
    "failure_matrix",
    "group_failure",
    "homogenization",
    "interval_over_seeds",
    "power",
    "shuffled",
    "simulate",
    "smallest_detectable",
    "systemic_failure_rate",
]
