"""One training loop, used by every notebook and recipe that trains; a lost connection loses
nothing.

Everything random in step ``s`` is drawn from a generator seeded by ``(seed, s)``, and a batch is a
function of its step. A checkpoint then needs weights, optimizer state and the step, and a resumed
run ends in the same weights, bit for bit, as one that was never interrupted (on one machine with
one number of threads).

Sources: Loshchilov & Hutter 2019 (AdamW), Loshchilov & Hutter 2017 (cosine), Micikevicius et al.
2018 (mixed precision with fp32 master weights).
"""

import contextlib
import math
import numbers
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from IPython import get_ipython
from IPython.display import Pretty, display
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer
from tqdm import tqdm

from fmcourse.arguments import choose, real, require, whole
from fmcourse.checkpoints import (
    State,
    checkpoint_file,
    describe,
    digest,  # noqa: F401 (callers find it here)
    plain,
)
from fmcourse.files import say

# Primes, so that neighbouring runs, and processes that train together, share no generator.
SEED_STRIDE = 1_000_003
RANK_STRIDE = 7_368_787
LARGEST_SEED = 2**42  # times the stride it still fits into torch's 64 bits
Modes = dict[Module, bool]  # what `training` says in each module
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}  # of a step's products
MOST_NORM = 1.0  # of a step's gradients: longer ones are clipped
SMALLEST_SCALE = 2.0**-10  # below it, fp16 gradients overflow for another reason than the scale


@dataclass(frozen=True)
class Run:
    """What a call of :func:`fit` did.

    Attributes:
        steps: steps taken in all, those of earlier, interrupted calls included.
        resumed_from: the step this call started at; 0 when it started afresh.
        losses: the loss of every step, shape (steps,), in the unit of the loss function (nats for a
            language model).
        records: one mapping per measurement, as `measure` returned it, with ``step`` added. NumPy's
            numbers, arrays and tensors are numbers and lists of Python there.
        seconds: wall-clock time over all calls, in seconds.
        saved: whether the checkpoint holds the finished run; False without one, or when it could
            not be written.
    """

    steps: int
    resumed_from: int
    losses: tuple[float, ...]
    records: tuple[dict[str, Any], ...]
    seconds: float
    saved: bool = False


def _number(name: str, value) -> None:
    require(real(value) and value >= 0, name, "a finite number, at least 0", value)


def adamw(
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.99),
    parts: Mapping[str, Mapping[str, float]] | None = None,
) -> Callable[[Module], Optimizer]:
    """Return a function from a model to a fused AdamW that decays matrices only, not biases and
    norms.

    Args:
        lr: learning rate, in weights' units per step.
        weight_decay: of matrices and kernels; a share `lr * weight_decay` is taken from them at
            every step.
        betas: decay rates of the two moments.
        parts: other settings for some parts, such as ``{"head": {"lr": 0.1}}``: they hold for every
            weight whose dotted name has that word.

    Raises:
        ValueError: a number that is negative or not finite, or, from the function, a part that the
            model does not have.
    """
    shared = {"lr": lr, "weight_decay": weight_decay}
    own = {part: shared | dict(settings) for part, settings in (parts or {}).items()}
    for settings in (shared, *own.values()):
        for name, value in settings.items():
            _number(choose("parts", name, shared), value)

    def build(model: Module) -> Optimizer:
        unused = set(own)
        groups: dict[tuple, list[Parameter]] = {}
        for name, weight in model.named_parameters():
            words = name.split(".")
            unused -= set(words)
            if weight.requires_grad:
                part = next((part for part in own if part in words), None)
                groups.setdefault((part, weight.ndim >= 2), []).append(weight)
        require(not unused, "parts", "words in the names of the model's weights", sorted(unused))
        chosen = []
        for (part, decays), weights in groups.items():
            settings = own.get(part, shared) | ({} if decays else {"weight_decay": 0.0})
            chosen.append({"params": weights, **settings})
        return torch.optim.AdamW(chosen, lr=shared["lr"], betas=betas, fused=True)

    return build


