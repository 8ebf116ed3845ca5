"""Set-up makes runs reproducible and fast, and finds a place for what they make."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import random
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pytest
import torch

import fmcourse
from fmcourse import runtime
from fmcourse.runtime import FULL, TINY, Environment, caught, setup, state_folder, work_folder

# Set-up.


def draw():
    return random.random(), float(np.random.rand()), torch.rand(1).item()


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, np.int64(3), np.uint8(200)])
def test_setup_reproduces_all_three_generators(seed):
    assert setup(seed).seed == int(seed)
    first = draw()
    setup(seed)
    assert draw() == first
    setup(8)
    assert all(a != b for a, b in zip(draw(), first))


@pytest.mark.parametrize(
    "seed", [-1, 2**32, 2.5, 2.0, np.float64(3), "1", None, True, np.bool_(True), torch.tensor(3)]
)
def test_a_wrong_seed_changes_nothing(seed):
    with pytest.raises(ValueError, match=r"^seed: expected a whole number"):
        setup(seed, profile="full")
    assert runtime.profile() is TINY


def test_setup_tells_what_it_found():
    found = setup(3)
    assert (found.profile, found.device, found.precision) == (TINY, "cpu", None)
    assert found.packages["torch"] == importlib.metadata.version("torch")
    assert found.cores == os.cpu_count() and found.in_colab is False


def test_an_environment_shows_itself():
    place = {"python": "3.12.1", "packages": {"torch": "2.9"}, "cores": 2, "memory_gib": 12.67}
    colab = Environment(FULL, "cuda", 5, **place, in_colab=True, precision="fp16")
    assert str(colab).splitlines() == [
        "profile full on cuda, fp16 mixed precision, seed 5",
        "Python 3.12.1, torch 2.9",
        "Google Colab, 2 cores, 13 GiB of memory",
    ]
    slow = Environment(FULL, "cpu", 5, **place, in_colab=False)
    assert "40 minutes" in str(slow) and "choose the tiny profile" in str(slow)


@pytest.fixture
def gpu(monkeypatch):
    """Return a function that pretends a GPU of some compute capability, or none."""

    def pretend(capability):
        monkeypatch.setenv("FMCOURSE_PROFILE", "tiny")  # restored afterwards
        monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
        monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)

    return pretend


@pytest.mark.parametrize(
    "capability, precision",
    [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16"), (None, None)],
    ids=["T4", "A100", "H100", "no GPU"],
)
def test_switching_the_profile_switches_device_precision_and_models(gpu, capability, precision):
    gpu(capability)
    found = setup(profile="full")
    assert found.profile is runtime.profile() is FULL and setup().profile is FULL
    assert found.device == runtime.device() == ("cuda" if capability else "cpu")
    assert found.precision == runtime.mixed_precision() == precision
    assert runtime.native_bf16() is (precision == "bf16")
    assert runtime.mixed_precision(torch.nn.Linear(1, 1)) is None
    again = setup(profile="tiny")
    assert (again.profile, again.device, again.precision) == (TINY, "cpu", None)


@pytest.mark.parametrize("name", ["ful", "Tiny", "huge", " "])
def test_an_unknown_profile(monkeypatch, name):
    with pytest.raises(ValueError, match=r"^profile: expected one of 'tiny', 'full'"):
        setup(profile=name)
    monkeypatch.setenv("FMCOURSE_PROFILE", name)
    for call in (runtime.profile, runtime.device, setup):
        with pytest.raises(ValueError, match=r"^FMCOURSE_PROFILE: expected one of 'tiny', 'full'"):
            call()


# Threads.

THREADS = """import json
from fmcourse import runtime
told = [runtime.threads()]
for profile in ("tiny", "tiny", "full", "tiny"):
    runtime.setup(profile=profile)
    told.append(runtime.threads())
