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

from fmcourse.arguments import choose, require

__all__ = [
    "PROFILES",
    "Environment",
    "Profile",
    "cache_folder",
    "caught",
    "device",
    "native_bf16",
    "profile",
    "setup",
    "state_folder",
]

SHOWN_PACKAGES = ("torch", "transformers", "datasets", "numpy")
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
        new_tokens: length of each continuation, in tokens.
        prompts: how many addresses are continued.
        judged: how many of them the judge reads in excerpts.
        memory_gib: the largest peak of a notebook, with the notebook's own share, in GiB.
        cpu_minutes: what the longest notebook takes without a GPU. For the full profile estimated from the number of
            operations and 50 billion of them a second, not measured.
    """

    name: str
    gpt_neo: str
    judge: str
    clip: str
    clip_lr: float
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
    new_tokens=60,
    prompts=13,
    judged=2,
    memory_gib=7.5,
    cpu_minutes=40,
)
PROFILES = {"tiny": TINY, "full": FULL}


@dataclass(frozen=True)
class Environment:
    """What :func:`setup` found: the profile, the device, the seed and the versions that matter."""

    profile: Profile
    device: str
    seed: int
    python: str
    packages: dict[str, str]
    cores: int
    memory_gib: float
    in_colab: bool

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        place = "Google Colab" if self.in_colab else platform.system()
        lines = [
            f"profile {self.profile.name} on {self.device}, seed {self.seed}",
            f"Python {self.python}, {versions}",
            f"{place}, {self.cores} cores, {self.memory_gib:.0f} GiB of memory",
        ]
        if self.profile is FULL and self.device == "cpu":
            lines += [f"No GPU: a notebook may take {FULL.cpu_minutes} minutes; {GPU_ADVICE}, or choose the tiny profile"]
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
    require(isinstance(seed, int) and 0 <= seed < 2**32, "seed", "a whole number from 0 to 2**32 - 1", seed)
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
        torch.set_num_threads(1)  # small models lose by a second thread, and sums keep one order on every machine
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
        in_colab="google.colab" in sys.modules,
    )


def profile() -> Profile:
    """Return the profile that ``FMCOURSE_PROFILE`` names, or ``tiny``.

    >>> profile().name
    'tiny'
    """
    return _profile()


def _profile() -> Profile:
    return PROFILES[choose("FMCOURSE_PROFILE", os.environ.get("FMCOURSE_PROFILE") or "tiny", PROFILES)]


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
