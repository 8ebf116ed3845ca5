"""A run that was killed ends in the weights of one that was not; a different run is refused."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import io
import itertools
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from doubles import VOCABULARY, tiny_gpt_neo

from fmcourse import training
from fmcourse.checkpoints import describe, plain
from fmcourse.stats import wilson
from fmcourse.training import MovingFigure, adamw, constant, cosine, crops, digest, fit, parts

STEPS = 24
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX has fork and SIGKILL")


STEP: contextvars.ContextVar = contextvars.ContextVar("the step whose batch was drawn last")
ON_STEP: contextvars.ContextVar = contextvars.ContextVar("called with each step", default=id)


def random_batch(step):
    """Draw a batch from the global generator: what comes must follow from (seed, step) alone."""
    STEP.set(step)
    ids = torch.randint(VOCABULARY, (4, 12))
    return {"input_ids": ids, "labels": ids}


def watched_loss(model, batch):
    """Return the model's loss, after telling of the step; what is told is no part of the loss."""
    ON_STEP.get()(STEP.get())
    return model(**batch).loss


def weight_norm(model):
    return {
        "norm": sum(p.square().sum().item() for p in model.parameters()),
        "noise": torch.rand(1).item(),
    }


def train(checkpoint=None, on_step=id, model=None, **changes):
    """Train a GPT-Neo with dropout, saving after every step; return it and its run."""
    model = model or tiny_gpt_neo(dropout=0.2)
    ON_STEP.set(on_step)
    settings = {
        "loss": watched_loss,
        "schedule": cosine(),
        "measure": weight_norm,
        "measure_every": 8,
        "progress": False,
        "checkpoint_seconds": -1.0,
    }
    return model, fit(model, random_batch, STEPS, checkpoint=checkpoint, **(settings | changes))


@pytest.fixture(scope="module")
def whole():
    """Return the model and the run that nothing interrupted."""
    return train()


def assert_same(found, wanted):
    (model, run), (other, whole) = found, wanted
    for (name, weight), reference in zip(model.state_dict().items(), other.state_dict().values()):
        assert torch.equal(weight, reference), name
    assert run.losses == whole.losses
    assert run.records == whole.records
    assert run.steps == whole.steps


def saved_step(checkpoint):
    return torch.load(checkpoint, weights_only=True)["step"]


def in_a_child(work):
    """Run `work` in a forked process and return the signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def kill_me(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


# A line through two points: every figure on paper.


def squared_error(model, batch):
    return (model(batch["x"]) - batch["y"]).square().mean()


def plain_descent(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.parametrize("clip, moved", [(None, 0.6), (1.0, 0.1)])
def test_one_step_on_paper(clip, moved):
    line, batch = straight(), {"x": torch.tensor([[1.0]]), "y": torch.tensor([[5.0]])}
    run = quick(line, [batch], 1, optimizer=plain_descent, loss=squared_error, clip=clip)
    assert run.losses == (9.0,)  # (2 - 5)^2
    # The slope is 2 * (2 - 5) = -6, clipped it counts as -1; torch adds 1e-6 to the norm.
    assert line.weight.item() == pytest.approx(2 + moved, rel=1e-6)
    assert (run.steps, run.resumed_from, run.records, run.saved) == (1, 0, (), False)


def quick(model=None, batches=None, steps=2, **changes):
    """Train a line for a few steps, or what is asked for."""
    settings = {"loss": lambda model, batch: model(batch).square().mean(), "progress": False}
    if model is None:
        model = straight()
    return fit(model, batches or [torch.ones(4, 1)], steps, **(settings | changes))


def straight(weight=2.0):
    line = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(line.weight, weight)
    return line


def test_batches_in_a_list_are_cycled():
    seen = []
    batches = [torch.full((1, 1), float(number)) for number in range(3)]
    quick(batches=batches, steps=7, loss=lambda m, x: seen.append(x.item()) or m(x).square().mean())
    assert seen == [0, 1, 2, 0, 1, 2, 0]


def test_a_function_is_asked_for_each_step_once():
    asked = []
    train(on_step=asked.append)
    assert asked == list(range(STEPS))


def test_cosine_at_its_endpoints():
    factor = cosine(warmup=0.1, floor=0.05)
    assert factor(0, 100) == 1 / 10
    assert factor(9, 100) == 1.0
    assert factor(10, 100) == 1.0
    assert factor(55, 100) == pytest.approx((1 + 0.05) / 2)  # half-way down
    assert factor(100, 100) == pytest.approx(0.05)


def test_cosine_rises_then_falls():
    factors = [cosine(warmup=0.2)(step, 50) for step in range(50)]
    assert factors[:10] == sorted(factors[:10]) and factors[10:] == sorted(
        factors[10:], reverse=True
    )
    assert all(0.05 <= value <= 1 for value in factors[1:])


def test_schedules_without_a_rise_and_for_one_step():
    assert cosine(warmup=0.0)(0, 100) == cosine()(0, 1) == constant(9, 10) == 1.0


def test_adamw_decays_matrices_only():
    model = tiny_gpt_neo()
    model.transformer.wpe.weight.requires_grad_(False)
    decayed, plain = adamw(lr=0.5, weight_decay=0.3)(model).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"], decayed["lr"]) == (0.3, 0.0, 0.5)
    assert all(p.ndim == 2 for p in decayed["params"]) and all(p.ndim == 1 for p in plain["params"])
    trained = sum(p.requires_grad for p in model.parameters())
    assert (
        len(decayed["params"]) + len(plain["params"])
        == trained
        == len(list(model.parameters())) - 1
    )


def test_adamw_gives_a_part_its_own_settings_wherever_its_name_stands():
    model = torch.nn.ModuleDict({"tower": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 3)})
    wrapped = torch.nn.ModuleDict({"base": model, "ahead": torch.nn.Linear(2, 2)})
    groups = adamw(lr=0.1, weight_decay=0.3, parts={"head": {"lr": 0.5, "weight_decay": 0.2}})(
        wrapped
    ).param_groups
    found = {
        id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
    }
    assert len(found) == len(list(wrapped.parameters()))
    for part, (lr, decay) in (
        (model["tower"], (0.1, 0.3)),
        (wrapped["ahead"], (0.1, 0.3)),
        (model["head"], (0.5, 0.2)),
    ):
        assert found[id(part.weight)] == (lr, decay)
        assert found[id(part.bias)] == (lr, 0.0)


# An independent loop.


def double_network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.nn.Sequential(
            torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
        ).double()


def by_hand(model, batches, steps, lr):
    """Train as a textbook would: unfused AdamW, two groups, cosine after a rise, clipping at 1."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=False, foreach=False)
    losses = []
    for step in range(steps):
        rise = steps // 10
        factor = (
            (step + 1) / rise
            if step < rise
            else 0.05 + 0.95 * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2
        )
        for group in optimizer.param_groups:
            group["lr"] = lr * factor
        model.zero_grad()
        value = squared_error(model, batches[step % len(batches)])
        value.backward()
        norm = torch.sqrt(sum(p.grad.square().sum() for p in model.parameters()))
        for p in model.parameters():
            p.grad *= min(1.0, 1.0 / (norm.item() + 1e-6))
        optimizer.step()
        losses.append(value.item())
    return losses


