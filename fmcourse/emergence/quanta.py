"""Sparse parity, a smooth curve made of jumps, and grokking in modular addition; for notebook 01.

Sources: Michaud et al. 2023
(multitask sparse parity, task frequencies by a power law), Power et al. 2022 and Nanda et al. 2023
(grokking; its sudden test accuracy sits on the gradual growth of a circuit).
"""

import math

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.utils import parameters_to_vector

from fmcourse import runtime, training
from fmcourse.emergence.models import small_gpt_neo

__all__ = ["task_shares", "train_modular", "train_parity"]

PARITY_TASKS, BITS, SUBSET = 12, 24, 3
EXPONENT = 1.4  # task k comes up in proportion to k ** -EXPONENT
HIDDEN, PARITY_BATCH, PARITY_LR, PARITY_STEPS = 256, 512, 3e-3, 5_000
TEST_PER_TASK, TEST_SEED = 500, 2**31
MODULUS, TRAIN_SHARE, MODULAR_WIDTH, MODULAR_STEPS = 31, 0.75, 48, 4_000
MODULAR_LR, MODULAR_DECAY = 3e-3, 1.0


def parity_examples(subsets: Tensor, tasks: Tensor, bits: Tensor) -> tuple[Tensor, Tensor]:
    """Return inputs, a mark for the task before the bits, and labels 0 or 1.

    Args:
        subsets: the bits of each task whose parity is the label, shape (tasks, 3).
        tasks: task numbers from 0, shape (examples,).
        bits: zeros and ones, shape (examples, bits).

    Returns:
        Floats of shape (examples, tasks + bits), and whole numbers of shape (examples,).
    """
    marks = one_hot(tasks, PARITY_TASKS)
    return torch.cat([marks, bits], 1).float(), bits.gather(1, subsets[tasks]).sum(1) % 2


def task_shares() -> Tensor:
    """Return how often each of the 12 tasks comes up, in proportion to ``k ** -1.4``, summing to 1,
    shape (tasks,).

    >>> task_shares()[:2]
    tensor([0.4555, 0.1726])
    """
    weights = torch.arange(1, PARITY_TASKS + 1).float() ** -EXPONENT
    return weights / weights.sum()


def train_parity(
    seed: int = 0, *, steps: int = PARITY_STEPS, **options
) -> tuple[Module, training.Run]:
    """Train one hidden layer on all tasks at once and measure each alone.

    Args:
        seed: of tasks, weights and examples.
        steps, options: as in :func:`fmcourse.training.fit`.

    Returns:
        The model, and the run with the loss on each task (``task 0`` ...) and on their mixture
        (``loss``), in bits.
    """
    generator = runtime.generator(seed)
    orders = [torch.randperm(BITS, generator=generator) for _ in range(PARITY_TASKS)]
    subsets = torch.stack(orders)[:, :SUBSET]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(
            torch.nn.Linear(PARITY_TASKS + BITS, HIDDEN),
            torch.nn.ReLU(),
            torch.nn.Linear(HIDDEN, 2),
        )
    generator = runtime.generator(TEST_SEED)
    each = torch.arange(PARITY_TASKS).repeat_interleave(TEST_PER_TASK)
    bits = torch.randint(2, (len(each), BITS), generator=generator)
    inputs, labels = parity_examples(subsets, each, bits)

    def draw(step: int) -> tuple[Tensor, Tensor]:
        tasks = torch.multinomial(task_shares(), PARITY_BATCH, replacement=True)
        return parity_examples(subsets, tasks, torch.randint(2, (PARITY_BATCH, BITS)))

    def measure(model: Module) -> dict[str, float]:
        with torch.no_grad():
            nats = cross_entropy(model(inputs), labels, reduction="none")
        by_task = (nats / math.log(2)).view(PARITY_TASKS, -1).mean(1)
        named = {f"task {task}": loss for task, loss in enumerate(by_task.tolist())}
        return {"loss": (by_task * task_shares()).sum().item(), **named}

    run = training.fit(
        model,
        draw,
        steps,
        optimizer=training.adamw(PARITY_LR, weight_decay=0.0),
        loss=lambda model, batch: cross_entropy(model(batch[0]), batch[1]),
        measure=measure,
        seed=seed,
        progress=False,
        **options,
    )
    return model, run


def train_modular(
    weight_decay: float = MODULAR_DECAY,
    *,
    seed: int = 0,
    steps: int = MODULAR_STEPS,
    **options,
) -> tuple[Module, training.Run]:
    """Train a one-layer GPT-Neo on three quarters of the table ``a + b mod 31``, whole at every
    step, and test it on the rest.

    Args:
        weight_decay: as in :func:`fmcourse.training.adamw`; 0 is the control.
        seed: of the weights and of which sums are trained on.
        steps, options: as in :func:`fmcourse.training.fit`.

    Returns:
        The model, and the run with ``train`` and ``test`` accuracy, ``test_loss`` in nats and the
        ``norm`` of the weights.
    """
    # Each pair in one order only: b + a would give a + b away.
    pairs = [[a, b, MODULUS] for a in range(MODULUS) for b in range(a + 1)]
    ids = torch.tensor(pairs)
    answers = (ids[:, 0] + ids[:, 1]) % MODULUS
    generator = runtime.generator(seed)
    order = torch.randperm(len(ids), generator=generator)
    learnt, tested = order.tensor_split([round(TRAIN_SHARE * len(ids))])
    model = small_gpt_neo(MODULUS + 1, MODULAR_WIDTH, 1, 3, seed)

    def logits(model: Module, rows: Tensor) -> Tensor:
        return model(input_ids=ids[rows]).logits[:, -1]

    def loss(model: Module, rows: Tensor) -> Tensor:
        return cross_entropy(logits(model, rows), answers[rows])

    def measure(model: Module) -> dict[str, float]:
        record = {}
        with torch.no_grad():
            for part, rows in {"train": learnt, "test": tested}.items():
                right = logits(model, rows).argmax(1) == answers[rows]
                record[part] = right.double().mean().item()
            record["test_loss"] = loss(model, tested).item()
            record["norm"] = parameters_to_vector(model.parameters()).norm().item()
        return record

    run = training.fit(
        model,
        [learnt],
        steps,
        optimizer=training.adamw(MODULAR_LR, weight_decay=weight_decay, betas=(0.9, 0.98)),
        loss=loss,
        measure=measure,
        seed=seed,
        progress=False,
        **options,
    )
    return model, run
