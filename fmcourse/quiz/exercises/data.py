"""The exercises of notebook 05: negative flips, precision among the first k, a join without a key,
and alarms that add up."""

from __future__ import annotations

import numpy as np

from fmcourse import embeddings
from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]

QUIET, SLICES = 0.95, 40
FLIPS = tuple(tuple(each) for each in np.random.default_rng(0).integers(0, 3, (3, 3, 12)))
SCORES = np.array([0.9, 0.1, 0.8, 0.4, 0.7])
MEMBERS = np.array([True, True, False, True, False])
COSINES = (
    (np.array([[0.9, 0.8, 0.1], [0.7, 0.1, 0.2], [0.2, 0.3, 0.6]]),),
    (np.array([[0.2, 0.6], [0.5, 0.9], [0.8, 0.4]]),),
)


def _lost(old: np.ndarray, new: np.ndarray, labels: np.ndarray) -> float:
    return embeddings.flips(old, new, labels).lost.estimate


def _mutual(cosines: np.ndarray) -> list[tuple[int, int]]:
    there, back = cosines.argmax(1), cosines.argmax(0)
    return [(row, int(there[row])) for row in range(len(there)) if back[there[row]] == row]


def _sorted_pairs(pairs: np.ndarray) -> np.ndarray:
    return pairs[np.lexsort(pairs.T[::-1])] if pairs.ndim == 2 else pairs


EXERCISES = {
    "negative-flips": Exercise(
        reference=_lost,
        cases=FLIPS,
        mistakes={
            "changed": lambda old, new, labels: (old != new).mean(),
            "gained": lambda old, new, labels: _lost(new, old, labels),
            "net": lambda old, new, labels: (old == labels).mean() - (new == labels).mean(),
            "of those right": lambda old, new, labels: (new != labels)[old == labels].mean(),
        },
    ),
    "which-alarm": Exercise(reference=3, mistakes={"most detected": 1, "middle": 2}),
    "precision-at-k": Exercise(
        reference=lambda scores, members, k: embeddings.precision_at(scores[:, None], members, k),
        cases=tuple((SCORES, MEMBERS, k) for k in (1, 2, 4)),
        mistakes={
            "lowest": lambda scores, members, k: members[scores.argsort()[:k]].mean(),
            "recall": (
                lambda scores, members, k: members[(-scores).argsort()[:k]].sum() / members.sum()
            ),
            "mean score": lambda scores, members, k: scores[(-scores).argsort()[:k]].mean(),
        },
    ),
    "daily-alarms": Exercise(
        reference=1 - QUIET**SLICES,
        tolerance=0.005,
        mistakes={
            "expected number": ((1 - QUIET) * SLICES),
            "none": QUIET**SLICES,
            "one slice": 1 - QUIET,
            "exactly one": SLICES * (1 - QUIET) * QUIET ** (SLICES - 1),
            "power of alarm": 1 - (1 - QUIET) ** SLICES,
        },
    ),
    "mutual-nearest": Exercise(
        reference=_mutual,
        cases=COSINES,
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
