"""A run that was killed anywhere ends in the very weights of one that was not; and each refusal says why."""

from __future__ import annotations

import itertools
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from doubles import VOCABULARY, says, tiny_gpt_neo

from fmcourse import training
from fmcourse.training import adamw, constant, cosine, crops, digest, fit

STEPS = 24
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX has fork and SIGKILL")


def random_batch(step):
    """Draw a batch from the global generator: what comes must follow from (seed, step) alone."""
    ids = torch.randint(VOCABULARY, (4, 12))
    return {"input_ids": ids, "labels": ids}


def weight_norm(model):
    return {
        "norm": sum(p.square().sum().item() for p in model.parameters()),
        "noise": torch.rand(1).item(),
    }


def train(checkpoint=None, on_step=lambda step: None, **changes):
    """Train a GPT-Neo with dropout, saving after every step; return it and its run."""
    model = tiny_gpt_neo(dropout=0.2)

    def batch_at(step):
        on_step(step)
        return random_batch(step)

    settings = dict(
        schedule=cosine(),
        measure=weight_norm,
        measure_every=8,
        progress=False,
        checkpoint_seconds=-1.0,
    )
    return model, fit(model, batch_at, STEPS, checkpoint=checkpoint, **(settings | changes))


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
    """Run `work` in a forked process and return the number of the signal that ended it, 0 for none."""
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


def test_one_step_on_paper():
    line = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(line.weight, 2.0)
    batch = {"x": torch.tensor([[1.0]]), "y": torch.tensor([[5.0]])}
    run = fit(
        line, [batch], 1, optimizer=plain_descent, loss=squared_error, clip=None, progress=False
    )
    assert run.losses == (9.0,)  # (2 - 5)^2
    assert line.weight.item() == pytest.approx(
        2 + 0.1 * 6, rel=1e-6
    )  # the slope is 2 * (2 - 5) = -6; one rounding in fp32
    assert (run.steps, run.resumed_from, run.records) == (1, 0, ())


def test_clipping_on_paper():
    line = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(line.weight, 2.0)
    batch = {"x": torch.tensor([[1.0]]), "y": torch.tensor([[5.0]])}
    fit(line, [batch], 1, optimizer=plain_descent, loss=squared_error, clip=1.0, progress=False)
    assert line.weight.item() == pytest.approx(
        2.1, rel=1e-6
    )  # a slope of -6 counts as -1; torch adds 1e-6 to the norm


def test_batches_in_a_list_are_cycled():
    seen = []
    line = torch.nn.Linear(1, 1)
    batches = [torch.full((1, 1), float(number)) for number in range(3)]

    def loss(model, batch):
        seen.append(batch.item())
        return model(batch).square().mean()

    fit(line, batches, 7, loss=loss, progress=False)
    assert seen == [0, 1, 2, 0, 1, 2, 0]


def test_a_function_is_asked_for_each_step_once():
    asked = []
    train(on_step=asked.append)
    assert asked == list(range(STEPS))


def test_constant_is_one():
    assert constant(0, 10) == constant(9, 10) == 1.0


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


def test_cosine_without_warmup_and_for_one_step():
    assert cosine(warmup=0.0)(0, 100) == 1.0
    assert cosine()(0, 1) == 1.0


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
    """Train as a textbook would: unfused AdamW, two groups, cosine with a warm-up of a tenth, clipping at 1."""
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
    # Double precision rounds at 1e-16; 40 steps of another order of operations may grow that a thousandfold and more.
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
    script = "import sys, test_training as t; t.train(sys.argv[1], on_step=lambda step: step == 17 and t.kill_me())"
    command = [sys.executable, "-c", script, str(checkpoint)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, timeout=120)
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
    import io

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
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".partial"] == [
        "run.pt.partial"
    ]
    found = train(checkpoint)
    assert found[1].resumed_from == number - 1  # the eighth checkpoint was lost, the seventh stands
    assert_same(found, whole)
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def test_a_truncated_leftover_is_overwritten(tmp_path, whole):
    (tmp_path / "run.pt.partial").write_bytes(b"PK\x03\x04 half of an older one")
    found = train(tmp_path / "run.pt")
    assert found[1].resumed_from == 0
    assert_same(found, whole)


def stop_at(wanted):
    def stop(step):
        if step == wanted:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("step", [0, 1, 8, 13, STEPS - 1])
