"""How is a model trained so that a lost connection loses nothing? One loop, used by every notebook and recipe.

Everything random in step ``s`` is drawn from a generator seeded by ``(seed, s)``, and a batch is a function of
its step. A checkpoint then needs weights, optimizer state and the step, and a resumed run ends in the same
weights, bit for bit, as one that was never interrupted (on one machine with one number of threads).

Serves all notebooks that train. Sources: Loshchilov & Hutter 2019 (AdamW), Loshchilov & Hutter 2017 (cosine).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmcourse.arguments import require
from fmcourse.batches import Parted, autocast, batch_function
from fmcourse.checkpoints import State, fingerprint
from fmcourse.progress import Progress

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

__all__ = ["Run", "adamw", "constant", "cosine", "crops", "digest", "fit"]

SEED_STRIDE = (
    1_000_003  # a prime: seeds of neighbouring runs never share a step's generator in practice
)
RANK_STRIDE = 7_368_787  # another: so that processes which train together draw differently


@dataclass(frozen=True)
class Run:
    """What a call of :func:`fit` did.

    Attributes:
        steps: steps taken in all, those of earlier, interrupted calls included.
        resumed_from: the step this call started at; 0 when it started afresh.
        losses: the loss of every step, shape (steps,), in the unit of the loss function (nats for a language model).
        records: one mapping per measurement, as `measure` returned it, with ``step`` added.
        seconds: wall-clock time over all calls, in seconds.
    """

    steps: int
    resumed_from: int
    losses: tuple[float, ...]
    records: tuple[dict[str, float], ...]
    seconds: float


def adamw(
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.99),
    parts: Mapping[str, Mapping[str, float]] | None = None,
) -> Callable:
    """Return a function from a model to a fused AdamW that decays matrices only, not biases and norms.

    Args:
        lr: learning rate, in weights' units per step.
        weight_decay: of matrices and kernels; a share `lr * weight_decay` is taken from them at every step.
        betas: decay rates of the two moments.
        parts: other settings for some parts, such as ``{"head": {"lr": 0.1}}``: they hold for every weight whose dotted
            name has that word.
    """
    parts = parts or {}

    def build(model: torch.nn.Module) -> torch.optim.Optimizer:
        import torch

        groups = {}
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                part = next((part for part in parts if part in name.split(".")), None)
                groups.setdefault((part, weight.ndim >= 2), []).append(weight)
        settings = [
            _settings(parts.get(part, {}), decays, lr, weight_decay) for part, decays in groups
        ]
        chosen = [{"params": own, **setting} for own, setting in zip(groups.values(), settings)]
        return torch.optim.AdamW(chosen, lr=lr, betas=betas, fused=True)

    return build


def _settings(
    part: Mapping[str, float], decays: bool, lr: float, weight_decay: float
) -> dict[str, float]:
    setting = {"lr": lr, "weight_decay": weight_decay, **part}
    return setting if decays else {**setting, "weight_decay": 0.0}


def constant(step: int, steps: int) -> float:
    """Return 1.0: the learning rate as given, at every step."""
    return 1.0


def cosine(warmup: float = 0.05, floor: float = 0.05) -> Callable[[int, int], float]:
    """Return a schedule: a linear rise over the share `warmup` of the steps, then half a cosine down to `floor`."""
    require(0 <= warmup < 1, "warmup", "a share of the steps in [0, 1)", warmup)

    def factor(step: int, steps: int) -> float:
        rise = max(1, round(warmup * steps))
        if step < rise:
            return (step + 1) / rise
        done = (step - rise) / max(1, steps - rise)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))

    return factor


def crops(ids: torch.Tensor, rows: int, length: int) -> dict[str, torch.Tensor]:
    """Draw a batch for a language model from torch's global generator: windows of a long text, at random places.

    Args:
        ids: the text, shape (tokens,), longer than `length`.
        rows, length: shape of the batch.

    Returns:
        ``input_ids`` and ``labels``, the same tensor, shape (rows, length), on the device of `ids`.
    """
    import torch

    require(1 <= length < len(ids), "length", f"from 1 to {len(ids) - 1}", length)
    starts = torch.randint(len(ids) - length, (rows, 1)).to(ids.device)
    window = ids[starts + torch.arange(length, device=ids.device)]
    return {"input_ids": window, "labels": window}


def digest(*parts: torch.Tensor | str) -> str:
    """Return a short name of some tensors and texts that changes when any number, shape or letter does.

    >>> import torch
    >>> digest(torch.zeros(2)) == digest(torch.zeros(2)), digest(torch.zeros(2)) == digest(torch.zeros(2, 1))
    (True, False)
    """
    found = hashlib.sha256()
    for part in parts:
        described = part if isinstance(part, str) else f"{part.dtype} {tuple(part.shape)}"
        found.update(described.encode() + b"\0")
        if not isinstance(part, str):
            found.update(part.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def fit(
    model: torch.nn.Module,
    batches: Callable[[int], Any] | Sequence[Any],
    steps: int,
    *,
    optimizer: Callable | None = None,
    loss: Callable[[torch.nn.Module, Any], torch.Tensor] | None = None,
    schedule: Callable[[int, int], float] = constant,
    clip: float | None = 1.0,
    accumulate: int = 1,
    precision: str | None = None,
    accelerator: Accelerator | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    measure: Callable[[torch.nn.Module], dict[str, float]] | None = None,
    measure_every: int = 100,
    seed: int = 0,
    data: str = "",
    progress: bool = True,
) -> Run:
    """Train `model` in place for `steps` steps, and go on from `checkpoint` when that file exists.

    Args:
        model: any module; it is trained where it lies (CPU or GPU) and left in the mode it came in.
        batches: a function from the step (0, 1, ...) to a batch, or a sequence of batches that is cycled.
        steps: how many optimizer steps in all, at least 1.
        optimizer: a function from the model to an optimizer, such as ``adamw(lr=3e-3)``; None means ``adamw()``.
        loss: a function from (model, batch) to a scalar; None means ``model(**batch).loss``.
        schedule: a function from (step, steps) to a factor on the learning rate.
        clip: the largest gradient norm; None switches clipping off.
        accumulate: in how many parts a batch is computed, one after the other, when memory does not hold it whole. The batch is
            cut along its first axis (see :func:`fmcourse.batches.parts`), and each part's loss counts by its share of the
            rows: for a loss that is a mean over rows the step is that of the whole batch, up to rounding.
        precision: ``bf16`` or ``fp16``: products are computed in it (torch.autocast), while weights and optimizer stay in fp32;
            None computes all in fp32. With fp16 the loss is scaled (torch.amp.GradScaler), and a step whose scaled
            gradients overflow moves nothing, but counts.
        accelerator: of a program started by ``accelerate launch``: each process computes its part of every batch, cut as
            above, gradients are summed over the processes, and the main one alone writes and shows. All must be given the
            same arguments, the model each on its own device.
        checkpoint: a file to write every `checkpoint_seconds`, at the end, and on Ctrl-C unless the weights are just moving;
            always atomically.
        measure: a function from the model to figures, called before the first step, every `measure_every`
            steps and after the last; the figures are kept in :attr:`Run.records` and survive a restart.
        seed: the seed of everything random inside a step (batches, dropout).
        data: what the batches are made of, such as a :func:`digest`; a checkpoint made from other data is refused.
        progress: whether a line with step, loss and time is shown.

    Returns:
        A :class:`Run`; the trained weights are in `model`.

    Raises:
        TypeError: `batches` is an iterator, which cannot be rewound after an interruption, or a batch cannot be cut.
        ValueError: `steps` or `accumulate` < 1, an empty sequence of batches, fewer rows than parts, an unknown precision or
            one for weights that are not fp32, or a checkpoint of a different run.
        FloatingPointError: the loss is not finite; the message names the step.

    >>> import torch
    >>> line = torch.nn.Linear(1, 1)
    >>> x = torch.linspace(-1, 1, 8)[:, None]
    >>> squared = lambda model, batch: (model(batch) - 3 * batch).square().mean()
    >>> run = fit(line, [x], 400, optimizer=adamw(lr=0.05, weight_decay=0.0), loss=squared, progress=False)
    >>> round(line.weight.item(), 2)
    3.0
    """
    import torch

    require(steps >= 1, "steps", "at least 1", steps)
    require(accumulate >= 1, "accumulate", "at least 1", accumulate)
    parted = Parted(accumulate, autocast(model, precision), accelerator)
    plan = _Plan(
        batch_function(batches),
        steps,
        loss or _language_model_loss,
        schedule,
        clip,
        measure,
        measure_every,
        seed,
        parted,
    )
    optimizer = (optimizer or adamw())(model)
    scaler = torch.amp.GradScaler(next(model.parameters()).device.type, enabled=precision == "fp16")
    special = {"accumulate": accumulate if accumulate > 1 else None, "precision": precision}
    own = fingerprint(model, optimizer, steps, seed, data, **special)
    state = State(
        model,
        optimizer,
        scaler,
        own,
        Path(checkpoint) if checkpoint else None,
        writes=parted.rank == 0,
    )
    state.resume()
    resumed_from, was_training = state.step, model.training
    model.train()
    try:
        with (
            torch.random.fork_rng(devices=_gpus(model)),
            Progress(steps, "training", shown=progress and state.writes) as line,
        ):
            _loop(plan, state, checkpoint_seconds, line)
    finally:
        model.train(was_training)
    return Run(state.step, resumed_from, tuple(state.losses), tuple(state.records), state.seconds)


@dataclass(frozen=True)
class _Plan:
    """What does not change during a run; see :func:`fit`."""

    batch_at: Callable[[int], Any]
    steps: int
    loss: Callable
    schedule: Callable[[int, int], float]
    clip: float | None
    measure: Callable | None
    measure_every: int
    seed: int
    parted: Parted

    def seed_at(self, step: int) -> int:
        return self.seed * SEED_STRIDE + step


def _loop(plan: _Plan, state: State, checkpoint_seconds: float, line: Progress) -> None:
    saved = time.monotonic()
    try:
        while state.step < plan.steps:
            if plan.measure and state.step % plan.measure_every == 0:
                _record(plan, state)
            value = _step(plan, state)
            line.update(state.step, f"loss {value:.3f}")
            if time.monotonic() - saved > checkpoint_seconds:
                state.save()
                saved = time.monotonic()
    except KeyboardInterrupt:
        if state.whole:
            state.save()
        raise
    if plan.measure:
        _record(plan, state)
    state.save()


def _step(plan: _Plan, state: State) -> float:
    """Take one step and return its loss; everything random in it follows from (seed, step)."""
    import torch

    torch.manual_seed(plan.seed_at(state.step))
    factor = plan.schedule(state.step, plan.steps)
    for group in state.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    state.optimizer.zero_grad(set_to_none=True)
    number = plan.parted.summed(state.model, _backward(plan, state))
    if not math.isfinite(number):
        raise FloatingPointError(
            f"the loss is {number} at step {state.step}; lower the learning rate, and keep weights and optimizer in fp32"
        )
    state.scaler.unscale_(state.optimizer)
    if plan.clip is not None:
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), plan.clip)
    state.whole = False
    state.scaler.step(state.optimizer)  # moves nothing when fp16 gradients overflowed
    state.scaler.update()
    state.advance(number)
    return number


def _backward(plan: _Plan, state: State) -> float:
    """Add up the gradients of this process's parts of the batch, and return their share of its loss."""
    import torch

    batch, number = plan.batch_at(state.step), 0.0
    if plan.parted.rank:
        torch.manual_seed(
            plan.seed_at(state.step) + plan.parted.rank * RANK_STRIDE
        )  # the same batch, but another dropout
    for part, share in plan.parted.own(batch):
        with plan.parted.autocast():
            value = share * plan.loss(state.model, part)
        number += value.item()
        state.scaler.scale(value).backward()
    return number


def _record(plan: _Plan, state: State) -> None:
    """Measure the model as it stands, once a step: a resumed run stands where it has already measured."""
    import torch

    if state.records and state.records[-1]["step"] == state.step:
        return
    torch.manual_seed(plan.seed_at(state.step))
    state.model.eval()
    state.records.append({"step": state.step, **plan.measure(state.model)})
    state.model.train()


def _language_model_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return model(**batch).loss


def _gpus(model: torch.nn.Module) -> list:
    return [device for device in {p.device for p in model.parameters()} if device.type == "cuda"]
