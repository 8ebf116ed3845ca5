"""A run that was killed ends in the weights of one that was not; a different run is refused."""

import contextlib
import contextvars
import functools
import itertools
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from doubles import VOCABULARY, refusals, refused, same, textbook, tiny_gpt_neo

from fmcourse import training
from fmcourse.checkpoints import describe, plain
from fmcourse.stats import wilson
from fmcourse.training import adamw, cosine, crops, fit, parts

STEPS = 24


STEP = contextvars.ContextVar("the step whose batch was drawn last")
ON_STEP = contextvars.ContextVar("called with each step", default=id)


def random_batch(step):
    """Draw a batch from the global generator: what comes must follow from (seed, step) alone."""
    STEP.set(step)
    ids = torch.randint(VOCABULARY, (4, 12))
    return {"input_ids": ids, "labels": ids}


def watched_loss(model, batch):
    """Return the model's loss, after telling of the step; what is told is no part of the loss."""
    ON_STEP.get()(STEP.get())
    return model(**batch).loss


class Watched(torch.optim.AdamW):
    """An AdamW that tells of half a step: weights have moved, and the step is not counted."""

    def step(self, closure=None):
        super().step(closure)
        ON_STEP.get()(STEP.get() + 0.5)


def weight_norm(model):
    norm = sum(weight.square().sum().item() for weight in model.parameters())
    return {"norm": norm, "noise": torch.rand(1), "share": wilson(1, 2), "step": 99}


def train(checkpoint=None, on_step=id, model=None, **changes):
    """Train a GPT-Neo with dropout, saving after every step; return it and its run."""
    model = model or tiny_gpt_neo(dropout=0.2)
    ON_STEP.set(on_step)
    settings = {
        "loss": watched_loss,
        "optimizer": lambda model: Watched(model.parameters(), lr=1e-3),
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
    assert same(found[0], wanted[0])
    for name in ("losses", "records", "steps"):
        assert getattr(found[1], name) == getattr(wanted[1], name)


def saved_step(checkpoint):
    return torch.load(checkpoint, weights_only=False)["step"]


# A line through two points: every figure on paper.


def squared_error(model, batch):
    return (model(batch["x"]) - batch["y"]).square().mean()


ONES = [torch.ones(4, 1)]


def squared(model, batch):
    # In fp32, as autocast computes losses.
    return model(batch).float().square().mean()


def quick(model=None, batches=ONES, steps=2, **changes):
    """Train a line for a few steps, or what is asked for."""
    settings = {"loss": squared, "progress": False}
    return fit(model or straight(), batches, steps, **(settings | changes))


def straight(weight=2.0):
    line = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(line.weight, weight)
    return line


def test_adamw_gives_a_part_its_own_settings_wherever_its_name_stands():
    head = torch.nn.ModuleDict({"head": torch.nn.Linear(2, 3)})
    model = torch.nn.ModuleDict({"ahead": torch.nn.Linear(2, 2), "base": head})
    build = adamw(lr=0.1, weight_decay=0.3, parts={"head": {"lr": 0.5, "weight_decay": 0.2}})
    groups = build(model).param_groups
    rates = [(group["lr"], group["weight_decay"]) for group in groups]
    assert rates == [(0.1, 0.3), (0.1, 0.0), (0.5, 0.2), (0.5, 0.0)]
    with refused("parts", "haed"):
        adamw(parts={"haed": {"lr": 1.0}})(model)


# An independent loop.


def network():
    torch.manual_seed(1)
    layers = torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)
    return torch.nn.Sequential(*layers).double()