def test_ctrl_c_leaves_a_checkpoint(tmp_path, whole, step):
    checkpoint = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint, on_step=stop_at(step), checkpoint_seconds=3600)
    found = train(checkpoint)
    assert found[1].resumed_from == step
    assert_same(found, whole)


class Stopping(torch.optim.AdamW):
    """An AdamW during whose step of a given number Ctrl-C is pressed: weights have moved, the step is not counted."""

    at = None

    def step(self, closure=None):
        super().step(closure)
        Stopping.at = None if Stopping.at is None else Stopping.at - 1
        if Stopping.at == 0:
            raise KeyboardInterrupt


def test_ctrl_c_in_the_middle_of_a_step(tmp_path, monkeypatch):
    def build(model):
        return Stopping(model.parameters(), lr=1e-2)

    reference = train(optimizer=build)
    monkeypatch.setattr(Stopping, "at", 15)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run.pt", optimizer=build)
    assert_same(train(tmp_path / "run.pt", optimizer=build), reference)


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


def test_a_finished_run_is_not_run_again(tmp_path, whole):
    train(tmp_path / "run.pt")
    asked = []
    found = train(tmp_path / "run.pt", on_step=asked.append)
    assert asked == []
    assert found[1].resumed_from == STEPS
    assert_same(found, whole)