import matplotlib.pyplot, pandas, peft, pyarrow.parquet, sacrebleu, statsmodels.api
import fmcourse.models, sklearn.cluster, sklearn.ensemble, sklearn.linear_model
told.append(runtime.threads())
print(json.dumps(told))"""


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core has one thread")
def test_tiny_computes_on_one_thread_everywhere_and_full_gives_them_back():
    names = [name for name in os.environ if name.endswith("_NUM_THREADS")]
    env = {name: value for name, value in os.environ.items() if name not in names}
    said = subprocess.check_output([sys.executable, "-c", THREADS], env=env)
    start, tiny, again, full, back, later = json.loads(said)
    assert all(number > 1 for number in start.values()) and full == start
    assert {Path(name).name.partition("openblas")[1] for name in start} == {"", "openblas"}
    assert set(tiny.values()) == {1} and tiny == again == back
    assert set(later.values()) == {1} and set(later) >= set(start)


def test_importing_the_course_is_instant():
    def seconds(program):
        timed = f"import time; t = time.perf_counter(); {program}; print(time.perf_counter() - t)"
        return float(subprocess.check_output([sys.executable, "-c", timed]))

    added = sorted(seconds("import fmcourse") - seconds("pass") for _ in range(5))
    assert added[2] < 0.1
    assert not hasattr(fmcourse, "no_such_name") and {"setup", "load_clip"} <= set(dir(fmcourse))


def test_old_module_names_give_the_new_modules():
    environment = importlib.import_module("fmcourse.runtime")
    assert environment is runtime and environment.__name__ == "fmcourse.runtime"
    assert fmcourse.data is fmcourse.data and fmcourse.data.load_emoji is fmcourse.load_emoji


# A model's place.


class Heavy(torch.nn.Linear):
    """A model that a GPU cannot take."""

    def to(self, place):
        if place == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
        return super().to(place)


def test_a_gpu_that_cannot_take_a_model_leaves_it_on_the_cpu(monkeypatch, capsys):
    monkeypatch.setattr(runtime, "device", lambda: "cuda")
    model = Heavy(1, 1)
    assert runtime.placed(model) is model and model.weight.device.type == "cpu"
    assert "CUDA out of memory.); going on with it on the CPU" in capsys.readouterr().out


def test_without_a_gpu_an_error_is_an_error(monkeypatch):
    monkeypatch.setattr(Heavy, "to", lambda model, place: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runtime.placed(Heavy(1, 1))


# Folders.


linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A home folder of its own, FMCOURSE_STATE unset, and no temporary folder given out yet."""
    for name in ("FMCOURSE_STATE", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(runtime, "_temporary", {})
    return tmp_path


@linux
def test_work_is_kept_in_the_data_folder_not_in_the_cache(home):
    assert state_folder() == home / ".local" / "share" / "fmcourse"
    assert runtime.cache_folder() == home / ".cache" / "fmcourse"
    assert state_folder().is_dir() and runtime.cache_folder().is_dir()


@pytest.mark.parametrize("chosen", ["~/a b/c", "{home}/a b/c", " ~/a b/c "])
def test_the_state_folder_is_the_one_that_was_chosen(home, monkeypatch, chosen):
    monkeypatch.setenv("FMCOURSE_STATE", chosen.format(home=home))
    assert state_folder() == home / "a b" / "c" and state_folder().is_dir()


@linux
def test_what_an_earlier_version_kept_is_moved_once(home, capsys):
    old = home / ".cache" / "fmcourse" / "state"
    (old / "evidence").mkdir(parents=True)
    (old / "predictions.json").write_text("{}")
    assert (state_folder() / "predictions.json").read_text() == "{}"
    assert (state_folder() / "evidence").is_dir() and not old.exists()
    old.mkdir()
    assert state_folder() == home / ".local" / "share" / "fmcourse"
    assert capsys.readouterr().out.count("moved from") == 1


@linux
def test_what_cannot_be_moved_stays(home, monkeypatch, capsys):
    def refuse(old, new):
        raise PermissionError("read-only")

    (home / ".cache" / "fmcourse" / "state").mkdir(parents=True)
    monkeypatch.setattr(runtime.shutil, "move", refuse)
    assert state_folder() == state_folder() == home / ".local" / "share" / "fmcourse"
    assert capsys.readouterr().out.count("stays in") == 1


def no_home(monkeypatch, home):
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("USERPROFILE")
    if os.name == "posix":
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])