def test_equals_a_loop_written_by_hand():
    draw = torch.Generator().manual_seed(2)
    pairs = [
        (torch.randn(6, 3, generator=draw), 4 * torch.randn(6, 2, generator=draw)) for _ in range(5)
    ]
    batches = [{"x": x.double(), "y": y.double()} for x, y in pairs]
    ours, theirs = double_network(), double_network()
    run = fit(
        ours,
        batches,
        40,
        optimizer=adamw(lr=0.05),
        loss=squared_error,
        schedule=cosine(warmup=0.1),
        progress=False,
    )
    losses = by_hand(theirs, batches, 40, lr=0.05)
    assert losses[-1] < losses[0] / 2  # something was learned
    # Double precision rounds at 1e-16; 40 steps in a different order may grow that a thousandfold.
    assert run.losses == pytest.approx(losses, rel=1e-10)
    for a, b in zip(ours.parameters(), theirs.parameters()):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


# Interruptions.


@forks
@pytest.mark.parametrize("dice", [1, 2])
def test_killed_at_random_moments_and_resumed_to_the_same_bits(tmp_path, whole, dice):
    checkpoint, draw = tmp_path / "run.pt", random.Random(dice)
    for _ in range(3):
        reached = saved_step(checkpoint) if checkpoint.exists() else 0
        target = reached + draw.randint(2, 6)
        kill_when_told(checkpoint, target, wait=draw.random() * 0.01)
        assert saved_step(checkpoint) >= target - 1
    found = train(checkpoint)
    assert 0 < found[1].resumed_from < STEPS
    assert_same(found, whole)


