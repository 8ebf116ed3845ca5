"""The exercises of notebook 03: which model to ship, a bug in a loop, an honest choice, shared
targets and interpolation."""

from __future__ import annotations

import operator
from collections.abc import Callable

import torch

from fmcourse import clip
from fmcourse.quiz.exercises import Exercise

# Inputs and targets of a line that is fitted, two batches of two.
START = torch.tensor([0.5, -1.0])
BATCHES = [
    (torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([1.0, 3.0])),
    (torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.tensor([2.0, 0.0])),
]
# Weights of two models.
ENDS = (torch.tensor([0.0, 2.0, -4.0]), torch.tensor([1.0, 2.0, 4.0]))


def _equal(ids: torch.Tensor) -> torch.Tensor:
    return (ids[:, None] == ids[None]).float()


def _fit(zeroed: bool = True, sign: float = 1.0, step: bool = True) -> Callable:
    """Return a loop of gradient descent; the arguments are the ways to get it wrong."""

    def train(w: torch.Tensor, batches: list, lr: float) -> torch.Tensor:
        w = w.clone().requires_grad_()
        for x, y in batches:
            if zeroed:
                w.grad = None
            loss = ((x @ w - y) ** 2).mean()
            loss.backward()
            if step and w.grad is not None:
                with torch.no_grad():
                    w -= sign * lr * w.grad
        return w.detach()

    return train


def _honest(seen: int, told: int, value: Callable = sum) -> Callable:
    """Return a choice of alpha by one of two tables that reports from one of them."""

    def choice(*tables: dict) -> tuple[float, float]:
        best = max(tables[seen], key=lambda alpha: value(tables[seen][alpha]))
        return tables[told][best]

    return choice


def _accuracies(rows: list) -> dict[float, tuple[float, float]]:
    return {alpha: (digits, names) for alpha, digits, names in rows}


EXERCISES = {
    "training-bug": Exercise(
        reference=_fit(),
        cases=((START, BATCHES, 0.1), (START, BATCHES * 3, 0.05), (-START, BATCHES[:1], 0.1)),
        mistakes={
            "as given": _fit(zeroed=False),
            "uphill": _fit(sign=-1.0),
            "no step": _fit(step=False),
        },
    ),
    "honest-alpha": Exercise(
        reference=_honest(0, 1),
        array=_accuracies,
        mistakes={
            "best on reported": _honest(1, 1),
            "choosing reported": _honest(0, 0),
            "digits alone": _honest(0, 1, operator.itemgetter(0)),
            "names alone": _honest(0, 1, operator.itemgetter(1)),
        },
    ),
    "shared-targets": Exercise(
        reference=lambda ids: clip.soft_targets(ids, len(ids)),
        array=torch.tensor,
        mistakes={
            "diagonal": lambda ids: torch.eye(len(ids)),
            "not divided": _equal,
            "whole table": lambda ids: _equal(ids) / _equal(ids).sum(),
        },
    ),
    "interpolation": Exercise(
        reference=torch.lerp,
        cases=tuple((*ENDS, alpha) for alpha in (0.0, 0.25, 1.0)),
        mistakes={
            "swapped": lambda a, b, alpha: alpha * a + (1 - alpha) * b,
            "added": lambda a, b, alpha: a + alpha * b,
        },
    ),
}
