"""Continuing prompts, one token after the other, with a cache. Used by notebook 04.

A prompt is (length,) or (1, length) token ids; logits are (rows, vocabulary).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fmcourse import runtime
from fmcourse.arguments import require, whole
from fmcourse.generation.checks import Ids, encode, finite, token_ids, unpadded
from fmcourse.generation.fast import SESSIONS, is_plain
from fmcourse.generation.strategies import Session, Strategy


def generate(
    model: PreTrainedModel,
    ids: Ids,
    strategy: Strategy,
    max_new_tokens: int,
    num_samples: int = 1,
    seed: int | None = None,
) -> Tensor:
    """Continue a prompt; all samples share one pass over it.

    Args:
        model: a causal language model, such as ``load_gpt_neo()`` gives. A GPT-Neo or a Llama in
            fp32 and evaluation mode, without hooks or patches, is decoded the fast way; the tokens
            are the same but where two logits differ by no more than rounding.
        ids: the prompt, shape (length,) or (1, length), at least one token.
        strategy: how the next token is chosen.
        max_new_tokens: the most tokens to add, 0 or more; prompt and new tokens must fit the
            model's context.
        num_samples: how many continuations; with :class:`Beam` the best that many, at most its
            width.
        seed: the seed of the sampling, 0 or more; None samples from torch's global generator.

    Returns:
        A new tensor, shape (num_samples, length), prompt included. A row that ended early is
        filled with the end token.

    Raises:
        ValueError: an argument of a wrong kind, several prompts, an id outside the vocabulary, or
            a text longer than the context.
        FloatingPointError: the model's logits are not finite.
    """
    prompt = token_ids(model, ids)
    return generate_batch(model, [prompt], strategy, max_new_tokens, num_samples, seed)[0]


def generate_batch(
    model: PreTrainedModel,
    prompts: Sequence[Ids],
    strategy: Strategy,
    max_new_tokens: int,
    num_samples: int = 1,
    seed: int | None = None,
) -> list[Tensor]:
    """Continue several prompts of any lengths at once; beams are searched one prompt at a time.

    Args:
        model, strategy, max_new_tokens, num_samples, seed: as in :func:`generate`.
        prompts: a list of one or more prompts, each of shape (length,) or (1, length), without
            padding.

    Returns:
        One new tensor per prompt, shape (num_samples, length), each prompt's tokens first. A row
        that ended early is filled with the end token, up to the longest of its prompt.

    Raises:
        ValueError: as :func:`generate` does, and a padded table.
        FloatingPointError: the model's logits are not finite.
    """
    known = "Greedy(), Sample(...) or Beam(width)"
    require(isinstance(strategy, Strategy), "strategy", known, strategy)
    samples = whole("num_samples", num_samples, 1)
    rows = [token_ids(model, prompt)[0] for prompt in unpadded(model, prompts)]
    new = _room(model, max_new_tokens, max(map(len, rows)))
    generator = runtime.generator(seed, model.device)
    repeated = [row.repeat(samples, 1) for row in rows]
    if new == 0:
        return repeated
    count, end = strategy.rows(samples), model.config.eos_token_id
    written = []
    for group in [rows] if strategy.stepwise else [[row] for row in rows]:
        session = begin(model, group, count, new, generator)
        written += strategy.write(session).split(count)
    return [
        torch.cat([prompt, _trimmed(added[:samples], end)], dim=1)
        for prompt, added in zip(repeated, written)
    ]


def stream(
    model: PreTrainedModel,
    ids: Ids,
    strategy: Strategy,
    max_new_tokens: int,
    seed: int | None = None,
) -> Iterator[int]:
    """Continue a prompt and hand out each token as soon as it is chosen, as :func:`generate` does.

    Args:
        model, ids, strategy, max_new_tokens, seed: as in :func:`generate`; beams know their text
            only at the end.

    Returns:
        An iterator over the new tokens; an end token is the last.

    Raises:
        ValueError: at once, as :func:`generate` does, or a beam.
        FloatingPointError: the model's logits are not finite, when that token is asked for.
    """
    prompt = token_ids(model, ids)[0]
    stepwise = isinstance(strategy, Strategy) and strategy.stepwise
    require(stepwise, "strategy", "Greedy() or Sample(...)", strategy)
    new = _room(model, max_new_tokens, len(prompt))
    generator = runtime.generator(seed, model.device)
    if new == 0:
        return iter(())
    return map(int, strategy.steps(begin(model, [prompt], 1, new, generator)))


def _room(model: PreTrainedModel, max_new_tokens: int, length: int) -> int:
    """Return how many tokens to add, which must fit the context."""
    new = whole("max_new_tokens", max_new_tokens, 0)
    context = model.config.max_position_embeddings
    held = f"the context holds {context} tokens, the prompt has {length}; shorten it"
    most = f"at most {context - length} ({held})"
    require(length + new <= context, "max_new_tokens", most, new)
    return new


def _trimmed(new: Tensor, end: int | None) -> Tensor:
    """Return new tokens, shape (samples, length), up to the end of the longest sample."""
    if end is None:
        return new
    open_columns = (new != end).any(0).nonzero()
    return new[:, : (int(open_columns[-1]) + 2 if len(open_columns) else 1)]


@torch.inference_mode()
def begin(
    model: PreTrainedModel,
    prompts: list[Tensor],
    samples: int,
    new: int,
    generator=None,
) -> Session:
    """Read prompts once, each of shape (length,), for so many samples of each and new tokens.

    The session takes the fast way where that computes what the model does.
    """
    read = _CachedSession(model, prompts, samples, new, generator)
    fast = new > 1 and read.mask is None and is_plain(model)
    return SESSIONS[type(model)](read) if fast else read


class _CachedSession(Session):
    """One decoding in progress with any causal language model: its own pass and its own cache."""

    cache: Any = None
    logits: Tensor

    def __init__(self, model, prompts: list[Tensor], samples: int, new: int, generator) -> None:
        """Read prompts of any lengths, and repeat each one's row for its samples."""
        self.model, self.new, self.generator = model, new, generator
        self.end = model.config.eos_token_id
        self.mask = None
        if len({len(prompt) for prompt in prompts}) > 1:
            ones = [torch.ones_like(prompt) for prompt in prompts]
            self.mask = pad_sequence(ones, batch_first=True, padding_side="left")
        self._forward(pad_sequence(prompts, batch_first=True, padding_side="left"))
        self.cache.batch_repeat_interleave(samples)
        self.logits = self.logits.repeat_interleave(samples, 0)
        if self.mask is not None:
            self.mask = self.mask.repeat_interleave(samples, 0)

    def _forward(self, ids: Tensor) -> None:
        options = {}
        if self.mask is not None:
            positions = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            options = {"attention_mask": self.mask, "position_ids": positions}
        output = self.model(ids, past_key_values=self.cache, use_cache=True, **options)
        self.logits, self.cache = output.logits[:, -1].float(), output.past_key_values

    def step(self, tokens: Tensor) -> None:
        if self.mask is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        self._forward(tokens[:, None])

    def reorder(self, parents: Tensor) -> None:
        self.cache.reorder_cache(parents)


def next_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> Tensor:
    """Return the logits of the token after `text`, shape (1, vocabulary), in fp32 on the CPU.

    A text that is too long for the context loses its beginning.
    """
    prompt = token_ids(model, encode(tokenizer, text), long=True, name="text")[0]
    kept = prompt[-(model.config.max_position_embeddings - 1) :]
    return finite(begin(model, [kept], 1, 1).logits).cpu().clone()