def kill_when_told(checkpoint, target, wait):
    """Train in a child, wait until it stands at step `target` and a moment longer, and kill it."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            train(
                checkpoint,
                on_step=lambda step: (step == target and os.write(tell, b"."), time.sleep(0.002)),
            )
        finally:
            os._exit(0)
    os.close(tell)
    assert os.read(told, 1) == b"."
    os.close(told)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, (
        "the child was done before it could be killed"
    )


@forks
def test_killed_in_another_interpreter(tmp_path, whole):
    checkpoint = tmp_path / "run.pt"
    script = (
        "import sys, test_training as t; t.train(sys.argv[1], lambda s: s == 17 and t.kill_me())"
    )
    command = [sys.executable, "-c", script, str(checkpoint)]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    found = train(checkpoint)
    assert found[1].resumed_from == 17
    assert_same(found, whole)


def at_call(number, function, act):
    """Return `function`, but its call of this number does `act` with the arguments."""
    count = itertools.count(1)
    return lambda *given, **named: (
        act(*given, **named) if next(count) == number else function(*given, **named)
    )


def write_half(content, file):
    """Write the first half of a checkpoint, so that it reaches the disk, and die."""
    buffer = io.BytesIO()
    ORIGINAL_SAVE(content, buffer)
    file.write(buffer.getvalue()[: buffer.tell() // 2])
    file.flush()
    kill_me()


ORIGINAL_SAVE = torch.save


@forks
@pytest.mark.parametrize(
    "where",
    [(torch, "save", write_half), (os, "fsync", kill_me), (os, "replace", kill_me)],
    ids=lambda where: where[1],
)
@pytest.mark.parametrize("number", [1, 8])
def test_killed_while_a_checkpoint_is_written(tmp_path, monkeypatch, whole, where, number):
    checkpoint, (module, name, act) = tmp_path / "run.pt", where
    with monkeypatch.context() as patch:
        patch.setattr(module, name, at_call(number, getattr(module, name), act))
        assert in_a_child(lambda: train(checkpoint)) == signal.SIGKILL
    assert len(list(tmp_path.glob("run.pt.*.partial"))) == 1
    found = train(checkpoint)
    assert found[1].resumed_from == number - 1  # the eighth checkpoint was lost, the seventh stands
    assert_same(found, whole)
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def raise_at(wanted, error):
    def act(step):
        if step == wanted:
            raise error

    return act


def stop_at(step):
    return raise_at(step, KeyboardInterrupt())


@pytest.mark.parametrize("step", [0, 8, 13, STEPS - 1])
def test_ctrl_c_leaves_a_checkpoint(tmp_path, whole, step):
    checkpoint = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint, on_step=stop_at(step), checkpoint_seconds=3600)
    found = train(checkpoint)
    assert found[1].resumed_from == step
    assert_same(found, whole)


class Stopping(torch.optim.AdamW):
    """An AdamW in which Ctrl-C is pressed once: weights have moved, the step is not counted."""

    presses = (press for press in ())

    def step(self, closure=None):
        super().step(closure)
        if next(Stopping.presses, False):
            raise KeyboardInterrupt


@pytest.mark.parametrize("same_model", [True, False])
def test_ctrl_c_in_the_middle_of_a_step(tmp_path, monkeypatch, same_model):
    def build(model):
        return Stopping(model.parameters(), lr=1e-2)

    reference, model = train(optimizer=build), tiny_gpt_neo(dropout=0.2)
    monkeypatch.setattr(Stopping, "presses", (step == 14 for step in range(15)))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run.pt", model=model, optimizer=build)
    found = train(tmp_path / "run.pt", model=model if same_model else None, optimizer=build)
    assert found[1].resumed_from == 14
    assert_same(found, reference)


@pytest.mark.skipif(sys.platform == "win32", reason="a signal from outside")
def test_a_real_ctrl_c_leaves_a_checkpoint(tmp_path, whole):
    checkpoint = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(
            checkpoint,
            on_step=lambda step: step == 11 and os.kill(os.getpid(), signal.SIGINT),
            checkpoint_seconds=3600,
        )
    found = train(checkpoint)
    assert found[1].resumed_from in (11, 12)  # before or after the step in which it was pressed
    assert_same(found, whole)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_is_not_run_again(tmp_path, whole, capsys):
    model, run = train(tmp_path / "run.pt")
    assert run.saved and capsys.readouterr().out == ""
    before = (tmp_path / "run.pt").stat().st_mtime_ns
    asked = []
    for again in (None, model):  # after a restart, and in the same kernel
        found = train(tmp_path / "run.pt", on_step=asked.append, model=again)
        assert asked == [] and found[1].resumed_from == STEPS and found[1].saved
        assert_same(found, whole)
        said = capsys.readouterr().out
        assert "run.pt" in said and "complete" in said and said.count("\n") == 1
    assert (tmp_path / "run.pt").stat().st_mtime_ns == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()], ids=["ctrl-c", "bug"])
def test_the_cell_is_run_again_with_its_model_trained_in_place(tmp_path, whole, capsys, error):
    model, checkpoint = tiny_gpt_neo(dropout=0.2), tmp_path / "run.pt"
    with pytest.raises(type(error)):
        train(checkpoint, raise_at(13, error), model, checkpoint_seconds=3600)
    found = train(checkpoint, model=model)
    assert found[1].resumed_from == 13
    assert_same(found, whole)
    assert "step 13 of 24" in capsys.readouterr().out


def test_what_the_loss_collects_is_no_setting(tmp_path):
    seen, batches = [], [torch.ones(1, 1)]

    def loss(model, batch):
        seen.append(len(seen))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return model(batch).square().mean()

    model = straight()
    with pytest.raises(KeyboardInterrupt):
        quick(model, batches, 5, loss=loss, checkpoint=tmp_path / "run.pt")
    assert quick(model, batches, 5, loss=loss, checkpoint=tmp_path / "run.pt").resumed_from == 2


def test_seconds_add_up_over_calls(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run.pt", on_step=lambda step: (time.sleep(0.05), stop_at(4)(step)))
    _, run = train(tmp_path / "run.pt")
    assert run.seconds >= 5 * 0.05  # five sleeps before the interruption


def test_a_slow_clock_saves_at_the_end_only(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(os, "replace", lambda source, target: saved.append(target))
    train(tmp_path / "run.pt", checkpoint_seconds=3600)
    assert saved == [tmp_path / "run.pt"]


# In parts, and in half precision.


def in_double(accumulate, batches):
    model = double_network()
    run = fit(
        model,
        batches,
        12,
        optimizer=adamw(lr=0.05),
        loss=squared_error,
        accumulate=accumulate,
        progress=False,
    )
    return model, run


@pytest.mark.parametrize("accumulate", [2, 3, 7])
def test_a_batch_in_parts_gives_the_step_of_the_whole_batch(accumulate):
    draw = torch.Generator().manual_seed(2)
    batches = [
        {
            "x": torch.randn(7, 3, generator=draw).double(),
            "y": 4 * torch.randn(7, 2, generator=draw).double(),
        }
        for _ in range(3)
    ]
    (whole, reference), (parted, run) = in_double(1, batches), in_double(accumulate, batches)
    # Double precision rounds at 1e-16, and twelve steps may grow that a thousandfold.
    assert run.losses == pytest.approx(reference.losses, rel=1e-11)
    for a, b in zip(parted.parameters(), whole.parameters()):
        assert torch.allclose(a, b, rtol=1e-11, atol=1e-13)


def test_no_more_than_a_part_is_computed_at_once():
    seen = []

    def loss(model, batch):
        seen.append(len(batch))
        return model(batch).square().mean()

    quick(batches=[torch.ones(8, 1)], loss=loss, accumulate=4)
    assert seen == [2] * 8


ROWS = torch.arange(7.0)[:, None]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("kind", [dict, tuple, list])
def test_parts_in_order_are_the_batch(count, kind):
    batch = {"x": ROWS, "y": ROWS + 1} if kind is dict else kind([ROWS, ROWS + 1])
    cut = parts(batch, count)
    columns = [part.values() if kind is dict else part for part, _ in cut]
    x, y = (torch.cat(pieces) for pieces in zip(*columns))
    assert torch.equal(x, ROWS) and torch.equal(y, ROWS + 1)
    sizes = [len(next(iter(column))) for column in map(list, columns)]
    assert max(sizes) - min(sizes) <= 1
    assert [share for _, share in cut] == [size / 7 for size in sizes]


def plan_of(**changes):
    settings = {field.name: None for field in dataclasses.fields(training._Plan)}
    return training._Plan(**(settings | changes))


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_processes_share_a_batch_without_rest_or_overlap(processes, accumulate):
    own = []
    for rank in range(processes):
        one = types.SimpleNamespace(num_processes=processes, process_index=rank)
        own.append(plan_of(accumulate=accumulate, accelerator=one).own_parts(ROWS))
    assert {len(found) for found in own} == {accumulate}
    rows = torch.cat([part for found in own for part, _ in found])
    assert sorted(rows.flatten().tolist()) == list(range(7))
    # Sevenths have no exact form.
    assert sum(share for found in own for _, share in found) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "batch, error, words",
    [
        (ROWS, ValueError, "at least 8 rows"),
        ((ROWS, ROWS[1:]), ValueError, "equally many rows"),
        ("words", TypeError, "tensors"),
        ({"x": ROWS, "scale": 2.0}, TypeError, "float"),
        (torch.tensor(1.0), TypeError, "Tensor"),
    ],
)
def test_what_cannot_be_cut(batch, error, words):
    with pytest.raises(error, match=f"^batches: .*{words}"):
        parts(batch, 8)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_resumed_to_the_same_bits(tmp_path, precision):
    half = functools.partial(train, accumulate=2)
    reference = half(precision=precision)
    with pytest.raises(KeyboardInterrupt):
        half(tmp_path / "run.pt", precision=precision, on_step=stop_at(13))
    found = half(tmp_path / "run.pt", precision=precision)
    assert found[1].resumed_from == 13
    assert_same(found, reference)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_keeps_fp32_masters_and_learns_the_same(precision):
    model, run = train(precision=precision)
    _, reference = train()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert run.losses != reference.losses
    # bf16 keeps 8 bits, an error of 1/256 in each product; a loss of 3 nats moves by hundredths.
    assert run.losses == pytest.approx(reference.losses, abs=0.1)


OVERFLOWS: contextvars.ContextVar = contextvars.ContextVar("whether gradients overflow, by step")


def overflowing(model, batch):
    """Return a loss that is finite at every step, and whose scaled gradients overflow at one."""
    # In fp32, as autocast computes losses: 2**16 itself is too much for fp16.
    value = model(batch).float().square().mean()
    steep = model.weight.sum() * 1e36
    return value + (steep - steep.detach()) if OVERFLOWS.get()(STEP.get()) else value


def shrink(overflow_at, checkpoint, on_step=id):
    """Train one weight in fp16 for five steps; the gradient of one of them overflows."""
    OVERFLOWS.set(lambda step: bool(on_step(step)) and step == overflow_at)
    settings = {"optimizer": adamw(lr=0.1, weight_decay=0.0), "precision": "fp16"}
    return quick(None, small_batch, 5, loss=overflowing, checkpoint=checkpoint, **settings)


def small_batch(step):
    STEP.set(step)
    return torch.full((1, 1), 0.01)  # so that 2**16 times a gradient still fits into fp16


def scaler_of(checkpoint):
    return torch.load(checkpoint, weights_only=True)["scaler"]


def test_a_step_whose_scaled_gradients_overflow_moves_nothing_and_stops_nothing(tmp_path):
    run = shrink(2, tmp_path / "run.pt")
    assert len(run.losses) == run.steps == 5 and all(map(math.isfinite, run.losses))
    assert (
        run.losses[3] == run.losses[2] and len(set(run.losses)) == 4
    )  # the third step alone left the weight where it was
    scaler = scaler_of(tmp_path / "run.pt")
    assert (scaler["scale"], scaler["_growth_tracker"]) == (
        2**15,
        2,
    )  # halved once from 2**16, then two good steps


def test_the_scale_is_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        shrink(1, tmp_path / "run.pt", lambda step: step < 3 or stop_at(3)(step))
    assert scaler_of(tmp_path / "run.pt")["scale"] == 2**15
    shrink(None, tmp_path / "run.pt")
    assert scaler_of(tmp_path / "run.pt")["scale"] == 2**15  # not 2**16, where a new run starts


# Measurements.


def test_each_step_is_measured_once(whole):
    assert [record["step"] for record in whole[1].records] == [0, 8, 16, 24]
    assert len(whole[1].losses) == STEPS


def test_a_measurement_does_not_change_the_training(whole):
    model, run = train(measure=None)
    assert run.losses == whole[1].losses and run.records == ()
    assert torch.equal(model.transformer.wte.weight, whole[0].transformer.wte.weight)


def test_measured_in_evaluation():
    run = quick(
        tiny_gpt_neo(), random_batch, loss=watched_loss, measure=lambda m: {"mode": m.training}
    )
    assert [record["mode"] for record in run.records] == [False, False]


# Invariances: what a run leaves as it was.


@pytest.mark.parametrize("mode", [True, False])
def test_each_module_gets_its_own_mode_back(mode):
    model = torch.nn.Sequential(straight(), torch.nn.BatchNorm1d(1), torch.nn.Dropout()).train(mode)
    model[1].eval()
    before = [module.training for module in model.modules()]
    seen = []

    def loss(model, batch):
        seen.append([module.training for module in model.modules()])
        return model(batch).square().mean()

    quick(model, loss=loss, measure=lambda model: {"training": model[1].training}, measure_every=1)
    # A batch norm that was frozen in a model in train() stays so.
    assert seen == [[True, True, not mode, True]] * 2
    assert [module.training for module in model.modules()] == before
    with pytest.raises(FloatingPointError):
        quick(model, loss=lambda model, batch: model(batch).sum() * math.nan)
    assert [module.training for module in model.modules()] == before


def test_the_global_generator_is_untouched():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train()
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(KeyboardInterrupt):
        train(on_step=stop_at(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_alone_decides(whole):
    torch.manual_seed(99)  # whatever the caller drew before
    assert_same(train(), whole)
    assert train(seed=1)[1].losses != whole[1].losses


# The line of progress.


def test_a_log_gets_the_line_on_standard_error(capsys):
    train(progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and f"{STEPS}/{STEPS} " in shown.err and "loss " in shown.err
    train()
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to be in a notebook, and return what is shown: a list of states for each display."""
    shown = []

    def display(figure, display_id, **options):
        states = [figure]
        shown.append(states)

        def update(figure, **options):
            states.append(figure)

        return types.SimpleNamespace(update=update)

    monkeypatch.setattr(training, "get_ipython", type("ZMQInteractiveShell", (), {}))
    monkeypatch.setattr(training, "display", display)
    return shown


