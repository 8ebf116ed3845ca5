"""Where does this notebook run, and how large may its models be? Profile, device, seeds.

Every notebook calls :func:`setup` in its second cell.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmcourse.arguments import choose, require

if TYPE_CHECKING:
    import torch

__all__ = [
    "PROFILES",
    "Environment",
    "Profile",
    "cache_folder",
    "caught",
    "device",
    "first_line",
    "in_colab",
    "mixed_precision",
    "native_bf16",
    "placed",
    "profile",
    "setup",
    "state_folder",
    "work_folder",
]

SHOWN_PACKAGES = ("torch", "transformers", "datasets", "numpy")
DRIVE = Path("/content/drive")  # where Colab mounts Google Drive
GPU_ADVICE = "in Colab choose Runtime, Change runtime type, T4 GPU"
GIB = 2**30


@dataclass(frozen=True)
class Profile:
    """The names and sizes that differ between a class offline and a class with the hub.

    Attributes:
        name: ``tiny`` or ``full``.
        gpt_neo: the language model of notebook 04.
        judge: a larger model of the same family that scores what the first one writes.
        clip: the CLIP of notebook 03.
        clip_lr: the learning rate at which that one's picture tower is fine-tuned.
        clip_accumulate: in how many parts a batch of its fine-tuning is computed; see :func:`fmcourse.training.fit`.
        new_tokens: length of each continuation, in tokens.
        prompts: how many addresses are continued.
        judged: how many of them the judge reads in excerpts.
        memory_gib: the largest peak of a notebook, with the notebook's own share, in GiB.
        cpu_minutes: what the longest notebook takes without a GPU. For the full profile measured on one thread of a two-core
            machine, with random weights of the real sizes, and rounded up.
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


TINY = Profile(
    "tiny",
    gpt_neo="ladder-medium",
    judge="ladder-large",
    clip="emoji-clip",
    clip_lr=3e-4,
    clip_accumulate=1,
    new_tokens=60,
    prompts=13,
    judged=13,
    memory_gib=3.0,
    cpu_minutes=2,
)
FULL = Profile(
    "full",
    gpt_neo="EleutherAI/gpt-neo-125m",
    judge="EleutherAI/gpt-neo-1.3B",
    clip="openai/clip-vit-base-patch32",
    clip_lr=1e-5,
    clip_accumulate=2,
    new_tokens=60,
    prompts=13,
    judged=2,
    memory_gib=8.5,
    cpu_minutes=40,
)
PROFILES = {"tiny": TINY, "full": FULL}


@dataclass(frozen=True)
class Environment:
    """What :func:`setup` found: the profile, the device and its precision, the seed and the versions that matter."""

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
            lines += [
                f"No GPU: a notebook may take {FULL.cpu_minutes} minutes; {GPU_ADVICE}, or choose the tiny profile"
            ]
        return "\n".join(lines)


def setup(seed: int = 0, profile: str | None = None) -> Environment:
    """Seed Python, NumPy and torch, silence the libraries' progress bars, and return what was found.

    The tiny profile also computes on one thread.

    Args:
        seed: a whole number from 0 to 2**32 - 1.
        profile: ``tiny`` or ``full`` from now on; None leaves what ``FMCOURSE_PROFILE`` says.

    Returns:
        A new :class:`Environment`; printing it gives three lines.

    Raises:
        ValueError: a seed out of range, or an unknown profile.
    """
    require(
        isinstance(seed, int) and 0 <= seed < 2**32,
        "seed",
        "a whole number from 0 to 2**32 - 1",
        seed,
    )
    if profile is not None:
        os.environ["FMCOURSE_PROFILE"] = choose("profile", profile, PROFILES)
    chosen = _profile()
    import datasets
    import numpy
    import torch
    import transformers

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    datasets.disable_progress_bars()
    if chosen is TINY:
        torch.set_num_threads(
            1
        )  # small models lose by a second thread, and sums keep one order on every machine
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return Environment(
        profile=chosen,
        device=device(),
        seed=seed,
        python=platform.python_version(),
        packages={name: importlib.metadata.version(name) for name in SHOWN_PACKAGES},
        cores=os.cpu_count() or 1,
        memory_gib=_memory_gib(),
        in_colab=in_colab(),
        precision=mixed_precision(),
    )