def test_seconds_add_up_over_calls(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run.pt", on_step=lambda step: (time.sleep(0.05), stop_at(4)(step)))
    _, run = train(tmp_path / "run.pt")
    assert run.seconds >= 5 * 0.05  # five sleeps before the interruption


def test_the_folder_of_a_checkpoint_is_made(tmp_path):
    train(tmp_path / "new" / "folder" / "run.pt", checkpoint_seconds=3600)
    assert saved_step(tmp_path / "new" / "folder" / "run.pt") == STEPS


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
    # Parts of different sizes, weighted; double precision rounds at 1e-16, and twelve steps may grow that a thousandfold.
    assert run.losses == pytest.approx(reference.losses, rel=1e-11)
    for a, b in zip(parted.parameters(), whole.parameters()):
        assert torch.allclose(a, b, rtol=1e-11, atol=1e-13)


def test_no_more_than_a_part_is_computed_at_once():
    seen = []

    def loss(model, batch):
        seen.append(len(batch))
        return model(batch).square().mean()

    fit(torch.nn.Linear(1, 1), [torch.ones(8, 1)], 2, loss=loss, accumulate=4, progress=False)
    assert seen == [2] * 8


def half(checkpoint=None, **changes):
    return train(checkpoint, accumulate=2, **changes)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_resumed_to_the_same_bits(tmp_path, precision):
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
    # bf16 keeps 8 bits, a relative error of 1/256 in each product; a loss of about 3 nats then moves by hundredths.
    assert run.losses == pytest.approx(reference.losses, abs=0.1)


def overflowing(at):
    """Return a loss whose value is finite at every call, and whose scaled gradients overflow at the call of number `at`."""
    calls = itertools.count()

    def loss(model, batch):
        value = (
            model(batch).float().square().mean()
        )  # in fp32, as autocast computes losses: 2**16 itself is too much for fp16
        steep = model.weight.sum() * 1e36
        return value + (steep - steep.detach()) if next(calls) == at else value

    return loss


SMALL = torch.full((1, 1), 0.01)  # so that 2**16 times a gradient still fits into fp16


def shrink(overflow_at, checkpoint, on_step=lambda step: None):
    """Train one weight in fp16 for five steps; the gradient of one of this call's steps overflows."""
    line = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(line.weight, 2.0)
    settings = dict(
        optimizer=adamw(lr=0.1, weight_decay=0.0),
        loss=overflowing(overflow_at),
        precision="fp16",
        progress=False,
    )
    return fit(line, lambda step: on_step(step) or SMALL, 5, checkpoint=checkpoint, **settings)


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
        shrink(1, tmp_path / "run.pt", stop_at(3))
    assert scaler_of(tmp_path / "run.pt")["scale"] == 2**15
    shrink(None, tmp_path / "run.pt")
    assert scaler_of(tmp_path / "run.pt")["scale"] == 2**15  # not 2**16, where a new run starts


# Measurements.


def test_each_step_is_measured_once(whole):
    assert [record["step"] for record in whole[1].records] == [0, 8, 16, 24]
    assert len(whole[1].losses) == STEPS


def test_a_last_step_between_two_measurements_is_measured():
    _, run = train(measure_every=10)
    assert [record["step"] for record in run.records] == [0, 10, 20, 24]


def test_a_measurement_does_not_change_the_training(whole):
    model, run = train(measure=None)
    assert run.losses == whole[1].losses and run.records == ()
    assert torch.equal(model.transformer.wte.weight, whole[0].transformer.wte.weight)


def test_measured_in_evaluation_and_trained_in_training_mode():
    modes = []
    model = torch.nn.Linear(1, 1)

    def loss(model, batch):
        modes.append(("loss", model.training))
        return model(batch).square().mean()

    def measure(model):
        modes.append(("measure", model.training))
        return {}

    fit(model, [torch.ones(1, 1)], 2, loss=loss, measure=measure, measure_every=1, progress=False)
    assert modes == [
        ("measure", False),
        ("loss", True),
        ("measure", False),
        ("loss", True),
        ("measure", False),
    ]


# Invariances: what a run leaves as it was.


@pytest.mark.parametrize("mode", [True, False])
def test_the_mode_is_restored(mode):
    model = tiny_gpt_neo().train(mode)
    fit(model, random_batch, 2, progress=False)
    assert model.training is mode
    with pytest.raises(FloatingPointError):
        fit(
            model,
            random_batch,
            2,
            loss=lambda model, batch: model(**batch).loss * math.nan,
            progress=False,
        )
    assert model.training is mode


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


def test_steps_draw_differently():
    drawn = []
    fit(
        tiny_gpt_neo(),
        lambda step: drawn.append(torch.rand(1).item()) or random_batch(step),
        20,
        progress=False,
    )
    assert len(set(drawn)) == 20


def test_the_line_shows_step_and_loss(capsys):
    train(progress=True, measure=None)
    shown = capsys.readouterr().err
    assert f"training: {STEPS} of {STEPS}, loss " in shown


# The wording of each error.


def refused(path, what):
    return says(
        ValueError,
        f"checkpoint: {path} belongs to a run with other {what}; delete it to start afresh, or name another file",
    )


@pytest.fixture
def other_run(tmp_path):
    """Leave the checkpoint of a short run, and return its file."""
    fit(tiny_gpt_neo(), random_batch, 2, checkpoint=tmp_path / "run.pt", progress=False)
    return tmp_path / "run.pt"


def test_crops_are_windows_from_anywhere_in_the_text():
    torch.manual_seed(0)
    batches = [crops(torch.arange(100, 110), 50, 4) for _ in range(4)]
    rows = torch.cat([batch["input_ids"] for batch in batches])
    assert rows.shape == (200, 4) and (rows.diff(dim=1) == 1).all()
    assert set(rows[:, 0].tolist()) == set(range(100, 106))
    assert batches[0]["labels"] is batches[0]["input_ids"]
    with says(ValueError, "length: expected from 1 to 9, got 10"):
        crops(torch.arange(10), 1, 10)


def test_a_digest_tells_numbers_shapes_kinds_and_words_apart():
    rows = torch.arange(4.0)
    alike = digest(rows, "cat")
    assert (
        digest(rows.clone(), "cat")
        == alike
        == digest(rows.view(2, 2).T.contiguous().T.reshape(4), "cat")
    )
    others = [
        digest(rows),
        digest(rows + 1e-6, "cat"),
        digest(rows.view(2, 2), "cat"),
        digest(rows.double(), "cat"),
        digest(rows, "dog"),
        digest(rows, "c", "at"),
    ]
    assert len({alike, *others}) == 1 + len(others)


@pytest.mark.parametrize(
    ("steps", "changes", "what"),
    [
        (3, {}, "steps"),
        (2, {"seed": 1}, "seed"),
        (2, {"data": "other pictures"}, "data"),
        (2, {"optimizer": adamw(lr=0.5)}, "optimizer"),
        (2, {"optimizer": lambda model: torch.optim.SGD(model.parameters(), lr=0.1)}, "optimizer"),
        (2, {"accumulate": 2}, "accumulate"),
        (2, {"precision": "bf16"}, "precision"),
        (3, {"seed": 1}, "steps and seed"),
    ],
    ids=["steps", "seed", "data", "rate", "kind", "parts", "precision", "two"],
)
def test_a_checkpoint_of_another_run_is_refused(other_run, steps, changes, what):
    model = tiny_gpt_neo()
    with refused(other_run, what):
        fit(model, random_batch, steps, checkpoint=other_run, progress=False, **changes)
    assert all(
        map(torch.equal, model.state_dict().values(), tiny_gpt_neo().state_dict().values())
    )  # nothing was loaded


@pytest.mark.parametrize(
    ("changes", "what"), [({"accumulate": 2}, "accumulate"), ({"precision": "bf16"}, "precision")]
)
def test_a_plain_run_does_not_take_up_a_special_one(tmp_path, changes, what):
    fit(tiny_gpt_neo(), random_batch, 2, checkpoint=tmp_path / "run.pt", progress=False, **changes)
    with refused(tmp_path / "run.pt", what):
        fit(tiny_gpt_neo(), random_batch, 2, checkpoint=tmp_path / "run.pt", progress=False)


def test_a_checkpoint_from_before_the_scaler_is_taken_up(other_run):
    content = torch.load(other_run, weights_only=True)
    del content["scaler"]
    torch.save(content, other_run)
    assert (
        fit(tiny_gpt_neo(), random_batch, 2, checkpoint=other_run, progress=False).resumed_from == 2
    )


def test_a_checkpoint_of_another_model_is_refused(other_run):
    model = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="belongs to a run with other .*weights"):
        fit(
            model,
            [torch.ones(1, 2)],
            2,
            loss=lambda model, batch: model(batch).sum(),
            checkpoint=other_run,
            progress=False,
        )


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"not a checkpoint"),
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: torch.save({"weights": torch.ones(2)}, file),
        lambda file: torch.save(torch.ones(2), file),
    ],
    ids=["empty", "text", "truncated", "other content", "a tensor"],
)
def test_a_damaged_checkpoint_says_so(other_run, harm):
    harm(other_run)
    with pytest.raises(
        ValueError,
        match=r"(?s)^checkpoint: .*run\.pt cannot be read \(.*\); delete it to start afresh$",
    ):
        fit(tiny_gpt_neo(), random_batch, 2, checkpoint=other_run, progress=False)
    assert other_run.exists()  # nobody's file is deleted unasked


