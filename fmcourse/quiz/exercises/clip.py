"""The exercises of notebook 03: interpolation, an honest choice, unit rows, shared targets and
recall."""

from __future__ import annotations

import torch

from fmcourse import clip
from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]

ENDS = (torch.tensor([0.0, 2.0, -4.0]), torch.tensor([1.0, 2.0, 4.0]))
ALPHAS = [0.0, 0.5, 1.0]
TIED = [50.0, 50.0, 45.0]
RANKS = torch.tensor([0, 3, 1, 5])


def _equal(ids: torch.Tensor) -> torch.Tensor:
    return (ids[:, None] == ids[None]).float()


def _last_chosen(alphas: list[float], validation: list[float], test: list[float]) -> float:
    best = max(validation)
    return [mine for mine, theirs in zip(test, validation) if theirs == best][-1]


EXERCISES = {
    "interpolation": Exercise(
        reference=lambda a, b, alpha: clip.interpolate({"w": a}, {"w": b}, alpha)["w"],
        cases=tuple((*ENDS, alpha) for alpha in (0.0, 0.25, 1.0)),
        mistakes={
            "swapped": lambda a, b, alpha: alpha * a + (1 - alpha) * b,
            "added": lambda a, b, alpha: a + alpha * b,
        },
    ),
    "honest-alpha": Exercise(
        reference=lambda alphas, validation, test: test[validation.index(max(validation))],
        # The rule for a tie is yours, as long as the test set does not decide.
        others=(_last_chosen,),
        cases=(
            (ALPHAS, [40.0, 62.0, 60.0], [30.0, 35.0, 41.0]),
            (ALPHAS, [40.0, 55.0, 58.0], [30.0, 36.0, 33.0]),
            (ALPHAS, TIED, [44.0, 47.0, 40.0]),
            (ALPHAS, TIED, [47.0, 44.0, 40.0]),
        ),
        mistakes={
            "best on test": lambda alphas, validation, test: max(test),
            "tie by test": lambda alphas, validation, test: max(zip(validation, test))[1],
            "alpha": lambda alphas, validation, test: alphas[validation.index(max(validation))],
            "validation": lambda alphas, validation, test: max(validation),
        },
    ),
    "unit-rows": Exercise(
        reference=lambda rows: rows / rows.norm(dim=1, keepdim=True),
        cases=(
            (torch.tensor([[3.0, -4.0], [0.0, 2.0]]),),
            (torch.tensor([[1.0, 2.0, -2.0], [2.0, 0.0, 0.0], [0.0, -3.0, 4.0]]),),
        ),
        mistakes={
            "no keepdim": lambda rows: rows / rows.norm(dim=1),
            "columns": lambda rows: rows / rows.norm(dim=0, keepdim=True),
            "whole table": lambda rows: rows / rows.norm(),
            "squared": lambda rows: rows / rows.square().sum(dim=1, keepdim=True),
            "absolute sum": lambda rows: rows / rows.abs().sum(dim=1, keepdim=True),
        },
    ),
    "shared-targets": Exercise(
        reference=lambda ids: clip.soft_targets(ids, len(ids)),
        cases=tuple((torch.tensor(ids),) for ids in ([4, 9, 4], [1, 2], [5, 5, 5, 6])),
        mistakes={
            "diagonal": lambda ids: torch.eye(len(ids)),
            "not divided": _equal,
            "whole table": lambda ids: _equal(ids) / _equal(ids).sum(),
        },
    ),
    "recall": Exercise(
        reference=lambda ranks, k: (ranks < k).float().mean(),
        cases=((RANKS, 1), (RANKS, 5), (torch.tensor([2, 2, 0, 1, 9]), 2)),
        mistakes={
            "one rank too many": lambda ranks, k: (ranks <= k).float().mean(),
            "one rank": lambda ranks, k: (ranks == k).float().mean(),
            "over k": lambda ranks, k: (ranks < k).float().mean() / k,
        },
    ),
}
