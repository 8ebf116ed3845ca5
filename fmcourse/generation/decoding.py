"""How is a prompt continued? One token after the other, with a cache; one pass over the prompt for all samples.

Serves notebook 04. A prompt is (length,) or (1, length) token ids; logits are (rows, vocabulary).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fmcourse.arguments import require
from fmcourse.generation.fast import Decoder, Session
from fmcourse.generation.strategies import IMPOSSIBLE, Beam, Greedy, Sample

if TYPE_CHECKING:
    import torch
    from transformers import GPTNeoForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["checked_prompt", "generate", "generate_batch", "next_logits", "next_tokens", "stream"]


def generate(
    model: PreTrainedModel | Decoder,
    ids: torch.Tensor | Sequence[int],
    strategy: Greedy | Sample | Beam,
    max_new_tokens: int,
    num_samples: int = 1,
    seed: int | None = None,
) -> torch.Tensor:
    """Continue a prompt; all samples share one pass over it.

    Args:
        model: a causal language model, such as ``load_gpt_neo()`` gives, or its :class:`Decoder`, which is several times as
            fast and gives the same tokens but where two logits differ by no more than rounding.
        ids: the prompt, shape (length,) or (1, length), at least one token.
        strategy: how the next token is chosen.
        max_new_tokens: the most tokens to add, 0 or more; prompt and new tokens must fit the model's context.
        num_samples: how many continuations; with :class:`Beam` the best that many, at most its width.
        seed: the seed of the drawing; None draws from torch's global generator.

    Returns:
        A new tensor, shape (num_samples, length), prompt included. A row that ended early is filled with the end token.

    Raises:
        ValueError: an empty prompt, several prompts, an id outside the vocabulary, or a text longer than the context.
    """
    import torch

    prompt = checked_prompt(model, ids)
    known = isinstance(strategy, (Greedy, Sample, Beam))
    require(known, "strategy", "Greedy(), Sample(...) or Beam(width)", strategy)
    _check_room(model, prompt.shape[1], max_new_tokens)
    require(num_samples >= 1, "num_samples", "at least 1", num_samples)
    if max_new_tokens == 0:
        return prompt.repeat(num_samples, 1)
    with torch.inference_mode():
        if isinstance(strategy, Beam):
            rows = _beam_search(model, prompt, strategy, max_new_tokens, num_samples)
        else:
            draw = None if seed is None else torch.Generator(prompt.device).manual_seed(seed)
            session = _begin(model, prompt, num_samples, max_new_tokens)
            new = _token_by_token(
                session, strategy, max_new_tokens, model.config.eos_token_id, draw
            )
            rows = torch.cat([prompt.repeat(num_samples, 1), new], dim=1)
    return rows.clone()  # outside inference mode: an ordinary tensor, that can be trained on


def generate_batch(
    model: GPTNeoForCausalLM | Decoder,
    prompts: Sequence[torch.Tensor | Sequence[int]],
    strategy: Greedy | Sample,
    max_new_tokens: int,
    num_samples: int = 1,
    seed: int | None = None,
    shorten: bool = False,
) -> list[torch.Tensor]:
    """Continue several prompts of any lengths at once.

    Args:
        model: a GPT-Neo or its :class:`Decoder`.
        prompts: one or more prompts, each of shape (length,) or (1, length).
        strategy: how the next token is chosen; beams are searched by :func:`generate`, one prompt at a time.
        max_new_tokens, num_samples, seed: as in :func:`generate`.
        shorten: whether a prompt that leaves no room in the context loses its first tokens; else it is an error.

    Returns:
        One new tensor per prompt, shape (num_samples, length), each prompt's tokens first. A row that ended early is filled
        with the end token, up to the longest of its prompt.

    Raises:
        ValueError: no prompts, a prompt that is wrong or too long, or a beam.
    """
    import torch

    require(len(prompts) >= 1, "prompts", "at least one prompt", list(prompts))
    require(isinstance(strategy, (Greedy, Sample)), "strategy", "Greedy() or Sample(...)", strategy)
    require(num_samples >= 1, "num_samples", "at least 1", num_samples)
    room = model.config.max_position_embeddings - max_new_tokens
    rows = [checked_prompt(model, prompt)[0] for prompt in prompts]
    rows = [row[-room:] if shorten and room >= 1 else row for row in rows]
    _check_room(model, max(map(len, rows)), max_new_tokens)
    if max_new_tokens == 0:
        return [row.repeat(num_samples, 1) for row in rows]
    with torch.inference_mode():
        draw = None if seed is None else torch.Generator(model.device).manual_seed(seed)
        decoder = model if isinstance(model, Decoder) else Decoder(model)
        session = decoder.begin(
            _padded_left(rows), [len(row) for row in rows], num_samples, max_new_tokens
        )
        end = model.config.eos_token_id
        new = _token_by_token(session, strategy, max_new_tokens, end, draw).split(num_samples)
        whole = [
            torch.cat([row.repeat(num_samples, 1), _trimmed(added, end)], dim=1)
            for row, added in zip(rows, new)
        ]
    return [row.clone() for row in whole]


def stream(
    model: PreTrainedModel | Decoder,
    ids: torch.Tensor | Sequence[int],
    strategy: Greedy | Sample,
    max_new_tokens: int,
    seed: int | None = None,
) -> Iterator[int]:
    """Continue a prompt and hand out each token as soon as it is chosen; the tokens are those of :func:`generate`.

    Args:
        model, ids, strategy, max_new_tokens, seed: as in :func:`generate`; beams know their text only at the end.

    Returns:
        An iterator over the new tokens; an end token is the last.

    Raises:
        ValueError: at once, as :func:`generate` does, or a beam.
    """
    import torch

    prompt = checked_prompt(model, ids)
    require(isinstance(strategy, (Greedy, Sample)), "strategy", "Greedy() or Sample(...)", strategy)
    _check_room(model, prompt.shape[1], max_new_tokens)
    draw = None if seed is None else torch.Generator(prompt.device).manual_seed(seed)
    return _one_by_one(model, prompt, strategy, max_new_tokens, draw)


def _one_by_one(model, prompt, strategy, left: int, draw) -> Iterator[int]:
    import torch

    session = None
    while left:
        with (
            torch.inference_mode()
        ):  # closed before each token is handed out: the reader may train meanwhile
            session = session or _begin(model, prompt, 1, left)
            chosen = strategy.choose(session.logits, draw)
            left = 0 if chosen.item() == model.config.eos_token_id else left - 1
            if left:
                session.step(chosen)
        yield chosen.item()


def _padded_left(rows: list[torch.Tensor]) -> torch.Tensor:
    from torch.nn.utils.rnn import pad_sequence

    return pad_sequence(rows, batch_first=True, padding_side="left")


def _trimmed(new: torch.Tensor, end: int | None) -> torch.Tensor:
    """Return new tokens, shape (samples, length), without the columns after the end of the longest sample."""
    if end is None:
        return new
    open_columns = (new != end).any(0).nonzero()
    return new[:, : (int(open_columns[-1]) + 2 if len(open_columns) else 1)]


def _check_room(model: PreTrainedModel | Decoder, length: int, new: int) -> None:
    context = model.config.max_position_embeddings
    fits = f"at most {context - length} (the context holds {context} tokens, the prompt has {length}; shorten it)"
    require(new >= 0, "max_new_tokens", "0 or more", new)
    require(length + new <= context, "max_new_tokens", fits, new)


def checked_prompt(
    model: PreTrainedModel | Decoder, ids: torch.Tensor | Sequence[int]
) -> torch.Tensor:
    """Return one prompt as whole numbers on the model's device, shape (1, length), or raise a ValueError that names the fault."""
    import torch

    ids = torch.as_tensor(ids, device=model.device)
    prompt = ids[None] if ids.ndim == 1 else ids
    require(
        prompt.ndim == 2 and len(prompt) == 1,
        "ids",
        "one prompt, shape (length,) or (1, length)",
        tuple(ids.shape),
    )
    require(
        prompt.shape[1] >= 1 and not prompt.is_floating_point(),
        "ids",
        "at least one whole number",
        ids.tolist(),
    )
    vocabulary = model.config.vocab_size
    inside = bool(((prompt >= 0) & (prompt < vocabulary)).all())
    require(
        inside,
        "ids",
        f"token ids from 0 to {vocabulary - 1}",
        (prompt.min().item(), prompt.max().item()),
    )
    return prompt.long()


