"""Tiny GPT-Neos from a configuration, with or without feed-forward layers; for notebook 01.

Sources: Black et al. 2021 (GPT-Neo); Olsson et al. 2022 (attention-only models).
"""

from collections.abc import Sequence

import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from fmcourse.arguments import require, whole

__all__ = ["attention_only", "small_gpt_neo"]

HEADS = 4
LOCAL_WINDOW = 4  # tokens that a local layer sees, its own included


def small_gpt_neo(
    vocabulary: int,
    width: int,
    layers: int,
    context: int,
    seed: int = 0,
    kinds: Sequence[str] | None = None,
) -> GPTNeoForCausalLM:
    """Return a GPT-Neo with random weights: eager attention, 4 heads, no dropout, in fp32 and
    evaluation mode.

    Args:
        vocabulary: number of tokens.
        width: numbers per token, a multiple of 4.
        layers: number of blocks.
        context: longest sequence, in tokens.
        seed: the seed of the weights; the global generator stays as it is.
        kinds: ``global`` or ``local`` (a window of 4 tokens) for each layer; None means global for
            all.

    Raises:
        ValueError: a width that 4 heads cannot share, or no layer.
    """
    width, layers = whole("width", width, HEADS), whole("layers", layers, 1)
    require(width % HEADS == 0, "width", f"a multiple of {HEADS}", width)
    config = GPTNeoConfig(
        vocab_size=whole("vocabulary", vocabulary, 1),
        hidden_size=width,
        num_layers=layers,
        num_heads=HEADS,
        attention_types=[[kinds or ["global"] * layers, 1]],
        max_position_embeddings=whole("context", context, 1),
        window_size=LOCAL_WINDOW,
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        bos_token_id=0,
        eos_token_id=0,
        # An argument of the base class, which the types of this one leave out.
        attn_implementation="eager",  # type: ignore[call-arg]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(whole("seed", seed, 0))
        return GPTNeoForCausalLM(config).eval()


def attention_only(
    vocabulary: int, width: int, layers: int, context: int, seed: int = 0
) -> GPTNeoForCausalLM:
    """Return a :func:`small_gpt_neo` whose blocks attend and do nothing else.

    Of several layers the first is local, as every second layer of GPT-Neo is. With global layers
    only, the circuit did not form in trials of the length that a class has: a window of 4 makes the
    previous token easy to find.
    """
    layers = whole("layers", layers, 1)
    kinds = ["local"] + ["global"] * (layers - 1) if layers > 1 else None
    model = small_gpt_neo(vocabulary, width, layers, context, seed, kinds)
    for block in model.transformer.h:
        block.ln_2, block.mlp = torch.nn.Identity(), _Silent()
    return model


class _Silent(torch.nn.Module):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(hidden)