def constant(step: int, steps: int) -> float:
    """Return 1.0: the learning rate as given, at every step."""
    return 1.0


def cosine(warmup: float = 0.05, floor: float = 0.05) -> Callable[[int, int], float]:
    """Return a schedule: a linear rise over the share `warmup` of the steps, then half a cosine
    down towards `floor`.

    As in transformers, the first step after the last would have the factor `floor`: with a floor of
    0, too, the last step moves the weights.
    """
    require(0 <= warmup < 1, "warmup", "a share of the steps in [0, 1)", warmup)
    require(0 <= floor <= 1, "floor", "a factor in [0, 1]", floor)

    def factor(step: int, steps: int) -> float:
        rise = max(1, round(warmup * steps))
        if step < rise:
            return (step + 1) / rise
        done = (step - rise) / max(1, steps - rise)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))

    return factor


def crops(ids: Tensor, rows: int, length: int) -> dict[str, Tensor]:
    """Draw a batch for a language model from torch's global generator: windows of a long text, at
    random positions.

    Args:
        ids: the text, shape (tokens,), at least `length` long.
        rows, length: shape of the batch.

    Returns:
        ``input_ids`` and ``labels``, the same tensor, shape (rows, length), on the device of `ids`.
    """
    rows, length = whole("rows", rows, 1), whole("length", length, 1, len(ids))
    starts = torch.randint(len(ids) - length + 1, (rows, 1)).to(ids.device)
    window = ids[starts + torch.arange(length, device=ids.device)]
    return {"input_ids": window, "labels": window}


def parts(batch, count: int) -> list[tuple[Any, float]]:
    """Return a batch in `count` parts along its first axis, each with its share of the rows; shares
    sum to 1.

    Args:
        batch: a tensor of shape (rows, ...), or a mapping or a tuple of tensors with as many rows;
            anything when `count` is 1.
        count: from 1 to rows. Parts differ by one row at most.

    Returns:
        Views of the batch's tensors, in order; the batch itself when `count` is 1.

    Raises:
        ValueError: fewer rows than parts, tensors that differ in their rows, or a different kind of
            batch.

    >>> [(part.tolist(), round(share, 2)) for part, share in parts(torch.arange(3), 2)]
    [([0, 1], 0.67), ([2], 0.33)]
    """
    if count == 1:
        return [(batch, 1.0)]
    tensors = batch if isinstance(batch, (list, tuple)) else [batch]
    if isinstance(batch, Mapping):
        tensors = list(batch.values())
    # What is no tensor, or has no rows, has 0 of them.
    rows = [len(one) if isinstance(one, Tensor) and one.ndim else 0 for one in tensors]
    fits = len(set(rows)) == 1 and rows[0] >= count
    expected = f"tensors with equally many rows, at least {count}, to be cut into parts"
    require(fits, "batches", expected, f"{rows} rows")
    found = []
    for cut in zip(*(tensor.tensor_split(count) for tensor in tensors)):
        part: Any = cut
        if isinstance(batch, Mapping):
            part = dict(zip(batch, cut))
        elif isinstance(batch, Tensor):
            part = cut[0]
        found.append((part, len(cut[0]) / rows[0]))
    return found


