"""Compare `training.fit` with `transformers.Trainer`: same model, batches and final loss.

Both train GPT-Neo of the ladder's sizes on the same batches of token ids with fused AdamW, a
constant learning rate and clipping at 1, alternating in one run; medians are printed. Beside them
stands the share of the machine's measured matrix-multiply peak, at 6 FLOPs per weight and token
(attention's own products left out).

    python benchmarks/training.py
"""

from __future__ import annotations

import itertools
import tempfile
import time

import pandas as pd
import torch
import transformers
from torch.utils.data import Dataset, SequentialSampler
from transformers import (
    GPTNeoConfig,
    GPTNeoForCausalLM,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from fmcourse import training

SIZES = {  # vocabulary, width, layers, heads
    "0.1M": (32, 64, 2, 4),  # characters, as in the experiments that train in class
    "0.5M": (2048, 96, 3, 4),  # the middle and the largest rung of the ladder
    "2M": (2048, 192, 4, 6),
}
STEPS = {"0.1M": 60, "0.5M": 30, "2M": 20}
# Rows and tokens: an experiment in class, and the ladder's recipe.
BATCHES = {"8 x 64": (8, 64), "4 x 256": (4, 256)}
ROUNDS = 5
LR = 1e-3


def main() -> None:
    torch.set_num_threads(1)
    peak = matmul_peak()
    transformers.logging.set_verbosity_error()
    print(f"one thread, {ROUNDS} rounds, the loops alternating; peak {peak / 1e9:.0f} GFLOP/s")
    print(" size    batch  fit, tokens/s  Trainer  ratio  of peak    final losses")
    for size, shape in itertools.product(SIZES, BATCHES):
        rounds = []
        for number in range(ROUNDS):
            rounds.append(one_round(SIZES[size], STEPS[size], *BATCHES[shape], first=number % 2))
        found = pd.DataFrame(rounds)
        middle = found.median()
        ratio = (found["fit"] / found["Trainer"]).median()
        share = middle["fit"] * 6 * weights(SIZES[size]) / peak
        losses = f"{middle['loss of fit']:.4f} {middle['loss of Trainer']:.4f}"
        speeds = f"{middle['fit']:14,.0f} {middle['Trainer']:8,.0f}"
        print(f"{size:>5} {shape:>8} {speeds} {ratio:6.2f} {share:8.0%} {losses:>15}", flush=True)


def one_round(
    size: tuple[int, ...], steps: int, rows: int, length: int, first: int
) -> dict[str, float]:
    """Train the same model with each loop; return tokens per second and final losses.

    `first` tells which loop begins.
    """
    batches, measured = Batches(size[0], steps, rows, length), {}
    loops = [("fit", with_fit), ("Trainer", with_trainer)]
    for name, train in loops[::-1] if first else loops:
        model = new_model(*size)
        measured[name] = steps * rows * length / train(model, batches, steps)
        with torch.no_grad():
            measured[f"loss of {name}"] = model.eval()(**batches.batch(0)).loss.item()
    return measured


def with_fit(model: GPTNeoForCausalLM, batches: Batches, steps: int) -> float:
    """Return the seconds that `training.fit` takes."""
    optimizer = training.adamw(LR, weight_decay=0.0, betas=(0.9, 0.999))
    start = time.perf_counter()
    training.fit(model, batches.batch, steps, optimizer=optimizer, progress=False)
    return time.perf_counter() - start


def with_trainer(model: GPTNeoForCausalLM, batches: Batches, steps: int) -> float:
    """Return the seconds that `Trainer.train` takes, with all reporting and saving off."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = ordered_trainer(model, batches, steps, folder)
        trainer.remove_callback(PrinterCallback)
        start = time.perf_counter()
        trainer.train()
        return time.perf_counter() - start


class Batches(Dataset):
    """The same random rows of tokens for both loops, in order."""

    def __init__(self, vocabulary: int, steps: int, rows: int, length: int) -> None:
        self.size = rows
        self.rows = torch.randint(
            vocabulary, (steps * rows, length), generator=torch.Generator().manual_seed(0)
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.rows[index], "labels": self.rows[index]}

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        rows = self.rows[step * self.size : (step + 1) * self.size]
        return {"input_ids": rows, "labels": rows}


def ordered_trainer(model: GPTNeoForCausalLM, batches: Batches, steps: int, folder: str) -> Trainer:
    """Return a Trainer that reads the rows in order."""

    class Ordered(Trainer):
        def _get_train_sampler(self, *ignored):
            return SequentialSampler(self.train_dataset)

    arguments = TrainingArguments(
        folder,
        per_device_train_batch_size=batches.size,
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


def new_model(
    vocabulary: int, width: int, layers: int, heads: int, end: int | None = 0
) -> GPTNeoForCausalLM:
    """Return a GPT-Neo with random weights, always the same; no end token if `end` is None."""
    torch.manual_seed(0)
    config = GPTNeoConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        attention_types=[[["local" if layer % 2 else "global"], 1] for layer in range(layers)],
        bos_token_id=0,
        eos_token_id=end,
        max_position_embeddings=256,
        window_size=64,
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        attn_implementation="eager",
    )
    return GPTNeoForCausalLM(config)


def weights(size: tuple[int, ...]) -> int:
    """Return the number of weights that multiply something: all but the position vectors."""
    return sum(p.numel() for name, p in new_model(*size).named_parameters() if "wpe" not in name)


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
    main()