def three_batches():
    torch.manual_seed(2)
    tables = torch.randn(3, 7, 5).double()
    return [{"x": table[:, :3], "y": 4 * table[:, 3:]} for table in tables]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_equals_a_loop_written_by_hand_in_any_number_of_parts(accumulate):
    sizes = set()

    def loss(model, batch):
        sizes.add(len(batch["x"]))
        return squared_error(model, batch)

    batches, ours, theirs = three_batches(), network(), network()
    how = {"schedule": cosine(warmup=0.1), "accumulate": accumulate, "progress": False}
    run = fit(ours, batches, 40, optimizer=adamw(lr=0.05), loss=loss, **how)
    part = theirs.parameters(), 0.05, 0.1

    def their_loss(step):
        return squared_error(theirs, batches[step % 3])

    losses = textbook([part], their_loss, 40, (0.9, 0.99), floor=0.05)
    assert losses[-1] < losses[0]  # something was learned
    assert sizes == {1: {7}, 3: {2, 3}}[accumulate]
    # Double precision rounds at 1e-16; 40 steps in a different order may grow that a thousandfold.
    assert run.losses == pytest.approx(losses, rel=1e-10)
    for a, b in zip(ours.parameters(), theirs.parameters()):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


ROWS = torch.arange(7.0)[:, None]


def test_parts_in_order_are_the_batch():
    pieces, shares = zip(*parts((ROWS, -ROWS), 3))
    assert torch.equal(torch.cat([piece[1] for piece in pieces]), -ROWS)
    assert shares == (3 / 7, 2 / 7, 2 / 7)


# Interruptions.


