"""Builds an environment as students find it, installs the course, and runs the notebooks there.

    python -m tools.environments colab        Google Colab's packages, in exactly its versions
    python -m tools.environments older        transformers 4.57 on Python 3.11
    python -m tools.environments newest       the newest of everything
    python -m tools.environments colab 04     one notebook only
    python -m tools.environments --save colab and keep the result for docs/environments.md

Each list beside this file names a Python and packages. The notebooks' own first cell installs the
course, from an archive of the last commit, in a kernel that looks like Colab's. What was installed
before must keep its version. Packages, that cell and Google Drive are simulated; Colab's machine,
its GPU and its page are not.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tools import ROOT, course
from tools.form import read, tags, write
from tools.retarget import Target, read_target
from tools.tables import renew

__all__ = ["LISTS", "Result", "build", "main", "prepare", "replaced", "simulate"]

LISTS = Path(__file__).resolve().parent
SHOWN = ("torch", "transformers", "datasets", "numpy", "matplotlib", "ipython", "ipywidgets")
# At most so many seconds may the first cell take.
SETUP_SECONDS = 60
VERSIONS = """import importlib.metadata, json
print(json.dumps({d.name.lower(): d.version for d in importlib.metadata.distributions()}))"""


@dataclass
class Result:
    """What one environment showed; as text it is the report that is printed and kept.

    Attributes:
        name: the list's name.
        versions: those of Python and of some packages, as the notebooks found them.
        setup_seconds: what the first set-up cell took, pip included.
        replaced: packages that the installation changed or removed, with both versions.
        failures: one sentence for each notebook that failed, with the cell and the error.
        seconds: notebook to wall-clock seconds.
    """

    name: str
    versions: dict[str, str] = field(default_factory=dict)
    setup_seconds: float = 0.0
    replaced: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing was replaced, every notebook ran through, and the set-up was quick."""
        quick = self.setup_seconds <= SETUP_SECONDS
        return quick and not self.replaced and not self.failures and bool(self.seconds)

    def __str__(self) -> str:
        lines = [f"{self.name}, simulated on {datetime.date.today()}"]
        lines.append(", ".join(f"{name} {version}" for name, version in self.versions.items()))
        lines.append(f"set-up {self.setup_seconds:.0f} s")
        lines += [f"{name} {seconds:.0f} s" for name, seconds in self.seconds.items()]
        lines += [f"replaced: {change}" for change in self.replaced]
        lines += [f"failed: {words}" for words in self.failures]
        return "\n".join([*lines, "passed" if self.passed else "not passed"])


def wanted(name: str) -> tuple[str, Path]:
    """Return the Python that a list asks for, such as 3.13, and the list.

    Raises:
        ValueError: there is no such list; the message names those there are.
    """
    path = LISTS / f"{name}.txt"
    if not path.exists():
        there = ", ".join(sorted(other.stem for other in LISTS.glob("*.txt")))
        raise ValueError(f"name: expected one of {there}, got {name!r}")
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# python "), path


def build(name: str, folder: Path, interpreter: str | None = None) -> Path:
    """Make the virtual environment of a list in `folder`, anew, and return its Python.

    Args:
        name: ``colab``, ``older`` or ``newest``.
        folder: where it goes; what is there is removed.
        interpreter: the Python to make it with; None looks for the list's on the path.

    Raises:
        ValueError: no such list, or no such Python; the message says which one is missing.
        CalledProcessError: pip cannot install the list.
    """
    version, packages = wanted(name)
    found = shutil.which(interpreter or f"python{version}")
    if (
        found is None
        or _says(found, "import sys; print('%d.%d' % sys.version_info[:2])") != version
    ):
        here = found or "none on the path"
        raise ValueError(f"python: expected a Python {version}, got {here}; name one with --python")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([found, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(packages)], check=True)
    return python


def _says(python: str | Path, program: str) -> str:
    """Return what a short program prints in another Python that sees nothing of this repository."""
    done = subprocess.run(
        [python, "-c", program],
        env=_apart(),
        cwd=Path(python).parent,
        capture_output=True,
        text=True,
        # What is not there says nothing.
        check=False,
    )
    return done.stdout.strip()


def _apart() -> dict[str, str]:
    """Return this process's variables without those that a student's kernel does not have."""
    ours = ("PYTHONPATH", "OMP_NUM_THREADS")
    return {name: value for name, value in os.environ.items() if name not in ours}


def versions(python: Path) -> dict[str, str]:
    """Return what is installed beside a Python: name to version."""
    return json.loads(_says(python, VERSIONS))


