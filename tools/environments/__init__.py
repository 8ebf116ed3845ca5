"""Does the course run where students run it? One command builds such an environment, installs as they do, and runs all.

    python -m tools.environments colab     Google Colab's image, simulated: its packages in exactly its versions
    python -m tools.environments older     transformers 4.57 on Python 3.11
    python -m tools.environments newest    the newest of everything
    python -m tools.environments colab 04  one notebook only
    python -m tools.environments --save colab    and keep the result: the README's table comes from there

Each list beside this file names a Python and packages. The notebooks' own first cell installs the course, from an archive
of the last commit, in a kernel that takes itself for Colab's. Whatever was installed before must have kept its version.
What is simulated are packages and that cell; not Colab's machine, its GPU or its page.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tools import course
from tools.form import read, write
from tools.retarget import ROOT, Target, read_target
from tools.tables import markdown, with_table

__all__ = [
    "LISTS",
    "RESULTS",
    "Result",
    "build",
    "compatibility_table",
    "keep",
    "main",
    "prepare",
    "replaced",
    "simulate",
]

LISTS = Path(__file__).resolve().parent
RESULTS = LISTS / "results.json"
SHOWN = ("torch", "transformers", "datasets", "numpy", "matplotlib", "ipython", "ipywidgets")
COLUMNS = (
    "environment",
    "Python",
    *SHOWN,
    "notebooks run through",
    "packages replaced",
    "set-up",
    "on",
)
SETUP_SECONDS = 60  # the promise: so long may the first cell take
FREEZE = "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"
COLAB = "import google.colab\n"  # a .pth file's line: every kernel of the environment takes itself for Colab's


@dataclass
class Result:
    """What one environment showed; stored as JSON under ``build/environments``.

    Attributes:
        name: the list's name.
        date: the day of the run.
        python: the version of its Python.
        setup_seconds: what the first set-up cell took, pip included.
        replaced: packages that the course's installation changed or removed: name to versions before and after.
        failures: notebook to the sentence that names the cell and the error, for those that did not run through.
        seconds: notebook to wall-clock seconds.
        packages: the versions of some packages, as the notebooks found them.
    """

    name: str
    python: str = ""
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())
    setup_seconds: float = 0.0
    replaced: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing was replaced and every notebook ran through."""
        return not self.replaced and not self.failures and bool(self.seconds)

    def __str__(self) -> str:
        lines = [f"{self.name}: Python {self.python}, set-up {self.setup_seconds:.0f} s"]
        lines += [
            f"  replaced: {name} {before} -> {after or 'nothing'}"
            for name, (before, after) in self.replaced.items()
        ]
        lines += [
            f"  {name:<28} {seconds:6.0f} s {self.failures.get(name, '')}".rstrip()
            for name, seconds in self.seconds.items()
        ]
        slow = (
            f"  the set-up took more than {SETUP_SECONDS} s"
            if self.setup_seconds > SETUP_SECONDS
            else ""
        )
        return "\n".join(
            [*lines, *([slow] if slow else []), "  passed" if self.passed else "  failed"]
        )


