"""Is a smooth curve a sum of many small jumps, and can a model change its mind late? Sparse parity
and modular addition.

Serves the end of notebook 01 and ``recipes/emergence_quanta.py``. Sources: Michaud et al. 2023
(multitask sparse parity, task frequencies by a power law), Power et al. 2022 and Nanda et al. 2023
(grokking; its sudden test accuracy sits on the gradual growth of a circuit).
"""

from __future__ import annotations

from pathlib import Path

import torch

from fmcourse import training
from fmcourse.arguments import require
from fmcourse.emergence.models import small_gpt_neo

__all__ = ["Parity", "draw_parity", "task_shares", "train_modular", "train_parity"]

TASKS, BITS, SUBSET = 12, 24, 3
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
        draw = torch.Generator().manual_seed(seed)
        self.subsets = torch.stack(
            [torch.randperm(BITS, generator=draw)[:SUBSET] for _ in range(TASKS)]
        )

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
        marks = torch.nn.functional.one_hot(tasks, TASKS)
        return torch.cat([marks, bits], 1).float(), bits.gather(1, self.subsets[tasks]).sum(1) % 2


def task_shares(tasks: int = TASKS, exponent: float = EXPONENT) -> torch.Tensor:
    """Return how often each task comes up, in proportion to ``k ** -exponent``, summing to 1, shape
    (tasks,).

    >>> task_shares(2, 1.0)
    tensor([0.6667, 0.3333])
    """
    require(tasks >= 1, "tasks", "at least 1", tasks)
    weights = torch.arange(1, tasks + 1).float() ** -exponent
    return weights / weights.sum()


def draw_parity(tasks: Parity, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw inputs and labels with the global generator, tasks by their shares."""
    chosen = torch.multinomial(task_shares(), count, replacement=True)
    return tasks.examples(chosen, torch.randint(2, (count, BITS)))


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
        layers = torch.nn.Linear(TASKS + BITS, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 2)
    model, draw = torch.nn.Sequential(*layers), torch.Generator().manual_seed(TEST_SEED)
    bits = torch.randint(2, (TASKS * TEST_PER_TASK, BITS), generator=draw)
    inputs, labels = tasks.examples(torch.arange(TASKS).repeat_interleave(TEST_PER_TASK), bits)

    def measure(model: torch.nn.Module) -> dict[str, float]:
        with torch.no_grad():
            losses = torch.nn.functional.cross_entropy(
                model(inputs), labels, reduction="none"
            ) / torch.log(torch.tensor(2.0))
        by_task = losses.view(TASKS, -1).mean(1)
        named = {f"task {task}": loss for task, loss in enumerate(by_task.tolist())}
        return {"loss": (by_task * task_shares()).sum().item(), **named}

    run = training.fit(
        model,
        lambda step: draw_parity(tasks, PARITY_BATCH),
        steps,
        optimizer=training.adamw(PARITY_LR, weight_decay=0.0),
        loss=lambda model, batch: torch.nn.functional.cross_entropy(model(batch[0]), batch[1]),
        measure=measure,
        measure_every=measure_every,
        checkpoint=checkpoint,
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
    ids = torch.tensor(
        [[a, b, MODULUS] for a in range(MODULUS) for b in range(a + 1)]
    )  # b + a would give a + b away
    answers = (ids[:, 0] + ids[:, 1]) % MODULUS
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    train, test = order.split(
        [round(TRAIN_SHARE * len(ids)), len(ids) - round(TRAIN_SHARE * len(ids))]
    )
    parts, model = (
        {"train": train, "test": test},
        small_gpt_neo(MODULUS + 1, MODULAR_WIDTH, 1, 3, seed),
    )

    def logits(model: torch.nn.Module, rows: torch.Tensor) -> torch.Tensor:
        return model(input_ids=ids[rows]).logits[:, -1]

    def measure(model: torch.nn.Module) -> dict[str, float]:
        with torch.no_grad():
            found = {part: logits(model, rows) for part, rows in parts.items()}
        right = {
            part: (found[part].argmax(1) == answers[rows]).double().mean().item()
            for part, rows in parts.items()
        }
        norm = torch.cat([weight.detach().flatten() for weight in model.parameters()]).norm().item()
        return {
            **right,
            "test_loss": torch.nn.functional.cross_entropy(found["test"], answers[test]).item(),
            "norm": norm,
        }

    run = training.fit(
        model,
        [train],
        steps,
        optimizer=training.adamw(MODULAR_LR, weight_decay=weight_decay, betas=(0.9, 0.98)),
        loss=lambda model, rows: torch.nn.functional.cross_entropy(
            logits(model, rows), answers[rows]
        ),
        measure=measure,
        measure_every=measure_every,
        checkpoint=checkpoint,
        seed=seed,
        progress=False,
    )
    return model, run
