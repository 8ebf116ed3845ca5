"""How does a language model choose its next word, and what does each way of choosing cost in quality or variety?

Serves notebook 04. Shapes: a prompt is (length,) or (1, length) token ids; logits are (rows, vocabulary). Sources:
Holtzman et al. 2020 (nucleus, degeneration), Fan et al. 2018 (top-k), Meister et al. 2023 (typical), Nguyen et al.
2024 (min-p), Li et al. 2016 (distinct-n), Welleck et al. 2020 (repetition-n), Zhu et al. 2018 (self-BLEU).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse.arguments import require

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "Beam",
    "Greedy",
    "Sample",
    "bits_per_byte",
    "distinct_n",
    "generate",
    "next_logits",
    "next_tokens",
    "perplexity",
    "repetition_n",
    "self_bleu",
    "token_losses",
]

WINDOWS_AT_ONCE = 8  # windows scored in one forward pass; a compromise between speed and memory
IMPOSSIBLE = -math.inf


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
        require(self.temperature > 0, "temperature", "a number above 0 (for 0 use Greedy())", self.temperature)
        whole = self.top_k is None or (isinstance(self.top_k, int) and self.top_k >= 1)
        require(whole, "top_k", "a whole number of at least 1", self.top_k)
        for name in ("top_p", "typical_p", "min_p"):
            share = getattr(self, name)
            require(share is None or 0 < share <= 1, name, "a probability above 0 and at most 1", share)

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


def generate(
    model: PreTrainedModel,
    ids: torch.Tensor | Sequence[int],
    strategy: Greedy | Sample | Beam,
    max_new_tokens: int,
    num_samples: int = 1,
    seed: int | None = None,
) -> torch.Tensor:
    """Continue a prompt; all samples share one pass over it.

    Args:
        model: a causal language model, such as ``load_gpt_neo()`` gives.
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

    prompt = _prompt(model, ids)
    known = isinstance(strategy, (Greedy, Sample, Beam))
    require(known, "strategy", "Greedy(), Sample(...) or Beam(width)", strategy)
    require(max_new_tokens >= 0, "max_new_tokens", "0 or more", max_new_tokens)
    require(num_samples >= 1, "num_samples", "at least 1", num_samples)
    context = model.config.max_position_embeddings
    require(
        prompt.shape[1] + max_new_tokens <= context,
        "max_new_tokens",
        f"at most {context - prompt.shape[1]} (the context holds {context} tokens, the prompt has {prompt.shape[1]}; shorten it)",
        max_new_tokens,
    )
    if max_new_tokens == 0:
        return prompt.repeat(num_samples, 1)
    with torch.inference_mode():
        if isinstance(strategy, Beam):
            rows = _beam_search(model, prompt, strategy, max_new_tokens, num_samples)
        else:
            draw = None if seed is None else torch.Generator(prompt.device).manual_seed(seed)
            rows = _token_by_token(model, prompt, strategy, max_new_tokens, num_samples, draw)
    return rows.clone()  # outside inference mode: an ordinary tensor, that can be trained on


def _prompt(model: PreTrainedModel, ids: torch.Tensor | Sequence[int]) -> torch.Tensor:
    import torch

    ids = torch.as_tensor(ids, device=model.device)
    prompt = ids[None] if ids.ndim == 1 else ids
    require(prompt.ndim == 2 and len(prompt) == 1, "ids", "one prompt, shape (length,) or (1, length)", tuple(ids.shape))
    require(prompt.shape[1] >= 1 and not prompt.is_floating_point(), "ids", "at least one whole number", ids.tolist())
    vocabulary = model.config.vocab_size
    inside = bool(((prompt >= 0) & (prompt < vocabulary)).all())
    require(inside, "ids", f"token ids from 0 to {vocabulary - 1}", (prompt.min().item(), prompt.max().item()))
    return prompt.long()


