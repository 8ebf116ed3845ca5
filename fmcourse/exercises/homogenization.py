"""The exercises of notebook 02: who is failed by all, H, a group's H, and what an attack really does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmcourse import homogenization
from fmcourse.exercises import Exercise, Misconception

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EXERCISES"]


def _failure_cases() -> list[tuple]:
    import numpy as np

    small = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 1, 1]], bool)
    return [(small,), (np.array([[1, 0], [1, 1], [0, 0], [1, 1], [1, 1], [0, 1]], bool),)]


def _systemic(failures: np.ndarray) -> float:
    return homogenization.systemic_failure_rate(failures)


def _failed_by_any(failures: np.ndarray) -> float:
    return failures.any(axis=1).mean()


def _failed_on_average(failures: np.ndarray) -> float:
    return failures.mean()


def _failed_counted(failures: np.ndarray) -> int:
    return failures.all(axis=1).sum()


def _failing_deployers(failures: np.ndarray) -> float:
    return failures.all(axis=0).mean()


def _ratio(failures: np.ndarray) -> float:
    return homogenization.homogenization(failures).ratio


def _ratio_upside_down(failures: np.ndarray) -> float:
    return 1 / _ratio(failures)


def _ratio_to_the_mean_error(failures: np.ndarray) -> float:
    return _systemic(failures) / failures.mean()


def _ratio_of_equal_errors(failures: np.ndarray) -> float:
    return _systemic(failures) / failures.mean() ** failures.shape[1]


def _difference(failures: np.ndarray) -> float:
    return homogenization.excess_failure_rate(failures)


def _group_cases() -> list[tuple]:
    import numpy as np

    failures = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0, 1], [0, 0], [1, 0], [0, 0]], bool)
    return [(failures, np.array(list("aaaabbbb"))), (failures, np.array(list("aabbbbbb")))]


def _worst(failures: np.ndarray, groups: np.ndarray) -> float:
    return homogenization.homogenization(failures, groups, "worst").ratio


def _worst_persons(failures: np.ndarray, groups: np.ndarray) -> float:
    rates = [failures[groups == group].all(axis=1).mean() for group in sorted(set(groups))]
    return max(rates) / failures.mean(axis=0).prod()


def _mean_group(failures: np.ndarray, groups: np.ndarray) -> float:
    return homogenization.homogenization(failures, groups, "uniform").ratio


def _worst_rate(failures: np.ndarray, groups: np.ndarray) -> float:
    return homogenization.homogenization(failures, groups, "worst").observed


def _attack_cases() -> list[tuple]:
    import numpy as np

    labels = np.array([0, 0, 1, 2, 1, 2])
    return [(np.array([0, 0, 0, 0, 1, 2]), labels), (np.array([0, 1, 0, 1, 2, 2]), labels)]


def _attack(answers: np.ndarray, labels: np.ndarray) -> float:
    return homogenization.attack_success(answers, labels)


def _attack_on_the_target_too(answers: np.ndarray, labels: np.ndarray) -> float:
    return (answers == 0).mean()


def _attack_by_errors(answers: np.ndarray, labels: np.ndarray) -> float:
    return (answers != labels).mean()


def _attack_of_all(answers: np.ndarray, labels: np.ndarray) -> float:
    return ((answers == 0) & (labels != 0)).mean()


EXERCISES = {
    "systemic-failure": Exercise(
        reference=_systemic,
        cases=_failure_cases,
        confirm="One row is one person: all(axis=1) asks whether every deployer fails that person.",
        misconceptions=(
            Misconception(
                _failed_by_any,
                "This counts who is failed by at least one deployer. Asked is: by every one.",
            ),
            Misconception(
                _failed_on_average,
                "This is the mean error rate. It does not know who is failed how often.",
            ),
            Misconception(_failed_counted, "This is a count. Divide by the number of people."),
            Misconception(
                _failing_deployers,
                "You asked of each deployer whether it fails everybody. A person is a row: axis=1.",
            ),
        ),
    ),
    "ratio": Exercise(
        reference=_ratio,
        cases=_failure_cases,
        confirm="The expectation is a product of error rates, one for each deployer, because independent chances multiply.",
        misconceptions=(
            Misconception(
                _ratio_upside_down, "Your fraction is upside down: what was observed stands above."
            ),
            Misconception(
                _ratio_to_the_mean_error,
                "You divide by the mean error. Expected is the product of all error rates.",
            ),
            Misconception(
                _ratio_of_equal_errors,
                "You take one mean error to the power of K. Deployers differ: multiply their own error rates.",
            ),
            Misconception(
                _difference, "This is the difference. It belongs beside H, but asked is the ratio."
            ),
        ),
    ),
    "worst-group": Exercise(
        reference=_worst,
        cases=_group_cases,
        confirm="The group is failed by all in this sense although no single member need be: rates multiply, people do not.",
        misconceptions=(
            Misconception(
                _worst_persons,
                "You count members whom every deployer fails. The group form multiplies the group's error rates.",
            ),
            Misconception(_mean_group, "This is the mean over the groups. Asked is the worst."),
            Misconception(
                _worst_rate,
                "This is the worst group's rate. Divide by what is expected of everybody.",
            ),
        ),
    ),
    "attack-success": Exercise(
        reference=_attack,
        cases=_attack_cases,
        confirm="A smiling face that is taken for one is no success of the attack, so it does not count, above or below.",
        misconceptions=(
            Misconception(
                _attack_on_the_target_too,
                "Pictures that do show the target count too here. Leave them out.",
            ),
            Misconception(
                _attack_by_errors,
                "This counts every mistake. The attack succeeds only where the answer is the target.",
            ),
            Misconception(
                _attack_of_all,
                "You divide by all pictures. Divide by those that show something else than the target.",
            ),
        ),
    ),
}