def test_a_notebook_shows_one_display_whose_end_has_no_times(notebook, capsys):
    train(progress=True, measure=None)
    with pytest.raises(KeyboardInterrupt):
        train(progress=True, on_step=stop_at(3))
    assert capsys.readouterr() == ("", "")
    (first, *_, last), (*_, stopped) = notebook
    assert "0/24" in first["text/plain"]
    assert re.fullmatch(r"training: 24 of 24 steps, loss \d\.\d{3}", last["text/plain"])
    assert stopped["text/plain"].startswith("training: 3 of 24 steps")


def test_a_moving_figure_stays_in_its_place(notebook):
    figure = MovingFigure()
    figure.show("a")
    figure.show("b")
    MovingFigure().show("c")
    assert notebook == [["a", "b"], ["c"]]


# A run has an identity.


SCALE = 1.0


@dataclasses.dataclass
class Weighted:
    factor: float

    def loss(self, model, batch):
        return self.factor * model(**batch).loss


def scaled_loss(model, batch):
    return SCALE * model(**batch).loss


def loss_with(factor):
    return lambda model, batch: factor * model(**batch).loss


def smoothed(by):
    cross_entropy = torch.nn.CrossEntropyLoss(label_smoothing=by)
    return lambda model, batch: cross_entropy(
        model(**batch).logits.flatten(0, 1), batch["labels"].flatten()
    )


