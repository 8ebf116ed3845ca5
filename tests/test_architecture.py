"""What import-linter and ruff cannot see: the cost of an import, what is installed, the size."""

import tomllib

from doubles import python

from tools import ROOT, size

IMPORT = """import sys, time
started = time.process_time()
import fmcourse
print(time.process_time() - started, *{name.split(".")[0] for name in sys.modules})"""


def test_importing_the_package_is_instant_and_loads_nothing_heavy():
    seconds, *loaded = python("-c", IMPORT).split()
    heavy = {"torch", "transformers", "datasets", "matplotlib", "pandas", "scipy", "sklearn"}
    assert "fmcourse" in loaded and heavy.isdisjoint(loaded)
    # Of the CPU, so that a busy machine does not count.
    assert float(seconds) < 0.1


def test_every_folder_of_the_package_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    folders = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "fmcourse").rglob("__init__.py")
    }
    assert set(settings["tool"]["setuptools"]["packages"]) == folders | {"fmcourse.images"}


def test_comments_docstrings_and_line_breaks_have_no_size(tmp_path, printed, monkeypatch):
    (tmp_path / "tools").mkdir()
    source = '"""Doc."""\ndef f():\n    """Doc."""  # why\n    return (\n        "x"\n    )\n'
    (tmp_path / "tools" / "x.py").write_text(source)
    assert size.main(tmp_path) == 0
    monkeypatch.setattr(size, "MOST_TOKENS", 8)
    assert size.main(tmp_path) == 1
    assert "tools          1 files        9 tokens" in printed()
