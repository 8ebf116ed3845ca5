"""How is the next token chosen? Greedy, by drawing from what the filters leave, or by keeping several beginnings.

Serves notebook 04. Logits are (rows, vocabulary). Sources: Fan et al. 2018 (top-k), Holtzman et al. 2020 (nucleus),
Meister et al. 2023 (typical), Nguyen et al. 2024 (min-p).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse.arguments import require

if TYPE_CHECKING:
    import torch

__all__ = ["IMPOSSIBLE", "Beam", "Greedy", "Sample"]

IMPOSSIBLE = -math.inf  # the logit of a token that can't be drawn


@dataclass(frozen=True)
class Greedy:
    """Always take the likeliest token."""

    def choose(self, logits: torch.Tensor, draw: torch.Generator | None = None) -> torch.Tensor:
        """Return one token per row, shape (rows,)."""
        return logits.argmax(-1)


@dataclass(frozen=True)
class Sample:
    """Draw from the distribution, after tempering it and cutting its tail; the filters act in the order given here.

    Attributes:
        temperature: divides the logits; above 1 flattens, below 1 sharpens.
        top_k: keep the k likeliest tokens.
        top_p: keep the smallest set of likeliest tokens with at least this probability (nucleus).
        min_p: keep tokens with at least this share of the likeliest token's probability.
        typical_p: keep the tokens whose surprise is nearest to the entropy, up to this probability.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    min_p: float | None = None

    def __post_init__(self) -> None:
        require(
            self.temperature > 0,
            "temperature",
            "a number above 0 (for 0 use Greedy())",
            self.temperature,
        )
        whole = self.top_k is None or (isinstance(self.top_k, int) and self.top_k >= 1)
        require(whole, "top_k", "a whole number of at least 1", self.top_k)
        for name in ("top_p", "typical_p", "min_p"):
            share = getattr(self, name)
            require(
                share is None or 0 < share <= 1, name, "a probability above 0 and at most 1", share
            )

    def choose(self, logits: torch.Tensor, draw: torch.Generator | None = None) -> torch.Tensor:
        """Return one token per row, shape (rows,), drawn with the generator `draw`."""
        import torch

        return torch.multinomial(self.probabilities(logits), 1, generator=draw)[:, 0]

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return what is drawn from, shape (rows, vocabulary), rows summing to 1."""
        return self.filter(logits).softmax(-1)

    def filter(self, logits: torch.Tensor) -> torch.Tensor:
        """Return new logits, tempered, with the tokens that were cut at minus infinity.

        >>> import torch
        >>> Sample(top_k=2).filter(torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
        """
        logits = logits / self.temperature
        if self.top_k is not None:
            logits = _keep_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = _keep_top_p(logits, self.top_p)
        if self.min_p is not None:
            logits = _keep_min_p(logits, self.min_p)
        if self.typical_p is not None:
            logits = _keep_typical(logits, self.typical_p)
        return logits


def _keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    smallest_kept = logits.topk(min(k, logits.shape[-1])).values[:, -1:]
    return logits.masked_fill(logits < smallest_kept, IMPOSSIBLE)


def _keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    ordered, order = logits.sort(descending=False)
    tail = ordered.softmax(-1).cumsum(-1) <= 1 - p
    tail[:, -1] = False  # the likeliest token always stays
    return logits.masked_fill(tail.scatter(1, order, tail), IMPOSSIBLE)


def _keep_min_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    probabilities = logits.softmax(-1)
    return logits.masked_fill(probabilities < p * probabilities.amax(-1, keepdim=True), IMPOSSIBLE)


def _keep_typical(logits: torch.Tensor, p: float) -> torch.Tensor:
    log_probabilities = logits.log_softmax(-1)
    entropy = -(log_probabilities.exp() * log_probabilities).nansum(-1, keepdim=True)
    strangeness, order = (-log_probabilities - entropy).abs().sort()
    mass = logits.gather(1, order).softmax(-1).cumsum(-1)
    last_kept = (mass < p).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    cut = strangeness > strangeness.gather(1, last_kept)
    return logits.masked_fill(cut.scatter(1, order, cut), IMPOSSIBLE)


@dataclass(frozen=True)
class Beam:
    """Keep the `width` likeliest beginnings and return the best that was finished.

    Attributes:
        width: how many beginnings are kept, at least 2.
        length_penalty: a finished text scores its log-probability over its length to this power.
    """

    width: int
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        require(self.width >= 2, "width", "at least 2 (for 1 use Greedy())", self.width)