KILLED = """import itertools, os, signal, sys, test_training as t
replace, count = os.replace, itertools.count(1)

def dying(*given):
    if next(count) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(*given)

os.replace = dying
t.train(sys.argv[1])"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="only POSIX has SIGKILL")
def test_killed_in_another_interpreter_while_a_checkpoint_is_written(tmp_path, checkpoint, whole):
    command = [sys.executable, "-c", KILLED, str(checkpoint)]
    done = subprocess.run(command, cwd=Path(__file__).parent, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("run.pt.*.partial"))) == 1
    found = train(checkpoint)
    assert found[1].resumed_from == 7  # the eighth checkpoint was lost, the seventh stands
    assert_same(found, whole)
    assert os.listdir(tmp_path) == ["run.pt"]


def raise_at(wanted, error):
    def act(step):
        if step == wanted:
            raise error

    return act


def stop_at(step):
    return raise_at(step, KeyboardInterrupt())


def test_a_finished_run_is_not_run_again(checkpoint, whole, printed):
    model, run = train(checkpoint)
    before = checkpoint.stat().st_mtime_ns
    assert run.saved and printed() == ""
    for again in (None, model):  # after a restart, and in the same kernel
        found = train(checkpoint, on_step=lambda step: pytest.fail("it ran"), model=again)
        assert found[1].resumed_from == STEPS and found[1].saved
        assert_same(found, whole)
        said = printed()
        assert "run.pt" in said and "complete" in said and said.count("\n") == 1
    assert checkpoint.stat().st_mtime_ns == before


def test_what_the_loss_collects_is_no_setting(checkpoint):
    model, seen = straight(), []

    def loss(model, batch):
        seen.append(len(seen))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return squared(model, batch)

    for _ in range(2):
        with contextlib.suppress(KeyboardInterrupt):
            run = quick(model, steps=5, loss=loss, checkpoint=checkpoint)
    assert run.resumed_from == 2


# In half precision.


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_keeps_fp32_masters_and_is_resumed_to_the_same_bits(checkpoint, precision):
    half = functools.partial(train, accumulate=2, precision=precision)
    model, run = half()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    # bf16 keeps 8 bits, an error of 1/256 in each product; a loss of 3 nats moves by hundredths.
    single = train(accumulate=2)[1].losses
    assert run.losses != single and run.losses == pytest.approx(single, abs=0.1)
    with pytest.raises(KeyboardInterrupt):
        half(checkpoint, on_step=stop_at(13))
    found = half(checkpoint)
    assert found[1].resumed_from == 13
    assert_same(found, (model, run))


def test_a_step_whose_scaled_gradients_overflow_moves_nothing_and_the_scale_is_resumed(checkpoint):
    def batches(step):
        STEP.set(step)
        # 2**16 times a gradient fits into fp16 at all steps but the third.
        return torch.full((1, 1), 100.0 if step == 2 else 0.01)

    def loss(model, batch):
        ON_STEP.get()(STEP.get())
        return squared(model, batch)

    settings = {"optimizer": adamw(lr=0.1), "precision": "fp16", "measure_every": 1}
    settings |= {"measure": lambda model: {"weight": model.weight.item()}}
    settings |= {"checkpoint": checkpoint, "loss": loss}
    ON_STEP.set(stop_at(4))
    with pytest.raises(KeyboardInterrupt):
        quick(None, batches, 5, **settings)
    ON_STEP.set(id)
    run = quick(None, batches, 5, **settings)
    weights = [record["weight"] for record in run.records]
    assert run.resumed_from == 4 and weights[3] == weights[2] and len(set(weights)) == 5
    # Halved once; not 2**16, where a new run starts.
    assert torch.load(checkpoint, weights_only=True)["scaler"]["scale"] == 2**15


@pytest.mark.parametrize(
    "step, error, same_model",
    [
        (0, KeyboardInterrupt(), False),
        (14.5, KeyboardInterrupt(), True),
        (14.5, KeyboardInterrupt(), False),
        (13, ZeroDivisionError(), True),
        (STEPS - 1, KeyboardInterrupt(), False),
    ],
)
def test_an_interrupted_run_goes_on_in_a_new_kernel_or_with_its_model_trained_in_place(
    checkpoint, whole, printed, step, error, same_model
):
    model = tiny_gpt_neo(dropout=0.2)
    # Saved when it is stopped between two steps; in the middle of one, the last save counts.
    seconds = 3600 if isinstance(step, int) else -1
    with pytest.raises(type(error)):
        train(checkpoint, raise_at(step, error), model, checkpoint_seconds=seconds)
    found = train(checkpoint, model=model if same_model else None)
    assert found[1].resumed_from == int(step)
    assert ("step" in printed()) is (step > 0)
    assert_same(found, whole)


# Invariances: what a run leaves as it was.


@pytest.mark.parametrize("mode", [True, False])
def test_each_module_gets_its_own_mode_back(mode):
    model = torch.nn.Sequential(straight(), torch.nn.BatchNorm1d(1)).train(mode)
    model[1].eval()
    seen = []

    def modes(model):
        return [module.training for module in model.modules()]

    def loss(model, batch):
        seen.append(modes(model))
        return squared(model, batch)

    run = quick(model, loss=loss, measure=lambda model: {"modes": modes(model)})
    assert [record["modes"] for record in run.records] == [[False] * 3] * 2
    # A batch norm that was frozen in a model in train() stays so.
    assert seen == [[True, True, not mode]] * 2
    assert modes(model) == [mode, mode, False]


def test_the_seed_alone_decides_no_measurement_and_no_random_number_drawn_before(whole):
    torch.manual_seed(99)  # whatever the caller drew before
    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        train(on_step=stop_at(3))
    assert train(measure=None)[1].losses == whole[1].losses != train(seed=1)[1].losses
    assert torch.equal(torch.get_rng_state(), before)


# The line of progress.


def test_a_notebook_shows_one_display_whose_end_has_no_times(monkeypatch, capsys):
    shown = []

    def display(line, display_id):
        states = [line.data]
        shown.append(states)
        return types.SimpleNamespace(update=lambda line: states.append(line.data))

    monkeypatch.setattr(training, "get_ipython", type("ZMQInteractiveShell", (), {}))
    monkeypatch.setattr(training, "display", display)
    train(progress=True)
    assert capsys.readouterr() == ("", "")
    ((first, *_, last),) = shown
    assert "0/24" in first
    assert re.fullmatch(r"training: 24 of 24 steps, loss \d\.\d{3}", last)


# A run has an identity.


SCALE = 1.0


def loss_with(factor):
    return lambda model, batch: SCALE * factor * model(**batch).loss


def batches_of(rows):
    ids = torch.ones(rows, 6, dtype=torch.long)
    return [{"input_ids": ids, "labels": ids}]


def another_buffer():
    model = tiny_gpt_neo()
    model.transformer.h[0].attn.attention.bias.logical_not_()
    return model


def frozen_dropout():
    model = tiny_gpt_neo().train()
    model.transformer.drop.eval()
    return model


BASE = {
    "model": tiny_gpt_neo,
    "batches": batches_of(4),
    "steps": 3,
    "optimizer": adamw(lr=0.5),
    "loss": loss_with(1.0),
    "identity": {"head": torch.zeros(2)},
}
# Other values of one argument, and what a message names.
DIFFERENT = [
    ("steps", 4, "steps 3 there, 4 here"),
    ("seed", 1, "seed 0 there, 1 here"),
    ("accumulate", 2, "accumulate"),
    ("precision", "bf16", "precision"),
    ("identity", {"head": torch.ones(2)}, "head"),
    ("optimizer", adamw(lr=0.4), "learning rate"),
    ("optimizer", adamw(lr=0.5, parts={"wte": {"weight_decay": 0.2}}), "weight decay"),
    ("optimizer", lambda model: torch.optim.SGD(model.parameters(), lr=0.5), "optimizer"),
    ("schedule", cosine(), "schedule"),
    ("loss", loss_with(2.0), "loss"),
    ("batches", batches_of(2), "batches"),
    ("model", lambda: tiny_gpt_neo(seed=1), "first weights"),
    ("model", another_buffer, "first weights"),
    ("model", lambda: tiny_gpt_neo(dropout=0.1), "model"),
    ("model", frozen_dropout, "model"),
]


def run_of(checkpoint, **changes):
    given = BASE | changes
    return fit(given.pop("model")(), checkpoint=checkpoint, progress=False, **given)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the checkpoint of a run."""
    checkpoint = tmp_path_factory.mktemp("finished") / "run.pt"
    run_of(checkpoint)
    return checkpoint


