"""Strategies that choose the next token: greedy, sampling behind filters, and beam search. Used by
notebook 04.

Logits are (rows, vocabulary). Sources: Fan et al. 2018 (top-k), Holtzman et al. 2020 (nucleus),
Meister et al. 2023 (typical), Nguyen et al. 2024 (min-p).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

from fmcourse.arguments import real, require, whole
from fmcourse.generation.checks import finite

# The filters, in the order in which generate of transformers applies them.
WARPERS: dict[str, Any] = {
    "top_k": lambda k: TopKLogitsWarper(int(k)),
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
    "typical_p": TypicalLogitsWarper,
}


class Session(Protocol):
    """One decoding in progress.

    Attributes:
        logits: of each row's next token, shape (rows, vocabulary).
        new: how many tokens may be added.
        end: the token that ends a text, or None.
        generator: what samples are drawn with; None is torch's global generator.
    """

    logits: Tensor
    new: int
    end: int | None
    generator: torch.Generator | None

    def step(self, tokens: Tensor) -> None:
        """Read one more token of each row, shape (rows,), and renew the logits."""

    def reorder(self, parents: Tensor) -> None:
        """Let row i go on from what row ``parents[i]`` has read."""


class Strategy:
    """How prompts are continued.

    Unless a strategy says otherwise, token by token and several prompts at once.
    """

    stepwise: ClassVar[bool] = True
    random: ClassVar[bool] = False  # whether two samples of one prompt can differ

    def rows(self, num_samples: int) -> int:
        """Return how many rows one prompt needs for so many samples."""
        return num_samples

    def choose(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one token per row, shape (rows,)."""
        raise NotImplementedError

    def steps(self, session: Session) -> Iterator[Tensor]:
        """Yield one token per row at a time, shape (rows,), until all rows have ended."""
        chosen, ended = None, None
        end = session.end
        for _ in range(session.new):
            # Closed before each token is handed out: the reader may train meanwhile.
            with torch.inference_mode():
                if chosen is not None:
                    session.step(chosen)
                chosen = self.choose(session.logits, session.generator)
                if end is not None:
                    chosen = chosen if ended is None else chosen.masked_fill(ended, end)
                    ended = chosen == end
            yield chosen
            if ended is not None and ended.all():
                return

    def write(self, session: Session) -> Tensor:
        """Return the new tokens of each row, shape (rows, length), filled behind an end."""
        return torch.stack(list(self.steps(session)), dim=1)


@dataclass(frozen=True)
class Greedy(Strategy):
    """Always take the likeliest token."""

    def choose(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the likeliest token of each row; a row that is not finite is refused."""
        best = logits.max(-1)
        finite(best.values)  # NaN is the largest of all
        return best.indices


@dataclass(frozen=True)
class Sample(Strategy):
    """Sample from the distribution, after tempering it and cutting its tail; the filters act in the
    order given here.

    Attributes:
        temperature: divides the logits; above 1 flattens, below 1 sharpens.
        top_k: keep the k likeliest tokens.
        top_p: keep the smallest set of likeliest tokens with at least this probability (nucleus).
        min_p: keep tokens with at least this share of the likeliest token's probability.
        typical_p: keep the tokens whose surprisal is nearest to the entropy, up to this
            probability.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    min_p: float | None = None
    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        warm = real(self.temperature) and self.temperature > 0
        require(warm, "temperature", "a number above 0 (for 0 use Greedy())", self.temperature)
        if self.top_k is not None:
            whole("top_k", self.top_k, 1)
        for name in ("top_p", "typical_p", "min_p"):
            share = getattr(self, name)
            inside = share is None or (real(share) and 0 < share <= 1)
            require(inside, name, "a probability above 0 and at most 1", share)

    def choose(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one token of each row, sampled; a row that is not finite is refused."""
        finite(logits.amax(-1))
        return torch.multinomial(self.probabilities(logits), 1, generator=generator)[:, 0]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return what is sampled from, shape (rows, vocabulary), rows summing to 1."""
        return self.filter(logits).softmax(-1)

    def filter(self, logits: Tensor) -> Tensor:
        """Return new logits, tempered, with the tokens that were cut at minus infinity.

        >>> import torch
        >>> Sample(top_k=2).filter(torch.tensor([[1.0, 3.0, 2.0]]))
        tensor([[-inf, 3., 2.]])
        """
        logits = logits / self.temperature
        for name, warper in WARPERS.items():
            value = getattr(self, name)
            # The whole probability cuts nothing, which the warper of typical_p does not take.
            if value is not None and (name, value) != ("typical_p", 1):
                logits = warper(value)(None, logits)
        return logits


@dataclass(frozen=True)
class Beam(Strategy):
    """Keep the `width` likeliest beginnings and return the best that was finished.

    Attributes:
        width: how many beginnings are kept, at least 2.
        length_penalty: a finished text scores its log-probability over its length to this power.
    """

    width: int
    length_penalty: float = 1.0
    stepwise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        whole("width", self.width, 2, hint=" (for 1 use Greedy())")
        penalty = self.length_penalty
        require(real(penalty), "length_penalty", "a finite number", penalty)

    def rows(self, num_samples: int) -> int:
        """Return the width, for any number of samples up to it."""
        most = f"at most the beam's width, {self.width}"
        require(num_samples <= self.width, "num_samples", most, num_samples)
        return self.width

    @torch.inference_mode()
    def write(self, session: Session) -> Tensor:
        """Keep `width` open beams; one that ends among the best `width` candidates competes for the
        result.

        The search stops when no open beam, scored at its present length, beats the worst of `width`
        finished ones: the rule of transformers' ``generate`` with ``early_stopping=False``.
        """
        device, end = session.logits.device, session.end
        beams = torch.empty(self.width, 0, dtype=torch.long, device=device)
        scores = torch.tensor([0.0] + [-math.inf] * (self.width - 1), device=device)
        finished = []
        for length in range(1, session.new + 1):
            sums = finite(session.logits).log_softmax(-1) + scores[:, None]
            # Twice the width, so that enough stay open where some end.
            totals, places = sums.flatten().topk(2 * self.width)
            parents, tokens = places // sums.shape[1], places % sums.shape[1]
            texts = torch.cat([beams[parents], tokens[:, None]], dim=1)
            closed = torch.full_like(tokens, length == session.new, dtype=torch.bool)
            if end is not None:
                closed = closed | (tokens == end)
            for candidate in closed[: self.width].nonzero()[:, 0].tolist():
                score = totals[candidate].item() / length**self.length_penalty
                finished.append((score, texts[candidate]))
            finished = sorted(finished, key=lambda entry: -entry[0])[: self.width]
            if closed.all():
                break
            kept = (~closed).nonzero()[: self.width, 0]
            beams, scores = texts[kept], totals[kept]
            best_open = scores[0].item() / length**self.length_penalty
            if len(finished) == self.width and best_open <= finished[-1][0]:
                break
            session.reorder(parents[kept])
            session.step(tokens[kept])
        return pad_sequence([text for _, text in finished], True, end or 0)
