"""`training.fit` beside `transformers.Trainer`: same model, same batches, same final loss.

Both train the models of notebook 01's two live runs, with fused AdamW, a constant learning rate and
clipping at 1. They alternate in one run on one thread, and medians are printed.

    python -m benchmarks.training
"""

import functools
import tempfile

import torch
import transformers
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from benchmarks.common import compare, timed
from fmcourse import emergence, training
from fmcourse.emergence import addition, induction

STEPS = 60
ROUNDS = 5
LR = 1e-3


class Batches(Dataset):
    """Rows of token ids and labels, read in order by both loops, `size` at a time."""

    def __init__(self, rows, size):
        self.rows, self.size = rows, size
        self.steps = len(self) // size

    def __len__(self):
        return len(self.rows["input_ids"])

    def __getitem__(self, index):
        return {name: values[index] for name, values in self.rows.items()}

    def batch(self, step):
        return self[step * self.size : (step + 1) * self.size]


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    print(f"one thread, {ROUNDS} rounds, the loops alternating")
    sums = emergence.draw_sums(STEPS * addition.BATCH, seed=0)
    race("addition", adder, Batches(sums, addition.BATCH))
    strings = emergence.draw_strings(STEPS * induction.BATCH, seed=0).batch
    race("induction", copier, Batches(strings, induction.BATCH))


def adder():
    return emergence.small_gpt_neo(len(addition.CHARACTERS), 64, addition.LAYERS, addition.LENGTH)


def copier():
    return emergence.attention_only(induction.TOKENS, induction.WIDTH, 2, induction.LENGTH)


def race(name, make, batches):
    """Train a model that `make` returns with each loop in turn; print speeds and final losses."""
    losses = {}

    def way(prepare):
        model = make()
        seconds = timed(prepare(model, batches))()
        with torch.no_grad():
            losses[prepare] = model.eval()(**batches.batch(0)).loss.item()
        return seconds

    fit, trainer = (functools.partial(way, prepare) for prepare in (with_fit, with_trainer))
    tokens = batches.rows["input_ids"].numel()
    compare(f"{name}, tokens", tokens, ROUNDS, fit=fit, Trainer=trainer)
    print(f"  final losses {losses[with_fit]:.4f} {losses[with_trainer]:.4f}", flush=True)


def with_fit(model, batches):
    """Return a function that trains with `training.fit`."""
    adamw = training.adamw(LR, weight_decay=0.0, betas=(0.9, 0.999))
    data = (batches.batch, batches.steps)
    return functools.partial(training.fit, model, *data, optimizer=adamw, progress=False)


def with_trainer(model, batches):
    """Return one that trains with `Trainer.train`, with all reporting and saving off."""
    arguments = TrainingArguments(
        tempfile.gettempdir(),
        per_device_train_batch_size=batches.size,
        max_steps=batches.steps,
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
    return trainer.train


class OrderedTrainer(Trainer):
    """A Trainer that reads the rows in order."""

    def _get_train_sampler(self, *ignored):
        return SequentialSampler(self.train_dataset)


if __name__ == "__main__":
    main()
