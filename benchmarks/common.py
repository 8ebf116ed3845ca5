"""What several benchmarks share: rounds in which two ways alternate, and a random GPT-Neo."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM


def alternate(rounds: int, ways: Mapping[str, Callable[[], float]]) -> pd.DataFrame:
    """Call each way once per round, another one first each time.

    Args:
        rounds: how many.
        ways: name to a function that returns the seconds that it took, such as :func:`timed`.

    Returns:
        The seconds, one row per round, one column per way.
    """
    names = list(ways)
    table = []
    for number in range(rounds):
        first = number % len(names)
        table.append({name: ways[name]() for name in names[first:] + names[:first]})
    return pd.DataFrame(table)[names]


def timed(run: Callable[[], object]) -> Callable[[], float]:
    """Return a function that calls `run` and returns the seconds that it took."""

    def seconds() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return seconds


def speedup(seconds: pd.DataFrame, way: str, other: str) -> float:
    """Return the median over rounds of how many times as fast `way` is as `other`."""
    return (seconds[other] / seconds[way]).median()


def random_gpt_neo(
    vocabulary: int, width: int, layers: int, heads: int, end: int | None = None, **settings: Any
) -> GPTNeoForCausalLM:
    """Return a GPT-Neo with random weights, always the same.

    Without an end token, the default, it makes as many tokens as it is asked for.
    """
    torch.manual_seed(0)
    shape = {"max_position_embeddings": 256, "window_size": 64, "attn_implementation": "eager"}
    config = GPTNeoConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        attention_types=[[["local" if layer % 2 else "global"], 1] for layer in range(layers)],
        bos_token_id=0,
        eos_token_id=end,
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        **(shape | settings),
    )
    return GPTNeoForCausalLM(config)


def weights_read(model: torch.nn.Module) -> int:
    """Return how many weights multiply something: all but the position vectors."""
    return sum(p.numel() for name, p in model.named_parameters() if "wpe" not in name)
