"""Profile, device, seeds, threads and folders: set up by the second cell of every notebook."""

import contextlib
import importlib.metadata
import os
import platform
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import platformdirs
import psutil

# SciPy and scikit-learn bring thread pools of their own: setup() limits only those that are loaded.
import scipy.linalg  # noqa: F401
import sklearn.utils  # noqa: F401
import threadpoolctl
import torch
import transformers

from fmcourse.arguments import choose, whole
from fmcourse.files import read_toml, user_path

SHOWN_PACKAGES = ("torch", "transformers", "datasets", "numpy")
DRIVE = Path("/content/drive")  # where Colab mounts Google Drive
GPU_ADVICE = "in Colab choose Runtime, Change runtime type, T4 GPU"
STATE_ADVICE = "set FMCOURSE_STATE to a folder that you can write to"
GIB = 2**30


@dataclass(frozen=True)
class Profile:
    """The names and sizes that differ between a class offline and a class with the hub.

    Attributes:
        name: ``tiny`` or ``full``.
        gpt_neo: the language model of notebook 04.
        judge: a larger model of the same family that scores what the first one writes.
        clip: the CLIP of notebook 03.
        clip_lr: the learning rate at which its image encoder is fine-tuned.
        clip_accumulate: in how many parts a batch of its fine-tuning is computed; see
            :func:`fmcourse.training.fit`.
        new_tokens: length of each continuation, in tokens.
        prompts: how many addresses are continued.
        judged: how many of them the judge reads in excerpts.
        memory_gib: the largest peak of a notebook, with the notebook's own share, in GiB.
        cpu_minutes: what the longest notebook takes without a GPU. For the full profile measured
            on one thread of a two-core machine, with random weights of the real sizes, rounded up.
    """

    name: str
    gpt_neo: str
    judge: str
    clip: str
    clip_lr: float
    clip_accumulate: int
    new_tokens: int
    prompts: int
    judged: int
    memory_gib: float
    cpu_minutes: int


PROFILES = {name: Profile(name, **given) for name, given in read_toml("profiles.toml").items()}
TINY, FULL = PROFILES["tiny"], PROFILES["full"]


@dataclass(frozen=True)
class Environment:
    """What :func:`setup` found: profile, device and its precision, seed, and the versions."""

    profile: Profile
    device: str
    seed: int
    python: str
    packages: dict[str, str]
    cores: int
    memory_gib: float
    in_colab: bool
    precision: str | None = None

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        place = "Google Colab" if self.in_colab else platform.system()
        mixed = f", {self.precision} mixed precision" if self.precision else ""
        lines = [
            f"profile {self.profile.name} on {self.device}{mixed}, seed {self.seed}",
            f"Python {self.python}, {versions}",
            f"{place}, {self.cores} cores, {self.memory_gib:.0f} GiB of memory",
        ]
        if self.profile is FULL and self.device == "cpu":
            lines.append(
                f"No GPU: a notebook may take {FULL.cpu_minutes} minutes; {GPU_ADVICE}, "
                "or choose the tiny profile"
            )
        return "\n".join(lines)


def setup(seed: int = 0, profile: str | None = None) -> Environment:
    """Seed Python, NumPy and torch, silence the libraries' progress bars, return what was found.

    The tiny profile also computes on one thread, in torch and in every BLAS and OpenMP library;
    the full profile gives all threads back.

    Args:
        seed: a whole number from 0 to 2**32 - 1.
        profile: ``tiny`` or ``full`` from now on; None leaves what ``FMCOURSE_PROFILE`` says.

    Returns:
        A new :class:`Environment`; printing it gives three lines.

    Raises:
        ValueError: a seed out of range, or an unknown profile.
    """
    seed = whole("seed", seed, 0, 2**32 - 1)
    if profile is not None:
        os.environ["FMCOURSE_PROFILE"] = choose("profile", profile, PROFILES)
    chosen = current_profile()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    _set_threads(chosen)
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return Environment(
        profile=chosen,
        device=device(),
        seed=seed,
        python=platform.python_version(),
        packages={name: importlib.metadata.version(name) for name in SHOWN_PACKAGES},
        cores=os.cpu_count() or 1,
        memory_gib=psutil.virtual_memory().total / GIB,
        in_colab=in_colab(),
        precision=mixed_precision(),
    )


_torch_threads = torch.get_num_threads()
_limits: list[threadpoolctl.threadpool_limits] = []


def _set_threads(chosen: Profile) -> None:
    """Compute on one thread in the tiny profile, else on as many as there were at the start.

    Small models lose by a second thread, and sums keep one order on every machine.
    """
    while _limits:
        _limits.pop().restore_original_limits()
    torch.set_num_threads(1 if chosen is TINY else _torch_threads)
    if chosen is TINY:
        _limits.append(threadpoolctl.threadpool_limits(1))


def profile() -> Profile:
    """Return the profile that ``FMCOURSE_PROFILE`` names, or ``tiny``.

    >>> profile().name
    'tiny'
    """
    name = os.environ.get("FMCOURSE_PROFILE") or "tiny"
    return PROFILES[choose("FMCOURSE_PROFILE", name, PROFILES)]


current_profile = profile  # for setup(), where the name is a parameter's


def device() -> str:
    """Return ``cuda`` in the full profile on a machine with a GPU, else ``cpu``.

    In the tiny profile results are the same everywhere.
    """
    return "cuda" if profile() is FULL and torch.cuda.is_available() else "cpu"


def native_bf16() -> bool:
    """Return whether the device computes in bf16: a GPU of compute capability 8.0, no T4 (7.5)."""
    return device() == "cuda" and torch.cuda.get_device_capability() >= (8, 0)