def wanted(name: str) -> tuple[str, Path]:
    """Return the Python that a list asks for, such as 3.13, and the list.

    Raises:
        ValueError: there is no such list; the message names those there are.
    """
    path = LISTS / f"{name}.txt"
    if not path.exists():
        there = ", ".join(sorted(other.stem for other in LISTS.glob("*.txt")))
        raise ValueError(f"name: expected one of {there}, got {name!r}")
    return re.match(r"# python (\d\.\d+)\n", path.read_text(encoding="utf-8"))[1], path


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
    interpreter = shutil.which(interpreter or f"python{version}")
    if (
        interpreter is None
        or _says(interpreter, "import sys; print('%d.%d' % sys.version_info[:2])") != version
    ):
        raise ValueError(
            f"python: expected a Python {version}, got {interpreter or 'none on the path'}; name one with --python"
        )
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([interpreter, "-m", "venv", str(folder)], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", packages], check=True)
    return python


def _says(python: str | Path, program: str) -> str:
    """Return what a short program prints in another Python that sees nothing of this repository."""
    done = subprocess.run(
        [python, "-c", program],
        env=_apart(),
        cwd=Path(python).parent,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _apart(**added: str) -> dict[str, str]:
    """Return this process's environment variables without what would let the repository shadow an installed package."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | added


def versions(python: Path) -> dict[str, str]:
    """Return what is installed beside a Python: name to version."""
    return json.loads(_says(python, FREEZE))


def replaced(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str, str | None]]:
    """Return the packages that changed or are gone, with both versions; what is new is none.

    >>> replaced({"numpy": "2.1.3", "six": "1"}, {"numpy": "2.4.6", "six": "1", "fmcourse": "0.1.0"})
    {'numpy': ('2.1.3', '2.4.6')}
    """
    return {
        name: (version, after.get(name))
        for name, version in before.items()
        if after.get(name) != version
    }


def prepare(
    paths: Iterable[Path], archive: Path, folder: Path, target: Target | None = None
) -> list[Path]:
    """Copy notebooks to `folder`, their first cell installing from `archive` instead of from the repository's address.

    Raises:
        ValueError: a notebook's set-up cell does not name the archive of the repository.
    """
    address = (target or read_target()).archive
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for path in paths:
        notebook = read(path)
        cells = [
            cell
            for cell in notebook.cells
            if "setup" in cell.metadata.get("tags", []) and address in cell.source
        ]
        if len(cells) != 1:
            raise ValueError(
                f"{path.name}: expected one set-up cell that installs {address}, got {len(cells)}"
            )
        cells[0].source = cells[0].source.replace(address, archive.resolve().as_uri())
        copies.append(folder / path.name)
        write(notebook, copies[-1])
    return copies


def archive_of(root: Path, file: Path) -> Path:
    """Write the last commit as the archive that a hosting service would serve, and return its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "git",
        "-C",
        str(root),
        "archive",
        "--format=zip",
        "--prefix=fmcourse-main/",
        "-o",
        str(file),
        "HEAD",
    ]
    subprocess.run(command, check=True)
    return file


def pretend_colab(python: Path) -> None:
    """Let every Python of an environment believe that it runs in Colab."""
    packages = Path(_says(python, "import sysconfig; print(sysconfig.get_paths()['purelib'])"))
    (packages / "google" / "colab").mkdir(parents=True, exist_ok=True)
    (packages / "google" / "colab" / "__init__.py").touch()
    (packages / "colab.pth").write_text(COLAB, encoding="utf-8")


def simulate(name: str, python: Path, notebooks: list[Path], folder: Path) -> Result:
    """Run prepared notebooks in an environment, the first of which installs the course there.

    Returns:
        The result; it fails when a package was replaced, a cell failed, or the course that ran is not the installed one.
    """
    pretend_colab(python)
    before = versions(python)
    result = Result(name, _says(python, "import platform; print(platform.python_version())"))
    env = _apart(
        FMCOURSE_STATE=str(folder / "state"),
        OMP_NUM_THREADS="1",
        PATH=f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    )
    for path in notebooks:
        started, clock = time.monotonic(), _Clock()
        try:
            course.run(path, env, clock, python=python)
        except course.CellFailure as error:
            result.failures[path.stem] = " ".join(str(error).split())
        result.seconds[path.stem] = time.monotonic() - started
        result.setup_seconds = result.setup_seconds or clock.first
    after = versions(python)
    result.replaced, result.packages = (
        replaced(before, after),
        {name: after[name] for name in SHOWN if name in after},
    )
    installed = _says(python, "import fmcourse; print(fmcourse.__file__)")
    if not installed.startswith(str(python.parent.parent)):
        result.failures["set-up"] = (
            f"the course was not installed into the environment, but found in {installed or 'no place'}"
        )
    return result


class _Clock:
    """Told when each cell starts; `first` is what the first code cell took."""

    def __init__(self) -> None:
        self._started, self.first = 0.0, 0.0

    def __call__(self, number: int, cells: int) -> None:
        if number == 1 and not self._started:
            self._started = time.monotonic()
        elif number == 2 and not self.first:
            self.first = time.monotonic() - self._started


def keep(result: Result, root: Path = ROOT) -> None:
    """Store a result beside those of the other environments, whatever it says, and renew the README's table.

    Raises:
        ValueError: the README has no place for the table; nothing is stored then.
    """
    path, readme = root / RESULTS.relative_to(ROOT), root / "README.md"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    stored = dict(sorted((stored | {result.name: asdict(result)}).items()))
    text = with_table(
        readme.read_text(encoding="utf-8"), "environments", compatibility_table(stored)
    )
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    readme.write_text(text, encoding="utf-8")


def compatibility_table(stored: dict[str, dict]) -> str:
    """Return stored results, name to fields of :class:`Result`, as the markdown table that the README shows."""
    return markdown(COLUMNS, [_entries(Result(**fields)) for fields in stored.values()])


def _entries(result: Result) -> list[str]:
    whole = [name[:2] for name in result.seconds if name not in result.failures]
    failed = [f"not {name}" for name in result.failures]
    changed = [
        f"{name} {before} → {after or 'nothing'}"
        for name, (before, after) in result.replaced.items()
    ]
    versions = [result.packages.get(name, "–") for name in SHOWN]
    ran, swapped = ", ".join([*whole, *failed]) or "none", ", ".join(changed) or "none"
    return [
        f"{result.name}, simulated",
        result.python,
        *versions,
        ran,
        swapped,
        f"{result.setup_seconds:.0f} s",
        result.date,
    ]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.environments", description="Run the course as students find it."
    )
    parser.add_argument("name", help="colab, older or newest")
    parser.add_argument(
        "notebooks", nargs="*", help="beginnings of names, such as 04 (default: all)"
    )
    parser.add_argument(
        "--python",
        help="the Python to make the environment with (default: the list's, from the path)",
    )
    parser.add_argument(
        "--save", action="store_true", help="store the result and renew the README's table"
    )
    parser.add_argument(
        "--keep", action="store_true", help="use the environment of the last run as it is"
    )
    chosen = parser.parse_args(arguments)
    folder = root / "build" / "environments" / chosen.name
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    try:
        paths = course.choose(chosen.notebooks, root / "notebooks")
        if not (chosen.keep and python.exists()):
            build(chosen.name, folder / "venv", chosen.python)
        copies = prepare(
            paths,
            archive_of(root, folder / "fmcourse.zip"),
            folder / "notebooks",
            read_target(root),
        )
    except (ValueError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    result = simulate(chosen.name, python, copies, folder)
    (folder / "result.json").write_text(
        json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8"
    )
    print(result)
    if chosen.save:
        keep(result, root)
    return 0 if result.passed else 1
