"""The exercises of notebook 02: what shows a shared cause, whom two deployers fail together, who is
failed by all, and a group's H."""

from __future__ import annotations

from collections.abc import Callable

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
# Deployer 0 and four partners, one a row: the best, the one with the fewest errors, the one that
# adds the fewest, and the one that fails the most together with deployer 0.
PARTNERS = ["11110000", "00001111", "10001000", "11100000", "11111110"]
SUPPLIER = np.array([list(row) for row in PARTNERS]).T == "1"
SUPPLIERS = ((SUPPLIER,), (SUPPLIER[:, [0, 3, 1]],), (SUPPLIER[:, [0, 2, 4, 3, 1]],))


def _worst_people(failures: np.ndarray, groups: np.ndarray) -> float:
    rates = [failures[groups == group].all(axis=1).mean() for group in np.unique(groups)]
    return max(rates) / failures.mean(axis=0).prod()


def _both(failures: np.ndarray, k: int) -> np.ndarray:
    return failures[:, 0] & failures[:, k]


def _best_partner(cost: Callable) -> Callable:
    """Return a function that picks the deployer, not 0, with the lowest mean cost."""

    def pick(failures: np.ndarray) -> int:
        costs = [cost(failures, k).mean() for k in range(1, failures.shape[1])]
        return 1 + int(np.argmin(costs))

    return pick


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
    "shared-or-hard": Exercise(
        reference=3,
        mistakes={"permuted": 1, "accuracy": 2, "more people": 4},
    ),
    "second-supplier": Exercise(
        reference=_best_partner(_both),
        cases=SUPPLIERS,
        mistakes={
            "fewest errors": _best_partner(lambda failures, k: failures[:, k]),
            "either": _best_partner(lambda failures, k: failures[:, 0] | failures[:, k]),
            "most alike": _best_partner(lambda failures, k: ~_both(failures, k)),
            "counted from 1": lambda failures: _best_partner(_both)(failures) - 1,
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
}
