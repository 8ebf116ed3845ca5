"""What does a training step read, and how is it computed? A batch of the step, whole or in parts, in one precision.

Serves :func:`fmcourse.training.fit`. Source: Micikevicius et al. 2018 (mixed precision with fp32 master weights).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmcourse.arguments import choose, require

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

__all__ = ["Parted", "autocast", "batch_function", "parts"]

PRECISIONS = {"bf16": "bfloat16", "fp16": "float16"}  # of a step's products, as torch names them


def batch_function(batches: Callable[[int], Any] | Sequence[Any]) -> Callable[[int], Any]:
    """Return a function from the step to a batch: the one given, or one that cycles through a sequence.

    Raises:
        TypeError: an iterator, which cannot be rewound after an interruption.
        ValueError: an empty sequence.

    >>> batch_function(["first", "second"])(3)
    'second'
    """
    if callable(batches):
        return batches
    if not hasattr(batches, "__getitem__") or not hasattr(batches, "__len__"):
        raise TypeError(
            "batches: expected a function from the step to a batch, or a list of batches, "
            f"got {type(batches).__name__}; an iterator cannot be rewound after an interruption: pass list(...)"
        )
    require(len(batches) > 0, "batches", "at least one batch", "none")
    return lambda step: batches[step % len(batches)]


def parts(batch: Any, count: int) -> list[tuple[Any, float]]:
    """Return a batch in `count` parts along its first axis, each with its share of the rows; shares sum to 1.

    Args:
        batch: a tensor of shape (rows, ...), or a mapping or a tuple of tensors with as many rows; anything when `count` is 1.
        count: from 1 to rows. Parts differ by one row at most.

    Returns:
        Views of the batch's tensors, in order; the batch itself when `count` is 1.

    Raises:
        ValueError: fewer rows than parts, or tensors that differ in their rows.
        TypeError: a batch of another kind.

    >>> import torch
    >>> [(part.tolist(), round(share, 2)) for part, share in parts(torch.arange(3), 2)]
    [([0], 0.33), ([1, 2], 0.67)]
    """
    if count == 1:
        return [(batch, 1.0)]
    rows = {len(tensor) for tensor in _tensors(batch)}
    require(
        len(rows) == 1,
        "batches",
        "tensors with equally many rows in each batch, to be cut into parts",
        sorted(rows),
    )
    found = rows.pop()
    require(
        found >= count, "batches", f"at least {count} rows in each batch, one for each part", found
    )
    ends = [found * place // count for place in range(count + 1)]
    return [
        (_cut(batch, slice(*pair)), (pair[1] - pair[0]) / found)
        for pair in itertools.pairwise(ends)
    ]


def _tensors(batch: Any) -> Iterator[Any]:
    import torch

    values = (
        batch.values()
        if isinstance(batch, Mapping)
        else batch
        if isinstance(batch, (tuple, list))
        else [batch]
    )
    for value in values:
        if not isinstance(value, torch.Tensor) or not value.ndim:
            kind = type(value).__name__
            raise TypeError(
                f"batches: expected tensors with rows, or mappings or tuples of them, to be cut into parts, got {kind}"
            )
        yield value


def _cut(batch: Any, rows: slice) -> Any:
    if isinstance(batch, Mapping):
        return {name: tensor[rows] for name, tensor in batch.items()}
    return (
        tuple(tensor[rows] for tensor in batch) if isinstance(batch, (tuple, list)) else batch[rows]
    )


@dataclass(frozen=True)
class Parted:
    """How a batch is computed: in how many parts, in which precision, and by which of several processes.

    Attributes:
        accumulate: parts of a batch that one process computes, one after the other.
        autocast: of :func:`autocast`.
        accelerator: of a program started by ``accelerate launch``, or None.
    """

    accumulate: int
    autocast: Callable[[], contextlib.AbstractContextManager]
    accelerator: Accelerator | None

    @property
    def rank(self) -> int:
        """The place of this process among those that train together; 0 is the main one."""
        return self.accelerator.process_index if self.accelerator else 0

    def own(self, batch: Any) -> list[tuple[Any, float]]:
        """Return this process's parts of a batch, each with its share of all rows."""
        processes = self.accelerator.num_processes if self.accelerator else 1
        return parts(batch, self.accumulate * processes)[self.rank :: processes]

    def summed(self, model: torch.nn.Module, number: float) -> float:
        """Sum the gradients over all processes, in place, and return the sum of their losses."""
        import torch

        if self.accelerator is None or self.accelerator.num_processes == 1:
            return number
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat(
            [gradient.flatten() for gradient in gradients] + [gradients[0].new_tensor([number])]
        )
        pieces = self.accelerator.reduce(flat, "sum").split(
            [gradient.numel() for gradient in gradients] + [1]
        )
        for gradient, piece in zip(gradients, pieces):
            gradient.copy_(piece.view(gradient.shape))
        return pieces[-1].item()


def autocast(
    model: torch.nn.Module, precision: str | None
) -> Callable[[], contextlib.AbstractContextManager]:
    """Return a function to a block whose products are computed in this precision; None leaves them as they are.

    Raises:
        ValueError: an unknown precision, or one for a model whose trained weights are not fp32.
    """
    import torch

    if precision is None:
        return contextlib.nullcontext
    dtype = getattr(torch, PRECISIONS[choose("precision", precision, PRECISIONS)])
    kinds = {str(p.dtype) for p in model.parameters() if p.requires_grad}
    require(
        kinds == {"torch.float32"},
        "precision",
        "a model whose trained weights are all fp32",
        ", ".join(sorted(kinds)),
    )
    return lambda: torch.autocast(next(model.parameters()).device.type, dtype)
