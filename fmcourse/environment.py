"""Where does this notebook run, and is everything in order? Profile, device, seeds, and a doctor.

Every notebook calls :func:`setup` in its second cell; notebook 00 introduces :func:`doctor`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fmcourse import bundle
from fmcourse.arguments import choose, require

__all__ = [
    "PROFILES",
    "Environment",
    "Finding",
    "Profile",
    "cache_folder",
    "caught",
    "device",
    "doctor",
    "native_bf16",
    "profile",
    "setup",
    "state_folder",
]

PYTHONS = ((3, 11), (3, 13))  # oldest and newest that the course is tested on
MEMORY_GIB = 3.0  # the largest peak of a notebook in the tiny profile, rounded up
DISK_GIB = 1.0  # room for checkpoints and caches
SHOWN_PACKAGES = ("torch", "transformers", "datasets", "numpy")
COMPILED = ("numpy", "scipy", "pandas", "pyarrow", "torch")
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
    """

    name: str
    gpt_neo: str
    judge: str
    clip: str
    clip_lr: float
    new_tokens: int


PROFILES = {
    "tiny": Profile("tiny", "ladder-medium", "ladder-large", "emoji-clip", 1e-4, 60),
    "full": Profile("full", "EleutherAI/gpt-neo-125m", "EleutherAI/gpt-neo-1.3B", "openai/clip-vit-base-patch32", 1e-5, 120),
}


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
        return (
            f"profile {self.profile.name} on {self.device}, seed {self.seed}\n"
            f"Python {self.python}, {versions}\n"
            f"{place}, {self.cores} cores, {self.memory_gib:.0f} GiB of memory"
        )


@dataclass(frozen=True)
class Finding:
    """One thing that :func:`doctor` found wrong: what it is, and how to mend it."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}."


def setup(seed: int = 0) -> Environment:
    """Seed Python, NumPy and torch, silence the libraries' progress bars, and return what was found.

    The tiny profile also computes on one thread.

    Args:
        seed: a whole number from 0 to 2**32 - 1.

    Returns:
        A new :class:`Environment`; printing it gives three lines.

    Raises:
        ValueError: a seed out of range, or an unknown profile in ``FMCOURSE_PROFILE``.
    """
    require(isinstance(seed, int) and 0 <= seed < 2**32, "seed", "a whole number from 0 to 2**32 - 1", seed)
    import datasets
    import numpy
    import torch
    import transformers

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    datasets.disable_progress_bars()
    if profile().name == "tiny":
        torch.set_num_threads(1)  # small models lose by a second thread, and sums keep one order on every machine
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return Environment(
        profile=profile(),
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


def doctor() -> list[Finding]:
    """Return what is wrong with this environment, each with its remedy in plain words; an empty list is good news."""
    checks = (_python, _packages, _stale_imports, _broken_imports, _bundle, _memory, _disk, _state, _profile)
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        low, high = (".".join(map(str, version)) for version in PYTHONS)
        yield Finding(
            f"This is Python {platform.python_version()}; the course is tested on {low} to {high}",
            f"Make an environment with one of these, for example: make PYTHON=python{high} course",
        )


def _packages() -> Iterator[Finding]:
    """Compare what is installed with the floors in the package's own metadata."""
    if _installed("fmcourse") is None:
        yield Finding("fmcourse is not installed in this environment", "From a clone: pip install --editable .")
        return
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        yield _missing("packaging", "packaging")
        return
    for requirement in map(Requirement, importlib.metadata.requires("fmcourse") or []):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _installed(requirement.name)
        if version is None:
            yield _missing(requirement.name, f"{requirement.name}{requirement.specifier}")
        elif not requirement.specifier.contains(version, prereleases=True):
            yield Finding(
                f"{requirement.name} is {version}, but the course needs {requirement.specifier}",
                f'Upgrade it and restart the kernel: pip install "{requirement}"',
            )


def _missing(name: str, wanted: str) -> Finding:
    return Finding(f"The package {name} is missing", f'Install it: pip install "{wanted}"')


def _stale_imports() -> Iterator[Finding]:
    """Find packages that were reinstalled after this kernel had loaded them."""
    for name in ("numpy", "torch", "transformers", "datasets"):
        loaded = getattr(sys.modules.get(name), "__version__", None)
        installed = _installed(name)
        if loaded and installed and loaded.split("+")[0] != installed.split("+")[0]:
            yield Finding(
                f"{name} {loaded} is loaded, but {installed} is installed by now",
                "Restart the kernel (in Colab: Runtime, Restart session), then run the cells from the top",
            )


def _broken_imports() -> Iterator[Finding]:
    for name in COMPILED:
        if _installed(name) is None:
            continue  # that is another finding
        try:
            importlib.import_module(name)
        except Exception as error:  # a compiled package can fail with any kind of error
            yield Finding(
                f"The package {name} does not load ({type(error).__name__}: {error})",
                "It was probably built for another NumPy: reinstall both in a fresh environment",
            )


def _bundle() -> Iterator[Finding]:
    try:
        broken = bundle.damaged()
    except (OSError, ValueError, KeyError) as error:  # a manifest that is missing, cut off or of another form
        yield Finding(f"The bundled data cannot be read ({error})", bundle.REMEDY.capitalize())
        return
    if broken:
        yield Finding(
            f"{len(broken)} bundled files are missing or altered, the first is {broken[0]}",
            bundle.REMEDY.capitalize(),
        )


def _memory() -> Iterator[Finding]:
    if _installed("psutil") is None:
        return  # that is another finding
    free = _memory_gib(available=True)
    if free < MEMORY_GIB:
        yield Finding(
            f"Only {free:.1f} GiB of memory are free; a notebook may need {MEMORY_GIB:.0f}",
            "Close other notebooks and programs, or shut down their kernels",
        )


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(tempfile.gettempdir()).free / GIB
    if free < DISK_GIB:
        yield Finding(
            f"Only {free:.1f} GiB of disk are free in {tempfile.gettempdir()}",
            "Delete what you no longer need; checkpoints and caches want about one",
        )


def _state() -> Iterator[Finding]:
    try:
        with tempfile.TemporaryFile(dir=state_folder()):
            return
    except OSError as error:
        yield Finding(
            f"Predictions and evidence cannot be kept ({error})",
            "Set FMCOURSE_STATE to a folder that you can write to",
        )


def _profile() -> Iterator[Finding]:
    try:
        wanted = profile()
    except ValueError as error:
        yield Finding(str(error), "Set FMCOURSE_PROFILE to tiny or full, or unset it")
        return
    if wanted.name == "full" and device() == "cpu":
        yield Finding(
            "The full profile runs here without a GPU, which takes many times longer",
            "In Colab choose Runtime, Change runtime type, T4 GPU; elsewhere unset FMCOURSE_PROFILE",
        )


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _memory_gib(available: bool = False) -> float:
    import psutil

    memory = psutil.virtual_memory()
    return (memory.available if available else memory.total) / GIB