def fit(
    model: Module,
    batches: Callable[[int], Any] | Sequence[Any],
    steps: int,
    *,
    optimizer: Callable[[Module], Optimizer] | None = None,
    loss: Callable[[Module, Any], Tensor] | None = None,
    schedule: Callable[[int, int], float] = constant,
    accumulate: int = 1,
    precision: str | None = None,
    accelerator=None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    identity: Mapping[str, Any] | None = None,
    measure: Callable[..., Mapping[str, Any]] | None = None,
    measure_every: int = 100,
    seed: int = 0,
    progress: bool = True,
) -> Run:
    """Train `model` in place for `steps` steps, and go on from `checkpoint` when that file exists.

    Args:
        model: any module with trained weights in fp32 or fp64; it is trained where it lies (CPU or
            GPU). All its modules are set to train() for the training and to eval() for a
            measurement, and left in the mode they came in. A module that is in eval() while the
            model itself is in train(), such as a frozen batch norm, stays in eval().
        batches: a function from the step (0, 1, ...) to a batch, or a sequence of batches that is
            cycled.
        steps: how many optimizer steps in all, at least 1.
        optimizer: a function from the model to an optimizer, such as ``adamw(lr=3e-3)``; None means
            ``adamw()``.
        loss: a function from (model, batch) to a scalar; None means ``model(**batch).loss``.
        schedule: a function from (step, steps) to a factor on the learning rate.
        accumulate: in how many parts a batch is computed, one after the other, when memory does not
            hold it whole. The batch is cut along its first axis (see :func:`parts`), and each
            part's loss counts by its share of the
            rows: for a loss that is a mean over rows the step is that of the whole batch, up to
                rounding.
        precision: ``bf16`` or ``fp16``: products are computed in it (torch.autocast), while weights
            and optimizer stay in fp32; None computes all in fp32. With fp16 the loss is scaled
            (torch.amp.GradScaler), and a step whose scaled gradients overflow moves nothing, but
            counts.
        accelerator: an ``accelerate.Accelerator`` of a program started by ``accelerate launch``:
            each process computes its part of every batch, cut as above, gradients are summed over
            the processes, and the main one alone writes and shows. All must be given the same
            arguments, the model each on its own device.
        checkpoint: a file to write every `checkpoint_seconds`, at the end, and when the run stops
            by Ctrl-C or an error. The same call goes on from it, and says so. Whatever decides the
            result must be the same: batches, first weights and structure of the model, loss,
            optimizer, schedule and the other arguments. They are compared by their values, batches
            by three of them, functions by their code and by the values that they use. When the file
            cannot be written, a printed sentence says so and the run goes on.
        identity: further settings that decide the result and cannot be seen from here, by name,
            such as the :func:`digest` of a file that the batches are read from.
        measure: a function from the model to figures by name: numbers, arrays, texts, intervals.
            It is called before the first step, every `measure_every` steps and after the last; the
            figures are kept in :attr:`Run.records` and survive a restart.
        seed: the seed of everything random inside a step (batches, dropout).
        progress: whether a line with step, loss and time is shown.

    Returns:
        A :class:`Run`; the trained weights are in `model`.

    Raises:
        TypeError: `batches` is an iterator, which cannot be rewound after an interruption, or a
            figure cannot be kept.
        ValueError: an argument out of range, a batch that cannot be cut, no trained weights, or
            trained weights in half precision (experiments on these build their optimizer with
            ``fused=False``), or a checkpoint that is not of this very run.
        FloatingPointError: the loss or a gradient is not finite; the message names the step.

    >>> line = torch.nn.Linear(1, 1)
    >>> x = torch.linspace(-1, 1, 8)[:, None]
    >>> squared = lambda model, batch: (model(batch) - 3 * batch).square().mean()
    >>> descent = adamw(lr=0.05, weight_decay=0.0)
    >>> run = fit(line, [x], 400, optimizer=descent, loss=squared, progress=False)
    >>> round(line.weight.item(), 2)
    3.0
    """
    plan = _Plan(
        batch_at=_batch_function(batches),
        steps=whole("steps", steps, 1),
        loss=loss or _language_model_loss,
        schedule=schedule,
        measure=measure,
        measure_every=whole("measure_every", measure_every, 1),
        seed=whole("seed", seed, -LARGEST_SEED, LARGEST_SEED),
        accumulate=whole("accumulate", accumulate, 1),
        precision=precision,
        accelerator=accelerator,
    )
    path = checkpoint_file(checkpoint)
    trained = any(weight.requires_grad for weight in model.parameters())
    require(trained, "model", "at least one weight with requires_grad", "none")
    moved = (optimizer or adamw())(model)
    _check_weights(model, moved, precision)
    device = next(model.parameters()).device.type
    scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
    before = {module: module.training for module in model.modules()}
    thawed = not model.training  # a module in eval() stays so in a model that came in train()
    model.train()
    modes = {module: module.training and (mode or thawed) for module, mode in before.items()}
    try:
        _set_modes(modes)
        own = {}
        if path is not None:
            own = _identity(plan, model, moved) | _functions(plan, model)
            for name, value in (identity or {}).items():
                own[f"identity[{name!r}]"] = describe(value)
        state = State(model, moved, scaler, path, own, lambda: _functions(plan, model))
        state.writes = plan.rank == 0
        state.resume()
        resumed_from = state.step
        if resumed_from and state.writes:
            done = "complete: nothing is trained" if resumed_from == steps else "taken up"
            say(f"{path}: this run is at step {resumed_from} of {steps}, {done}.")
        shown = progress and state.writes and resumed_from < steps
        with torch.random.fork_rng(devices=_gpus(model)), _Line(state.step, steps, shown) as line:
            _loop(plan, state, modes, checkpoint_seconds, line)
    finally:
        _set_modes(before)
    losses, records = tuple(state.losses), tuple(state.records)
    return Run(state.step, resumed_from, losses, records, state.seconds, state.saved)