def batches_of(count, rows=4, first=0):
    made = []
    for number in range(first, first + count):
        ids = torch.full((rows, 6), number % VOCABULARY)
        made.append({"input_ids": ids, "labels": ids})
    return made


def drawn_with(low):
    return lambda step: {name: torch.randint(low, 9, (2, 6)) for name in ("input_ids", "labels")}


def altered(change):
    model = tiny_gpt_neo()
    change(model)
    return model


def two_groups(rate):
    parts = {"wte": {"lr": rate}}
    return adamw(lr=0.1, parts=parts)


def descent(model, momentum=0.0):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)


def no_grad(model):
    model.transformer.wpe.weight.requires_grad_(False)


def another_buffer(model):
    model.transformer.h[0].attn.attention.bias.logical_not_()


def frozen_dropout(model):
    model.train()
    model.transformer.drop.eval()


# Two values of one argument: what a message names, and both values.
DIFFERENT = [
    ("steps", "steps", 3, 4),
    ("seed", "seed", 0, 1),
    ("data", "data", "old pictures", "new pictures"),
    ("clip", "clip", 1.0, None),
    ("accumulate", "accumulate", 1, 2),
    ("precision", "precision", None, "bf16"),
    ("identity", "head", {"head": torch.zeros(2)}, {"head": torch.ones(2)}),
    ("identity", "order", {}, {"order": "reversed"}),
    ("identity", "order", {"order": "reversed"}, None),
    ("optimizer", "learning rate", adamw(lr=0.5), adamw(lr=0.4)),
    ("optimizer", "learning rate", two_groups(0.5), two_groups(0.4)),
    ("optimizer", "betas", adamw(), adamw(betas=(0.9, 0.95))),
    ("optimizer", "weight decay", adamw(), adamw(weight_decay=0.2)),
    ("optimizer", "momentum", descent, functools.partial(descent, momentum=0.5)),
    ("optimizer", "optimizer", adamw(lr=0.1), descent),
    ("schedule", "schedule", cosine(), cosine(floor=0.1)),
    ("schedule", "schedule", constant, lambda step, steps: 0.5 if step == 1 else 1.0),
    ("loss", "loss", loss_with(1.0), loss_with(2.0)),
    ("loss", "loss", Weighted(1.0).loss, Weighted(2.0).loss),
    ("loss", "loss", functools.partial(Weighted.loss, Weighted(1.0)), Weighted(1.0).loss),
    ("loss", "loss", smoothed(0.0), smoothed(0.1)),
    ("batches", "batches", batches_of(9), batches_of(9, rows=2)),
    ("batches", "batch", batches_of(9), batches_of(8)),
    ("batches", "batches", batches_of(9), batches_of(9)[::-1]),
    ("batches", "batches", drawn_with(0), drawn_with(1)),
    ("model", "first weights", tiny_gpt_neo, lambda: tiny_gpt_neo(seed=1)),
    ("model", "first weights", tiny_gpt_neo, lambda: altered(another_buffer)),
    ("model", "model", tiny_gpt_neo, lambda: tiny_gpt_neo(dropout=0.1)),
    ("model", "model", tiny_gpt_neo, lambda: altered(no_grad)),
    ("model", "model", tiny_gpt_neo, lambda: altered(frozen_dropout)),
]


