"""What does a training step read? A batch that is a function of the step, whole or in parts.

Serves :func:`fmcourse.training.fit`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fmcourse.arguments import require

__all__ = ["batch_function", "parts"]


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
    require(len(rows) == 1, "batches", "tensors with equally many rows in each batch, to be cut into parts", sorted(rows))
    found = rows.pop()
    require(found >= count, "batches", f"at least {count} rows in each batch, one for each part", found)
    ends = [found * place // count for place in range(count + 1)]
    return [(_cut(batch, slice(*pair)), (pair[1] - pair[0]) / found) for pair in itertools.pairwise(ends)]


def _tensors(batch: Any) -> Iterator[Any]:
    import torch

    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else [batch]
    for value in values:
        if not isinstance(value, torch.Tensor) or not value.ndim:
            kind = type(value).__name__
            raise TypeError(f"batches: expected tensors with rows, or mappings or tuples of them, to be cut into parts, got {kind}")
        yield value


def _cut(batch: Any, rows: slice) -> Any:
    if isinstance(batch, Mapping):
        return {name: tensor[rows] for name, tensor in batch.items()}
    return tuple(tensor[rows] for tensor in batch) if isinstance(batch, (tuple, list)) else batch[rows]
