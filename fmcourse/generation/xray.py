"""What a token of a GPT-Neo can see, where it looks, and what must be kept for that. Used by
notebook 04.

Every other layer of GPT-Neo is local: a token attends to the last `window_size` tokens, itself
among them (Beltagy et al. 2020 call it sliding-window attention). Influence is measured by
gradients, which are exactly 0 where no path leads.
"""

from __future__ import annotations

import torch
from transformers import GPTNeoForCausalLM

from fmcourse.arguments import require
from fmcourse.generation.checks import Ids, finite, token_ids, whole

__all__ = ["attention_maps", "influence", "kept_tokens", "receptive_field"]


def influence(model: GPTNeoForCausalLM, ids: Ids, layers: int | None = None) -> torch.Tensor:
    """Return how strongly each token's vector acts on the last place, shape (length,).

    It is the norm of the gradient of one number, the last place's vector after so many layers along
    a fixed random direction.

    Args:
        model: a GPT-Neo in fp32; in half precision small gradients would vanish.
        ids: the text, shape (length,) or (1, length), at most the context.
        layers: after how many layers, from 1 to all; None means all.
    """
    require(model.dtype == torch.float32, "model", "weights in torch.float32", model.dtype)
    text, deepest = token_ids(model, ids), model.config.num_layers
    layers = whole("layers", deepest if layers is None else layers, 1, deepest)
    vectors = model.transformer.wte(text).detach().requires_grad_(True)
    output = model.transformer(inputs_embeds=vectors, output_hidden_states=True, use_cache=False)
    last = output.hidden_states[layers][0, -1]
    direction = torch.randn(len(last), generator=torch.Generator().manual_seed(0)).to(last)
    gradient = torch.autograd.grad(last @ direction, vectors)[0][0]
    return finite(gradient.norm(dim=-1), "gradients")


def receptive_field(model: GPTNeoForCausalLM, length: int, layers: int | None = None) -> int:
    """Return how many tokens, counted back from the last and with it, can act on the last place of
    a text of this length.

    >>> import fmcourse
    >>> model, _ = fmcourse.load_gpt_neo("ladder-small")
    >>> receptive_field(model, 100, layers=1)
    100
    """
    length = whole("length", length, 1, model.config.max_position_embeddings)
    text = torch.arange(length) % model.config.vocab_size
    return length - int((influence(model, text, layers) > 0).nonzero()[0])


@torch.no_grad()
def attention_maps(model: GPTNeoForCausalLM, ids: Ids) -> torch.Tensor:
    """Return who looks at whom, shape (layers, heads, length, length).

    Rows look, columns are looked at, rows sum to 1.
    """
    output = model(token_ids(model, ids), output_attentions=True, use_cache=False)
    return finite(torch.cat(output.attentions), "attention weights")


def kept_tokens(model: GPTNeoForCausalLM, length: int) -> list[int]:
    """Return of how many tokens each layer must keep keys and values, when a text of this length is
    to be continued.

    >>> import fmcourse
    >>> kept_tokens(fmcourse.load_gpt_neo("ladder-small")[0], 200)
    [200, 64]
    """
    length = whole("length", length, 1)
    window = min(model.config.window_size, length)
    return [window if kind == "local" else length for kind in model.config.attention_layers]
