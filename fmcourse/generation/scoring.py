"""How surprised is a model by a text? Losses per token, perplexity, bits per byte.

Serves notebook 04. A text is (length,) or (1, length) token ids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmcourse.arguments import require
from fmcourse.generation.decoding import checked_prompt

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["bits_per_byte", "mean_surprise", "perplexity", "repetition_curves", "token_losses"]

WINDOWS_AT_ONCE = 8  # windows scored in one forward pass; a compromise between speed and memory


def token_losses(
    model: PreTrainedModel, ids: torch.Tensor | Sequence[int], stride: int | None = None
) -> torch.Tensor:
    """Return the surprise at every token but the first, in nats, shape (length - 1,).

    A text longer than the context is read in overlapping windows, and each token is scored once.

    Args:
        model: a causal language model.
        ids: the text, shape (length,) or (1, length), at least two tokens.
        stride: how far the window moves, from 1 to the context less 1; None means half the context, so that
            every token but the first ones sees at least half a window.

    >>> import fmcourse
    >>> model, tokenizer = fmcourse.load_gpt_neo("ladder-small")
    >>> token_losses(model, [0, 1, 2]).shape
    torch.Size([2])
    """
    import torch

    text = checked_prompt(model, ids)[0]
    context = model.config.max_position_embeddings
    stride = context // 2 if stride is None else stride
    require(len(text) >= 2, "ids", "at least two tokens", text.tolist())
    require(1 <= stride < context, "stride", f"from 1 to {context - 1} tokens", stride)
    windows = _windows(len(text), context, stride)
    losses = []
    with torch.inference_mode():
        for first in range(0, len(windows), WINDOWS_AT_ONCE):
            block = windows[first : first + WINDOWS_AT_ONCE]
            batch = torch.stack([text[start:end] for start, end, _ in block])
            logits = model(batch, use_cache=False).logits[:, :-1].float()
            surprise = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), batch[:, 1:], reduction="none"
            )
            losses += [row[len(row) - new :] for row, (_, _, new) in zip(surprise, block)]
    return torch.cat(losses)


def _windows(length: int, context: int, stride: int) -> list[tuple[int, int, int]]:
    """Return (start, end, how many tokens at the end are new) of windows of one size that score each token once."""
    size = min(context, length)
    windows = [(0, size, size - 1)]
    while windows[-1][1] < length:
        end = min(windows[-1][1] + stride, length)
        windows.append((end - size, end, end - windows[-1][1]))
    return windows


def perplexity(
    model: PreTrainedModel, ids: torch.Tensor | Sequence[int], stride: int | None = None
) -> float:
    """Return exp of the mean surprise: among how many equally likely tokens the model hesitates. See :func:`token_losses`."""
    return math.exp(token_losses(model, ids, stride).mean().item())


def bits_per_byte(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, stride: int | None = None
) -> float:
    """Return the bits that the model needs for each byte of `text`, its first token after an end mark included.

    Unlike perplexity this compares models with different tokenizers, and with a compressor such as xz.

    Raises:
        ValueError: an empty text.
    """
    require(text != "", "text", "at least one character", text)
    ids = [tokenizer.eos_token_id, *tokenizer(text, verbose=False)["input_ids"]]
    return token_losses(model, ids, stride).sum().item() / math.log(2) / len(text.encode())


def mean_surprise(model: PreTrainedModel, rows: torch.Tensor, start: int) -> torch.Tensor:
    """Return how odd each continuation is: its mean surprise in nats per token, shape (rows,), on the CPU.

    Args:
        model: the judge, which reads the same tokens as the writer.
        rows: prompts with their continuations, shape (rows, length), as :func:`generate` gives them; at most the context.
        start: how many tokens of each row are prompt, from 1 to length - 1.

    What follows the first end token of a continuation is filling, and does not count.
    """
    import torch

    require(1 <= start < rows.shape[1], "start", f"from 1 to {rows.shape[1] - 1}", start)
    means = []
    with torch.inference_mode():
        for block in rows.to(model.device).split(WINDOWS_AT_ONCE):
            logits, new = (
                model(block, use_cache=False).logits[:, start - 1 : -1].float(),
                block[:, start:],
            )
            surprise = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), new, reduction="none"
            )
            ends = (new == model.config.eos_token_id).long()
            counted = (
                ends.cumsum(1) - ends == 0
            ).float()  # the first end itself was chosen, and counts
            means.append((surprise * counted).sum(1) / counted.sum(1))
    return torch.cat(means).cpu().clone()


def repetition_curves(
    model: PreTrainedModel, phrases: Sequence[torch.Tensor | Sequence[int]], times: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how surprising a phrase is when it is said again and again, and when other phrases come instead.

    Holtzman et al. 2020 (figure 4) show that GPT-2 finds a phrase likelier each time that it has already stood there.

    Args:
        model: a causal language model.
        phrases: two or more of one length, each of token ids, shape (length,).
        times: how often each is said, at least 2; the whole must fit the context.

    Returns:
        Two tensors of nats per token, shape (phrases, times - 1): the same phrase each time, and the control, in which the
        next phrase follows. The first time is left out: its first token has nothing before it.
    """
    import torch

    lengths = {len(phrase) for phrase in phrases}
    require(
        len(phrases) >= 2 and len(lengths) == 1,
        "phrases",
        "two or more of one length",
        sorted(lengths),
    )
    length = lengths.pop()
    most = model.config.max_position_embeddings // length
    require(2 <= times <= most, "times", f"from 2 to {most}, which the context holds", times)
    stack = torch.stack([torch.as_tensor(phrase) for phrase in phrases])
    turns = torch.arange(len(stack))[:, None] + torch.arange(times)
    texts = (stack.repeat(1, times), stack[turns % len(stack)].flatten(1))
    losses = [torch.stack([token_losses(model, row) for row in text]).cpu() for text in texts]
    said, others = (
        found[:, length - 1 :].unflatten(1, (times - 1, length)).mean(-1) for found in losses
    )
    return said, others