def run_of(checkpoint, model=tiny_gpt_neo, batches=random_batch, steps=3, **changes):
    model = model()
    return model, fit(model, batches, steps, checkpoint=checkpoint, progress=False, **changes)


@pytest.mark.parametrize(
    "argument, named, one, other", DIFFERENT, ids=[f"{a}-{n}" for a, n, *_ in DIFFERENT]
)
def test_a_checkpoint_of_a_different_run_is_refused(tmp_path, argument, named, one, other):
    checkpoint = tmp_path / "run.pt"
    run_of(checkpoint, **{argument: one})
    with pytest.raises(ValueError, match=rf"(?s)^checkpoint: .*run\.pt.*\b{named}\b.*rename"):
        run_of(checkpoint, **{argument: other})
    assert run_of(checkpoint, **{argument: one})[1].resumed_from == len(
        run_of(None, **{argument: one})[1].losses
    )


def test_a_refusal_shows_short_values_and_loads_nothing(tmp_path):
    run_of(tmp_path / "run.pt")
    untouched = tiny_gpt_neo()
    with pytest.raises(ValueError, match=r"steps 3 there, 4 here; seed 0 there, 7 here"):
        run_of(tmp_path / "run.pt", model=lambda: untouched, steps=4, seed=7)
    for weight, reference in zip(untouched.parameters(), tiny_gpt_neo().parameters()):
        assert torch.equal(weight, reference)


def test_a_changed_global_is_a_different_loss(tmp_path, monkeypatch):
    run_of(tmp_path / "run.pt", loss=scaled_loss)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 2.0)
    with pytest.raises(ValueError, match="other loss"):
        run_of(tmp_path / "run.pt", loss=scaled_loss)


def slotted(size):
    return types.SimpleNamespace(size=size, inner=types.SimpleNamespace(size=size))


@pytest.mark.parametrize(
    "make",
    [
        lambda n: np.array([n]),
        lambda n: np.array(["text", n], dtype=object),
        lambda n: torch.tensor(n, dtype=torch.bfloat16),
        lambda n: {"b": {n, 100}, "a": range(n)},
        slotted,
        lambda n: torch.nn.Dropout(n / 10),
        lambda n: functools.lru_cache(loss_with(n)),
        lambda n: list("ab" * n).index,
        lambda n: Path("folder") / str(n),
    ],
)
def test_values_are_described_by_what_they_hold(make):
    assert describe(make(1)) == describe(make(1)) != describe(make(2))