def _token_by_token(session, strategy, max_new_tokens, end, draw) -> torch.Tensor:
    """Return the new tokens, shape (rows, length)."""
    import torch

    new, ended, logits = [], None, session.logits
    while True:
        chosen = strategy.choose(logits, draw)
        if end is not None:
            chosen = chosen if ended is None else chosen.masked_fill(ended, end)
            ended = chosen == end
        new.append(chosen)
        if len(new) == max_new_tokens or (ended is not None and ended.all()):
            return torch.stack(new, dim=1)
        logits = session.step(chosen)


class _Cached:
    """A session of any causal language model: its own forward pass and its own cache."""

    def __init__(self, model: PreTrainedModel, prompt: torch.Tensor, rows: int) -> None:
        self.model = model
        logits, self.cache = _forward(model, prompt, None)
        self.cache.batch_repeat_interleave(rows)
        self.logits = logits.repeat(rows, 1)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.logits, self.cache = _forward(self.model, tokens[:, None], self.cache)
        return self.logits

    def reorder(self, parents: torch.Tensor) -> None:
        self.cache.reorder_cache(parents)


def _begin(
    model: PreTrainedModel | Decoder, prompt: torch.Tensor, rows: int, new: int
) -> _Cached | Session:
    return (
        model.begin(prompt, None, rows, new)
        if isinstance(model, Decoder)
        else _Cached(model, prompt, rows)
    )


