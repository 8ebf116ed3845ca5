"""Builds an environment as students find it, installs the course, and runs the notebooks there.

    python -m tools.environments colab        Google Colab's packages, in exactly its versions
    python -m tools.environments older        transformers 4.57 on Python 3.11
    python -m tools.environments newest       the newest of everything
    python -m tools.environments colab 04     one notebook only

Each list beside this file names a Python and packages. The notebooks' own first cell installs the
course, from an archive of the last commit, in a kernel that looks like Colab's. What was installed
before must keep its version. Packages, that cell and Google Drive are simulated; Colab's machine,
its GPU and its page are not.
"""

import argparse
import datetime
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tools import ROOT, course
from tools.form import read, tags, write
from tools.retarget import read_target

LISTS = Path(__file__).resolve().parent
SHOWN = ("torch", "transformers", "datasets", "numpy", "matplotlib", "ipython", "ipywidgets")
# At most so many seconds may the first cell take.
SETUP_SECONDS = 60


def build(name: str, folder: Path, interpreter: str | None = None) -> Path:
    """Make the virtual environment of a list in `folder`, anew, and return its Python.

    Args:
        name: ``colab``, ``older`` or ``newest``.
        folder: where it goes; what is there is removed.
        interpreter: the Python to make it with; None looks for the list's on the path.

    Raises:
        ValueError: no such Python; the message says which one is missing.
        CalledProcessError: pip cannot install the list.
    """
    packages = LISTS / f"{name}.txt"
    first = packages.read_text(encoding="utf-8").partition("\n")[0]
    wanted = interpreter or first.removeprefix("# ").replace(" ", "")
    if shutil.which(wanted) is None:
        raise ValueError(f"expected {wanted} on the path, got none; name a Python with --python")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([wanted, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(packages)], check=True)
    return python


def _apart() -> dict[str, str]:
    """Return this process's variables without those that a student's kernel does not have."""
    ours = ("PYTHONPATH", "OMP_NUM_THREADS")
    return {name: value for name, value in os.environ.items() if name not in ours}


def freeze(python: Path) -> list[str]:
    """Return what is installed beside a Python, such as ``numpy==2.1.3``."""
    command = [str(python), "-m", "pip", "freeze"]
    return subprocess.check_output(command, env=_apart(), text=True).splitlines()


def prepare(paths: Iterable[Path], archive: Path, folder: Path) -> list[Path]:
    """Copy notebooks to `folder`, their set-up cell installing from `archive`.

    Raises:
        ValueError: a notebook's set-up cell does not name the archive of the repository.
    """
    address = read_target().archive
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for path in paths:
        notebook = read(path)
        cells = [cell for cell in notebook.cells if "setup" in tags(cell)]
        if len(cells) != 1 or address not in cells[0].source:
            raise ValueError(f"{path.name}: expected one set-up cell that installs {address}")
        cells[0].source = cells[0].source.replace(address, archive.resolve().as_uri())
        copies.append(folder / path.name)
        write(notebook, copies[-1])
    return copies


def archive_of(root: Path, file: Path) -> None:
    """Write the last commit as an archive, as a hosting service serves it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    command = ["git", "-C", str(root), "archive", "--format=zip", "--prefix=fmcourse/", "HEAD"]
    subprocess.run([*command, "-o", str(file)], check=True)


def pretend_colab(folder: Path) -> None:
    """Let every Python of an environment find Colab's package, with a stand-in for its Drive."""
    (packages,) = folder.glob("lib/python3*/site-packages")
    package = packages / "google" / "colab"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    shutil.copy(LISTS / "colab_drive.py", package / "drive.py")
    # A line of a .pth file runs when Python starts.
    (packages / "colab.pth").write_text("import google.colab\n", encoding="utf-8")


def simulate(python: Path, notebooks: list[Path], state: Path) -> tuple[list[str], list[str]]:
    """Run prepared notebooks in an environment, the first of which installs the course there.

    Returns:
        Lines on versions and seconds, and a line for each thing that is wrong.
    """
    before = freeze(python)
    env = _apart() | {"FMCOURSE_STATE": str(state), "FMCOURSE_PREDICTIONS": "skip"}
    env["PATH"] = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    # When each cell started: the second tells how long the set-up took.
    starts = []
    lines, faults = [], []
    for path in notebooks:
        began = time.monotonic()
        try:
            course.run(path, env, lambda number: starts.append(time.monotonic()), python)
        except course.CellFailure as error:
            faults.append("failed: " + " ".join(str(error).split()))
        lines.append(f"{path.stem} {time.monotonic() - began:.0f} s")
    setup = starts[1] - starts[0]
    if setup > SETUP_SECONDS:
        faults.append(f"the set-up took more than {SETUP_SECONDS} s")
    after = freeze(python)
    faults += [f"replaced: {package}" for package in before if package not in after]
    if not any(package.startswith("fmcourse ") for package in after):
        faults.append("the course is not in the environment")
    shown = [package for package in after if package.partition("==")[0] in SHOWN]
    return [", ".join(shown), f"set-up {setup:.0f} s", *lines], faults


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Build, run and report; return 1 unless the environment passed."""
    names = sorted(path.stem for path in LISTS.glob("*.txt"))
    parser = argparse.ArgumentParser(prog="python -m tools.environments", description=__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument("notebooks", nargs="*", help="beginnings of names, such as 04")
    parser.add_argument("--python", help="the Python to make it with (default: the list's)")
    chosen = parser.parse_args(arguments)
    folder = root / "build" / "environments" / chosen.name
    archive = folder / "fmcourse.zip"
    try:
        paths = course.choose(chosen.notebooks, root / "notebooks")
        python = build(chosen.name, folder / "venv", chosen.python)
        archive_of(root, archive)
        copies = prepare(paths, archive, folder / "notebooks")
        pretend_colab(folder / "venv")
    except (ValueError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    lines, faults = simulate(python, copies, folder / "state")
    print(f"{chosen.name}, simulated on {datetime.date.today()}")
    print(*lines, *faults, "not passed" if faults else "passed", sep="\n")
    return 1 if faults else 0
