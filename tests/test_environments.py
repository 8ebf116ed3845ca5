"""``python -m tools.environments``: lists, copies that install from an archive, failures."""

import re
import sys
import zipfile
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools import ROOT, environments, form
from tools.retarget import read_target


def test_a_python_that_is_not_there_is_named(monkeypatch, capsys):
    monkeypatch.setattr(environments.shutil, "which", lambda name: None)
    assert environments.main(["colab"]) == 1
    assert "expected python3.13 on the path" in capsys.readouterr().err


def test_the_notebooks_install_from_the_archive_of_the_last_commit(tmp_path):
    archive, copies = tmp_path / "course.zip", tmp_path / "copies"
    environments.archive_of(ROOT, archive)
    names = zipfile.ZipFile(archive).namelist()
    assert "fmcourse/pyproject.toml" in names and "fmcourse/fmcourse/__init__.py" in names
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for copy in environments.prepare(paths, archive, copies):
        text = copy.read_text("utf-8")
        assert archive.as_uri() in text and read_target().archive not in text
    assert read_target().archive in paths[0].read_text("utf-8")
    with pytest.raises(ValueError, match="expected one set-up cell"):
        environments.prepare([notebook(tmp_path, "09_b", "1")], archive, copies)


def notebook(folder, name, *sources):
    path = folder / f"{name}.ipynb"
    form.write(new_notebook(cells=list(map(new_code_cell, sources))), path)
    return path


def test_a_simulation_reports_seconds_and_every_fault(monkeypatch, tmp_path):
    """In a stand-in for the environment: this interpreter."""
    installed = iter([["numpy==2.1.3", "six==1"], ["numpy==2.4.6", "six==1"]])
    monkeypatch.setattr(environments, "freeze", lambda python: next(installed))
    source = "import os\nassert not {'PYTHONPATH', 'OMP_NUM_THREADS'} & set(os.environ)"
    paths = [notebook(tmp_path, "00_a", "1", source), notebook(tmp_path, "04_b", "1 / 0")]
    lines, faults = environments.simulate(Path(sys.executable), paths, tmp_path)
    assert re.fullmatch(r"numpy==2.4.6 set-up 0 s 00_a \d+ s 04_b \d+ s", " ".join(lines))
    assert faults == [
        "failed: 04_b: code cell 1 of 1 failed 1 / 0 ZeroDivisionError: division by zero",
        "replaced: numpy==2.1.3",
        "the course is not in the environment",
    ]
