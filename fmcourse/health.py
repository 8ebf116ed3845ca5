"""The doctor of notebook 00: it names what is wrong with an environment and how to repair it.

It looks for what has broken notebook courses before, by their public issue threads: a newer Python
or renamed interfaces, packages pinned or built against each other, data or services that are gone,
places that cannot be written, damaged notebooks, and work that is lost with the machine.
"""

import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PYTHONS = ((3, 11), (3, 13))  # oldest and newest that the course is tested on
TESTED = {  # newest major versions
    "transformers": 5,
    "datasets": 5,
    "numpy": 2,
    "pandas": 3,
    "torch": 2,
    "ipywidgets": 8,
}
DISK_GIB = 1.0  # room for checkpoints and caches
COMPILED = ("numpy", "scipy", "pandas", "pyarrow", "torch")
HUB_SECONDS = 5.0  # the longest wait for the hub to answer
PRINTED = "é≥猫"  # the course prints signs like these
# There in a clone, not where pip installed the course.
NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"

data: Any = None
runtime: Any = None
try:
    import huggingface_hub
    import psutil
    from packaging.requirements import Requirement

    from fmcourse import data, runtime
except Exception as error:  # a package is missing or does not load: a finding
    UNLOADED = f"{type(error).__name__}: {error}"


@dataclass(frozen=True)
class Finding:
    """One thing that :func:`doctor` found wrong: what it is, and how to repair it."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}. {self.remedy[0].upper()}{self.remedy[1:]}."


# What a check gives: problems with their remedies.
Troubles = Iterator[tuple[str, str]]


def doctor() -> list[Finding]:
    """Return what is wrong with this environment, each with its remedy; none: it is in order.

    A check that fails itself is a finding too, so that this function never raises.
    """
    checks = [_python, _packages, _interfaces, _stale_imports, _broken_imports, _notebooks]
    if runtime is None:
        checks.append(_unloaded)
    else:
        checks += [_bundle, _hub, _memory, _places, _profile, _kept, _keeping, _encoding, _kernel]
    return [finding for check in checks for finding in _run(check)]


def _run(check: Callable[[], Troubles]) -> Iterator[Finding]:
    try:
        for problem, remedy in check():
            yield Finding(problem, remedy)
    except Exception as error:
        name = check.__name__.strip("_").replace("_", " ")
        yield Finding(
            f"The check of {name} stopped ({type(error).__name__}: {error})",
            "Go on if all else works, and tell the course's maintainers of this line",
        )


def _python() -> Troubles:
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        low, high = (".".join(map(str, version)) for version in PYTHONS)
        yield (
            f"This is Python {platform.python_version()}; the course is tested on {low} to {high}",
            f"Make an environment with one of these, for example: make PYTHON=python{high} course",
        )


def _packages() -> Troubles:
    """Compare what is installed with the floors in the package's own metadata."""
    if _installed("fmcourse") is None:
        yield (
            f"fmcourse is not installed in the environment of this kernel, {sys.executable}",
            "Choose the kernel of the course's .venv, or run in a clone: pip install --editable .",
        )
        return
    for requirement in map(Requirement, importlib.metadata.requires("fmcourse") or []):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _installed(requirement.name)
        if version is None:
            yield (
                f"The package {requirement.name} is missing",
                f'Install it and restart the kernel: pip install "{requirement}"',
            )
        elif not requirement.specifier.contains(version, prereleases=True):
            yield (
                f"{requirement.name} is {version}, but the course needs {requirement.specifier}",
                f'Upgrade it and restart the kernel: pip install "{requirement}"',
            )


def _interfaces() -> Troubles:
    """Find packages whose next major version came after the course and may rename interfaces."""
    for name, major in TESTED.items():
        version = _installed(name)
        if version and int(version.split(".")[0]) > major:
            yield (
                f"{name} is {version}; the course is tested up to {major}",
                "If a cell fails on a name that is gone, restart the kernel after: "
                f'pip install "{name}<{major + 1}"',
            )


def _stale_imports() -> Troubles:
    """Find packages that were reinstalled after this kernel had loaded them."""
    for name in ("numpy", "torch", "transformers", "datasets"):
        loaded = getattr(sys.modules.get(name), "__version__", None)
        installed = _installed(name)
        if loaded and installed and loaded.split("+")[0] != installed.split("+")[0]:
            yield (
                f"{name} {loaded} is loaded, but {installed} is installed by now",
                "Restart the kernel (in Colab: Runtime, Restart session), then run the cells "
                "from the top",
            )


def _broken_imports() -> Troubles:
    for name in filter(_installed, COMPILED):
        try:
            importlib.import_module(name)
        except Exception as error:  # a compiled package can fail with any kind of error
            yield (
                f"The package {name} does not load ({type(error).__name__}: {error})",
                "It was probably built for a different NumPy: reinstall both in a new environment",
            )


def _unloaded() -> Troubles:
    yield (
        f"The course does not load here ({UNLOADED})",
        "Repair the packages first, restart the kernel, and ask the doctor again",
    )