@pytest.mark.parametrize("argument, other, named", DIFFERENT)
def test_a_checkpoint_of_a_different_run_is_refused(finished, argument, other, named):
    with refused("checkpoint", rf"run\.pt.*\b{named}\b.*rename"):
        run_of(finished, **{argument: other})
    assert run_of(finished).resumed_from == 3


def test_a_changed_global_is_a_different_loss(finished, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 2.0)
    with refused("checkpoint", "other loss"):
        run_of(finished)


def refuse(closed, name):
    raise RuntimeError(name)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: np.array(["text", n], dtype=object),
        lambda n: torch.zeros(2, 2, dtype=(torch.bfloat16, torch.double)[n - 1])[:, 0],
        lambda n: {"b": {n, 100}, "a": range(n)},
        lambda n: types.SimpleNamespace(inner=Path("folder") / str(n)),
        lambda n: type("Closed", (), {"__getattr__": refuse, "size": n})(),
    ],
)
def test_values_are_described_by_what_they_hold(make):
    assert describe(make(1)) == describe(make(1)) != describe(make(2))


def test_measure_may_change_and_a_sentence_says_so(checkpoint, printed):
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint, stop_at(13))
    _, run = train(checkpoint, measure=lambda model: {"other": 1})
    found = [(record["step"], "other" in record) for record in run.records]
    assert found == [(0, False), (8, False), (16, True), (24, True)]
    assert "measure has changed" in printed()


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: torch.save({"fingerprint": {"steps": 3}, "step": 3}, file),
        lambda file: torch.save({"step": types.SimpleNamespace()}, file),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused_in_a_sentence(tmp_path, finished, harm):
    checkpoint = Path(shutil.copy(finished, tmp_path))
    harm(checkpoint)
    with refused("checkpoint", r"run\.pt .*rename this one"):
        run_of(checkpoint)
    assert checkpoint.exists()  # nobody's file is deleted unasked


# Files and places.


def test_a_full_disk_ends_no_run(tmp_path, checkpoint, monkeypatch, whole, printed):
    def full(file):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        model, run = train(checkpoint)
    assert_same((model, run), whole)
    assert not run.saved and os.listdir(tmp_path) == []
    said = printed()
    assert said.count("\n") == 1 and "No space left" in said and "run.pt" in said


def test_a_folder_that_vanishes_is_not_made_again(tmp_path, printed):
    drive = tmp_path / "drive"
    run = train(drive / "run.pt", lambda step: step == 5 and drive.rename(tmp_path / "gone"))[1]
    assert run.steps == STEPS and not run.saved and not drive.exists()
    assert "its folder is gone" in printed()


