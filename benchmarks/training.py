"""Does our training loop cost anything? `training.fit` against `transformers.Trainer`: same model, batches and final loss.

Both train GPT-Neo of the ladder's sizes on the same batches of token ids with fused AdamW, a constant learning rate
and clipping at 1, alternating in one run; medians are printed. Beside them stands the share of the machine's measured
matrix-multiply peak, at 6 floating-point operations per weight and token (attention's own products left out).

    python benchmarks/training.py
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time

import torch
from torch.utils.data import Dataset, SequentialSampler
from transformers import GPTNeoConfig, GPTNeoForCausalLM, Trainer, TrainingArguments

from fmcourse import training

BATCH, CONTEXT, VOCABULARY = 4, 256, 2048  # as the ladder was trained
SIZES = {"0.1M": (40, 2, 4, 80), "0.5M": (96, 3, 4, 40), "2M": (192, 4, 6, 20)}  # width, layers, heads, steps
ROUNDS = 5
LR = 1e-3


def main() -> None:
    torch.set_num_threads(1)
    peak = matmul_peak()
    print(f"one thread, batches of {BATCH} x {CONTEXT} tokens, {ROUNDS} alternating rounds")
    print(f"matrix-multiply peak of this thread: {peak / 1e9:.0f} GFLOP/s; tokens per second, medians:")
    print(f"{'size':>6} {'fit':>9} {'Trainer':>9} {'ratio':>6} {'of peak':>8} {'final losses':>18}")
    for name, (width, layers, heads, steps) in SIZES.items():
        rounds = [one_round(width, layers, heads, steps) for _ in range(ROUNDS)]
        ours, theirs = (statistics.median(r[k] for r in rounds) for k in ("ours", "theirs"))
        ratio = statistics.median(r["ours"] / r["theirs"] for r in rounds)
        share = ours * 6 * rounds[0]["weights"] / peak
        losses = f"{rounds[-1]['loss_ours']:.4f} {rounds[-1]['loss_theirs']:.4f}"
        print(f"{name:>6} {ours:9,.0f} {theirs:9,.0f} {ratio:6.2f} {share:8.0%} {losses:>18}", flush=True)


def one_round(width: int, layers: int, heads: int, steps: int) -> dict[str, float]:
    """Train the same model twice, once with each loop, and return both speeds and last losses."""
    batches = Batches(steps)
    model = new_model(width, layers, heads)
    start = time.perf_counter()
    optimizer = training.adamw(LR, weight_decay=0.0, betas=(0.9, 0.999))
    training.fit(model, batches.batch, steps, optimizer=optimizer, progress=False)
    ours = time.perf_counter() - start
    twin = new_model(width, layers, heads)
    with tempfile.TemporaryDirectory() as folder:
        trainer = ordered_trainer(twin, batches, steps, folder)
        start = time.perf_counter()
        trainer.train()
        theirs = time.perf_counter() - start
    tokens = steps * BATCH * CONTEXT
    weights = sum(p.numel() for name, p in model.named_parameters() if "wpe" not in name)
    speeds = {"ours": tokens / ours, "theirs": tokens / theirs, "weights": weights}
    return speeds | {"loss_ours": final_loss(model, batches), "loss_theirs": final_loss(twin, batches)}


@torch.no_grad()
def final_loss(model: GPTNeoForCausalLM, batches: Batches) -> float:
    return model.eval()(**batches.batch(0)).loss.item()


class Batches(Dataset):
    """The same random rows for both loops; a batch is BATCH rows in order."""

    def __init__(self, steps: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.rows = torch.randint(VOCABULARY, (steps * BATCH, CONTEXT), generator=generator)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.rows[index], "labels": self.rows[index]}

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        rows = self.rows[step * BATCH : (step + 1) * BATCH]
        return {"input_ids": rows, "labels": rows}


def ordered_trainer(model: GPTNeoForCausalLM, batches: Batches, steps: int, folder: str) -> Trainer:
    """Return a Trainer that reads the rows in order."""

    class Ordered(Trainer):
        def _get_train_sampler(self, *ignored):
            return SequentialSampler(self.train_dataset)

    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=BATCH,
        max_steps=steps,
        learning_rate=LR,
        weight_decay=0.0,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=0,
    )
    return Ordered(model=model, args=arguments, train_dataset=batches)


def new_model(width: int, layers: int, heads: int) -> GPTNeoForCausalLM:
    torch.manual_seed(0)
    kinds = ["global", "local"] * layers
    config = GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        attention_types=[[[kind], 1] for kind in kinds[:layers]],
        max_position_embeddings=CONTEXT,
        window_size=64,
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        attn_implementation="eager",
    )
    return GPTNeoForCausalLM(config)


def matmul_peak(size: int = 1024) -> float:
    """Return the best of several square fp32 products, in floating-point operations per second."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


if __name__ == "__main__":
    sys.exit(main())
