"""What import-linter and ruff cannot see: the cost of an import, what is installed, paths."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest

from tools import ROOT, size
from tools.notebooks import MACHINE_PATH

HEAVY = {"torch", "transformers", "datasets", "matplotlib", "pandas", "scipy", "sklearn"}
# Of the CPU, so that a busy machine does not count.
IMPORT_SECONDS = 0.1
# Written so that it does not find itself.
REGISTRY = re.compile(r"\b(?:pypi\.or[g]|python[h]osted\.or[g]|npmjs\.(?:or[g]|co[m]))")
TEXTS = {".py", ".md", ".toml", ".txt", ".cff", ".yml", ".yaml", ".ipynb"}
NOT_OURS = {".git", ".venv", "build"}


IMPORT = """import sys, time
started = time.process_time()
import fmcourse
print(time.process_time() - started, *{name.split(".")[0] for name in sys.modules})"""


def test_importing_the_package_is_instant_and_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True)
    seconds, *loaded = done.stdout.split()
    assert "fmcourse" in loaded and not HEAVY & set(loaded)
    assert float(seconds) < IMPORT_SECONDS


def test_every_folder_of_the_package_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "fmcourse").rglob("__init__.py")
    }
    assert set(settings["tool"]["setuptools"]["packages"]) == folders | {"fmcourse.images"}


def kept_files():
    for folder, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in NOT_OURS and "egg-info" not in name]
        for name in names:
            path = ROOT / folder / name
            if path.suffix in TEXTS:
                yield path


def test_no_text_names_one_machine_or_a_registry():
    found = []
    for path in kept_files():
        text = path.read_text(encoding="utf-8")
        for hit in [*MACHINE_PATH.finditer(text), *REGISTRY.finditer(text)]:
            found.append(f"{path.relative_to(ROOT)}: {hit[0]}")
    assert found == []


@pytest.mark.parametrize(
    "source, count",
    [
        ("x = 1\n", 3),
        ("x = 1  # why\n\n\n# alone\n", 3),
        ('"""Doc."""\nx = (\n    1\n)\n', 5),
        ('def f():\n    """Doc."""\n    return "no docstring"\n', 7),
        ("# first\n'''Doc'''\n", 0),
    ],
)
def test_comments_docstrings_and_line_breaks_have_no_size(tmp_path, source, count):
    (tmp_path / "x.py").write_text(source)
    assert size.tokens(tmp_path / "x.py") == count


def test_a_house_that_is_too_large_is_refused(tmp_path, capsys, monkeypatch):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "x.py").write_text("x = 1\n")
    assert size.main(tmp_path) == 0
    monkeypatch.setattr(size, "MOST_TOKENS", 2)
    assert size.main(tmp_path) == 1
    assert re.search(r"tools +1 files +3 tokens", capsys.readouterr().out)
