"""The exercises of notebook 03: which model to ship, a bug in a loop, an honest choice and
shared targets."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fmcourse import clip
from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]

# Inputs and targets of a line that is fitted, two batches of two.
START = torch.tensor([0.5, -1.0])
BATCHES = [
    (torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([1.0, 3.0])),
    (torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.tensor([2.0, 0.0])),
]
# Alpha to the accuracies on digits and on names.
CHOOSING = {0.0: (10.0, 95.0), 0.3: (85.0, 90.0), 0.6: (97.0, 60.0), 1.0: (98.0, 5.0)}
REPORTED = {0.0: (8.0, 96.0), 0.3: (83.0, 88.0), 0.6: (96.0, 78.0), 1.0: (99.0, 4.0)}
NO_GAIN = {0.0: (90.0, 95.0), 0.5: (92.0, 70.0), 1.0: (93.0, 20.0)}
NO_GAIN_REPORTED = {0.0: (88.0, 94.0), 0.5: (91.0, 72.0), 1.0: (95.0, 18.0)}


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


def _honest(seen: Callable, told: Callable, value: Callable = sum) -> Callable:
    """Return a choice of alpha by one of two tables that reports from one of them."""

    def choice(choosing: dict, reported: dict) -> tuple[float, float]:
        tables = choosing, reported
        table = seen(tables)
        best = max(table, key=lambda alpha: value(table[alpha]))
        return told(tables)[best]

    return choice


def _first(tables: tuple) -> dict:
    return tables[0]


def _second(tables: tuple) -> dict:
    return tables[1]


EXERCISES = {
    "ship": Exercise(
        reference=3,
        mistakes={"digits alone": 1, "equal weights": 2},
    ),
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
        reference=_honest(_first, _second),
        cases=((CHOOSING, REPORTED), (NO_GAIN, NO_GAIN_REPORTED)),
        mistakes={
            "best on reported": _honest(_second, _second),
            "choosing reported": _honest(_first, _first),
            "digits alone": _honest(_first, _second, value=lambda pair: pair[0]),
            "names alone": _honest(_first, _second, value=lambda pair: pair[1]),
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
}
