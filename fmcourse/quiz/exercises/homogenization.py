"""The exercises of notebook 02: what shows a shared cause, whom two deployers fail together, who is
failed by all, and a group's H."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmcourse.homogenization import homogenization, systemic_failure_rate
from fmcourse.quiz.exercises import Exercise


def _array(values: list) -> np.ndarray:
    """Return a table as failures, and a list as it is, as the groups."""
    array = np.array(values)
    return array.astype(bool) if array.ndim == 2 else array


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
        array=_array,
        mistakes={
            "by any": lambda failures: failures.any(axis=1).mean(),
            "mean error": lambda failures: failures.mean(),
            "deployers": lambda failures: failures.all(axis=0).mean(),
        },
    ),
    "second-supplier": Exercise(
        reference=_best_partner(_both),
        array=_array,
        mistakes={
            "fewest errors": _best_partner(lambda failures, k: failures[:, k]),
            "either": _best_partner(lambda failures, k: failures[:, 0] | failures[:, k]),
            "most alike": _best_partner(lambda failures, k: ~_both(failures, k)),
            "counted from 1": lambda failures: _best_partner(_both)(failures) - 1,
        },
    ),
    "worst-group": Exercise(
        reference=lambda failures, groups: homogenization(failures, groups, "worst").ratio,
        array=_array,
        mistakes={
            "members": _worst_people,
            "mean group": (
                lambda failures, groups: homogenization(failures, groups, "uniform").ratio
            ),
            "rate": lambda failures, groups: homogenization(failures, groups, "worst").observed,
        },
    ),
}
