"""Strings that repeat, attention-only models, and scores of induction heads; for notebook 01.

Source: Olsson et al. 2022. Their in-context
score is the loss at token 500 minus the loss at token 50 of natural text; :func:`in_context_score`
is a different quantity, for short strings. Chan et al. 2022 vary how often training sequences are
bursty and how many rare classes there are, with pictures and labels; here a bursty string repeats
itself, and the classes are the tokens.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GPTNeoForCausalLM

from fmcourse import runtime, training
from fmcourse.arguments import require, whole
from fmcourse.emergence.models import attention_only
from fmcourse.generation import row_losses

__all__ = [
    "Strings",
    "ablated",
    "draw_strings",
    "in_context_score",
    "prefix_matching_score",
    "score_induction",
    "train_induction",
]

TOKENS = 32
LENGTH = 48
PERIODS = (12, 24)  # shortest and longest; the longest fits twice
EDGE = 8  # tokens at each end of a string that the in-context score compares
WIDTH = 64
BATCH = 10  # 480 tokens, as in the addition
LR = 1e-3  # with 3e-3 some runs never form the circuit (trials with other seeds)
STEPS = 1_600
TEST_STRINGS, TEST_SEED = 200, 2**31


@dataclass(frozen=True)
class Strings:
    """Token strings with the period of each.

    Attributes:
        ids: shape (strings, length).
        period: after how many tokens a string repeats itself; 0 where it does not, shape
            (strings,).
    """

    ids: Tensor
    period: Tensor

    @property
    def batch(self) -> dict[str, Tensor]:
        """What a language model is trained on: every token is predicted."""
        return {"input_ids": self.ids, "labels": self.ids}


def draw_strings(
    count: int,
    bursty: float = 1.0,
    tokens: int = TOKENS,
    seed: int | None = None,
) -> Strings:
    """Draw random strings; a bursty one repeats a random block of random length, the others repeat
    nothing.

    Args:
        count: number of strings.
        bursty: the chance of each to be bursty, 0 to 1.
        tokens: number of different tokens, all equally frequent: the more, the rarer each.
        seed: None means the global generator, which the training loop seeds.
    """
    draw = runtime.generator(seed)
    random = torch.randint(tokens, (count, LENGTH), generator=draw)
    period = torch.randint(PERIODS[0], PERIODS[1] + 1, (count,), generator=draw)
    repeats = torch.rand(count, generator=draw) < bursty
    repeated = random.gather(1, torch.arange(LENGTH) % period[:, None])
    return Strings(torch.where(repeats[:, None], repeated, random), torch.where(repeats, period, 0))


def in_context_score(losses: Tensor) -> float:
    """Return the mean loss of the last 8 tokens minus that of the first 8 predicted ones: below 0
    when the context helps.

    On strings that repeat after 12 to 24 of 48 tokens, the first tokens can't be foreseen and the
    last can all be, so a perfect copier reaches minus the logarithm of the number of tokens (32:
    -3.47 nats).

    Args:
        losses: nats per token, shape (strings, length - 1), as
            :func:`fmcourse.generation.row_losses` gives them.

    Raises:
        ValueError: a string of less than 16 losses, losses that are not finite.

    >>> import torch
    >>> in_context_score(torch.tensor([[3.0] * 8 + [1.0] * 8]))
    -2.0
    """
    enough = losses.ndim == 2 and losses.shape[1] >= 2 * EDGE and losses.isfinite().all()
    require(enough, "losses", f"strings of {2 * EDGE} finite losses or more", losses)
    return (losses[:, -EDGE:].mean() - losses[:, :EDGE].mean()).item()


def prefix_matching_score(attention: Tensor, period: int | Tensor) -> Tensor:
    """Return how much of its attention each head gives to the tokens that followed earlier copies
    of the present one.

    A mean over all queries whose string has begun to repeat. Attention to all earlier copies is
    added up, so that a perfect induction head scores 1, whatever the number of repeats. Olsson et
    al. 2022 take the mean over the entries; their wording has the token that *preceded* the copy,
    and public code, like this, the one that followed, which induction copies.

    Args:
        attention: weights, rows sum to 1, shape (strings, heads, query, key) or (heads, query,
            key).
        period: after how many tokens a string repeats itself, one number or shape (strings,).

    Returns:
        A new tensor of shape (heads,), each from 0 to 1.

    Raises:
        ValueError: attention that is not square or not finite, or a period that is not a whole
            number from 1 to length - 1.

    >>> import torch
    >>> prefix_matching_score(torch.eye(4)[None], period=1)
    tensor([1.])
    """
    attention = attention if attention.ndim == 4 else attention[None]
    strings, _, length, keys = attention.shape
    usable = length == keys and attention.isfinite().all()
    require(usable, "attention", "finite, shape (strings, heads, length, length)", attention)
    periods = torch.as_tensor(period)
    fits = periods.dtype == torch.int64 and periods.shape in ((), (strings,))
    inside = fits and ((periods >= 1) & (periods < length)).all()
    expected = f"a whole number from 1 to {length - 1}, or one for each of {strings} strings"
    require(inside, "period", expected, period)
    every = periods.expand(strings)[:, None, None]
    query, key = torch.arange(length)[:, None], torch.arange(length)[None]
    back = query - key + 1
    follows = (back > 0) & (key > 0) & (back % every == 0)
    repeated = (query >= every).float()
    caught = (attention * follows[:, None]).sum(-1)
    return (caught * repeated.transpose(1, 2)).sum((0, 2)) / repeated.sum()


def score_induction(model: GPTNeoForCausalLM, strings: Strings) -> tuple[float, Tensor]:
    """Return the in-context score, and the prefix-matching score of every head, shape (layers,
    heads), on bursty strings."""
    with torch.no_grad():
        attentions = model(input_ids=strings.ids, output_attentions=True).attentions
    scores = [prefix_matching_score(attention, strings.period) for attention in attentions]
    return in_context_score(row_losses(model, strings.ids)), torch.stack(scores)


@contextlib.contextmanager
def ablated(
    model: GPTNeoForCausalLM, heads: Sequence[tuple[int, int]]
) -> Iterator[GPTNeoForCausalLM]:
    """Within the block, let these attention heads contribute nothing.

    Args:
        model: any GPT-Neo.
        heads: pairs of a layer and a head in it, both from 0.

    Raises:
        ValueError: no such layer or head.
    """
    size = model.config.hidden_size // model.config.num_heads
    with contextlib.ExitStack() as hooks:
        for layer, head in heads:
            whole("layer", layer, 0, model.config.num_layers - 1)
            start = size * whole("head", head, 0, model.config.num_heads - 1)
            block: Any = model.transformer.h[layer]
            silence = functools.partial(_silence, slice(start, start + size))
            hook = block.attn.attention.out_proj.register_forward_pre_hook(silence)
            hooks.callback(hook.remove)
        yield model


def _silence(head: slice, module: torch.nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """Return what the heads of a layer found, with that of one head set to 0."""
    merged = inputs[0].clone()
    merged[..., head] = 0
    return merged


def train_induction(
    layers: int = 2,
    *,
    bursty: float = 1.0,
    tokens: int = TOKENS,
    seed: int = 0,
    steps: int = STEPS,
    measure_every: int = 50,
    progress: bool = False,
    **options,
) -> tuple[GPTNeoForCausalLM, training.Run]:
    """Train an attention-only model on random strings and watch for induction heads on bursty ones
    as it goes.

    Args:
        layers: 2 can form the circuit, 1 cannot: the control.
        bursty, tokens: as in :func:`draw_strings`.
        seed, steps, measure_every, progress, options: as in :func:`fmcourse.training.fit`.

    Returns:
        The model, and the run with ``in_context`` and one ``head l.h`` per head in each record.
    """
    model = attention_only(tokens, WIDTH, layers, LENGTH, seed)
    test = draw_strings(TEST_STRINGS, 1.0, tokens, seed=TEST_SEED)

    def measure(model: GPTNeoForCausalLM) -> dict[str, float]:
        in_context, scores = score_induction(model, test)
        record = {"in_context": in_context}
        for (layer, head), found in np.ndenumerate(scores.numpy()):
            record[f"head {layer}.{head}"] = float(found)
        return record

    run = training.fit(
        model,
        lambda step: draw_strings(BATCH, bursty, tokens).batch,
        steps,
        optimizer=training.adamw(LR),
        measure=measure,
        measure_every=measure_every,
        identity={"task": "induction", "bursty": bursty, "tokens": tokens},
        seed=seed,
        progress=progress,
        **options,
    )
    return model, run
