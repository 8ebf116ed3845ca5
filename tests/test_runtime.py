"""Set-up makes runs reproducible and fast, and finds a place for what they make."""

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
from doubles import refused, without

import fmcourse
from fmcourse import runtime
from fmcourse.runtime import FULL, TINY, caught, setup, state_folder, work_folder

# Set-up.


def draw():
    return random.random(), float(np.random.rand()), torch.rand(1).item()


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.uint8(200)])
def test_setup_reproduces_all_three_generators(seed):
    assert setup(seed).seed == int(seed)
    first = draw()
    setup(seed)
    assert draw() == first
    setup(8)
    assert not set(draw()) & set(first)


@pytest.mark.parametrize(
    "name, value", [("seed", -1), ("seed", 2**32), ("seed", 2.0), ("profile", "ful")]
)
def test_a_wrong_argument_changes_nothing(name, value):
    with refused(name):
        setup(**{"profile": "full", name: value})
    assert runtime.profile() is TINY


def test_an_unknown_profile_in_the_environment(monkeypatch):
    monkeypatch.setenv("FMCOURSE_PROFILE", " ")
    with refused("FMCOURSE_PROFILE", "one of 'tiny', 'full'"):
        setup()


# A T4, an A100, and no GPU.
@pytest.mark.parametrize(
    "capability, precision", [((7, 5), "fp16"), ((8, 0), "bf16"), (None, None)]
)
def test_switching_the_profile_switches_device_and_precision(monkeypatch, capability, precision):
    monkeypatch.setenv("FMCOURSE_PROFILE", "tiny")  # restored afterwards
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    found = setup(profile="full")
    assert found.profile is runtime.profile() is FULL and setup().profile is FULL
    assert (found.device, found.precision) == ("cuda" if capability else "cpu", precision)
    assert runtime.mixed_precision(torch.nn.Linear(1, 1)) is None
    assert ("choose the tiny profile" in str(found)) is (capability is None)
    assert (f"{precision} mixed precision" in str(found)) is (capability is not None)
    again = setup(profile="tiny")
    assert (again.profile, again.device, again.precision) == (TINY, "cpu", None)


# Threads.

THREADS = """import json, threadpoolctl, torch
from fmcourse import runtime

def tell():
    pools = {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    print(json.dumps({"torch": torch.get_num_threads(), **pools}))

tell()
for profile in ("tiny", "tiny", "full", "tiny"):
    runtime.setup(profile=profile)
    tell()
import fmcourse.models, pyarrow.parquet, sklearn.cluster, sklearn.ensemble, statsmodels.api
tell()"""


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core has one thread")
def test_tiny_computes_on_one_thread_everywhere_and_full_gives_them_back():
    env = without("OMP_", "MKL_", "OPENBLAS_")
    said = subprocess.check_output([sys.executable, "-c", THREADS], env=env)
    start, tiny, again, full, back, later = map(json.loads, said.splitlines())
    assert min(start.values()) > 1 and full == start and "openblas" in str(start)
    assert set(tiny.values()) == {1} and tiny == again == back
    assert set(later.values()) == {1} and set(later) >= set(start)


def test_the_doorway_and_the_names_of_the_first_edition():
    old = importlib.import_module("fmcourse.environment")
    assert old is runtime and old.__name__ == old.__spec__.name == "fmcourse.runtime"
    assert fmcourse.hub is fmcourse.models and fmcourse.data.load_emoji is fmcourse.load_emoji
    assert not hasattr(fmcourse, "no_such_name") and "load_clip" in dir(fmcourse)


# A model's place.


def test_a_gpu_that_cannot_take_a_model_leaves_it_on_the_cpu(monkeypatch, printed):
    def to(place):
        if place == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
        return model

    model = types.SimpleNamespace(to=to)
    monkeypatch.setattr(runtime, "device", lambda: "cuda")
    assert runtime.placed(model) is model
    assert "CUDA out of memory.); going on with it on the CPU" in printed()


# Folders.


linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")


@pytest.fixture
def home(home, monkeypatch):
    """The home folder, with FMCOURSE_STATE unset and no temporary folder given out yet."""
    for name in ("FMCOURSE_STATE", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runtime, "_temporary", {})
    return home


@linux
def test_work_is_kept_in_the_data_folder_not_in_the_cache(home):
    assert state_folder() == home / ".local" / "share" / "fmcourse"
    assert runtime.cache_folder() == home / ".cache" / "fmcourse"
    assert runtime.cache_folder().is_dir()


def test_the_state_folder_is_the_one_that_was_chosen(home, monkeypatch):
    monkeypatch.setenv("FMCOURSE_STATE", " ~/a b/c ")
    assert state_folder() == home / "a b" / "c" and state_folder().is_dir()


@linux
def test_what_an_earlier_version_kept_is_moved_once(home, printed):
    old = home / ".cache" / "fmcourse" / "state"
    (old / "evidence").mkdir(parents=True)
    assert (state_folder() / "evidence").is_dir() and not old.exists()
    assert state_folder() and printed().count("moved from") == 1


def no_home(monkeypatch, home):
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("USERPROFILE")
    if os.name == "posix":
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])


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


@pytest.mark.parametrize("trouble", [no_home, read_only, full_disk, no_drive, other_user])
def test_a_place_that_cannot_be_used_is_replaced_with_one_sentence(
    home, monkeypatch, printed, trouble
):
    trouble(monkeypatch, home)
    folder = state_folder()
    (folder / "kept").touch()
    said = printed()
    assert said.count("\n") == 1 and "when this session ends" in said and "FMCOURSE_STATE" in said
    assert state_folder() == folder and printed() == ""
    assert not (home / "drive").exists() and not Path("~").exists()


def test_where_nothing_can_be_written_an_error_says_what_to_do(home, monkeypatch):
    def refuse(**how):
        raise FileNotFoundError("No usable temporary directory found")

    other_user(monkeypatch, home)
    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(OSError, match="set FMCOURSE_STATE"):
        state_folder()


def test_on_request_drive_is_mounted_and_keeps_the_work(monkeypatch, tmp_path, printed):
    assert work_folder(on_drive=True) == state_folder()
    assert "in Google Colab only" in printed()
    drive = types.SimpleNamespace(mount=id)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(drive=drive))
    monkeypatch.setattr(runtime, "DRIVE", tmp_path / "drive")
    assert work_folder(on_drive=True) == state_folder()  # access was not given
    assert "goes with this machine" in printed()
    drive.mount = lambda place: Path(place, "MyDrive").mkdir(parents=True)
    assert work_folder() == state_folder() and not runtime.DRIVE.exists()
    assert work_folder(on_drive=True) == runtime.DRIVE / "MyDrive" / "fmcourse"
    assert printed() == "" and setup().in_colab


# A block that is meant to fail.


def test_a_different_error_passes_through_and_none_is_one():
    with pytest.raises(TypeError), caught(ValueError):
        raise TypeError("different")
    with pytest.raises(AssertionError, match="was meant to raise ValueError"), caught(ValueError):
        pass
