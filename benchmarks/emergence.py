"""The two live runs of notebook 01: `training.fit` against `transformers.Trainer`, batch for batch.

The same sums and strings, the same GPT-Neos, fused AdamW, a constant learning rate and clipping at
1, on one thread, the two loops alternating in one run; medians are printed. Both find their batches
ready-made, and nothing is measured on the way.

    python benchmarks/emergence.py
"""

from __future__ import annotations

import statistics

import torch
import training as loops  # benchmarks/training.py, beside this file
import transformers
from torch.utils.data import Dataset

from fmcourse import emergence
from fmcourse.emergence import addition, induction

STEPS, ROUNDS = 60, 5


class Rows(Dataset):
    """Rows of token ids and labels, read in order by both loops, `size` at a time."""

    def __init__(self, rows: dict[str, torch.Tensor], size: int) -> None:
        self.rows, self.size = rows, size

    def __len__(self) -> int:
        return len(self.rows["input_ids"])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: values[index] for name, values in self.rows.items()}

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        return {
            name: values[step * self.size : (step + 1) * self.size]
            for name, values in self.rows.items()
        }


def adder() -> tuple[torch.nn.Module, Rows]:
    model = emergence.small_gpt_neo(len(addition.CHARACTERS), 64, addition.LAYERS, addition.LENGTH)
    return model, Rows(emergence.draw_sums(STEPS * addition.BATCH, seed=0), addition.BATCH)


def copier() -> tuple[torch.nn.Module, Rows]:
    model = emergence.attention_only(induction.TOKENS, induction.WIDTH, 2, induction.LENGTH)
    return model, Rows(
        emergence.draw_strings(STEPS * induction.BATCH, seed=0).batch, induction.BATCH
    )


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    print(f"one thread, {STEPS} steps, {ROUNDS} rounds, the two loops alternating")
    print(f"{'run':>10} {'fit, steps/s':>13} {'Trainer':>8} {'ratio':>6} {'final losses':>15}")
    for name, make in (("addition", adder), ("induction", copier)):
        rounds = [one_round(make, first=number % 2) for number in range(ROUNDS)]
        ours, theirs = (statistics.median(r[loop] for r in rounds) for loop in ("fit", "Trainer"))
        ratio = statistics.median(r["fit"] / r["Trainer"] for r in rounds)
        losses = f"{rounds[0]['loss of fit']:.4f} {rounds[0]['loss of Trainer']:.4f}"
        print(f"{name:>10} {ours:13,.1f} {theirs:8,.1f} {ratio:6.2f} {losses:>15}", flush=True)


def one_round(make, first: int) -> dict[str, float]:
    """Train the same model with each loop, and return steps per second and final losses."""
    measured = {}
    for name, train in sorted(
        {"fit": loops.with_fit, "Trainer": loops.with_trainer}.items(), reverse=bool(first)
    ):
        model, rows = make()
        measured[name] = STEPS / train(model, rows, STEPS)
        with torch.no_grad():
            measured[f"loss of {name}"] = model.eval()(**rows.batch(0)).loss.item()
    return measured


if __name__ == "__main__":
    main()