@dataclass(frozen=True)
class _Plan:
    """What does not change during a run; see :func:`fit`."""

    batch_at: Callable[[int], Any]
    steps: int
    loss: Callable
    schedule: Callable[[int, int], float]
    measure: Callable | None
    measure_every: int
    seed: int
    accumulate: int
    precision: str | None
    accelerator: Any

    @property
    def rank(self) -> int:
        """The number of this process among those that train together; 0 is the main one."""
        return self.accelerator.process_index if self.accelerator else 0

    @property
    def processes(self) -> int:
        return self.accelerator.num_processes if self.accelerator else 1

    def seed_at(self, step: int) -> int:
        return self.seed * SEED_STRIDE + step


def _set_modes(modes: Modes) -> None:
    for module, mode in modes.items():
        module.training = mode


class _Line(tqdm):
    """A line that says how far the training is, redrawn in place."""

    monitor_interval = 0  # no thread of its own

    def __init__(self, done: int, steps: int, shown: bool) -> None:
        self.notebook = _in_notebook()
        in_place = self.notebook or sys.stderr.isatty()
        super().__init__(
            desc="training",
            initial=done,
            total=steps,
            unit=" steps",
            disable=not shown,
            file=_Display() if self.notebook else sys.stderr,
            ascii=False if self.notebook else None,
            mininterval=0.5 if in_place else 30,  # a log would fill up
            miniters=1,
        )

    def close(self) -> None:
        if self.notebook:
            # Without times: what a notebook stores must not differ from run to run.
            self.bar_format = "{desc}: {n_fmt} of {total_fmt} steps{postfix}"
        super().close()


class MovingFigure:
    """A figure that is redrawn in place in a notebook, and not at all elsewhere; the last one
    stays.

    >>> MovingFigure().show("no notebook, nothing shown")
    """

    def __init__(self) -> None:
        self._display = None

    def show(self, figure) -> None:
        """Show a figure, or anything that IPython can display, in place of the one before."""
        if not _in_notebook():
            return
        if self._display is None:
            self._display = display(figure, display_id=True)
        else:
            self._display.update(figure)


class _Display(MovingFigure):
    """A file for tqdm that displays the last line: standard error would be stored as an error."""

    def write(self, text: str) -> None:
        if text.strip():
            self.show(Pretty(text.strip()))

    def flush(self) -> None:
        """Do nothing: a line is shown at once."""