def test_what_cannot_be_kept_is_described_by_its_class():
    assert describe(x for x in "a") == describe(x for x in "b") == describe(iter_of(3))


def iter_of(count):
    yield from range(count)


def test_measure_may_change_and_a_sentence_says_so(tmp_path, capsys):
    checkpoint = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint, stop_at(13))
    _, run = train(checkpoint, measure=lambda model, step: {"other": step * 2})
    assert [(record["step"], record.get("other")) for record in run.records] == [
        (0, None),
        (8, None),
        (16, 32),
        (24, 48),
    ]
    assert "measure has changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"not a checkpoint"),
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: torch.save({"fingerprint": {"steps": 3}, "step": 3}, file),
        lambda file: torch.save(torch.ones(2), file),
        lambda file: torch.save({"step": types.SimpleNamespace()}, file),
    ],
    ids=["empty", "text", "truncated", "first edition", "a tensor", "unsafe"],
)
def test_a_file_that_is_no_checkpoint_is_refused_in_a_sentence(tmp_path, harm):
    checkpoint = tmp_path / "run.pt"
    run_of(checkpoint)
    harm(checkpoint)
    with pytest.raises(ValueError, match=r"^checkpoint: .*run\.pt .*rename this one.*$") as refused:
        run_of(checkpoint)
    assert "\n" not in str(refused.value)
    assert checkpoint.exists()  # nobody's file is deleted unasked


# Files and places.


def full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_ends_no_run(tmp_path, monkeypatch, whole, capsys, where):
    with monkeypatch.context() as patch:
        patch.setattr(os, where, full)
        model, run = train(tmp_path / "run.pt")
    assert_same((model, run), whole)
    assert not run.saved and os.listdir(tmp_path) == []
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "No space left" in said and "run.pt" in said


def test_room_made_during_the_run_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", at_call(2, os.fsync, full))
    assert train(tmp_path / "run.pt")[1].saved


