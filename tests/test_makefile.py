"""The Makefile sets .venv up when it must and only then, mends what broke off, and names its targets.

A stand-in for Python writes down how it is called, so nothing is installed here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {
    "help",
    "course",
    "lab",
    "answers",
    "ready",
    "test",
    "test-all",
    "assets",
    "bench",
    "retarget",
}

# Files beside the Makefile steer it: `old` makes it an unsupported version, `broken` breaks an installation off.
STAND_IN = r"""#!/bin/sh
echo "$(basename "$(dirname "$(dirname "$0")")")/$(basename "$0") $*" >> calls
case "$*" in
  "-c "*) ! [ -e old ] ;;
  --version) echo "Python 3.10.13" ;;
  "-m venv --clear .venv") rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python && touch .venv/pip ;;
  "-m pip --version") [ -e .venv/pip ] ;;
  "-m pip install"*) ! [ -e broken ] ;;
  "-m pytest"*) echo "3 passed in 0.01s" ;;
esac
"""


class House:
    """A folder with the Makefile and a stand-in for Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "Makefile", folder)
        for name in ("requirements.txt", "pyproject.toml"):
            (folder / name).touch()
        self.python = folder / "stand-in" / "bin" / "python"
        self.python.parent.mkdir(parents=True)
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def make(self, *goals: str, **settings: str) -> subprocess.CompletedProcess:
        """Run make in the folder, with none of the settings of a make that runs these tests."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))
        }
        command = [
            "make",
            f"PYTHON={self.python}",
            *goals,
            *(f"{name}={value}" for name, value in settings.items()),
        ]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)

    def calls(self) -> list[str]:
        """Return what the stand-ins were asked to do since the last time: installations, venvs and programs."""
        log = self.folder / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [
            line for line in lines if not re.search(r" (?:-c .*|-m pip --version|--version)$", line)
        ]


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


VENV = "stand-in/python -m venv --clear .venv"
INSTALL = [
    ".venv/python -m pip install -qq --disable-pip-version-check -r requirements.txt",
    ".venv/python -m pip install -qq --disable-pip-version-check --no-deps -e .",
]
TEST = ".venv/python -m pytest -m not slow"


def test_the_first_run_sets_up_and_the_second_does_not(house):
    assert house.make("test").returncode == 0
    assert house.calls() == [VENV, *INSTALL, TEST]
    assert house.make("test").returncode == 0
    assert house.calls() == [TEST]


def touch_later(path: Path) -> None:
    """Change a file so that it is newer than the stamp, on file systems with coarse clocks too."""
    later = time.time() + 5
    os.utime(path, (later, later))


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_changed_list_is_installed_into_the_same_folder(house, name):
    house.make("test")
    house.calls()
    touch_later(house.folder / name)
    house.make("test")
    assert house.calls() == [*INSTALL, TEST]


def test_other_files_change_nothing(house):
    house.make("test")
    house.calls()
    touch_later(house.folder / "Makefile")
    house.make("test")
    assert house.calls() == [TEST]


def test_an_installation_that_broke_off_is_taken_up(house):
    (house.folder / "broken").touch()
    assert house.make("test").returncode != 0
    assert house.calls() == [VENV, INSTALL[0]]
    (house.folder / "broken").unlink()
    assert house.make("test").returncode == 0
    assert house.calls() == [*INSTALL, TEST]


def test_a_renewal_that_broke_off_is_taken_up(house):
    house.make("test")
    touch_later(house.folder / "requirements.txt")
    (house.folder / "broken").touch()
    assert house.make("test").returncode != 0
    assert not (house.folder / ".venv" / ".ready").exists()


@pytest.mark.parametrize(
    "break_off",
    [
        lambda folder: (folder / ".venv" / "pip").unlink(),
        lambda folder: (folder / ".venv" / "bin" / "python").unlink(),
    ],
)
def test_a_folder_without_python_or_pip_is_made_anew(house, break_off):
    house.make("test")
    house.calls()
    (house.folder / ".venv" / ".ready").unlink()
    break_off(house.folder)
    assert house.make("test").returncode == 0
    assert house.calls() == [VENV, *INSTALL, TEST]


def test_a_wrong_python_gets_one_sentence_with_the_remedy(house):
    (house.folder / "old").touch()
    done = house.make("course")
    assert done.returncode != 0 and house.calls() == []
    assert done.stderr.splitlines()[0] == (
        f"This course needs Python 3.11, 3.12 or 3.13, and {house.python} is Python 3.10.13: "
        "name another one, as in `make PYTHON=python3.12 course`."
    )


def test_no_python_gets_the_same_sentence(house):
    house.python = house.folder / "none"
    done = house.make("test")
    assert (
        f"{house.python} is missing: name another one, as in `make PYTHON=python3.12 test`."
        in done.stderr
    )


def test_what_pytest_prints_is_shown(house):
    assert house.make("test").stdout.splitlines()[-1] == "3 passed in 0.01s"


@pytest.mark.parametrize(
    "goal, call",
    [
        ("course", ".venv/python -m tools.course"),
        ("test-all", ".venv/python -m pytest"),
    ],
)
def test_a_target_runs_its_command(house, goal, call):
    house.make(goal)
    assert house.calls()[-1] == call


def test_lab_opens_the_notebooks(house):
    house.make("lab")
    assert "-m jupyter lab" in house.calls()[-1]


def test_bench_runs_every_benchmark_and_stops_at_a_failure(house):
    (house.folder / "benchmarks").mkdir()
    for name in ("a.py", "b.py"):
        (house.folder / "benchmarks" / name).touch()
    house.make("bench")
    assert house.calls()[-2:] == [".venv/python benchmarks/a.py", ".venv/python benchmarks/b.py"]


def test_assets_runs_every_recipe(house):
    house.make("assets")
    run = [call.partition("recipes.")[2] for call in house.calls() if "recipes." in call]
    scripts = {
        path.stem
        for path in (ROOT / "recipes").glob("*.py")
        if '"__main__"' in path.read_text(encoding="utf-8")
    }
    assert sorted(run) == sorted(scripts)


def test_retarget_needs_no_set_up(house):
    house.make("retarget", SLUG="ada/course", REF="v1")
    assert house.calls() == ["stand-in/python -m tools.retarget ada/course v1"]


def test_help_is_the_default_and_lists_every_target(house):
    listed = set(re.findall(r"^  make ([a-z-]+) ", house.make().stdout, re.MULTILINE))
    assert listed == TARGETS and house.calls() == []


def test_continuous_integration_tests_from_any_folder_with_an_empty_environment(house):
    (house.folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", house.folder / ".ci")
    (house.folder / "Makefile").write_text(
        f"PYTHON := {house.python}\n" + (house.folder / "Makefile").read_text()
    )
    done = subprocess.run(
        [house.folder / ".ci" / "run"],
        cwd=house.folder.parent,
        env={},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "3 passed in 0.01s"
