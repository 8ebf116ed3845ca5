"""``python -m tools.environments``: the lists, the copies that install from an archive, and what counts as a failure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from doubles import says
from nbformat.v4 import new_code_cell, new_notebook
from packaging.requirements import Requirement

from tools import course, environments, form
from tools.environments import LISTS, Result, build, prepare, replaced, simulate, wanted
from tools.retarget import Target

TARGET = Target("ada/course", "main")
SETUP = f'import sys\nif "google.colab" in sys.modules:\n    %pip install --quiet "fmcourse @ {TARGET.archive}"'


def listed(name):
    lines = (LISTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("name, python", [("colab", "3.13"), ("older", "3.11"), ("newest", "3.13")])
def test_each_list_names_its_python_and_its_source(name, python):
    version, path = wanted(name)
    assert version == python and "\n# Source: " in path.read_text(encoding="utf-8")
    assert "ipykernel" in {requirement.name for requirement in listed(name)}


def test_the_colab_list_is_exact_and_satisfies_the_courses_floors(root):
    exact = {requirement.name: requirement for requirement in listed("colab")}
    assert all(
        re.fullmatch(r"==[\d.]+", str(requirement.specifier)) for requirement in exact.values()
    )
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    for floor in map(Requirement, settings["project"]["dependencies"]):
        if floor.name in exact:
            assert floor.specifier.contains(str(exact[floor.name].specifier).removeprefix("=="))
    missing = {floor.name for floor in map(Requirement, settings["project"]["dependencies"])} - set(
        exact
    )
    assert missing <= {"sacrebleu", "datasketch"}, "what Colab does not have is small"


def test_the_older_list_holds_the_floor_of_transformers(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    floor = next(
        f for f in map(Requirement, settings["project"]["dependencies"]) if f.name == "transformers"
    )
    assert str(floor.specifier).removeprefix(">=") == "4.57"
    assert {str(r.specifier) for r in listed("older") if r.name == "transformers"} == {"==4.57.*"}


def test_an_unknown_list():
    with says(ValueError, "name: expected one of colab, newest, older, got 'kaggle'"):
        wanted("kaggle")


def test_a_python_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(environments.shutil, "which", lambda name: None)
    with says(
        ValueError, "python: expected a Python 3.13, got none on the path; name one with --python"
    ):
        build("colab", tmp_path / "venv")
    assert not (tmp_path / "venv").exists()


def test_a_python_of_another_version(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "wanted", lambda name: ("3.9", LISTS / "colab.txt"))
    with says(
        ValueError, f"python: expected a Python 3.9, got {sys.executable}; name one with --python"
    ):
        build("colab", tmp_path / "venv", sys.executable)


def test_what_is_new_replaces_nothing():
    before = {"numpy": "2.1.3", "six": "1.17"}
    assert replaced(before, before | {"fmcourse": "0.1.0"}) == {}
    assert replaced(before, {"numpy": "2.4.6"}) == {
        "numpy": ("2.1.3", "2.4.6"),
        "six": ("1.17", None),
    }


@pytest.fixture
def notebooks(tmp_path):
    """Return a function that stores a notebook with a set-up cell and further cells."""

    def make(name, *sources, setup=SETUP):
        cells = [new_code_cell(setup, metadata={"tags": ["setup"]}), *map(new_code_cell, sources)]
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        form.write(new_notebook(cells=cells), path)
        return path

    return make


def test_the_copies_install_from_the_archive(notebooks, tmp_path):
    path = notebooks("00_a", "print(1)")
    (copy,) = prepare([path], tmp_path / "course.zip", tmp_path / "copies", TARGET)
    source = form.read(copy).cells[0].source
    assert source == SETUP.replace(TARGET.archive, (tmp_path / "course.zip").as_uri())
    assert form.read(path).cells[0].source == SETUP, "the notebook stays as it is"


def test_a_set_up_cell_that_names_another_archive_is_refused(notebooks, tmp_path):
    path = notebooks("00_a", setup="%pip install fmcourse")
    with says(
        ValueError, f"00_a.ipynb: expected one set-up cell that installs {TARGET.archive}, got 0"
    ):
        prepare([path], tmp_path / "course.zip", tmp_path / "copies", TARGET)


def test_every_notebook_of_the_course_can_be_prepared(root, tmp_path):
    paths = sorted((root / "notebooks").glob("*.ipynb"))
    assert len(prepare(paths, tmp_path / "course.zip", tmp_path / "copies")) == len(paths)


def test_the_archive_holds_the_course_under_one_folder(root, tmp_path):
    names = zipfile.ZipFile(environments.archive_of(root, tmp_path / "course.zip")).namelist()
    assert {"fmcourse-main/pyproject.toml", "fmcourse-main/fmcourse/hub.py"} <= set(names)
    assert all(name.startswith("fmcourse-main/") for name in names)


# A simulation with a stand-in for the environment: this interpreter, whose set-up cell installs a file.


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Return a function that simulates notebooks, with what is installed before and after given."""

    def run(
        *paths,
        before={"numpy": "2.1.3"},
        after={"numpy": "2.1.3", "fmcourse": "0.1.0"},
        found="lib/fmcourse/__init__.py",
    ):
        answers = iter([before, after])
        monkeypatch.setattr(environments, "pretend_colab", lambda python: None)
        monkeypatch.setattr(environments, "versions", lambda python: next(answers))
        place = str(Path(sys.executable).parent.parent / found) if found else ""
        monkeypatch.setattr(
            environments,
            "_says",
            lambda python, program: "3.13.0" if "platform" in program else place,
        )
        return simulate("colab", Path(sys.executable), list(paths), tmp_path)

    return run