def _in_notebook() -> bool:
    return type(get_ipython()).__name__ in ("ZMQInteractiveShell", "Shell")  # Shell: Google Colab


def _batch_function(batches: Callable[[int], Any] | Sequence[Any]) -> Callable[[int], Any]:
    """Return a function from the step to a batch: the one given, or one that cycles."""
    if callable(batches):
        return batches
    indexed = hasattr(batches, "__getitem__") and hasattr(batches, "__len__")
    if not indexed or isinstance(batches, Mapping):
        raise TypeError(
            "batches: expected a function from the step to a batch, or a list of batches, got "
            f"{type(batches).__name__}; an iterator cannot be rewound after a stop: pass list(...)"
        )
    require(len(batches) > 0, "batches", "at least one batch", "none")
    return lambda step: batches[step % len(batches)]


def _check_weights(model: Module, optimizer: Optimizer, precision: str | None) -> None:
    """Refuse weights that cannot be trained, and settings of the optimizer that are no numbers."""
    kinds = {weight.dtype for weight in model.parameters() if weight.requires_grad}
    if precision is not None:
        choose("precision", precision, PRECISIONS)
        fits = kinds == {torch.float32}
        require(fits, "precision", "a model whose trained weights are all fp32", kinds)
    for group in optimizer.param_groups:
        for name, value in group.items():
            if isinstance(value, numbers.Real):
                group[name] = plain(name, value)  # a checkpoint does not take NumPy's numbers
        group.setdefault("initial_lr", group["lr"])
        _number("lr", float(group["initial_lr"]))
        wide = all(kind.itemsize >= 4 for kind in kinds) or group.get("fused") is False
        expected = (
            "trained weights in fp32 (call model.float() first, and pass precision='bf16' where "
            "speed or memory matter)"
        )
        require(wide, "model", expected, kinds)