@pytest.mark.parametrize(
    ("batches", "kind"),
    [
        (iter([1]), "list_iterator"),
        ((x for x in [1]), "generator"),
        ({1, 2}, "set"),
        (None, "NoneType"),
    ],
)
def test_an_iterator_is_refused(batches, kind):
    words = (
        "batches: expected a function from the step to a batch, or a list of batches, "
        f"got {kind}; an iterator cannot be rewound after an interruption: pass list(...)"
    )
    with says(TypeError, words):
        fit(tiny_gpt_neo(), batches, 2, progress=False)


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="^batches: expected at least one batch, got "):
        fit(tiny_gpt_neo(), [], 2, progress=False)


@pytest.mark.parametrize("steps", [0, -1])
def test_no_steps_are_refused(steps):
    with says(ValueError, f"steps: expected at least 1, got {steps}"):
        fit(tiny_gpt_neo(), random_batch, steps, progress=False)


@pytest.mark.parametrize("accumulate", [0, -1])
def test_no_parts_are_refused(accumulate):
    with says(ValueError, f"accumulate: expected at least 1, got {accumulate}"):
        fit(tiny_gpt_neo(), random_batch, 2, accumulate=accumulate, progress=False)


@pytest.mark.parametrize("warmup", [-0.1, 1.0])
def test_a_warmup_out_of_range_is_refused(warmup):
    with says(ValueError, f"warmup: expected a share of the steps in [0, 1), got {warmup}"):
        cosine(warmup=warmup)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_its_step(tmp_path, value):
    losses = itertools.chain([1.0, 1.0, 1.0, value], itertools.repeat(1.0))

    def loss(model, batch):
        return model(**batch).loss * next(losses)

    words = f"the loss is {value} at step 3; lower the learning rate, and keep weights and optimizer in fp32"
    model = tiny_gpt_neo()
    with says(FloatingPointError, words):
        fit(
            model,
            random_batch,
            9,
            loss=loss,
            checkpoint=tmp_path / "run.pt",
            checkpoint_seconds=-1.0,
            progress=False,
        )
    assert saved_step(tmp_path / "run.pt") == 3  # the last good weights, not the bad ones
    assert all(p.isfinite().all() for p in model.parameters())


def test_neighbouring_seeds_share_no_generator():
    reach = 1_000_000  # steps, more than any run of the course takes
    assert training.SEED_STRIDE > reach
