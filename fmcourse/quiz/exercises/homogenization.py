"""The exercises of notebook 02: who is failed by all, H, a group's H, and what an attack really
does."""

from __future__ import annotations

import numpy as np

from fmcourse import homogenization
from fmcourse.homogenization import systemic_failure_rate
from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]

FAILURES = (
    (np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 1]], bool),),
    (np.array([[1, 0], [1, 1], [0, 0], [1, 1], [1, 1], [0, 1]], bool),),
    # The first two deployers fail more people together than all three do.
    (np.array([[1, 1, 0], [1, 1, 1], [0, 0, 1], [1, 1, 0]], bool),),
)
GROUPED = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0, 1], [0, 0], [1, 0], [0, 0]], bool)
GROUPS = (
    (GROUPED, np.array(list("aaaabbbb"))),
    (GROUPED, np.array(list("aabbbbbb"))),
    (GROUPED, np.array([7, 7, 7, 2, 2, 2, 5, 5])),
)
LABELS = np.array([0, 0, 1, 2, 1, 2])


def _worst_people(failures: np.ndarray, groups: np.ndarray) -> float:
    rates = [failures[groups == group].all(axis=1).mean() for group in np.unique(groups)]
    return max(rates) / failures.mean(axis=0).prod()


EXERCISES = {
    "systemic-failure": Exercise(
        reference=systemic_failure_rate,
        cases=FAILURES,
        mistakes={
            "by any": lambda failures: failures.any(axis=1).mean(),
            "mean error": lambda failures: failures.mean(),
            "deployers": lambda failures: failures.all(axis=0).mean(),
        },
    ),
    "ratio": Exercise(
        reference=lambda failures: homogenization.homogenization(failures).ratio,
        cases=FAILURES,
        mistakes={
            "upside down": (
                lambda failures: failures.mean(axis=0).prod() / systemic_failure_rate(failures)
            ),
            "over mean error": lambda failures: systemic_failure_rate(failures) / failures.mean(),
            "power of mean error": (
                lambda failures: (
                    systemic_failure_rate(failures) / failures.mean() ** failures.shape[1]
                )
            ),
            "difference": homogenization.excess_failure_rate,
        },
    ),
    "worst-group": Exercise(
        reference=lambda failures, groups: (
            homogenization.homogenization(failures, groups, "worst").ratio
        ),
        cases=GROUPS,
        mistakes={
            "members": _worst_people,
            "mean group": (
                lambda failures, groups: (
                    homogenization.homogenization(failures, groups, "uniform").ratio
                )
            ),
            "rate": (
                lambda failures, groups: (
                    homogenization.homogenization(failures, groups, "worst").observed
                )
            ),
        },
    ),
    "attack-success": Exercise(
        reference=homogenization.attack_success,
        cases=((np.array([0, 0, 0, 0, 1, 2]), LABELS), (np.array([0, 1, 0, 1, 2, 2]), LABELS)),
        mistakes={
            "target too": lambda answers, labels: (answers == 0).mean(),
            "all errors": lambda answers, labels: (answers != labels).mean(),
            "of all pictures": lambda answers, labels: ((answers == 0) & (labels != 0)).mean(),
            "of those taken": lambda answers, labels: (labels[answers == 0] != 0).mean(),
        },
    ),
}