def _forward(model, ids, cache) -> tuple[torch.Tensor, object]:
    """Return the logits of the next token, shape (rows, vocabulary), in fp32, and the cache grown by `ids`."""
    output = model(ids, past_key_values=cache, use_cache=True)
    return output.logits[:, -1].float(), output.past_key_values


def _beam_search(model, prompt, strategy, max_new_tokens, num_samples) -> torch.Tensor:
    """Keep `width` open beams; a beam that ends among the best `width` candidates competes for the result.

    The search stops when no open beam, scored at its present length, beats the worst of `width` finished ones:
    the rule of transformers' ``generate`` with ``early_stopping=False``.
    """
    import torch

    width, end = strategy.width, model.config.eos_token_id
    require(num_samples <= width, "num_samples", f"at most the beam's width, {width}", num_samples)
    beams = prompt.repeat(width, 1)
    scores = torch.tensor([0.0] + [IMPOSSIBLE] * (width - 1), device=prompt.device)
    session = _begin(model, prompt, width, max_new_tokens)
    finished: list[tuple[float, torch.Tensor]] = []
    for length in range(1, max_new_tokens + 1):
        totals, parents, tokens = _best_continuations(session.logits, scores, 2 * width)
        texts = torch.cat([beams[parents], tokens[:, None]], dim=1)
        closed = torch.full_like(tokens, length == max_new_tokens, dtype=torch.bool)
        closed = closed if end is None else closed | (tokens == end)
        ranked = [
            (totals[i].item() / length**strategy.length_penalty, texts[i])
            for i in range(width)
            if closed[i]
        ]
        finished = sorted(finished + ranked, key=lambda entry: -entry[0])[:width]
        if closed.all():
            break
        kept = (~closed).nonzero()[:width, 0]
        beams, scores, parents, tokens = texts[kept], totals[kept], parents[kept], tokens[kept]
        if (
            len(finished) == width
            and scores[0].item() / length**strategy.length_penalty <= finished[-1][0]
        ):
            break
        session.reorder(parents)
        session.step(tokens)
    return _padded([text for _, text in finished[:num_samples]], end)


def _best_continuations(logits, scores, count) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the `count` best (total log-probability, parent beam, token), best first."""
    totals = (logits.log_softmax(-1) + scores[:, None]).flatten()
    best = totals.topk(count)
    vocabulary = logits.shape[-1]
    return best.values, best.indices // vocabulary, best.indices % vocabulary


def _padded(texts: list[torch.Tensor], end: int | None) -> torch.Tensor:
    from torch.nn.utils.rnn import pad_sequence

    return pad_sequence(texts, batch_first=True, padding_value=0 if end is None else end)


def next_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str
) -> torch.Tensor:
    """Return the logits of the token after `text`, shape (1, vocabulary), in fp32 on the CPU; a long text loses its beginning."""
    import torch

    prompt = checked_prompt(model, tokenizer(text)["input_ids"])[
        :, -(model.config.max_position_embeddings - 1) :
    ]
    with torch.inference_mode():
        logits = _begin(model, prompt, 1, 1).logits
    return logits.cpu().clone()


def next_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, count: int = 5
) -> list[tuple[str, float]]:
    """Return the `count` likeliest next tokens after `text`, as (token, probability), likeliest first."""
    best = next_logits(model, tokenizer, text)[0].softmax(-1).topk(count)
    return [
        (tokenizer.decode([token]), share)
        for token, share in zip(best.indices.tolist(), best.values.tolist())
    ]
