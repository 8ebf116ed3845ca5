"""Sparse parity, a smooth curve made of jumps, and grokking in modular addition; for notebook 01.

Sources: Michaud et al. 2023
(multitask sparse parity, task frequencies by a power law), Power et al. 2022 and Nanda et al. 2023
(grokking; its sudden test accuracy sits on the gradual growth of a circuit).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, one_hot

from fmcourse import training
from fmcourse.arguments import real, require, whole
from fmcourse.emergence.models import small_gpt_neo

__all__ = ["Parity", "draw_parity", "task_shares", "train_modular", "train_parity"]

PARITY_TASKS, BITS, SUBSET = 12, 24, 3
EXPONENT = 1.4  # task k comes up in proportion to k ** -EXPONENT
HIDDEN, PARITY_BATCH, PARITY_LR, PARITY_STEPS = 256, 512, 3e-3, 5_000
TEST_PER_TASK, TEST_SEED = 500, 2**31
MODULUS, TRAIN_SHARE, MODULAR_WIDTH, MODULAR_STEPS = 31, 0.75, 48, 4_000
MODULAR_LR, MODULAR_DECAY = 3e-3, 1.0


class Parity:
    """The tasks of one seed: which three bits the label of each task is the parity of.

    Attributes:
        subsets: bits of each task, shape (tasks, 3).
    """

    def __init__(self, seed: int = 0) -> None:
        draw = torch.Generator().manual_seed(whole("seed", seed, 0))
        orders = [torch.randperm(BITS, generator=draw) for _ in range(PARITY_TASKS)]
        self.subsets = torch.stack(orders)[:, :SUBSET]

    def examples(
        self, tasks: torch.Tensor, bits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs, a mark for the task before the bits, and labels 0 or 1.

        Args:
            tasks: task numbers from 0, shape (examples,).
            bits: zeros and ones, shape (examples, bits).

        Returns:
            Floats of shape (examples, tasks + bits), and whole numbers of shape (examples,).
        """
        marks = one_hot(tasks, PARITY_TASKS)
        return torch.cat([marks, bits], 1).float(), bits.gather(1, self.subsets[tasks]).sum(1) % 2


def task_shares(tasks: int = PARITY_TASKS, exponent: float = EXPONENT) -> torch.Tensor:
    """Return how often each task comes up, in proportion to ``k ** -exponent``, summing to 1, shape
    (tasks,).

    >>> task_shares(2, 1.0)
    tensor([0.6667, 0.3333])
    """
    require(real(exponent), "exponent", "a finite number", exponent)
    weights = torch.arange(1, whole("tasks", tasks, 1) + 1).float() ** -exponent
    return weights / weights.sum()


def draw_parity(tasks: Parity, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw inputs and labels with the global generator, tasks by their shares."""
    chosen = torch.multinomial(task_shares(), whole("count", count, 1), replacement=True)
    return tasks.examples(chosen, torch.randint(2, (len(chosen), BITS)))


def train_parity(
    seed: int = 0,
    *,
    steps: int = PARITY_STEPS,
    measure_every: int = 100,
    checkpoint: str | Path | None = None,
) -> tuple[torch.nn.Module, training.Run]:
    """Train one hidden layer on all tasks at once and measure each alone.

    Args:
        seed: of tasks, weights and examples.
        steps, measure_every, checkpoint: as in :func:`fmcourse.training.fit`.

    Returns:
        The model, and the run with the loss on each task (``task 0`` ...) and on their mixture
        (``loss``), in bits.
    """
    tasks = Parity(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            torch.nn.Linear(PARITY_TASKS + BITS, HIDDEN),
            torch.nn.ReLU(),
            torch.nn.Linear(HIDDEN, 2),
        )
    draw = torch.Generator().manual_seed(TEST_SEED)
    each = torch.arange(PARITY_TASKS).repeat_interleave(TEST_PER_TASK)
    inputs, labels = tasks.examples(each, torch.randint(2, (len(each), BITS), generator=draw))

    def measure(model: torch.nn.Module) -> dict[str, float]:
        with torch.no_grad():
            nats = cross_entropy(model(inputs), labels, reduction="none")
        by_task = (nats / torch.log(torch.tensor(2.0))).view(PARITY_TASKS, -1).mean(1)
        named = {f"task {task}": loss for task, loss in enumerate(by_task.tolist())}
        return {"loss": (by_task * task_shares()).sum().item(), **named}

    run = training.fit(
        model,
        lambda step: draw_parity(tasks, PARITY_BATCH),
        steps,
        optimizer=training.adamw(PARITY_LR, weight_decay=0.0),
        loss=lambda model, batch: cross_entropy(model(batch[0]), batch[1]),
        measure=measure,
        measure_every=measure_every,
        checkpoint=checkpoint,
        identity={"task": "parity", "seed of the tasks": seed, "batch": PARITY_BATCH},
        seed=seed,
        progress=False,
    )
    return model, run


def train_modular(
    weight_decay: float = MODULAR_DECAY,
    *,
    seed: int = 0,
    steps: int = MODULAR_STEPS,
    measure_every: int = 100,
    checkpoint: str | Path | None = None,
) -> tuple[torch.nn.Module, training.Run]:
    """Train a one-layer GPT-Neo on three quarters of the table ``a + b mod 31``, whole at every
    step, and test it on the rest.

    Args:
        weight_decay: as in :func:`fmcourse.training.adamw`; 0 is the control.
        seed: of the weights and of which sums are trained on.
        steps, measure_every, checkpoint: as in :func:`fmcourse.training.fit`.

    Returns:
        The model, and the run with ``train`` and ``test`` accuracy, ``test_loss`` in nats and the
        ``norm`` of the weights.
    """
    # Each pair in one order only: b + a would give a + b away.
    pairs = [[a, b, MODULUS] for a in range(MODULUS) for b in range(a + 1)]
    ids = torch.tensor(pairs)
    answers = (ids[:, 0] + ids[:, 1]) % MODULUS
    draw = torch.Generator().manual_seed(whole("seed", seed, 0))
    order = torch.randperm(len(ids), generator=draw)
    first = round(TRAIN_SHARE * len(ids))
    parts = {"train": order[:first], "test": order[first:]}
    model = small_gpt_neo(MODULUS + 1, MODULAR_WIDTH, 1, 3, seed)

    def logits(model: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
        return model(input_ids=ids[rows]).logits[:, -1]

    def loss(model: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits(model, rows), answers[rows])

    def measure(model: torch.nn.Module) -> dict[str, float]:
        record = {}
        with torch.no_grad():
            for part, rows in parts.items():
                right = logits(model, rows).argmax(1) == answers[rows]
                record[part] = right.double().mean().item()
            record["test_loss"] = loss(model, parts["test"]).item()
            weights = [weight.flatten() for weight in model.parameters()]
            record["norm"] = torch.cat(weights).norm().item()
        return record

    run = training.fit(
        model,
        [parts["train"]],
        steps,
        optimizer=training.adamw(MODULAR_LR, weight_decay=weight_decay, betas=(0.9, 0.98)),
        loss=loss,
        measure=measure,
        measure_every=measure_every,
        checkpoint=checkpoint,
        identity={"task": "modular addition", "weight decay": weight_decay},
        seed=seed,
        progress=False,
    )
    return model, run
