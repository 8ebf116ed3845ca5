"""What several benchmarks share: ways that alternate, and a random GPT-Neo."""

import time

import pandas as pd
import torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM


def compare(name, count, rounds, **ways):
    """Call all ways in every round, each first in turn; print how many a second, and the ratio.

    Args:
        name: what the line begins with.
        count: how many pictures, tokens or samples one call makes.
        rounds: how many.
        ways: ours and the other, functions that return the seconds they took, as :func:`timed`;
            more are only measured.

    Returns:
        The seconds of each round and way.
    """
    table = []
    for number in range(rounds):
        order = list(ways) if number % 2 else list(reversed(ways))
        table.append({way: ways[way]() for way in order})
    seconds = pd.DataFrame(table)[list(ways)]
    ours, other = (count / seconds).median()[:2]
    ratio = (seconds.iloc[:, 1] / seconds.iloc[:, 0]).median()
    kinds = " and ".join(seconds.columns[:2])
    print(f"{name}: {kinds} {ours:,.1f} and {other:,.1f} a second, ratio {ratio:.2f}", flush=True)
    return seconds


def timed(run):
    """Return a function that calls `run` and returns the seconds that it took."""

    def seconds():
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return seconds


def random_gpt_neo(vocabulary, width, layers, heads, positions=512):
    """Return a GPT-Neo with random weights, always the same.

    Without an end token, it makes as many tokens as it is asked for.
    """
    torch.manual_seed(0)
    config = GPTNeoConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        attention_types=[[["local" if layer % 2 else "global"], 1] for layer in range(layers)],
        bos_token_id=0,
        eos_token_id=None,
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        max_position_embeddings=positions,
        window_size=positions // 8,
        attn_implementation="eager",
    )
    return GPTNeoForCausalLM(config)
