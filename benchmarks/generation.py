"""The speed of `generate`: greedy, batch 1, same tokens, against `model.generate`; and of samples.

Random GPT-Neo models of four sizes, and SmolLM2 where it is installed; the two decoders alternate
in one run, and medians are printed. Each token must read every weight once, so reading memory is
the limit. It is measured on the very same weights, in the same rounds: one product with each matrix
and nothing else, or one sum over each, whichever is faster. Decoding does those products and more,
so that its best round, held against the best reading, cannot come out above 100%. Below that: many
samples of one prompt at once against one at a time.

    python -m benchmarks.generation [--threads 2] [--rounds 7] [--sizes 0.1M 0.5M 2M 125M SmolLM2]
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedModel

import fmcourse
from benchmarks.common import alternate, random_gpt_neo, speedup, timed
from fmcourse.generation import Greedy, Sample, generate

SIZES = {  # vocabulary, width, layers, heads, new tokens
    "0.1M": (2048, 40, 2, 4, 100),  # the three models of the ladder
    "0.5M": (2048, 96, 3, 4, 100),
    "2M": (2048, 192, 4, 6, 100),
    "125M": (50257, 768, 12, 12, 100),
}
SMOL = "SmolLM2"
PROMPT = 20  # tokens
SAMPLES = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", nargs="*", default=[*SIZES, SMOL], choices=[*SIZES, SMOL])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, the two alternating; medians")
    print(f"{'size':>7} {'ours, tokens/s':>14} {'generate':>9} {'ratio':>6} {'of reading':>11}")
    for size in arguments.sizes:
        model = smollm2() if size == SMOL else random_gpt_neo(*SIZES[size][:4]).eval()
        if model is not None:
            compare(size, model, SIZES[size][4] if size in SIZES else 100, arguments.rounds)
    samples(arguments.rounds)


def smollm2() -> LlamaForCausalLM | None:
    """Return SmolLM2 without an end token, or None where it is not installed."""
    loaded = fmcourse.load_smollm2()
    if loaded is None:
        return None
    loaded[0].config.eos_token_id = loaded[0].generation_config.eos_token_id = None
    return loaded[0]


@torch.inference_mode()
def compare(size: str, model: PreTrainedModel, new: int, rounds: int) -> None:
    """Print one line.

    Both speeds, their ratio, and how much of the reading speed the best round reached.
    """
    prompt = torch.randint(1, 2048, (1, PROMPT))
    weights = [weight for name, weight in model.named_parameters() if "wpe" not in name]
    matrices = [
        (weight, weight.new_ones(weight.shape[1])) for weight in weights if weight.dim() > 1
    ]

    def ours() -> torch.Tensor:
        return generate(model, prompt, Greedy(), new)

    def other() -> torch.Tensor:
        return theirs(model, prompt, new)

    def products() -> None:
        for _ in range(new):
            for matrix, vector in matrices:
                torch.mv(matrix, vector)

    def sums() -> None:
        for _ in range(new):
            for weight in weights:
                weight.sum()

    assert torch.equal(ours(), other()), "the decoders disagree"
    ways = {"ours": ours, "theirs": other, "products": products, "sums": sums}
    seconds = alternate(rounds, {name: timed(way) for name, way in ways.items()})
    speed = (new / seconds).median()
    ratio = speedup(seconds, "ours", "theirs")
    best = seconds.min()
    share = min(best["products"], best["sums"]) / best["ours"]
    read = 4e-9 * new * sum(weight.numel() for weight in weights)  # GB, four bytes each
    print(
        f"{size:>7} {speed['ours']:14,.1f} {speed['theirs']:9,.1f} {ratio:6.2f} {share:11.0%}"
        f" of {read / min(best['products'], best['sums']):.1f} GB/s",
        flush=True,
    )


def samples(rounds: int) -> None:
    """Print what it saves to write all samples of one prompt together."""
    model = random_gpt_neo(*SIZES["0.5M"][:4]).eval()
    prompt = torch.randint(1, 2048, (1, 150))

    def together() -> None:
        generate(model, prompt, Sample(), 40, SAMPLES, seed=0)

    def one_by_one() -> None:
        for seed in range(SAMPLES):
            generate(model, prompt, Sample(), 40, seed=seed)

    together()
    seconds = alternate(rounds, {"together": timed(together), "single": timed(one_by_one)})
    ratio = speedup(seconds, "together", "single")
    print(f"{SAMPLES} samples of a prompt of 150 tokens: together {ratio:.1f} times as fast")


def theirs(model: Any, prompt: torch.Tensor, new: int) -> torch.Tensor:
    ones = torch.ones_like(prompt)
    return model.generate(prompt, attention_mask=ones, do_sample=False, max_new_tokens=new)


if __name__ == "__main__":
    main()