def _identity(plan: _Plan, model: Module, optimizer: Optimizer) -> dict[str, str]:
    """Describe what decides the result of a run, apart from functions, by names for messages."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    found = {
        "Python": platform.python_version_tuple()[:2],
        "steps": plan.steps,
        "seed": plan.seed,
        "accumulate": plan.accumulate,
        "precision": plan.precision,
        "processes": plan.processes,
        "schedule": [plan.schedule(step, plan.steps) for step in range(plan.steps)],
        "optimizer": type(optimizer),
        "groups of weights": [
            [names.get(id(weight)) for weight in group["params"]]
            for group in optimizer.param_groups
        ],
    }
    for name in optimizer.param_groups[0]:
        if name not in ("params", "lr"):
            values = [group.get(name) for group in optimizer.param_groups]
            shown = "learning rate" if name == "initial_lr" else name.replace("_", " ")
            found[shown] = values[0] if len(set(map(describe, values))) == 1 else values
    probes = []
    with torch.random.fork_rng(devices=_gpus(model)):
        for step in sorted({0, plan.steps // 2, plan.steps - 1}):
            torch.manual_seed(plan.seed_at(step))
            probes.append(plan.batch_at(step))
    found["batches"] = probes
    found["first weights"] = dict([*model.named_parameters(), *model.named_buffers()])
    return {name: describe(value) for name, value in found.items()}


def _functions(plan: _Plan, model: Module) -> dict[str, str]:
    """Describe the functions of a run, and the structure of the model without its weights."""
    weights = {}
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        weights[id(value)] = f"weights {name} {value.requires_grad}"
    own = weights | {id(module): f"model {name}" for name, module in model.named_modules()}
    return {
        "model": describe(model, weights),
        "loss": describe(plan.loss, own),
        "batch function": describe(plan.batch_at, own),
        "measure": describe(plan.measure, own),
    }


def _loop(plan: _Plan, state: State, modes: Modes, checkpoint_seconds: float, line: _Line) -> None:
    saved = time.monotonic()
    try:
        while state.step < plan.steps:
            if state.step % plan.measure_every == 0:
                _record(plan, state, modes)
            value = _step(plan, state)
            line.set_postfix_str(f"loss {value:.3f}", refresh=False)
            line.update()
            if time.monotonic() - saved > checkpoint_seconds:
                state.save()
                saved = time.monotonic()
        _record(plan, state, modes)
    except BaseException:
        # The same call, made again in this kernel, must find the model as the file has it.
        if state.whole:
            state.save()
        else:
            state.go_back()
        raise
    state.save()


def _step(plan: _Plan, state: State) -> float:
    """Take one step and return its loss; everything random in it follows from (seed, step)."""
    torch.manual_seed(plan.seed_at(state.step))
    factor = plan.schedule(state.step, plan.steps)
    require(math.isfinite(factor), "schedule", f"a finite factor at step {state.step}", factor)
    for group in state.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
    state.optimizer.zero_grad(set_to_none=True)
    loss = _summed(plan, state.model, _backward(plan, state))
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss is {loss} at step {state.step}; lower the learning rate, and keep weights "
            "and optimizer in fp32"
        )
    state.scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), MOST_NORM)
    broken = not math.isfinite(norm)
    if state.scaler.is_enabled():
        # Scaled gradients may overflow now and then, but not for ever.
        broken = state.scaler.get_scale() < SMALLEST_SCALE
    if broken:
        raise FloatingPointError(
            f"a gradient is not finite at step {state.step}, though the loss is {loss:.3g}: look "
            "for a division, root or logarithm at 0 in the loss"
        )
    state.whole = False
    state.scaler.step(state.optimizer)  # moves nothing when fp16 gradients overflowed
    state.scaler.update()
    state.advance(loss)
    return loss


def _backward(plan: _Plan, state: State) -> float:
    """Add up the gradients of this process's parts of the batch; return their share of its loss."""
    batch = plan.batch_at(state.step)
    if plan.rank:
        # The same batch, but another dropout.
        torch.manual_seed(plan.seed_at(state.step) + plan.rank * RANK_STRIDE)
    device = next(state.model.parameters()).device.type
    total = 0.0
    cut = parts(batch, plan.accumulate * plan.processes)
    for part, share in cut[plan.rank :: plan.processes]:
        autocast: Any = contextlib.nullcontext()
        if plan.precision is not None:
            autocast = torch.autocast(device, PRECISIONS[plan.precision])
        with autocast:
            value = share * plan.loss(state.model, part)
        total += value.item()
        state.scaler.scale(value).backward()
    return total


def _summed(plan: _Plan, model: Module, loss: float) -> float:
    """Sum the gradients over all processes, in place, and return the sum of their losses."""
    if plan.processes == 1:
        return loss
    weights = [weight for weight in model.parameters() if weight.grad is not None]
    for weight in weights:
        weight.grad = plan.accelerator.reduce(weight.grad, "sum")
    total = weights[0].new_tensor(loss)
    return plan.accelerator.reduce(total, "sum").item()


def _record(plan: _Plan, state: State, modes: Modes) -> None:
    """Measure the model, once a step: a resumed run stands where it has already measured."""
    measured = bool(state.records) and state.records[-1]["step"] == state.step
    if plan.measure is None or measured:
        return
    torch.manual_seed(plan.seed_at(state.step))
    state.model.eval()
    figures = plan.measure(state.model)
    require(isinstance(figures, Mapping), "measure", "a mapping from names to figures", figures)
    step = {"step": state.step}
    state.records.append(step | plain("measure", figures) | step)
    state.saved = False
    _set_modes(modes)


def _language_model_loss(model: Module, batch: dict[str, Tensor]) -> Tensor:
    return model(**batch).loss


def _gpus(model: Module) -> list[torch.device]:
    devices = {weight.device for weight in model.parameters()}
    return [device for device in devices if device.type == "cuda"]
