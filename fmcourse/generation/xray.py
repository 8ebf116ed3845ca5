"""What can a token see, where does it look, and what must be kept for that? A GPT-Neo's layers, looked through.

Serves notebook 04. Every other layer of GPT-Neo is local: a token attends to the last `window_size` tokens, itself among
them (Beltagy et al. 2020 call it sliding-window attention). Influence is measured by gradients, which are exactly 0 where no
path leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmcourse.arguments import require
from fmcourse.generation.decoding import checked_prompt

if TYPE_CHECKING:
    import torch
    from transformers import GPTNeoForCausalLM

__all__ = ["attention_maps", "influence", "kept_tokens", "receptive_field"]


def influence(
    model: GPTNeoForCausalLM, ids: torch.Tensor | Sequence[int], layers: int | None = None
) -> torch.Tensor:
    """Return how strongly each token's vector acts on the last place, shape (length,).

    It is the norm of the gradient of one number, the last place's vector after so many layers along a fixed random direction.

    Args:
        model: a GPT-Neo.
        ids: the text, shape (length,) or (1, length), at most the context.
        layers: after how many layers, from 1 to all; None means all.
    """
    import torch

    text, deepest = checked_prompt(model, ids), model.config.num_layers
    layers = deepest if layers is None else layers
    require(1 <= layers <= deepest, "layers", f"from 1 to {deepest}", layers)
    vectors = model.transformer.wte(text).detach().requires_grad_(True)
    last = model.transformer(
        inputs_embeds=vectors, output_hidden_states=True, use_cache=False
    ).hidden_states[layers][0, -1]
    direction = torch.randn(len(last), generator=torch.Generator().manual_seed(0)).to(last)
    return torch.autograd.grad(last @ direction, vectors)[0][0].norm(dim=-1)


def receptive_field(model: GPTNeoForCausalLM, length: int, layers: int | None = None) -> int:
    """Return how many tokens, counted back from the last and with it, can act on the last place of a text of this length.

    >>> import fmcourse
    >>> model, _ = fmcourse.load_gpt_neo("ladder-small")
    >>> receptive_field(model, 100, layers=1)
    100
    """
    require(length >= 1, "length", "at least 1", length)
    acts = (
        influence(model, [token % model.config.vocab_size for token in range(length)], layers) > 0
    )
    return length - int(acts.nonzero()[0])


def attention_maps(model: GPTNeoForCausalLM, ids: torch.Tensor | Sequence[int]) -> torch.Tensor:
    """Return who looks at whom, shape (layers, heads, length, length): rows look, columns are looked at, rows sum to 1."""
    import torch

    with torch.inference_mode():
        maps = model(checked_prompt(model, ids), output_attentions=True, use_cache=False).attentions
    return torch.cat(maps).clone()


def kept_tokens(model: GPTNeoForCausalLM, length: int) -> list[int]:
    """Return of how many tokens each layer must keep keys and values, when a text of this length is to be continued.

    >>> import fmcourse
    >>> kept_tokens(fmcourse.load_gpt_neo("ladder-small")[0], 200)
    [200, 64]
    """
    require(length >= 1, "length", "at least 1", length)
    window = min(model.config.window_size, length)
    return [window if kind == "local" else length for kind in model.config.attention_layers]