def _bundle() -> Troubles:
    try:
        broken = data.damaged()
    except (OSError, ValueError, KeyError) as error:
        yield (f"The list of bundled data cannot be read ({error})", data.REMEDY)
        return
    if broken:
        what = "missing or altered"
        if all(map(data.line_endings_changed, broken)):
            what = "altered by git, which changed their line endings"
        yield (
            f"{len(broken)} bundled files are {what}, the first is {broken[0]}",
            data.REMEDY,
        )


def _hub() -> Troubles:
    """Ask whether the hub answers; the tiny profile never needs it."""
    if _chosen() is runtime.TINY:
        return
    try:
        session = huggingface_hub.utils.get_session()
        session.head(huggingface_hub.constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception as error:  # the HTTP library differs between versions, and with it the errors
        yield (
            f"The Hugging Face hub does not answer ({type(error).__name__})",
            "Go on if you like: what it does not give, bundled models replace; or check the "
            "connection and try again",
        )


def _chosen() -> Any:
    """Return the profile, tiny for a name that is none: that is a finding of its own."""
    try:
        return runtime.profile()
    except ValueError:
        return runtime.TINY


def _memory() -> Troubles:
    free = psutil.virtual_memory().available / runtime.GIB
    needed = _chosen().memory_gib
    if free < needed:
        yield (
            f"Only {free:.1f} GiB of memory are free; a notebook may need {needed:g}",
            "Close other notebooks and programs, or shut down their kernels",
        )


def _places() -> Troubles:
    """Find folders that cannot be written to, or lie on a full disk."""
    folders = {
        "FMCOURSE_STATE": ("Predictions, evidence and models", runtime.own_state_folder),
        "XDG_CACHE_HOME": ("Unpacked models", runtime.own_cache_folder),
        "HF_HOME": ("Models of the hub", lambda: Path(huggingface_hub.constants.HF_HUB_CACHE)),
        "TMPDIR": ("Temporary files", lambda: Path(tempfile.gettempdir())),
    }
    for variable, (what, find) in folders.items():
        try:
            folder = find()
            there = next(place for place in (folder, *folder.parents) if place.exists())
            # A full disk lets a file be made, but not written.
            with tempfile.TemporaryFile(dir=there, buffering=0) as file:
                file.write(b"kept")
            free = shutil.disk_usage(there).free / runtime.GIB
        except (OSError, ValueError) as error:
            yield (
                f"{what} cannot be kept ({error})",
                f"Set {variable} to a folder that you can write to, and restart the kernel",
            )
            continue
        if free < DISK_GIB:
            yield (
                f"Only {free:.1f} GiB of disk are free in {folder}",
                f"Delete what you no longer need, or set {variable} to a folder elsewhere",
            )


def _profile() -> Troubles:
    try:
        wanted = runtime.profile()
    except ValueError as error:
        yield (str(error), "Set FMCOURSE_PROFILE to tiny or full, or unset it")
        return
    if wanted is runtime.FULL and runtime.device() == "cpu":
        yield (
            "The full profile runs here without a GPU; "
            f"a notebook may take {wanted.cpu_minutes} minutes",
            f"{runtime.GPU_ADVICE}; elsewhere unset FMCOURSE_PROFILE",
        )


def _notebooks() -> Troubles:
    """Find damaged notebooks, and those that hold their widgets' state, which GitHub refuses."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            metadata, _ = content["metadata"], content["cells"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            yield (
                f"The notebook {path.name} is damaged ({type(error).__name__}: {error}): it is "
                "empty or cut off, holds git's conflict marks, or was saved by a text editor",
                "Copy out what you wrote in it, then take the published one: "
                f"git checkout HEAD -- notebooks/{path.name}",
            )
            continue
        if "widgets" in metadata:
            yield (
                f"The notebook {path.name} holds widget state, and GitHub refuses to show it",
                "From the clone: python -m tools.notebooks --fix",
            )


def _kept() -> Troubles:
    """Find predictions, exercises and evidence that were kept here and cannot be read."""
    for path in sorted(runtime.state_folder().rglob("*.json")):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            yield (
                f"The file {path} is empty or damaged",
                "Go on: the course sets it aside and begins a new one",
            )


def _keeping() -> Troubles:
    """Find long work, that of the full profile, which a disconnect would lose."""
    if not runtime.in_colab() or _chosen() is runtime.TINY:
        return
    if not runtime.state_folder().is_relative_to(runtime.DRIVE):
        yield (
            "Colab takes this machine back after a while, with all that it holds",
            f"Mount Drive, set FMCOURSE_STATE to a folder under {runtime.DRIVE}, and give "
            "checkpoint= a file there when you train",
        )


def _encoding() -> Troubles:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        PRINTED.encode(encoding)
    except UnicodeEncodeError:
        yield (
            f"This console prints in {encoding}, which lacks signs that the course prints",
            "Set PYTHONUTF8=1 and start Python again, or use a notebook",
        )


def _kernel() -> Troubles:
    """Find a notebooks' kernel whose Python is gone."""
    try:
        from jupyter_client.kernelspec import get_kernel_spec  # noqa: PLC0415 (it is optional)

        program = get_kernel_spec("python3").argv[0]
    except (ImportError, RuntimeError):  # no Jupyter, or no home to look in
        return
    if os.path.isabs(program) and not os.path.exists(program):
        yield (
            f"The kernel of the notebooks starts {program}, which is not there",
            "Run in the course's environment: python -m ipykernel install --user",
        )


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