def profile() -> Profile:
    """Return the profile that ``FMCOURSE_PROFILE`` names, or ``tiny``.

    >>> profile().name
    'tiny'
    """
    return _profile()


def _profile() -> Profile:
    return PROFILES[
        choose("FMCOURSE_PROFILE", os.environ.get("FMCOURSE_PROFILE") or "tiny", PROFILES)
    ]


def device() -> str:
    """Return ``cuda`` in the full profile on a machine with a GPU, else ``cpu``: tiny results are the same everywhere."""
    if profile().name == "tiny":
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def native_bf16() -> bool:
    """Return whether the device computes in bf16: GPUs of compute capability 8.0 and above do, a T4 (7.5) does not."""
    if device() == "cpu":
        return False
    import torch

    return torch.cuda.get_device_capability() >= (8, 0)


def mixed_precision(model: torch.nn.Module | None = None) -> str | None:
    """Return the precision in which a model trains fastest where it lies: ``bf16`` where that is native, ``fp16`` on older GPUs.

    None on a CPU: all in fp32. Weights and optimizer stay in fp32 everywhere; see :func:`fmcourse.training.fit`. Without a
    model it is that of :func:`device`.
    """
    place = device() if model is None else next(model.parameters()).device.type
    if place == "cpu":
        return None
    return "bf16" if native_bf16() else "fp16"


def placed(model: torch.nn.Module) -> torch.nn.Module:
    """Move a model to the device and return it; one that the GPU cannot take stays on the CPU, with a sentence."""
    try:
        return model.to(device())
    except RuntimeError as error:  # torch's, for a GPU that is full, lost, or of another kind than torch was built for
        if device() == "cpu":
            raise
        print(
            f"The GPU cannot take this model ({first_line(error)}); going on with it on the CPU, where it takes longer."
        )
        return model.to("cpu")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its kind where there is none.

    >>> first_line(ValueError("too large\\nby far")), first_line(KeyError())
    ('too large', 'KeyError')
    """
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def in_colab() -> bool:
    """Return whether this is a notebook in Google Colab."""
    return "google.colab" in sys.modules


def work_folder(on_drive: bool = False) -> Path:
    """Return a folder for what you make, such as checkpoints: the state folder, or one on your Google Drive.

    Args:
        on_drive: whether to mount Drive and keep the work there, so that it outlives the machine. Where there is no Drive, or
            it is not given, a sentence says so, and the work stays in the state folder.
    """
    if not on_drive:
        return state_folder()
    try:
        from google.colab import drive

        drive.mount(str(DRIVE))
        folder = DRIVE / "MyDrive" / "fmcourse"
        folder.mkdir(parents=True, exist_ok=True)
    except ImportError:
        print(f"Drive can be mounted in Google Colab only; your work is kept in {state_folder()}.")
    except (
        Exception
    ) as error:  # access that was not given, or a Drive that is full, can fail in any way
        problem = first_line(error)
        print(
            f"Drive could not be mounted ({problem}); your work is kept in {state_folder()}, which goes with this machine."
        )
    else:
        return folder
    return state_folder()


def cache_folder() -> Path:
    """Return the folder for what can be made again and takes a while, in the home."""
    folder = Path.home() / ".cache" / "fmcourse"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def state_folder() -> Path:
    """Return the folder that keeps predictions and evidence between sessions: ``FMCOURSE_STATE`` or one in the home."""
    folder = Path(os.environ.get("FMCOURSE_STATE") or cache_folder() / "state")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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


def _memory_gib() -> float:
    import psutil

    return psutil.virtual_memory().total / GIB