def test_a_simulation_that_passes(notebooks, stand_in):
    result = stand_in(
        notebooks(
            "00_a",
            "import os\nassert 'PYTHONPATH' not in os.environ",
            setup="import time; time.sleep(0.3)",
        )
    )
    assert result.passed and result.python == "3.13.0" and list(result.seconds) == ["00_a"]
    assert result.packages == {"numpy": "2.1.3"}
    assert 0.25 < result.setup_seconds < result.seconds["00_a"]
    assert str(result).endswith("passed")


def test_a_cell_that_fails_is_named_and_the_others_run(notebooks, stand_in):
    result = stand_in(notebooks("00_a", "1 / 0"), notebooks("04_b", "1 + 1"))
    assert not result.passed and list(result.seconds) == ["00_a", "04_b"]
    assert result.failures == {
        "00_a": "00_a: code cell 2 of 2 failed 1 / 0 ZeroDivisionError: division by zero"
    }


def test_a_replaced_package_fails(notebooks, stand_in):
    result = stand_in(notebooks("00_a", "1"), after={"numpy": "2.4.6"})
    assert not result.passed and "replaced: numpy 2.1.3 -> 2.4.6" in str(result)


def test_a_course_found_elsewhere_fails(notebooks, stand_in):
    result = stand_in(notebooks("00_a", "1"), found="")
    assert (
        result.failures["set-up"]
        == "the course was not installed into the environment, but found in no place"
    )


def test_a_kernel_of_another_interpreter(notebooks, tmp_path):
    """The interpreter that is named runs the kernel: here a script that starts this one and leaves a trace."""
    trace, python = tmp_path / "trace", tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch "{trace}"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    course.run(notebooks("00_a", "1 + 1", setup="0"), python=python)
    assert trace.exists()


def test_another_interpreters_kernel_is_not_asked_for_encryption(tmp_path):
    """Colab's kernel does not know it, and would wait for ever."""
    assert course.OwnKernel().transport_encryption == "auto"
    other = type("Kernel", (course.OwnKernel,), {"interpreter": tmp_path / "python"})
    assert other().transport_encryption == "disabled"


def test_a_simulated_colab_is_taken_for_one(tmp_path):
    """In an environment without packages, which costs nothing to make."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True
    )
    python = tmp_path / "venv" / "bin" / "python"
    environments.pretend_colab(python)
    assert environments._says(python, "import sys; print('google.colab' in sys.modules)") == "True"
    assert environments.versions(python) == {}


def test_the_command_reports_what_is_missing(monkeypatch, root, capsys):
    assert environments.main(["kaggle"], root) == 1
    assert "name: expected one of colab" in capsys.readouterr().err


def test_the_command_stores_its_result(notebooks, monkeypatch, tmp_path, capsys):
    notebooks("00_a", "1")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.fmcourse]\nrepository = "ada/course"\nref = "main"\n'
    )
    (tmp_path / "build" / "environments" / "colab").mkdir(parents=True)
    monkeypatch.setattr(environments, "build", lambda name, folder, python: None)
    monkeypatch.setattr(environments, "archive_of", lambda root, file: file)
    monkeypatch.setattr(
        environments,
        "simulate",
        lambda *given: Result("colab", "3.13.0", "2026-11-24", 41.0, seconds={"00_a": 2.0}),
    )
    assert environments.main(["colab"], tmp_path) == 0
    stored = json.loads((tmp_path / "build" / "environments" / "colab" / "result.json").read_text())
    assert stored["setup_seconds"] == 41.0 and stored["seconds"] == {"00_a": 2.0}
    assert capsys.readouterr().out.splitlines()[0] == "colab: Python 3.13.0, set-up 41 s"


def test_a_slow_set_up_is_said():
    assert "the set-up took more than 60 s" in str(
        Result("colab", "3.13.0", setup_seconds=61.0, seconds={"00_a": 1.0})
    )


def test_results_are_kept_side_by_side_and_the_readme_shows_them(tmp_path):
    (tmp_path / "tools" / "environments").mkdir(parents=True)
    (tmp_path / "README.md").write_text(
        "# x\n<!-- environments -->\n<!-- /environments -->\n", encoding="utf-8"
    )
    good = Result(
        "colab",
        "3.13.0",
        "2026-11-24",
        41.0,
        seconds={"00_a": 2.0, "04_b": 3.0},
        packages={"numpy": "2.1.3"},
    )
    environments.keep(good, tmp_path)
    bad = Result(
        "older",
        "3.11.7",
        "2026-11-24",
        9.0,
        {"torch": ("2.9", None)},
        {"04_b": "no"},
        {"00_a": 2.0, "04_b": 3.0},
    )
    environments.keep(bad, tmp_path)
    older, colab = (tmp_path / "README.md").read_text(encoding="utf-8").splitlines()[5:3:-1]
    assert (
        colab
        == "| colab, simulated | 3.13.0 | – | – | – | 2.1.3 | – | – | – | 00, 04 | none | 41 s | 2026-11-24 |"
    )
    assert "| 00, not 04_b | torch 2.9 → nothing | 9 s |" in older


def test_a_readme_without_a_place_keeps_nothing(tmp_path):
    (tmp_path / "README.md").write_text("# x\n")
    words = "README.md: expected the lines <!-- environments --> and <!-- /environments -->, where the environments table belongs"
    with says(ValueError, words):
        environments.keep(Result("colab"), tmp_path)
    assert not (tmp_path / "tools").exists()
