"""The exercises of notebook 05: negative flips, precision among the first k, a join without a key, and alarms that add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmcourse import embeddings
from fmcourse.exercises import Exercise, Misconception

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EXERCISES"]

QUIET, SLICES = 0.95, 40


def _flip_cases() -> list[tuple]:
    import numpy as np

    draw = np.random.default_rng(0)
    return [tuple(draw.integers(0, 3, (3, 12))) for _ in range(3)]


def _lost(old: np.ndarray, new: np.ndarray, labels: np.ndarray) -> float:
    return embeddings.flips(old, new, labels).lost.estimate


def _changed(old: np.ndarray, new: np.ndarray, labels: np.ndarray) -> float:
    return (old != new).mean()


def _gained(old: np.ndarray, new: np.ndarray, labels: np.ndarray) -> float:
    return ((old != labels) & (new == labels)).mean()


def _accuracy_lost(old: np.ndarray, new: np.ndarray, labels: np.ndarray) -> float:
    return (old == labels).mean() - (new == labels).mean()


def _precision_cases() -> list[tuple]:
    import numpy as np

    scores, members = (
        np.array([0.9, 0.1, 0.8, 0.4, 0.7]),
        np.array([True, True, False, True, False]),
    )
    return [(scores, members, k) for k in (1, 2, 4)]


def _precision(scores: np.ndarray, members: np.ndarray, k: int) -> float:
    return embeddings.precision_at(scores[:, None], members, k)


def _precision_of_the_lowest(scores: np.ndarray, members: np.ndarray, k: int) -> float:
    return members[scores.argsort()[:k]].mean()


def _recall(scores: np.ndarray, members: np.ndarray, k: int) -> float:
    return members[(-scores).argsort()[:k]].sum() / members.sum()


def _mean_score(scores: np.ndarray, members: np.ndarray, k: int) -> float:
    return scores[(-scores).argsort()[:k]].mean()


def _join_cases() -> list[tuple]:
    import numpy as np

    three = np.array([[0.9, 0.8, 0.1], [0.7, 0.1, 0.2], [0.2, 0.3, 0.6]])
    return [(three,), (np.array([[0.2, 0.6], [0.5, 0.9], [0.8, 0.4]]),)]


def _mutual(cosines: np.ndarray) -> list[tuple[int, int]]:
    there, back = cosines.argmax(1), cosines.argmax(0)
    return [(row, int(there[row])) for row in range(len(there)) if back[there[row]] == row]


def _one_way(cosines: np.ndarray) -> list[tuple[int, int]]:
    return [(row, int(column)) for row, column in enumerate(cosines.argmax(1))]


def _other_way(cosines: np.ndarray) -> list[tuple[int, int]]:
    return [(int(row), column) for column, row in enumerate(cosines.argmax(0))]


def _turned(cosines: np.ndarray) -> list[tuple[int, int]]:
    return [(column, row) for row, column in _mutual(cosines)]


EXERCISES = {
    "negative-flips": Exercise(
        reference=_lost,
        cases=_flip_cases,
        confirm="Accuracy can stay while these people lose. Nobody sees them in a table of accuracies.",
        misconceptions=(
            Misconception(
                _changed,
                "These are all changed predictions. A wrong one that becomes another wrong one is not lost.",
            ),
            Misconception(
                _gained, "These were wrong before and are right now. Turn both conditions round."
            ),
            Misconception(
                _accuracy_lost,
                "This is the fall in accuracy: what was lost less what was gained. Count the lost alone.",
            ),
        ),
    ),
    "precision-at-k": Exercise(
        reference=_precision,
        cases=_precision_cases,
        confirm="It asks what a person with time for k drawings gets to see.",
        misconceptions=(
            Misconception(
                _precision_of_the_lowest,
                "You took the k lowest scores: argsort sorts upwards. Sort -scores.",
            ),
            Misconception(
                _recall,
                "You divided by the number of members. That is recall; precision divides by k.",
            ),
            Misconception(
                _mean_score, "You averaged the scores. Average which of those items are members."
            ),
        ),
    ),
    "mutual-nearest": Exercise(
        reference=_mutual,
        cases=_join_cases,
        confirm="A row that nobody chooses back stays alone: better no partner than a wrong one.",
        misconceptions=(
            Misconception(
                _one_way,
                "Each row gets its nearest, wanted or not. Keep a pair only if it is chosen from both sides.",
            ),
            Misconception(
                _other_way,
                "These are the columns' choices alone. Keep a pair only if the row chooses back.",
            ),
            Misconception(
                _turned, "Each pair is the wrong way round: the row first, then the column."
            ),
        ),
    ),
    "daily-alarms": Exercise(
        reference=1 - QUIET**SLICES,
        confirm="87%: an alarm that is right for one slice rings on most days for forty. Fix the rate per day, not per slice.",
        misconceptions=(
            Misconception(
                (1 - QUIET) * SLICES,
                "That is 2, the expected number of alarms. A chance cannot exceed 1.",
            ),
            Misconception(QUIET**SLICES, "That is the chance that none rings."),
            Misconception(1 - QUIET, "That is one slice. Forty are looked at."),
        ),
    ),
}
