"""The speed of `generate`: greedy, batch 1, same tokens, against `model.generate`; and what samples
and a helper save.

Random GPT-Neo models of four sizes, the two decoders alternating in one run; medians are printed.
At the size of GPT-Neo-125M each token must read every weight once, so memory bandwidth is the
limit: it is measured with large readings, and our share of it is printed. Below that: many samples
of one prompt at once against one at a time, and the largest of the ladder assisted by the smallest
(Leviathan et al. 2023), with greedy tokens the same.

    python benchmarks/generation.py [--threads 2] [--rounds 7] [--sizes 0.1M 0.5M 2M 125M]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import training as loops  # benchmarks/training.py, beside this file
from transformers import GPTNeoForCausalLM

import fmcourse
from fmcourse.generation import Greedy, Sample, generate

SIZES = {  # vocabulary, width, layers, heads, new tokens
    "0.1M": (2048, 40, 2, 4, 100),  # the three rungs of the ladder
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
    assisted(arguments.rounds)


def compare(size: str, rounds: int, bandwidth: float) -> None:
    """Print one line.

    Both speeds, their ratio, and how much of the bandwidth the weights that each token reads take.
    """
    *shape, new = SIZES[size]
    model = random_model(*shape)
    prompt = torch.randint(1, shape[0], (1, PROMPT))
    seconds, rows = alternate(
        rounds, lambda: generate(model, prompt, Greedy(), new), lambda: theirs(model, prompt, new)
    )
    assert torch.equal(*rows), "the decoders disagree"
    share = new / statistics.median(seconds[0]) * bytes_per_token(model) / bandwidth
    speeds = [new / statistics.median(times) for times in seconds]
    print(
        f"{size:>5} {speeds[0]:14,.1f} {speeds[1]:9,.1f} {ratio(seconds):6.2f} {share:13.0%}",
        flush=True,
    )


def samples(rounds: int) -> None:
    """Print what it saves to write all samples of one prompt together."""
    model, prompt = random_model(*SIZES["0.5M"][:4]), torch.randint(1, 2048, (1, 150))

    def one_by_one() -> list[torch.Tensor]:
        return [generate(model, prompt, Sample(), 40, seed=seed) for seed in range(SAMPLES)]

    seconds, _ = alternate(
        rounds, lambda: generate(model, prompt, Sample(), 40, SAMPLES, seed=0), one_by_one
    )
    print(
        f"{SAMPLES} samples of a prompt of 150 tokens: together {ratio(seconds):.1f} times as fast"
    )


def assisted(rounds: int) -> None:
    """Print what a small helper, which proposes tokens that the large model checks, does to
    `generate`, and to us.
    """
    model, tokenizer = fmcourse.load_gpt_neo("ladder-large")
    helper, _ = fmcourse.load_gpt_neo("ladder-small")
    prompt = tokenizer("The state of the Union", return_tensors="pt").input_ids
    ways = {
        "alone": lambda: theirs(model, prompt, 100),
        "assisted": lambda: theirs(model, prompt, 100, assistant_model=helper),
        "our generate": lambda: generate(model, prompt, Greedy(), 100),
    }
    seconds, rows = alternate(rounds, *ways.values())
    same = all(torch.equal(rows[0], other) for other in rows[1:])
    for place, name in enumerate(ways):
        print(f"ladder-large, {name}: {100 / statistics.median(seconds[place]):.0f} tokens/s")
    print(f"assisted is {ratio(seconds[1::-1]):.2f} times as fast as alone; same tokens: {same}")


def alternate(rounds: int, *ways: Callable) -> tuple[list[list[float]], list]:
    """Run each way once per round, the first moving on by one, and return the seconds of each and
    what each gave.
    """
    rows, seconds = [way() for way in ways], [[] for _ in ways]  # one unmeasured round to warm up
    for number in range(rounds):
        for place in sorted(range(len(ways)), key=lambda place: (place + number) % len(ways)):
            start = time.perf_counter()
            rows[place] = ways[place]()
            seconds[place].append(time.perf_counter() - start)
    return seconds, rows


def ratio(seconds: list[list[float]]) -> float:
    """Return the median over rounds of how many times as fast the first is as the second."""
    return statistics.median(second / first for first, second in zip(*seconds))


def theirs(
    model: GPTNeoForCausalLM, prompt: torch.Tensor, new: int, **options: object
) -> torch.Tensor:
    ones = torch.ones_like(prompt)
    return model.generate(
        prompt, attention_mask=ones, do_sample=False, max_new_tokens=new, **options
    )


def random_model(*size: int) -> GPTNeoForCausalLM:
    """Return a GPT-Neo with random weights and no end token, so that all tokens are made."""
    return loops.new_model(*size, end=None).eval()


def bytes_per_token(model: GPTNeoForCausalLM) -> int:
    """Return the bytes of weights that every token reads: all but the position vectors."""
    return sum(4 * p.numel() for name, p in model.named_parameters() if "wpe" not in name)


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