def replaced(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the packages that changed or are gone, with both versions; what is new is none.

    >>> replaced({"numpy": "2.1.3", "six": "1"}, {"numpy": "2.4.6", "six": "1", "new": "1"})
    ['numpy 2.1.3 -> 2.4.6']
    """
    changes = []
    for name, version in before.items():
        now = after.get(name, "nothing")
        if now != version:
            changes.append(f"{name} {version} -> {now}")
    return changes


def prepare(
    paths: Iterable[Path], archive: Path, folder: Path, target: Target | None = None
) -> list[Path]:
    """Copy notebooks to `folder`, their set-up cell installing from `archive`.

    Raises:
        ValueError: a notebook's set-up cell does not name the archive of the repository.
    """
    address = (target or read_target()).archive
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for path in paths:
        notebook = read(path)
        cells = [
            cell for cell in notebook.cells if "setup" in tags(cell) and address in cell.source
        ]
        if len(cells) != 1:
            raise ValueError(f"{path.name}: expected one set-up cell that installs {address}")
        cells[0].source = cells[0].source.replace(address, archive.resolve().as_uri())
        copies.append(folder / path.name)
        write(notebook, copies[-1])
    return copies


def archive_of(root: Path, file: Path) -> Path:
    """Write the last commit as an archive, as a hosting service serves it, and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    command = ["git", "-C", str(root), "archive", "--format=zip", "--prefix=fmcourse/", "HEAD"]
    subprocess.run([*command, "-o", str(file)], check=True)
    return file


def pretend_colab(python: Path) -> None:
    """Let every Python of an environment find Colab's package, with a stand-in for its Drive."""
    packages = Path(_says(python, "import sysconfig; print(sysconfig.get_paths()['purelib'])"))
    package = packages / "google" / "colab"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    shutil.copy(LISTS / "colab_drive.py", package / "drive.py")
    # A line of a .pth file runs when Python starts.
    (packages / "colab.pth").write_text("import google.colab\n", encoding="utf-8")


def simulate(name: str, python: Path, notebooks: list[Path], folder: Path) -> Result:
    """Run prepared notebooks in an environment, the first of which installs the course there."""
    pretend_colab(python)
    before = versions(python)
    result = Result(name)
    env = _apart() | {
        "FMCOURSE_STATE": str(folder / "state"),
        "FMCOURSE_PREDICTIONS": "skip",
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    for path in notebooks:
        started = time.monotonic()
        # When each cell started: the second tells how long the set-up took.
        cells: list[float] = []
        failure = _run(path, env, cells, python)
        if failure:
            result.failures.append(failure)
        result.seconds[path.stem] = time.monotonic() - started
        if not result.setup_seconds and len(cells) > 1:
            result.setup_seconds = cells[1] - cells[0]
    after = versions(python)
    result.replaced = replaced(before, after)
    result.versions = {"Python": _says(python, "import platform; print(platform.python_version())")}
    result.versions |= {name: after[name] for name in SHOWN if name in after}
    installed = _says(python, "import fmcourse; print(fmcourse.__file__)")
    if not installed.startswith(str(python.parent.parent)):
        result.failures.append(f"the course is not in the environment: {installed or 'nowhere'}")
    return result


def _run(path: Path, env: dict[str, str], cells: list[float], python: Path) -> str:
    """Run a notebook, append to `cells` when each cell started, and return what failed."""
    try:
        course.run(path, env, lambda number: cells.append(time.monotonic()), python)
    except course.CellFailure as error:
        return " ".join(str(error).split())
    return ""


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Build, run and report; return 1 unless the environment passed."""
    parser = argparse.ArgumentParser(prog="python -m tools.environments", description=__doc__)
    parser.add_argument("name", help="colab, older or newest")
    parser.add_argument("notebooks", nargs="*", help="beginnings of names, such as 04")
    parser.add_argument("--python", help="the Python to make it with (default: the list's)")
    parser.add_argument("--save", action="store_true", help="keep the result")
    chosen = parser.parse_args(arguments)
    folder = root / "build" / "environments" / chosen.name
    try:
        paths = course.choose(chosen.notebooks, root / "notebooks")
        python = build(chosen.name, folder / "venv", chosen.python)
        archive = archive_of(root, folder / "fmcourse.zip")
        copies = prepare(paths, archive, folder / "notebooks", read_target(root))
    except (ValueError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    result = simulate(chosen.name, python, copies, folder)
    print(result)
    if chosen.save:
        renew(root / "docs" / "environments.md", chosen.name, f"```\n{result}\n```")
    return 0 if result.passed else 1
