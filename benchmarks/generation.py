"""The speed of `generate`: greedy, batch 1, same tokens, against `model.generate`.

Random GPT-Neo models of four sizes, and SmolLM2 where it is installed; the two decoders alternate
in one run, and medians are printed. Each token must read every weight, so that reading memory is a
limit. It is measured on the same weights, in the same rounds: one product with each matrix and
nothing else, or one sum over each, whichever is faster.

    python -m benchmarks.generation [--threads 2]
"""

import argparse

import torch

import fmcourse
from benchmarks.common import compare, random_gpt_neo, timed
from fmcourse.generation import Greedy, generate

SIZES = {  # vocabulary, width, layers, heads
    "0.1M": (2048, 40, 2, 4),  # the three models of the ladder
    "0.5M": (2048, 96, 3, 4),
    "2M": (2048, 192, 4, 6),
    "125M": (50257, 768, 12, 12),
}
PROMPT, NEW = 20, 100  # tokens
ROUNDS = 7


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads, {ROUNDS} rounds in turn; medians")
    for size, shape in SIZES.items():
        greedy(size, random_gpt_neo(*shape).eval())
    smollm2 = fmcourse.load_smollm2()
    if smollm2 is not None:
        model = smollm2[0]
        # Without an end token it writes as many tokens as it is asked for.
        model.config.eos_token_id = model.generation_config.eos_token_id = None
        greedy("SmolLM2", model)


@torch.inference_mode()
def greedy(size, model):
    prompt = torch.randint(1, 2048, (1, PROMPT))
    ones = torch.ones_like(prompt)

    def ours():
        return generate(model, prompt, Greedy(), NEW)

    def theirs():
        return model.generate(prompt, attention_mask=ones, do_sample=False, max_new_tokens=NEW)

    matrices = [
        weight
        for name, weight in model.named_parameters()
        if weight.dim() > 1 and "wpe" not in name
    ]
    vectors = [matrix.new_ones(matrix.shape[1]) for matrix in matrices]

    def products():
        for matrix, vector in zip(matrices * NEW, vectors * NEW):
            torch.mv(matrix, vector)

    def sums():
        for matrix in matrices * NEW:
            matrix.sum()

    assert torch.equal(ours(), theirs()), "the decoders disagree"
    ways = {"ours": ours, "transformers": theirs, "products": products, "sums": sums}
    timers = {name: timed(way) for name, way in ways.items()}
    best = compare(f"{size}, tokens", NEW, ROUNDS, **timers).min()
    share = min(best["products"], best["sums"]) / best["ours"]
    print(f"    the best round reached {share:.0%} of the reading speed", flush=True)


if __name__ == "__main__":
    main()