def _token_by_token(model, prompt, strategy, max_new_tokens, num_samples, draw) -> torch.Tensor:
    import torch

    end = model.config.eos_token_id
    rows = prompt.repeat(num_samples, 1)
    logits, cache = _forward(model, prompt, None)
    cache.batch_repeat_interleave(num_samples)
    logits = logits.repeat(num_samples, 1)
    ended = torch.zeros(num_samples, dtype=torch.bool, device=rows.device)
    while True:
        chosen = strategy.choose(logits, draw)
        if end is not None:
            chosen = chosen.masked_fill(ended, end)
            ended = ended | (chosen == end)
        rows = torch.cat([rows, chosen[:, None]], dim=1)
        if ended.all() or rows.shape[1] == prompt.shape[1] + max_new_tokens:
            return rows
        logits, cache = _forward(model, chosen[:, None], cache)


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
    logits, cache = _forward(model, prompt, None)
    cache.batch_repeat_interleave(width)
    logits = logits.repeat(width, 1)
    finished: list[tuple[float, torch.Tensor]] = []
    for length in range(1, max_new_tokens + 1):
        totals, parents, tokens = _best_continuations(logits, scores, 2 * width)
        texts = torch.cat([beams[parents], tokens[:, None]], dim=1)
        closed = torch.full_like(tokens, length == max_new_tokens, dtype=torch.bool)
        closed = closed if end is None else closed | (tokens == end)
        ranked = [(totals[i].item() / length**strategy.length_penalty, texts[i]) for i in range(width) if closed[i]]
        finished = sorted(finished + ranked, key=lambda entry: -entry[0])[:width]
        if closed.all():
            break
        kept = (~closed).nonzero()[:width, 0]
        beams, scores, parents, tokens = texts[kept], totals[kept], parents[kept], tokens[kept]
        if len(finished) == width and scores[0].item() / length**strategy.length_penalty <= finished[-1][0]:
            break
        cache.reorder_cache(parents)
        logits, cache = _forward(model, tokens[:, None], cache)
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


def next_logits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> torch.Tensor:
    """Return the logits of the token after `text`, shape (1, vocabulary), in fp32 on the CPU."""
    import torch

    with torch.inference_mode():
        logits, _ = _forward(model, _prompt(model, tokenizer(text)["input_ids"]), None)
    return logits.cpu().clone()


def next_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, count: int = 5) -> list[tuple[str, float]]:
    """Return the `count` likeliest next tokens after `text`, as (token, probability), likeliest first."""
    best = next_logits(model, tokenizer, text)[0].softmax(-1).topk(count)
    return [(tokenizer.decode([token]), share) for token, share in zip(best.indices.tolist(), best.values.tolist())]


def token_losses(model: PreTrainedModel, ids: torch.Tensor | Sequence[int], stride: int | None = None) -> torch.Tensor:
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

    text = _prompt(model, ids)[0]
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
            surprise = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none")
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


def perplexity(model: PreTrainedModel, ids: torch.Tensor | Sequence[int], stride: int | None = None) -> float:
    """Return exp of the mean surprise: among how many equally likely tokens the model hesitates. See :func:`token_losses`."""
    return math.exp(token_losses(model, ids, stride).mean().item())


def bits_per_byte(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, stride: int | None = None) -> float:
    """Return the bits that the model needs for each byte of `text`, its first token after an end mark included.

    Unlike perplexity this compares models with different tokenizers, and with a compressor such as xz.

    Raises:
        ValueError: an empty text.
    """
    require(text != "", "text", "at least one character", text)
    ids = [tokenizer.eos_token_id, *tokenizer(text, verbose=False)["input_ids"]]
    return token_losses(model, ids, stride).sum().item() / math.log(2) / len(text.encode())


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Return the share of different n-word sequences among all of them, over all texts; NaN when no text has n words.

    >>> distinct_n(["a rose is a rose", "a rose"], 2)
    0.6
    """
    grams = [gram for text in _texts(texts) for gram in _ngrams(text, n)]
    return len(set(grams)) / len(grams) if grams else math.nan


def repetition_n(texts: Sequence[str], n: int) -> float:
    """Return the share of n-word sequences that stood earlier in the same text, averaged over texts; NaN for none.

    >>> repetition_n(["a rose is a rose"], 2)
    0.25
    """
    counted = [grams for text in _texts(texts) if (grams := _ngrams(text, n))]
    shares = [1 - len(set(grams)) / len(grams) for grams in counted]
    return sum(shares) / len(shares) if shares else math.nan


def self_bleu(texts: Sequence[str]) -> float:
    """Return the mean BLEU-4 of each text against all others, from 0 (nothing shared) to 1 (all alike).

    Raises:
        ValueError: fewer than two texts.

    >>> round(self_bleu(["the cat sat on the mat"] * 2), 3)
    1.0
    """
    from sacrebleu.metrics import BLEU

    texts = _texts(texts)
    require(len(texts) >= 2, "texts", "at least two texts", len(texts))
    bleu = BLEU(effective_order=True)
    scores = [bleu.sentence_score(text, texts[:i] + texts[i + 1 :]).score for i, text in enumerate(texts)]
    return sum(scores) / len(scores) / 100


def _texts(texts: Sequence[str]) -> list[str]:
    require(not isinstance(texts, str), "texts", "a list of texts", texts)
    return list(texts)


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    require(n >= 1, "n", "at least 1", n)
    words = text.split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
