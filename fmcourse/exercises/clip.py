"""The exercises of notebook 03: unit rows, shared targets, recall, interpolation and an honest choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmcourse import clip
from fmcourse.exercises import Exercise, Misconception

if TYPE_CHECKING:
    import torch

__all__ = ["EXERCISES"]


def _row_cases() -> list[tuple]:
    import torch

    return [(torch.tensor([[3.0, 4.0], [0.0, 2.0]]),), (torch.tensor([[1.0, 2.0, 2.0]]),)]


def _unit_rows(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def _unit_columns(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=0, keepdim=True)


def _unit_table(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm()


def _unit_squares(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.square().sum(dim=1, keepdim=True)


def _target_cases() -> list[tuple]:
    import torch

    return [(torch.tensor([4, 9, 4]),), (torch.tensor([1, 2]),), (torch.tensor([5, 5, 5, 6]),)]


def _targets(ids: torch.Tensor) -> torch.Tensor:
    return clip.soft_targets(ids, len(ids))


def _targets_diagonal(ids: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.eye(len(ids))


def _targets_unshared(ids: torch.Tensor) -> torch.Tensor:
    return (ids[:, None] == ids[None]).float()


def _targets_of_the_table(ids: torch.Tensor) -> torch.Tensor:
    same = _targets_unshared(ids)
    return same / same.sum()


def _recall_cases() -> list[tuple]:
    import torch

    return [
        (torch.tensor([0, 3, 1, 5]), 1),
        (torch.tensor([0, 3, 1, 5]), 5),
        (torch.tensor([2, 2, 0, 1, 9]), 2),
    ]


def _recall(ranks: torch.Tensor, k: int) -> torch.Tensor:
    return (ranks < k).float().mean()


def _recall_off_by_one(ranks: torch.Tensor, k: int) -> torch.Tensor:
    return (ranks <= k).float().mean()


def _recall_counted(ranks: torch.Tensor, k: int) -> torch.Tensor:
    return (ranks < k).float().sum()


def _recall_per_place(ranks: torch.Tensor, k: int) -> torch.Tensor:
    return _recall(ranks, k) / k


def _mix_cases() -> list[tuple]:
    import torch

    a, b = torch.tensor([0.0, 2.0, -4.0]), torch.tensor([1.0, 2.0, 4.0])
    return [(a, b, alpha) for alpha in (0.0, 0.25, 1.0)]


def _mix(a: torch.Tensor, b: torch.Tensor, alpha: float) -> torch.Tensor:
    return clip.interpolate({"weight": a}, {"weight": b}, alpha)["weight"]


def _mix_swapped(a: torch.Tensor, b: torch.Tensor, alpha: float) -> torch.Tensor:
    return alpha * a + (1 - alpha) * b


def _mix_added(a: torch.Tensor, b: torch.Tensor, alpha: float) -> torch.Tensor:
    return a + alpha * b


def _choice_cases() -> list[tuple]:
    alphas = [0.0, 0.5, 1.0]
    return [
        (alphas, [40.0, 62.0, 60.0], [30.0, 35.0, 41.0]),
        (alphas, [40.0, 55.0, 58.0], [30.0, 36.0, 33.0]),
        (alphas, [50.0, 50.0, 45.0], [44.0, 47.0, 40.0]),
    ]


def _honest(alphas: list[float], validation: list[float], test: list[float]) -> float:
    return test[validation.index(max(validation))]


def _best_on_test(alphas: list[float], validation: list[float], test: list[float]) -> float:
    return max(test)


def _the_alpha(alphas: list[float], validation: list[float], test: list[float]) -> float:
    return alphas[validation.index(max(validation))]


def _validation_itself(alphas: list[float], validation: list[float], test: list[float]) -> float:
    return max(validation)


EXERCISES = {
    "interpolation": Exercise(
        reference=_mix,
        cases=_mix_cases,
        confirm="A straight line in the space of weights. That the models along it work at all is the surprise.",
        misconceptions=(
            Misconception(
                _mix_swapped, "Your ends are swapped: alpha 0 should give a, alpha 1 should give b."
            ),
            Misconception(
                _mix_added, "At alpha 1 nothing of a should be left. The two shares must sum to 1."
            ),
        ),
    ),
    "honest-alpha": Exercise(
        reference=_honest,
        cases=_choice_cases,
        confirm="The test set was read once, after the choice. Its figure is allowed to disappoint.",
        misconceptions=(
            Misconception(
                _best_on_test,
                "You let the test set choose, so its accuracy is no longer an estimate. Choose on validation.",
            ),
            Misconception(
                _the_alpha,
                "This is the alpha that you chose. Report the test accuracy that belongs to it.",
            ),
            Misconception(
                _validation_itself,
                "Validation chose, so its own accuracy flatters. Report the test accuracy there.",
            ),
        ),
    ),
    "unit-rows": Exercise(
        reference=_unit_rows,
        cases=_row_cases,
        confirm="Now a dot product is a cosine, and lengths can no longer win.",
        misconceptions=(
            Misconception(
                _unit_columns, "You brought the columns to length 1. A row is a picture: use dim=1."
            ),
            Misconception(
                _unit_table,
                "You divided by the length of the whole table. Each row has a length of its own: dim=1.",
            ),
            Misconception(
                _unit_squares, "You divided by the squared length. Take its root, or use norm."
            ),
        ),
    ),
    "shared-targets": Exercise(
        reference=_targets,
        cases=_target_cases,
        confirm="Equal captions now share the target, and no picture is pushed away from a caption that is true of it.",
        misconceptions=(
            Misconception(
                _targets_diagonal,
                "This is the diagonal: it calls a caption wrong that reads exactly like the right one. Compare the ids.",
            ),
            Misconception(
                _targets_unshared,
                "Rows with equal ids sum to more than 1. Divide each row by its sum.",
            ),
            Misconception(
                _targets_of_the_table,
                "You divided by the sum of the whole table. Each row should sum to 1.",
            ),
        ),
    ),
    "recall": Exercise(
        reference=_recall,
        cases=_recall_cases,
        confirm="A rank of 0 is the first place, so recall at 1 asks for a rank below 1.",
        misconceptions=(
            Misconception(
                _recall_off_by_one,
                "Ranks start at 0 here: the first five places are the ranks below 5.",
            ),
            Misconception(_recall_counted, "This is a count. Recall is the share of the queries."),
            Misconception(
                _recall_per_place,
                "Dividing by k as well gives precision. Recall asks only whether the right one is among k.",
            ),
        ),
    ),
}
