"""``python -m tools.environments``: lists, copies that install from an archive, failures."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook
from packaging.requirements import Requirement

from tools import ROOT, environments, form
from tools.environments import LISTS, Result
from tools.retarget import Target

TARGET = Target("ada/course", "v1")
SETUP = f'import sys\nif "google.colab" in sys.modules:\n    %pip install "{TARGET.archive}"'
FLOORS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def listed(name):
    _, path = environments.wanted(name)
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if not line.startswith("#")]
    return {requirement.name: str(requirement.specifier) for requirement in found}


def test_the_colab_list_is_exact_and_satisfies_the_courses_floors():
    exact = listed("colab")
    assert all(re.fullmatch(r"==[\d.]+", version) for version in exact.values())
    missing = set()
    for floor in map(Requirement, FLOORS["dependencies"]):
        if floor.name in exact:
            assert floor.specifier.contains(exact[floor.name].removeprefix("==")), floor.name
        else:
            missing.add(floor.name)
    # What Colab does not have is small.
    assert missing <= {"sacrebleu", "datasketch"}


def test_what_is_not_there_is_named(tmp_path, monkeypatch, capsys):
    assert environments.main(["kaggle"], ROOT) == 1
    assert "expected one of colab" in capsys.readouterr().err
    monkeypatch.setattr(environments, "wanted", lambda name: ("3.13", LISTS / "colab.txt"))
    with pytest.raises(ValueError, match=r"expected a Python 3\.13, got /"):
        environments.build("colab", tmp_path / "venv", sys.executable)
    monkeypatch.setattr(environments.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"expected a Python 3\.13, got none"):
        environments.build("colab", tmp_path / "venv")


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
    path, archive = notebooks("00_a", "print(1)"), tmp_path / "course.zip"
    (copy,) = environments.prepare([path], archive, tmp_path / "copies", TARGET)
    source = form.read(copy).cells[0].source
    assert source == SETUP.replace(TARGET.archive, archive.as_uri())
    assert form.read(path).cells[0].source == SETUP, "the notebook stays as it is"
    other = notebooks("00_b", setup="%pip install fmcourse")
    with pytest.raises(ValueError, match=r"00_b\.ipynb: expected one set-up cell"):
        environments.prepare([other], archive, tmp_path / "copies", TARGET)


def test_every_notebook_of_the_course_can_be_prepared(tmp_path):
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    copies = environments.prepare(paths, tmp_path / "course.zip", tmp_path / "copies")
    assert len(copies) == len(paths) > 0


def test_the_archive_holds_the_course_under_one_folder(tmp_path):
    names = zipfile.ZipFile(environments.archive_of(ROOT, tmp_path / "course.zip")).namelist()
    assert "fmcourse/pyproject.toml" in names and "fmcourse/fmcourse/__init__.py" in names


# A simulation in a stand-in for the environment: this interpreter.


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Return a function that simulates notebooks; what is installed before and after is given."""

    def run(*paths, after=None, found="lib/fmcourse/__init__.py"):
        before = {"numpy": "2.1.3"}
        installed = iter([before, after or before])
        place = str(Path(sys.executable).parent.parent / found) if found else ""
        monkeypatch.setattr(environments, "pretend_colab", lambda python: None)
        monkeypatch.setattr(environments, "versions", lambda python: next(installed))
        monkeypatch.setattr(environments, "_says", lambda python, program: place)
        return environments.simulate("colab", Path(sys.executable), list(paths), tmp_path)

    return run


def test_a_simulation_passes_with_the_variables_that_a_student_has(notebooks, stand_in):
    source = "import os\nassert not {'PYTHONPATH', 'OMP_NUM_THREADS'} & set(os.environ)"
    result = stand_in(notebooks("00_a", source, setup="import time; time.sleep(0.3)"))
    assert result.passed, result
    assert 0.25 < result.setup_seconds < result.seconds["00_a"]


def test_what_fails_is_named_and_the_other_notebooks_run(notebooks, stand_in):
    paths = [notebooks("00_a", "1 / 0"), notebooks("04_b", "1 + 1")]
    result = stand_in(*paths, after={"numpy": "2.4.6"}, found="")
    assert not result.passed and list(result.seconds) == ["00_a", "04_b"]
    said = str(result)
    assert "failed: 00_a: code cell 2 of 2 failed 1 / 0 ZeroDivisionError" in said
    assert "replaced: numpy 2.1.3 -> 2.4.6" in said and "nowhere" in said


@pytest.mark.parametrize(
    "found",
    [{"replaced": ["numpy"]}, {"failures": ["00_a"]}, {"setup_seconds": 61.0}, {"seconds": {}}],
)
def test_one_fault_is_enough_to_fail(found):
    assert not Result("colab", **({"seconds": {"00_a": 1.0}} | found)).passed


DRIVE = """
import sys
from pathlib import Path
from google.colab import drive

DRIVE = Path("/content/drive")
drive.mount(str(DRIVE))
print("google.colab" in sys.modules, DRIVE)
(DRIVE / "MyDrive" / "work").mkdir()
"""


def test_a_simulated_colab_has_a_drive_of_its_own(tmp_path):
    """In an environment without packages, which costs nothing to make."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    environments.pretend_colab(python)
    said = environments._says(python, DRIVE).splitlines()
    assert said == ["Mounted at /content/drive", f"True {venv / 'content' / 'drive'}"]
    assert (venv / "content" / "drive" / "MyDrive" / "work").is_dir()
    assert environments.versions(python) == {}


def test_a_report_is_kept_where_the_page_has_its_place(notebooks, monkeypatch, tmp_path, capsys):
    notebooks("00_a", "1")
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "environments.md"
    page.write_text("# x\n<!-- colab -->\nold\n<!-- /colab -->\nend\n")
    settings = '[tool.fmcourse]\nrepository = "ada/course"\nref = "v1"\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    result = Result("colab", {"numpy": "2.1.3"}, 41.0, seconds={"00_a": 2.0})
    monkeypatch.setattr(environments, "build", lambda name, folder, python: folder)
    monkeypatch.setattr(environments, "archive_of", lambda root, file: file)
    monkeypatch.setattr(environments, "simulate", lambda *given: result)
    assert environments.main(["--save", "colab"], tmp_path) == 0
    text = page.read_text()
    assert str(result) in text and "old" not in text and text.endswith("end\n")
    assert "numpy 2.1.3\nset-up 41 s\n00_a 2 s\npassed" in capsys.readouterr().out
