"""The exercises of notebook 05: negative flips, precision among the first k, a join without a key,
and alarms that add up."""

from __future__ import annotations

import numpy as np

from fmcourse import embeddings
from fmcourse.quiz.exercises import Exercise


def _lost(old: np.ndarray, new: np.ndarray, labels: np.ndarray) -> float:
    return embeddings.flips(old, new, labels).lost.estimate


def _mutual(cosines: np.ndarray) -> list[tuple[int, int]]:
    there, back = cosines.argmax(1), cosines.argmax(0)
    return [(row, column) for row, column in enumerate(there) if back[column] == row]


def _sorted_pairs(pairs: np.ndarray) -> np.ndarray:
    return pairs[np.lexsort(pairs.T[::-1])] if pairs.ndim == 2 else pairs


EXERCISES = {
    "negative-flips": Exercise(
        reference=_lost,
        array=np.array,
        mistakes={
            "changed": lambda old, new, labels: (old != new).mean(),
            "gained": lambda old, new, labels: _lost(new, old, labels),
            "net": lambda old, new, labels: (old == labels).mean() - (new == labels).mean(),
            "of those right": lambda old, new, labels: (new != labels)[old == labels].mean(),
        },
    ),
    "precision-at-k": Exercise(
        reference=lambda scores, members, k: embeddings.precision_at(scores[:, None], members, k),
        array=np.array,
        mistakes={
            "lowest": lambda scores, members, k: members[scores.argsort()[:k]].mean(),
            "recall": (
                lambda scores, members, k: members[(-scores).argsort()[:k]].sum() / members.sum()
            ),
            "mean score": lambda scores, members, k: np.sort(scores)[-k:].mean(),
        },
    ),
    "mutual-nearest": Exercise(
        reference=_mutual,
        array=np.array,
        form=_sorted_pairs,
        mistakes={
            "one way": lambda cosines: list(enumerate(cosines.argmax(1))),
            "other way": (
                lambda cosines: [(row, column) for column, row in enumerate(cosines.argmax(0))]
            ),
            "turned": lambda cosines: [(column, row) for row, column in _mutual(cosines)],
        },
    ),
}
