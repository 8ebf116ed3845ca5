"""Failures that deployers share, and defects that children inherit from a foundation.

Used by notebook 02. The measures take failure matrices, shape (individuals, deployers), from
wherever they come.
"""

from __future__ import annotations

from fmcourse.homogenization.census import adult_failures, adult_people
from fmcourse.homogenization.defects import (
    CHILD_STYLES,
    TARGET,
    TASKS,
    ChildTask,
    child_pictures,
    child_task,
    stamp,
)
from fmcourse.homogenization.intervals import (
    Power,
    excess_failure_rate,
    interval_over_seeds,
    power,
    smallest_detectable,
)
from fmcourse.homogenization.measures import (
    Homogenization,
    World,
    failure_counts,
    failure_matrix,
    homogenization,
    shuffled,
    systemic_failure_rate,
)
from fmcourse.homogenization.people import coverage, people, professions
from fmcourse.homogenization.results import (
    Inheritance,
    features,
    load_inheritance,
    load_recall,
    load_transfer,
)
from fmcourse.homogenization.transfer import aligned_gap, biased_sample, transfer_people

__all__ = [
    "CHILD_STYLES",
    "TARGET",
    "TASKS",
    "ChildTask",
    "Homogenization",
    "Inheritance",
    "Power",
    "World",
    "adult_failures",
    "adult_people",
    "aligned_gap",
    "biased_sample",
    "child_pictures",
    "child_task",
    "coverage",
    "excess_failure_rate",
    "failure_counts",
    "failure_matrix",
    "features",
    "homogenization",
    "interval_over_seeds",
    "load_inheritance",
    "load_recall",
    "load_transfer",
    "people",
    "power",
    "professions",
    "shuffled",
    "smallest_detectable",
    "stamp",
    "systemic_failure_rate",
    "transfer_people",
]
