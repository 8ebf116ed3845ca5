"""The speed of `generate`: greedy, batch 1, same tokens, against `model.generate`; and of samples.

Random GPT-Neo models of four sizes, the two decoders alternating in one run; medians are printed.
At the size of GPT-Neo-125M each token must read every weight once, so memory bandwidth is the
limit: it is measured with large readings, and our share of it is printed. Below that: many samples
of one prompt at once against one at a time.

    python -m benchmarks.generation [--threads 2] [--rounds 7] [--sizes 0.1M 0.5M 2M 125M]
"""

from __future__ import annotations

import argparse
import time

import torch
from transformers import GPTNeoForCausalLM

from benchmarks.common import alternate, random_gpt_neo, speedup, timed, weights_read
from fmcourse.generation import Greedy, Sample, generate

SIZES = {  # vocabulary, width, layers, heads, new tokens
    "0.1M": (2048, 40, 2, 4, 100),  # the three models of the ladder
    "0.5M": (2048, 96, 3, 4, 100),
    "2M": (2048, 192, 4, 6, 100),
    "125M": (50257, 768, 12, 12, 20),
}
PROMPT = 20  # tokens
SAMPLES = 16


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=SIZES)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, the two alternating; medians")
    print(f"{'size':>5} {'ours, tokens/s':>14} {'generate':>9} {'ratio':>6} {'of bandwidth':>13}")
    bandwidth = memory_bandwidth()
    for size in arguments.sizes:
        compare(size, arguments.rounds, bandwidth)
    print(f"reading memory: {bandwidth / 1e9:.1f} GB/s")
    samples(arguments.rounds)


def compare(size: str, rounds: int, bandwidth: float) -> None:
    """Print one line.

    Both speeds, their ratio, and how much of the bandwidth the weights that each token reads take.
    """
    *shape, new = SIZES[size]
    model = random_gpt_neo(*shape).eval()
    prompt = torch.randint(1, shape[0], (1, PROMPT))

    def ours() -> torch.Tensor:
        return generate(model, prompt, Greedy(), new)

    def other() -> torch.Tensor:
        return theirs(model, prompt, new)

    assert torch.equal(ours(), other()), "the decoders disagree"
    seconds = alternate(rounds, {"ours": timed(ours), "theirs": timed(other)})
    speed = (new / seconds).median()
    ratio = speedup(seconds, "ours", "theirs")
    # Every token reads every weight once, four bytes each.
    share = speed["ours"] * 4 * weights_read(model) / bandwidth
    print(
        f"{size:>5} {speed['ours']:14,.1f} {speed['theirs']:9,.1f} {ratio:6.2f} {share:13.0%}",
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


def theirs(model: GPTNeoForCausalLM, prompt: torch.Tensor, new: int) -> torch.Tensor:
    ones = torch.ones_like(prompt)
    return model.generate(prompt, attention_mask=ones, do_sample=False, max_new_tokens=new)


def memory_bandwidth(rows: int = 16_384, columns: int = 4_096) -> float:
    """Return the best of several readings of a large matrix, in bytes per second.

    Decoding multiplies a vector by matrices, so a product of that kind is what bounds its reading;
    a plain sum is tried too.
    """
    matrix, vector, best = torch.ones(rows, columns), torch.ones(columns), 0.0
    row, laid_out = torch.ones(1, rows), torch.empty(1, columns)
    for _ in range(8):
        for read in (
            lambda: torch.mv(matrix, vector),
            lambda: torch.mm(row, matrix, out=laid_out),
            matrix.sum,
        ):
            start = time.perf_counter()
            read()
            best = max(best, matrix.nbytes / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    main()