def test_a_folder_that_vanishes_is_not_made_again(tmp_path, capsys):
    drive = tmp_path / "drive"
    run = train(drive / "run.pt", lambda step: step == 5 and drive.rename(tmp_path / "gone"))[1]
    assert run.steps == STEPS and not run.saved and not drive.exists()
    assert "its folder is gone" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_ends_no_run(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert quick(checkpoint=tmp_path / "file" / "run.pt").saved is False
    assert "run.pt could not be written" in capsys.readouterr().out


@pytest.mark.parametrize("place", [".", "device"])
def test_what_is_no_file_is_refused_before_anything_runs(tmp_path, place):
    os.symlink("/dev/null", tmp_path / "device")
    with pytest.raises(ValueError, match=r"^checkpoint: expected a file"):
        quick(checkpoint=tmp_path / place)


def test_paths_mean_what_they_meant_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    quick(checkpoint="~/home.pt")
    quick(checkpoint="here.pt", measure=lambda model: os.chdir(tmp_path / "elsewhere") or {})
    assert sorted(path.name for path in tmp_path.rglob("*.pt")) == ["here.pt", "home.pt"]
    assert (tmp_path / "here.pt").exists() and (tmp_path / "home.pt").exists()


def test_a_different_run_that_writes_the_file_meanwhile_keeps_it(tmp_path, capsys):
    checkpoint = tmp_path / "run.pt"

    def intrude(step):
        if step == 5:
            checkpoint.unlink()
            quick(checkpoint=checkpoint)

    _, run = train(checkpoint, intrude)
    assert run.steps == STEPS and not run.saved and saved_step(checkpoint) == 2
    assert "different run" in capsys.readouterr().out


# What measure returns, and what is refused.


@pytest.mark.parametrize(
    "figure, kept",
    [
        (np.mean([True, False]), 0.5),
        (np.bool_(True), True),
        (np.int64(3), 3),
        (torch.tensor(2.0, requires_grad=True), 2.0),
        (torch.ones(1, 2, dtype=torch.bfloat16), [[1.0, 1.0]]),
        ([np.float32(0.5), [None, "text"]], [0.5, [None, "text"]]),
        ({"low": wilson(1, 2)}, {"low": wilson(1, 2)}),
        (wilson(1, 2), wilson(1, 2)),
    ],
)
def test_figures_are_read_again_as_they_were(tmp_path, figure, kept):
    def measure(model):
        return {"figure": figure, "step": 99}

    for _ in range(2):
        run = quick(checkpoint=tmp_path / "run.pt", measure=measure)
        assert run.records == ({"step": 0, "figure": kept}, {"step": 2, "figure": kept})
        assert type(run.records[0]["figure"]) is type(kept)


@pytest.mark.parametrize("figures", [{"figure": object()}, {"figure": [{1, 2}]}, {"figure": 1j}])
def test_a_figure_that_cannot_be_kept_is_refused_before_the_first_step(figures):
    line = straight()
    with pytest.raises(TypeError, match=r"measure\['figure'\]: expected numbers"):
        quick(line, measure=lambda model: figures)
    assert line.weight.item() == 2.0
    with pytest.raises(ValueError, match=r"^measure: expected a mapping"):
        quick(measure=lambda model: 0.5)
    assert plain("x", np.longdouble(0.5)) == 0.5


@pytest.mark.parametrize(
    "measure",
    [
        lambda model, step: {"seen": step},
        lambda model, at: {"seen": at},
        lambda model, *, step: {"seen": step},
        lambda model, bound=-1: {"seen": bound},
        lambda *given: {"seen": -len(given)},
    ],
)
def test_measure_is_told_the_step_when_it_asks(measure):
    seen = [record["seen"] for record in quick(measure=measure).records]
    assert seen in ([0, 2], [-1, -1])


def test_whole_numbers_of_numpy_are_whole_numbers(tmp_path):
    settings = {"seed": np.int64(1), "accumulate": np.uint8(2), "measure_every": np.int32(1)}
    optimizer = functools.partial(torch.optim.SGD, lr=np.float64(0.1))
    given = {"checkpoint": tmp_path / "run.pt", "optimizer": lambda m: optimizer(m.parameters())}
    run = quick(steps=np.int64(2), **given, **settings)
    assert quick(steps=2, **given, seed=1, accumulate=2).resumed_from == run.steps == 2


@pytest.mark.parametrize(
    "name, value",
    [(n, v) for n in ("steps", "accumulate", "measure_every") for v in (0, 2.5, True, "2", None)]
    + [("seed", value) for value in (0.5, "0", 2**60, None)]
    + [("clip", value) for value in (0.0, -1.0, math.nan, "1", True)],
)
def test_arguments_are_refused_by_name_before_anything_runs(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected "):
        quick(**{name: value}, loss=lambda model, batch: pytest.fail("it ran"))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: adamw(lr=math.nan), "^lr: expected"),
        (lambda: adamw(weight_decay=-1.0), "^weight_decay: expected"),
        (lambda: adamw(parts={"head": {"rate": 1.0}}), "did you mean|expected one of"),
        (lambda: adamw(parts={"haed": {"lr": 1.0}})(straight()), "^parts: .*haed"),
        (lambda: cosine(warmup=1.0), "^warmup: expected"),
        (lambda: cosine(floor=math.nan), "^floor: expected"),
        (lambda: crops(torch.arange(10), 1, 11), "^length: expected from 1 to 10, got 11"),
        (lambda: quick(precision="fp8"), "^precision: expected one of"),
        (lambda: quick(straight().double(), precision="bf16"), "^precision: .*fp32"),
        (lambda: quick(straight().half()), "^model: .*fp32"),
        (lambda: quick(straight().bfloat16()), "^model: .*fp32"),
        (lambda: quick(straight().requires_grad_(False)), "^model: .*requires_grad"),
        (lambda: quick(schedule=lambda step, steps: math.nan), "^schedule: expected a finite"),
        (lambda: fit(straight(), [], 2), "^batches: expected at least one"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("batches", [iter([1]), {1, 2}, {"x": torch.ones(1)}, 5])
def test_batches_that_are_no_list_are_refused(batches):
    with pytest.raises(TypeError, match=r"^batches: expected a function .* list"):
        fit(straight(), batches, 2, progress=False)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_its_step(tmp_path, value):
    losses = itertools.chain([1.0, 1.0, 1.0, value], itertools.repeat(1.0))
    model = tiny_gpt_neo()
    with pytest.raises(FloatingPointError, match=f"loss is {value} at step 3.*learning rate"):
        train(tmp_path / "run.pt", None, model, loss=lambda m, b: m(**b).loss * next(losses))
    assert saved_step(tmp_path / "run.pt") == 3  # the last good weights, not the bad ones
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("clip", [1.0, None])
@pytest.mark.parametrize("precision", [None, "fp16"])
def test_a_gradient_that_is_no_number_moves_nothing(clip, precision):
    line = straight(0.0)
    with pytest.raises(FloatingPointError, match="gradient is not finite"):
        quick(
            line,
            steps=99,
            clip=clip,
            precision=precision,
            loss=lambda model, batch: model.weight.sum().abs().sqrt(),  # its slope at 0 is infinite
        )
    assert line.weight.item() == 0.0


def test_crops_reach_the_last_token():
    torch.manual_seed(0)
    batch = crops(torch.arange(100, 110), 200, 4)
    rows = batch["input_ids"]
    assert rows.shape == (200, 4) and (rows.diff(dim=1) == 1).all()
    assert set(rows[:, 0].tolist()) == set(range(100, 107))
    assert batch["labels"] is rows
    assert crops(torch.arange(4), 1, 4)["input_ids"].tolist() == [[0, 1, 2, 3]]


def test_a_digest_tells_numbers_shapes_kinds_and_words_apart():
    rows = torch.arange(4.0)
    alike = digest(rows, "cat")
    assert digest(rows.clone(), "cat") == alike == digest(torch.stack([rows, rows], 1)[:, 0], "cat")
    others = [
        digest(rows),
        digest(rows + 1e-6, "cat"),
        digest(rows.view(2, 2), "cat"),
        digest(rows.double(), "cat"),
        digest(rows, "dog"),
        digest(rows, "c", "at"),
    ]
    assert len({alike, *others}) == 1 + len(others)


def test_neighbouring_seeds_share_no_generator():
    reach = 1_000_000  # steps, more than any run of the course takes
    assert training.SEED_STRIDE > reach
