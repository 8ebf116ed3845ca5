"""Set-up makes runs reproducible, and says where they run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import random
import sys
import types

import numpy as np
import psutil
import pytest
import torch
from doubles import says

from fmcourse import environment
from fmcourse.environment import (
    GIB,
    PROFILES,
    caught,
    device,
    mixed_precision,
    native_bf16,
    placed,
    profile,
    setup,
    state_folder,
    work_folder,
)

CHOICES = "FMCOURSE_PROFILE: expected one of 'tiny', 'full', got "


def draw():
    return random.random(), float(np.random.rand()), torch.rand(1).item()


def after(seed):
    setup(seed)
    return draw()


# Set-up.


def test_setup_reproduces_all_three_generators():
    first = after(7)
    draw()
    assert after(7) == first
    assert all(a != b for a, b in zip(after(8), first))


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_ends_of_the_seeds(seed):
    assert setup(seed).seed == seed
    assert after(seed) == after(seed)


def test_setup_tells_what_it_found():
    found = setup(3)
    assert (found.profile, found.device, found.seed) == (PROFILES["tiny"], "cpu", 3)
    assert found.python == platform.python_version()
    assert found.packages["torch"] == importlib.metadata.version("torch")
    assert found.cores == os.cpu_count()
    assert found.memory_gib == psutil.virtual_memory().total / GIB
    assert found.in_colab is False


def test_an_environment_shows_itself_in_three_lines():
    found = environment.Environment(
        PROFILES["full"], "cuda", 5, "3.12.1", {"torch": "2.9.0", "numpy": "2.1"}, 2, 12.67, True
    )
    assert str(found).splitlines() == [
        "profile full on cuda, seed 5",
        "Python 3.12.1, torch 2.9.0, numpy 2.1",
        "Google Colab, 2 cores, 13 GiB of memory",
    ]


def test_the_full_profile_without_a_gpu_says_how_long_it_takes():
    found = environment.Environment(
        PROFILES["full"], "cpu", 0, "3.12.1", {"torch": "2.9.0"}, 2, 12.67, True
    )
    assert str(found).splitlines()[3:] == [
        "No GPU: a notebook may take 40 minutes; in Colab choose Runtime, Change runtime type, T4 GPU, or choose the tiny profile"
    ]


@pytest.mark.parametrize(
    "gpu, native, precision, words",
    [
        (True, False, "fp16", "profile full on cuda, fp16 mixed precision, seed 0"),
        (True, True, "bf16", "profile full on cuda, bf16 mixed precision, seed 0"),
        (False, False, None, "profile full on cpu, seed 0"),
    ],
    ids=["T4", "A100", "no GPU"],
)
def test_the_precision_of_training_is_that_of_the_device(
    monkeypatch, gpu, native, precision, words
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0) if native else (7, 5))
    monkeypatch.setenv("FMCOURSE_PROFILE", "tiny")  # restored afterwards
    found = setup(profile="full")
    assert found.precision == precision and str(found).splitlines()[0] == words
    assert setup(profile="tiny").precision is None


def test_colab_is_recognized(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert setup().in_colab is True


def test_setup_chooses_a_profile_for_all_that_follows(monkeypatch):
    monkeypatch.setenv("FMCOURSE_PROFILE", "tiny")
    assert setup(profile="full").profile is profile() is PROFILES["full"]
    assert setup().profile is PROFILES["full"]
    with says(
        ValueError, "profile: expected one of 'tiny', 'full', got 'ful'; did you mean 'full'?"
    ):
        setup(profile="ful")


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", None])
def test_a_wrong_seed(seed):
    with says(ValueError, f"seed: expected a whole number from 0 to 2**32 - 1, got {seed!r}"):
        setup(seed)


def test_the_profiles():
    assert profile() is PROFILES["tiny"]
    assert set(PROFILES) == {"tiny", "full"} and all(
        name == entry.name for name, entry in PROFILES.items()
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ful", "; did you mean 'full'?"), ("Tiny", "; did you mean 'tiny'?"), ("huge", "")],
)
def test_an_unknown_profile(monkeypatch, name, hint):
    monkeypatch.setenv("FMCOURSE_PROFILE", name)
    for call in (profile, device, setup):
        with says(ValueError, f"{CHOICES}{name!r}{hint}"):
            call()


@pytest.mark.parametrize(
    ("name", "gpu", "found"),
    [("tiny", True, "cpu"), ("tiny", False, "cpu"), ("full", True, "cuda"), ("full", False, "cpu")],
)
def test_the_device(monkeypatch, name, gpu, found):
    monkeypatch.setenv("FMCOURSE_PROFILE", name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert device() == found


@pytest.mark.parametrize(
    ("capability", "native"),
    [((7, 5), False), ((8, 0), True), ((9, 0), True)],
    ids=["T4", "A100", "H100"],
)
def test_a_t4_has_no_native_bf16(monkeypatch, capability, native):
    monkeypatch.setenv("FMCOURSE_PROFILE", "full")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert native_bf16() is native


def test_a_cpu_computes_in_fp32():
    assert native_bf16() is False


def test_the_state_folder_is_made(monkeypatch, tmp_path):
    monkeypatch.setenv("FMCOURSE_STATE", str(tmp_path / "a" / "b"))
    assert state_folder() == tmp_path / "a" / "b" and state_folder().is_dir()


def test_without_a_state_folder_the_home_is_used(monkeypatch, tmp_path):
    monkeypatch.delenv("FMCOURSE_STATE")
    monkeypatch.setattr(environment.Path, "home", lambda: tmp_path)
    assert state_folder() == tmp_path / ".cache" / "fmcourse" / "state" and state_folder().is_dir()


# A model's place.


def test_a_gpu_that_cannot_take_a_model_leaves_it_on_the_cpu(monkeypatch, capsys):
    class Full(torch.nn.Linear):
        def to(self, device):
            if device == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
            return super().to(device)

    monkeypatch.setattr(environment, "device", lambda: "cuda")
    model = Full(1, 1)
    assert placed(model) is model and model.weight.device.type == "cpu"
    assert capsys.readouterr().out == (
        "The GPU cannot take this model (CUDA out of memory.); going on with it on the CPU, where it takes longer.\n"
    )


def test_without_a_gpu_an_error_is_an_error():
    class Broken(torch.nn.Linear):
        def to(self, device):
            raise RuntimeError("lost")

    with says(RuntimeError, "lost"):
        placed(Broken(1, 1))


def test_a_model_that_stayed_on_the_cpu_is_trained_in_fp32(monkeypatch):
    monkeypatch.setattr(environment, "device", lambda: "cuda")
    monkeypatch.setattr(environment, "native_bf16", lambda: False)
    assert mixed_precision() == "fp16" and mixed_precision(torch.nn.Linear(1, 1)) is None
    assert mixed_precision(torch.nn.Linear(1, 1, device="meta")) == "fp16"


# Work that outlives the machine.


def colab(monkeypatch, mount):
    """Pretend that this is Colab, whose Drive is mounted by `mount`."""
    drive = types.ModuleType("google.colab.drive")
    drive.mount = mount
    package = types.ModuleType("google.colab")
    package.drive = drive
    for name, module in {"google.colab": package, "google.colab.drive": drive}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))


def test_by_default_work_stays_in_the_state_folder_and_nothing_is_mounted(monkeypatch, capsys):
    colab(monkeypatch, lambda place: pytest.fail("nobody asked for Drive"))
    assert work_folder() == state_folder()
    assert capsys.readouterr().out == ""


def test_on_request_drive_is_mounted_and_keeps_the_work(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(environment, "DRIVE", tmp_path / "drive")
    mounted = []
    colab(
        monkeypatch,
        lambda place: mounted.append(place) or (tmp_path / "drive" / "MyDrive").mkdir(parents=True),
    )
    assert work_folder(on_drive=True) == tmp_path / "drive" / "MyDrive" / "fmcourse"
    assert work_folder(on_drive=False) == state_folder()
    assert (tmp_path / "drive" / "MyDrive" / "fmcourse").is_dir() and mounted == [
        str(tmp_path / "drive")
    ]
    assert capsys.readouterr().out == ""


def test_elsewhere_there_is_no_drive(capsys):
    assert work_folder(on_drive=True) == state_folder()
    words = f"Drive can be mounted in Google Colab only; your work is kept in {state_folder()}.\n"
    assert capsys.readouterr().out == words


def test_a_drive_that_is_not_given_costs_a_sentence(monkeypatch, capsys):
    def refuse(place):
        raise ValueError("mount failed")

    colab(monkeypatch, refuse)
    assert work_folder(on_drive=True) == state_folder()
    words = f"Drive could not be mounted (mount failed); your work is kept in {state_folder()}, which goes with this machine.\n"
    assert capsys.readouterr().out == words


# A block that is meant to fail.


def test_what_was_caught_is_printed(capsys):
    with caught(ValueError):
        raise ValueError("too large")
    assert capsys.readouterr().out == "ValueError: too large\n"


def test_a_special_kind_is_named_as_itself(capsys):
    with caught(ArithmeticError):
        1 / 0
    assert capsys.readouterr().out == "ZeroDivisionError: division by zero\n"


def test_a_block_that_does_not_fail_complains():
    with (
        says(AssertionError, "this block was meant to raise ValueError, and did not"),
        caught(ValueError),
    ):
        pass


def test_another_error_passes_through(capsys):
    with says(TypeError, "another"), caught(ValueError):
        raise TypeError("another")
    assert capsys.readouterr().out == ""
