"""Which picture belongs to which text? The symmetric contrastive loss, right even where captions repeat.

Serves notebook 03, sections 1 and 7. Source: Radford et al. 2021, figure 3; the spread targets are those of Yang et al. 2022
(UniCL), written as probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmcourse.arguments import require

if TYPE_CHECKING:
    import torch

__all__ = ["contrastive_loss", "soft_targets"]


def contrastive_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    scale: float | torch.Tensor,
    ids: Sequence[int] | torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean of both directions' cross-entropies between pictures and texts, in nats.

    Args:
        image: unit rows, shape (n, d).
        text: unit rows, shape (n, d); row i belongs to picture i.
        scale: what the dot products are multiplied by, the inverse temperature.
        ids: which pairs mean the same, shape (n,); equal ids share the target evenly. None means that all differ,
            which is the loss of transformers' own CLIP.

    Returns:
        A scalar with gradient, on the device of `image`: logits are ``scale * image @ text.T``.

    Raises:
        ValueError: rows that are not two tensors of one shape (n, d), or ids of another length.

    >>> import torch
    >>> rows = torch.eye(2)
    >>> round(contrastive_loss(rows, rows, 1.0).item(), 4)
    0.3133
    >>> round(contrastive_loss(rows, rows, 1.0, ids=[7, 7]).item(), 4)
    0.8133
    """
    import torch
    from torch.nn import functional

    require(
        image.ndim == 2 and len(image) > 0,
        "image",
        "rows of shape (n, d), n at least 1",
        tuple(image.shape),
    )
    require(
        text.shape == image.shape,
        "text",
        f"rows of the same shape {tuple(image.shape)}",
        tuple(text.shape),
    )
    scale = scale.to(image.device) if isinstance(scale, torch.Tensor) else scale
    logits = scale * image @ text.to(image.device).T
    targets = soft_targets(range(len(image)) if ids is None else ids, len(image)).to(logits)
    return (
        functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets)
    ) / 2


def soft_targets(ids: Sequence[int] | torch.Tensor, count: int) -> torch.Tensor:
    """Return each pair's target over all pairs, spread evenly over those of its id, shape (count, count); rows sum to 1.

    >>> soft_targets([3, 5, 3], 3).tolist()
    [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]
    """
    import torch

    ids = torch.as_tensor(ids)
    require(
        ids.shape == (count,),
        "ids",
        f"one for each of the {count} pairs",
        f"shape {tuple(ids.shape)}",
    )
    same = (ids[:, None] == ids[None]).float()
    return same / same.sum(1, keepdim=True)
