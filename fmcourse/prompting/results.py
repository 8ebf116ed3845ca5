"""The stored answers behind notebook 07, and what is asked of them.

They were written by ``recipes/prompting.py``: one row per question, with the columns study, task,
way (the template, or how it was asked), variant (of the examples), shots, seed (the sample of
examples), question, answer, probability and right.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fmcourse import results, stats
from fmcourse.stats import Interval


def answers_right(
    table: pd.DataFrame, tasks: Sequence[str] | str, questions: Sequence[str] = (), **wanted
) -> np.ndarray:
    """Return which questions were answered rightly, as 0 or 100, shape (seeds, questions).

    Args:
        table: the stored answers.
        tasks: one task, or several whose questions stand side by side.
        questions: only these; none means all.
        wanted: the value of each named column, as for :func:`fmcourse.results.select`.
    """
    names = [tasks] if isinstance(tasks, str) else tasks
    parts = []
    for name in names:
        chosen = results.select(table, task=name, **wanted)
        if len(questions):
            chosen = chosen[chosen["question"].isin(questions)]
        parts.append(chosen.pivot(index="seed", columns="question", values="right"))
    return 100 * np.concatenate([part.to_numpy(float) for part in parts], axis=1)


def accuracy(table: pd.DataFrame, tasks: Sequence[str] | str, **wanted) -> Interval:
    """Return the percentage of right answers, with an interval over examples and questions.

    Asked without examples there is one sample only, and the interval is Wilson's, over questions.
    """
    right = answers_right(table, tasks, **wanted)
    if len(right) > 1:
        return stats.crossed_interval(right, whole=100)
    found = stats.wilson(int((right > 0).sum()), right.size)
    return Interval(100 * found.estimate, 100 * found.low, 100 * found.high)


def accuracy_difference(
    table: pd.DataFrame,
    tasks: Sequence[str] | str,
    first: Mapping[str, Any],
    second: Mapping[str, Any],
) -> Interval:
    """Return the accuracy under `first` minus that under `second`, in points, paired."""
    lost = answers_right(table, tasks, **first) - answers_right(table, tasks, **second)
    return stats.crossed_interval(lost)


def lost_by_shuffling(
    table: pd.DataFrame, tasks: Sequence[str] | str, shots: int = 4, way: str = "arrow"
) -> Interval:
    """Return the accuracy after right examples minus that after shuffled ones, in points."""
    asked = {"study": "shots", "shots": shots, "way": way}
    right, shuffled = asked | {"variant": "right"}, asked | {"variant": "shuffled"}
    return accuracy_difference(table, tasks, right, shuffled)


def best_and_worst(right: np.ndarray) -> tuple[np.ndarray, list[int], list[int]]:
    """Return what the best way has more than the worst, each chosen on other questions.

    Args:
        right: 0 or 100, shape (ways, seeds, questions).

    Returns:
        The differences, shape (seeds, questions): of each question between the two ways that were
        best and worst on the other half of the questions. And both halves' best and worst ways.
    """
    halves = np.arange(right.shape[2]) % 2
    gaps = np.empty(right.shape[1:])
    best, worst = [], []
    for half in (0, 1):
        means = right[:, :, halves != half].mean((1, 2))
        best.append(int(means.argmax()))
        worst.append(int(means.argmin()))
        here = halves == half
        gaps[:, here] = right[best[-1]][:, here] - right[worst[-1]][:, here]
    return gaps, best, worst


def cut_off(probabilities: Sequence[float], right: Sequence[bool], most_wrong: float) -> float:
    """Return the lowest threshold at which few enough of the given answers are wrong.

    Args:
        probabilities: the model's own, one per answer; those from the threshold on are given.
        right: whether each answer is right.
        most_wrong: the largest share of wrong answers among those given.

    Returns:
        One of the probabilities, or infinity where none does.
    """
    values, correct = np.asarray(probabilities), np.asarray(right)
    for threshold in np.sort(values):
        if (~correct[values >= threshold]).mean() <= most_wrong:
            return float(threshold)
    return float("inf")
