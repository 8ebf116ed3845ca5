"""Is everything in order here? A doctor that names what is wrong and how to mend it, in plain words.

Notebook 00 introduces :func:`doctor`. It looks for what has broken notebook courses before, by their public issue threads: a
newer Python or renamed interfaces, packages pinned or built against each other, data or services that are gone, too
little memory, widget state that pages refuse to show, and work that is lost with the machine.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fmcourse import bundle, environment
from fmcourse.environment import DRIVE, GIB, GPU_ADVICE, TINY

__all__ = ["Finding", "doctor"]

PYTHONS = ((3, 11), (3, 13))  # oldest and newest that the course is tested on
TESTED = {
    "transformers": 5,
    "datasets": 5,
    "numpy": 2,
    "pandas": 3,
    "torch": 2,
    "ipywidgets": 8,
}  # newest major versions
DISK_GIB = 1.0  # room for checkpoints and caches
COMPILED = ("numpy", "scipy", "pandas", "pyarrow", "torch")
HUB_SECONDS = 5.0  # the longest wait for the hub to answer
NOTEBOOKS = (
    Path(__file__).resolve().parent.parent / "notebooks"
)  # there in a clone, not where pip installed the course


@dataclass(frozen=True)
class Finding:
    """One thing that :func:`doctor` found wrong: what it is, and how to mend it."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy}."


def doctor() -> list[Finding]:
    """Return what is wrong with this environment, each with its remedy in plain words; an empty list is good news."""
    packages = (_python, _packages, _interfaces, _stale_imports, _broken_imports)
    checks = (*packages, _bundle, _hub, _memory, _disk, _state, _profile, _notebooks, _keeping)
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
        yield Finding(
            "fmcourse is not installed in this environment",
            "From a clone: pip install --editable .",
        )
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


def _interfaces() -> Iterator[Finding]:
    """Find packages whose next major version came after the course: interfaces are renamed there."""
    for name, major in TESTED.items():
        version = _installed(name)
        if version and int(version.split(".")[0]) > major:
            yield Finding(
                f"{name} is {version}; the course is tested up to {major}, and a major version renames things",
                f'If a cell fails on a name that is gone, restart the kernel after: pip install "{name}<{major + 1}"',
            )


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
    except (
        OSError,
        ValueError,
        KeyError,
    ) as error:  # a manifest that is missing, cut off or of another form
        yield Finding(f"The bundled data cannot be read ({error})", bundle.REMEDY.capitalize())
        return
    if broken:
        yield Finding(
            f"{len(broken)} bundled files are missing or altered, the first is {broken[0]}",
            bundle.REMEDY.capitalize(),
        )


def _hub() -> Iterator[Finding]:
    """Ask whether the hub answers; the tiny profile never needs it."""
    if _chosen() is TINY:
        return
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception as error:  # the HTTP library differs between versions, and with it the errors
        yield Finding(
            f"The Hugging Face hub does not answer ({type(error).__name__})",
            "Go on if you like: what it does not give, bundled models replace; or check the connection and try again",
        )


def _chosen() -> environment.Profile:
    """Return the profile, tiny for a name that is none: that is another finding."""
    try:
        return environment.profile()
    except ValueError:
        return TINY


def _memory() -> Iterator[Finding]:
    if _installed("psutil") is None:
        return  # that is another finding
    import psutil

    free, needed = psutil.virtual_memory().available / GIB, _chosen().memory_gib
    if free < needed:
        yield Finding(
            f"Only {free:.1f} GiB of memory are free; a notebook may need {needed:g}",
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
        with tempfile.TemporaryFile(dir=environment.state_folder()):
            return
    except OSError as error:
        yield Finding(
            f"Predictions and evidence cannot be kept ({error})",
            "Set FMCOURSE_STATE to a folder that you can write to",
        )


def _profile() -> Iterator[Finding]:
    try:
        wanted = environment.profile()
    except ValueError as error:
        yield Finding(str(error), "Set FMCOURSE_PROFILE to tiny or full, or unset it")
        return
    if wanted is not TINY and environment.device() == "cpu":
        yield Finding(
            f"The full profile runs here without a GPU; a notebook may take {wanted.cpu_minutes} minutes",
            f"{GPU_ADVICE[0].upper()}{GPU_ADVICE[1:]}; elsewhere unset FMCOURSE_PROFILE",
        )


def _notebooks() -> Iterator[Finding]:
    """Find notebooks that hold the state of their widgets; an editor stores it, and GitHub then shows an error instead."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if "widgets" in json.loads(path.read_text(encoding="utf-8")).get("metadata", {}):
            yield Finding(
                f"The notebook {path.name} holds widget state, and GitHub refuses to show such a page",
                "From the clone: python -m tools.notebooks --fix",
            )


def _keeping() -> Iterator[Finding]:
    """Find work of the full profile that a disconnect would lose; the tiny profile's is done again in two minutes."""
    on_drive = os.environ.get("FMCOURSE_STATE", "").startswith(str(DRIVE))
    if environment.in_colab() and _chosen() is not TINY and not on_drive:
        yield Finding(
            "Colab takes this machine back after a while, with all that it holds",
            f"Mount Drive, set FMCOURSE_STATE to a folder under {DRIVE}, and give checkpoint= a file there when you train",
        )


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
