"""`training.fit` beside `transformers.Trainer`: same model, same batches, same final loss.

Both train a GPT-Neo of the ladder's sizes, and the models of notebook 01's two live runs, with
fused AdamW, a constant learning rate and clipping at 1. They alternate in one run on one thread,
and medians are printed. Beside them stands the share of the machine's measured matrix-multiply
peak, at 6 FLOPs per weight and token (attention's own products left out).

    python -m benchmarks.training
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable

import torch
import transformers
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from benchmarks.common import alternate, random_gpt_neo, speedup, weights_read
from fmcourse import emergence, training
from fmcourse.emergence import addition, induction

LADDER = {  # vocabulary, width, layers, heads; steps
    "0.1M": ((32, 64, 2, 4), 60),  # characters, as in the experiments that train in class
    "0.5M": ((2048, 96, 3, 4), 30),  # the middle and the largest model of the ladder
    "2M": ((2048, 192, 4, 6), 20),
}
# Rows and tokens: an experiment in class, and the ladder's recipe.
BATCHES = ((8, 64), (4, 256))
LIVE_STEPS = 60
ROUNDS = 5
LR = 1e-3


class Batches(Dataset):
    """Rows of token ids and labels, read in order by both loops, `size` at a time."""

    def __init__(self, rows: dict[str, torch.Tensor], size: int) -> None:
        self.rows, self.size = rows, size

    def __len__(self) -> int:
        return len(self.rows["input_ids"])

    def __getitem__(self, index: int | slice) -> dict[str, torch.Tensor]:
        return {name: values[index] for name, values in self.rows.items()}

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        return self[step * self.size : (step + 1) * self.size]


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    peak = matmul_peak()
    print(f"one thread, {ROUNDS} rounds, the loops alternating; peak {peak / 1e9:.0f} GFLOP/s")
    print("      run    batch  fit, tokens/s  Trainer  ratio  of peak    final losses")
    for name, (size, steps) in LADDER.items():
        for rows, length in BATCHES:
            ids = torch.randint(size[0], (steps * rows, length))
            batches = Batches({"input_ids": ids, "labels": ids}, rows)
            compare(name, lambda size=size: random_gpt_neo(*size, end=0), batches, peak)
    sums = emergence.draw_sums(LIVE_STEPS * addition.BATCH, seed=0)
    compare("addition", adder, Batches(sums, addition.BATCH), peak)
    strings = emergence.draw_strings(LIVE_STEPS * induction.BATCH, seed=0).batch
    compare("induction", copier, Batches(strings, induction.BATCH), peak)


def adder() -> torch.nn.Module:
    return emergence.small_gpt_neo(len(addition.CHARACTERS), 64, addition.LAYERS, addition.LENGTH)


def copier() -> torch.nn.Module:
    return emergence.attention_only(induction.TOKENS, induction.WIDTH, 2, induction.LENGTH)


def compare(name: str, make: Callable, batches: Batches, peak: float) -> None:
    """Train a model that `make` returns with each loop in turn, and print one line."""
    steps = len(batches) // batches.size
    losses = {}

    def way(loop: str, train: Callable) -> Callable[[], float]:
        def seconds() -> float:
            model = make()
            took = train(model, batches, steps)
            with torch.no_grad():
                losses[loop] = model.eval()(**batches.batch(0)).loss.item()
            return took

        return seconds

    ways = {"fit": way("fit", with_fit), "Trainer": way("Trainer", with_trainer)}
    seconds = alternate(ROUNDS, ways)
    tokens = batches.rows["input_ids"].numel()
    speed = (tokens / seconds).median()
    share = speed["fit"] * 6 * weights_read(make()) / peak
    shape = f"{batches.size} x {tokens // len(batches)}"
    print(
        f"{name:>9} {shape:>8} {speed['fit']:14,.0f} {speed['Trainer']:8,.0f}"
        f" {speedup(seconds, 'fit', 'Trainer'):6.2f} {share:8.0%}"
        f"   {losses['fit']:.4f} {losses['Trainer']:.4f}",
        flush=True,
    )


def with_fit(model: torch.nn.Module, batches: Batches, steps: int) -> float:
    """Return the seconds that `training.fit` takes."""
    optimizer = training.adamw(LR, weight_decay=0.0, betas=(0.9, 0.999))
    start = time.perf_counter()
    training.fit(model, batches.batch, steps, optimizer=optimizer, progress=False)
    return time.perf_counter() - start


def with_trainer(model: torch.nn.Module, batches: Batches, steps: int) -> float:
    """Return the seconds that `Trainer.train` takes, with all reporting and saving off."""
    with tempfile.TemporaryDirectory() as folder:
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
        trainer = OrderedTrainer(model=model, args=arguments, train_dataset=batches)
        trainer.remove_callback(PrinterCallback)
        start = time.perf_counter()
        trainer.train()
        return time.perf_counter() - start


class OrderedTrainer(Trainer):
    """A Trainer that reads the rows in order."""

    def _get_train_sampler(self, *ignored):
        return SequentialSampler(self.train_dataset)


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