def mixed_precision(model: torch.nn.Module | None = None) -> str | None:
    """Return the precision in which a model trains fastest on its device.

    ``bf16`` where that is native, ``fp16`` on older GPUs, and None on a CPU: all in fp32. Weights
    and optimizer stay in fp32 everywhere; see :func:`fmcourse.training.fit`. Without a model it is
    that of :func:`device`.
    """
    place = device() if model is None else next(model.parameters()).device.type
    if place == "cpu":
        return None
    return "bf16" if native_bf16() else "fp16"


def placed(model: Any) -> Any:
    """Move a model to the device and return it.

    One that the GPU cannot take stays on the CPU, and a sentence says so.
    """
    try:
        return model.to(device())
    except RuntimeError as error:
        # torch's, for a GPU that is full, lost, or of a different kind than torch was built for
        if device() == "cpu":
            raise
        print(
            f"The GPU cannot take this model ({first_line(error)}); "
            "going on with it on the CPU, where it takes longer."
        )
        return model.to("cpu")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its kind where there is none.

    >>> first_line(ValueError("too large\\nby far")), first_line(KeyError())
    ('too large', 'KeyError')
    """
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def generator(seed: int | None, device: torch.device | str = "cpu") -> torch.Generator | None:
    """Return a generator with a seed of 0 or more; None, which is torch's global one, for None."""
    return None if seed is None else torch.Generator(device).manual_seed(whole("seed", seed, 0))


def in_colab() -> bool:
    """Return whether this is a notebook in Google Colab."""
    return "google.colab" in sys.modules


def work_folder(on_drive: bool = False) -> Path:
    """Return a folder for what you make, such as checkpoints: the state folder, or one on Drive.

    Args:
        on_drive: whether to mount Google Drive and keep the work there, so that it outlives the
            machine. Where there is no Drive, or it is not given, a sentence says so, and the work
            stays in the state folder.
    """
    if not on_drive:
        return state_folder()
    try:
        from google.colab import drive  # noqa: PLC0415 (only Colab has it)

        drive.mount(str(DRIVE))
        return _made(DRIVE / "MyDrive" / "fmcourse")
    except ImportError:
        print(f"Drive can be mounted in Google Colab only; your work is kept in {state_folder()}.")
    except Exception as error:  # access that was not given, or a Drive that is full
        print(
            f"Drive could not be mounted ({first_line(error)}); "
            f"your work is kept in {state_folder()}, which goes with this machine."
        )
    return state_folder()


def cache_folder() -> Path:
    """Return the folder for what can be made again and takes a while."""
    return _usable("Unpacked models", own_cache_folder)


def state_folder() -> Path:
    """Return the folder that keeps predictions, evidence and models between sessions.

    It is ``FMCOURSE_STATE``, or the user's data folder. Where that cannot be used, a sentence says
    why, and a temporary folder takes its place.

    Raises:
        OSError: no folder at all can be written to.
    """
    return _usable("Predictions, evidence and models", own_state_folder)


def own_state_folder() -> Path:
    """Return the folder that :func:`state_folder` prefers, made where it is missing.

    Raises:
        OSError, ValueError: it cannot be made or written to, or this user has no home folder.
    """
    chosen = os.environ.get("FMCOURSE_STATE", "").strip()
    if chosen:
        return _made(user_path(chosen))
    folder = _home(platformdirs.user_data_path)
    # Until the second edition it lay in the cache, which some systems empty.
    old = os.path.expanduser("~/.cache/fmcourse/state")
    if os.path.isdir(old) and not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.move(old, folder)
        except OSError as error:
            print(f"What you made in an earlier version stays in {old} ({first_line(error)}).")
        else:
            print(f"What you made in an earlier version has been moved from {old} to {folder}.")
    return _made(folder)


def own_cache_folder() -> Path:
    """Return the folder that :func:`cache_folder` prefers; errors as :func:`own_state_folder`."""
    return _made(_home(platformdirs.user_cache_path))


def _home(find: Callable[..., Path]) -> Path:
    """Return the course's folder of one kind in the user's home."""
    try:
        # Older versions of platformdirs leave the ~ of a user without a home as it is.
        return user_path(find("fmcourse", appauthor=False))
    except (RuntimeError, ValueError) as error:
        raise OSError("this user has no home folder") from error


def _made(folder: Path) -> Path:
    """Make a folder and return it; raise an OSError where it cannot be written to."""
    # On a Drive that is not mounted, the folder would be made on the machine, and go with it.
    if folder.is_relative_to(DRIVE) and not os.path.isdir(DRIVE / "MyDrive"):
        raise OSError("Google Drive is not mounted")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to")
    return folder


_temporary: dict[str, tempfile.TemporaryDirectory] = {}


def _usable(what: str, find: Callable[[], Path]) -> Path:
    """Return the folder that `find` gives, else a temporary one, with a sentence the first time."""
    try:
        return find()
    except (OSError, ValueError) as error:
        reason = first_line(error)
    if what not in _temporary:
        try:
            _temporary[what] = tempfile.TemporaryDirectory(prefix="fmcourse-")
        except OSError as error:
            raise OSError(f"no folder can be written to ({reason}); {STATE_ADVICE}") from error
        print(
            f"{what} cannot be kept ({reason}). They go to {_temporary[what].name} and are lost "
            f"when this session ends; to keep them, {STATE_ADVICE}."
        )
    return Path(_temporary[what].name)


@contextlib.contextmanager
def caught(kind: type[Exception]) -> Iterator[None]:
    """Run a block that is meant to fail, print its message, and complain when it does not fail.

    >>> with caught(ZeroDivisionError):
    ...     1 / 0
    ZeroDivisionError: division by zero
    """
    try:
        yield
    except kind as error:
        print(f"{type(error).__name__}: {error}")
    else:
        raise AssertionError(f"this block was meant to raise {kind.__name__}, and did not")