def test_paths_mean_what_they_meant_at_the_start(home):
    (home / "elsewhere").mkdir()
    (home / "file").touch()
    quick(checkpoint="~/home.pt")
    assert not quick(checkpoint="file/run.pt").saved
    quick(checkpoint="here.pt", measure=lambda model: os.chdir(home / "elsewhere") or {})
    assert sorted(home.rglob("*.pt")) == [home / "here.pt", home / "home.pt"]


def test_a_different_run_that_writes_the_file_meanwhile_keeps_it(checkpoint, printed):

    def intrude(step):
        if step == 5:
            checkpoint.unlink()
            quick(checkpoint=checkpoint)

    _, run = train(checkpoint, intrude)
    assert run.steps == STEPS and not run.saved and saved_step(checkpoint) == 2
    assert "different run" in printed()


# What measure returns, and what is refused.


@pytest.mark.parametrize(
    "figure, kept",
    [
        (np.longdouble(0.5), 0.5),
        (torch.ones(1, dtype=torch.bfloat16, requires_grad=True), [1.0]),
        ({"low": [wilson(np.int64(1), 2), None, "text"]}, {"low": [wilson(1, 2), None, "text"]}),
    ],
)
def test_figures_are_kept_as_pythons(figure, kept):
    found = plain("figure", figure)
    assert found == kept and type(found) is type(kept)


def test_a_figure_that_cannot_be_kept_is_refused_before_the_first_step():
    line = straight()
    with pytest.raises(TypeError, match=r"measure\['figure'\]: expected numbers"):
        quick(line, measure=lambda model: {"figure": [{1, 2}]})
    with refused("measure", "a mapping"):
        quick(line, measure=lambda model: 0.5)
    assert line.weight.item() == 2.0


def test_numbers_of_numpy_are_pythons(checkpoint):
    given = {"checkpoint": checkpoint}
    quick(steps=np.int64(2), optimizer=adamw(lr=np.float64(0.1)), seed=np.uint8(1), **given)
    assert quick(steps=2, optimizer=adamw(lr=0.1), seed=1, **given).resumed_from == 2


@pytest.mark.parametrize(
    "name, value",
    [
        ("steps", 2.5),
        ("seed", 2**60),
        ("precision", "fp8"),
        ("model", straight().bfloat16()),
        ("model", straight().requires_grad_(False)),
        ("batches", iter([1])),
        ("batches", {"x": torch.ones(1)}),
        ("batches", []),
        ("checkpoint", "."),
        ("schedule", lambda step, steps: math.nan),
    ],
)
def test_arguments_are_refused_by_name_before_anything_runs(name, value):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: expected "):
        quick(**{name: value}, loss=lambda model, batch: pytest.fail("it ran"))


test_settings_that_cannot_work_are_refused_by_name = refusals(
    ("lr", adamw, math.nan),
    ("length", crops, torch.arange(10), 1, 11),
    ("batches", parts, (ROWS, ROWS[1:]), 2),
    ("batches", parts, {"x": ROWS, "scale": 2.0}, 2),
)


def test_a_loss_that_is_no_number_names_its_step(checkpoint):
    losses = itertools.chain([1.0, 1.0, 1.0], itertools.repeat(math.nan))
    with pytest.raises(FloatingPointError, match="loss is nan at step 3.*learning rate"):
        train(checkpoint, loss=lambda model, batch: model(**batch).loss * next(losses))
    assert saved_step(checkpoint) == 3  # the last good weights, not the bad ones


@pytest.mark.parametrize("given", [{}, {"precision": "fp16"}])
def test_a_gradient_that_is_no_number_moves_nothing(given):
    line = straight(0.0)

    def loss(model, batch):
        return model.weight.sum().abs().sqrt()  # its slope at 0 is infinite

    with pytest.raises(FloatingPointError, match="gradient is not finite"):
        quick(line, steps=99, loss=loss, **given)
    assert line.weight.item() == 0.0


def test_crops_reach_the_last_token():
    torch.manual_seed(0)
    batch = crops(torch.arange(100, 110), 200, 4)
    assert batch["labels"] is batch["input_ids"] and (batch["labels"].diff(dim=1) == 1).all()
    assert batch["labels"][:, 0].unique().tolist() == list(range(100, 107))