def file_in_the_way(monkeypatch, home):
    (home / "file").touch()
    monkeypatch.setenv("FMCOURSE_STATE", "~/file/state")


def file_for_folder(monkeypatch, home):
    (home / "file").touch()
    monkeypatch.setenv("FMCOURSE_STATE", "~/file")


def read_only(monkeypatch, home):
    monkeypatch.setenv("FMCOURSE_STATE", "~/read-only")
    monkeypatch.setattr(os, "access", lambda path, mode: "read-only" not in str(path))


def full_disk(monkeypatch, home):
    def refuse(folder, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", refuse)


def no_drive(monkeypatch, home):
    monkeypatch.setattr(runtime, "DRIVE", home / "drive")
    monkeypatch.setenv("FMCOURSE_STATE", "~/drive/MyDrive/fmcourse")


def other_user(monkeypatch, home):
    monkeypatch.setenv("FMCOURSE_STATE", "~no-such-user/state")


TROUBLES = [
    no_home,
    file_in_the_way,
    file_for_folder,
    read_only,
    full_disk,
    no_drive,
    other_user,
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_place_that_cannot_be_used_is_replaced_with_one_sentence(
    home, monkeypatch, capsys, trouble
):
    trouble(monkeypatch, home)
    folder = state_folder()
    (folder / "kept").touch()
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "when this session ends" in said and "FMCOURSE_STATE" in said
    assert state_folder() == folder and capsys.readouterr().out == ""
    assert not (home / "drive").exists() and not Path("~").exists()


def test_a_drive_whose_mount_vanishes(home, monkeypatch, capsys):
    no_drive(monkeypatch, home)
    (home / "drive" / "MyDrive").mkdir(parents=True)
    assert state_folder() == home / "drive" / "MyDrive" / "fmcourse"
    (home / "drive").rename(home / "gone")
    assert state_folder().is_dir() and "not mounted" in capsys.readouterr().out


def test_where_nothing_can_be_written_an_error_says_what_to_do(home, monkeypatch):
    def refuse(**how):
        raise FileNotFoundError("No usable temporary directory found")

    other_user(monkeypatch, home)
    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(OSError, match="set FMCOURSE_STATE"):
        state_folder()


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """Return a function that pretends Colab, with a Drive that is mounted by calling `mount`."""

    def pretend(mount):
        package = types.ModuleType("google.colab")
        package.drive = types.SimpleNamespace(mount=mount)
        monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
        monkeypatch.setitem(sys.modules, "google.colab", package)
        monkeypatch.setattr(runtime, "DRIVE", tmp_path / "drive")

    return pretend


def test_on_request_drive_is_mounted_and_keeps_the_work(colab, capsys):
    colab(lambda place: (Path(place) / "MyDrive").mkdir(parents=True, exist_ok=True))
    assert work_folder() == state_folder() and not runtime.DRIVE.exists()
    assert work_folder(on_drive=True) == runtime.DRIVE / "MyDrive" / "fmcourse"
    assert work_folder(on_drive=True).is_dir() and capsys.readouterr().out == ""
    assert setup().in_colab


@pytest.mark.parametrize("mount", [lambda place: 1 / 0, lambda place: None], ids=["no", "void"])
def test_a_drive_that_is_not_given_costs_a_sentence(colab, capsys, mount):
    colab(mount)
    assert work_folder(on_drive=True) == state_folder()
    assert "goes with this machine" in capsys.readouterr().out


def test_elsewhere_there_is_no_drive(capsys):
    assert work_folder(on_drive=True) == state_folder()
    assert "in Google Colab only" in capsys.readouterr().out


# A block that is meant to fail.


def test_what_was_caught_is_printed_and_a_different_error_passes_through(capsys):
    with caught(ArithmeticError):
        raise ZeroDivisionError("division by zero")
    with pytest.raises(TypeError), caught(ValueError):
        raise TypeError("different")
    with pytest.raises(AssertionError, match="was meant to raise ValueError"), caught(ValueError):
        pass
    assert capsys.readouterr().out == "ZeroDivisionError: division by zero\n"
