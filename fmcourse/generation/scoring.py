"""The negative log-likelihood of texts under a model: per token, perplexity, bits per byte. Used by
notebook 04.

A text is (length,) or (1, length) token ids.
"""

import itertools
import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fmcourse.arguments import require, whole
from fmcourse.generation.checks import Ids, encode, finite, token_ids

LOGIT_BYTES = 256 * 2**20  # memory for the logits of one forward pass


def token_losses(model: PreTrainedModel, ids: Ids) -> Tensor:
    """Return the negative log-likelihood of every token but the first, in nats, shape (length -
    1,).

    A text longer than the context is read in windows that overlap by half, and each token is scored
    once, so that every token but the first ones sees at least half a window.

    Args:
        model: a causal language model.
        ids: the text, shape (length,) or (1, length), at least two tokens.

    Raises:
        ValueError: `ids` out of range or of a wrong kind.
        FloatingPointError: the losses are not finite.

    >>> import fmcourse
    >>> model, tokenizer = fmcourse.load_gpt_neo("ladder-small")
    >>> token_losses(model, [0, 1, 2]).shape
    torch.Size([2])
    """
    text = token_ids(model, ids, least=2, long=True)[0]
    context = model.config.max_position_embeddings
    size = min(context, len(text))
    ends = [*range(size, len(text), context // 2), len(text)]
    losses = row_losses(model, torch.stack([text[end - size : end] for end in ends]))
    # The first window counts whole, and of each further one what it adds.
    added = [later - earlier for earlier, later in itertools.pairwise(ends)]
    return torch.cat([losses[0], *(row[-new:] for row, new in zip(losses[1:], added))])


@torch.no_grad()
def row_losses(model: PreTrainedModel, rows: Tensor) -> Tensor:
    """Return the negative log-likelihood of each token but the first of each row, in nats, shape
    (rows, length - 1).

    Args:
        model: a causal language model.
        rows: token ids, shape (rows, length), at most the context; as many are read at once as
            memory should hold.

    Raises:
        FloatingPointError: the losses are not finite.
    """
    of_a_row = 4 * rows.shape[1] * model.config.vocab_size
    losses = []
    for block in rows.to(model.device).split(max(1, LOGIT_BYTES // of_a_row)):
        # Row by row, because the softmax of a large vocabulary needs as much memory again.
        for logits, row in zip(model(block, use_cache=False).logits, block):
            losses.append(cross_entropy(logits[:-1].float(), row[1:], reduction="none"))
    return finite(torch.stack(losses), "losses")


def perplexity(model: PreTrainedModel, ids: Ids) -> float:
    """Return exp of the mean loss: among how many equally likely tokens the model hesitates.

    See :func:`token_losses`.
    """
    return math.exp(token_losses(model, ids).mean().item())


def bits_per_byte(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str) -> float:
    """Return the bits that the model needs for each byte of `text`, its first token after an end
    mark included.

    Unlike perplexity this compares models with different tokenizers, and with a compressor such as
    xz.

    Raises:
        ValueError: an empty text, or something else than a text.
    """
    ids = encode(tokenizer, text)
    require(text != "", "text", "at least one character", text)
    nats = token_losses(model, [tokenizer.eos_token_id, *ids]).sum().item()
    return nats / math.log(2) / len(text.encode())


def mean_surprise(model: PreTrainedModel, rows: Tensor, start: int) -> Tensor:
    """Return the mean negative log-likelihood of each continuation, in nats per token, shape
    (rows,), on the CPU.

    Args:
        model: the judge, which reads the same tokens as the writer.
        rows: prompts with their continuations, shape (rows, length), as :func:`generate` gives
            them; at most the context.
        start: how many tokens of each row are prompt, from 1 to length - 1.

    What follows the first end token of a continuation is filling, and does not count.
    """
    checked = torch.cat([token_ids(model, row, least=2, name="rows") for row in rows])
    start = whole("start", start, 1, checked.shape[1] - 1)
    ends = (checked[:, start:] == model.config.eos_token_id).long()
    # The first end was chosen itself, and counts.
    counted = (ends.cumsum(1) - ends == 0).float()
    losses = row_losses(model, checked)[:, start - 1 :]
    return ((losses * counted).sum(1) / counted.sum(1)).cpu()
