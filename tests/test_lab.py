"""The benchmark of notebooks in JupyterLab, on a notebook of one cell."""

from __future__ import annotations

import re
import runpy

from nbformat.v4 import new_code_cell, new_notebook

from tools.form import write

CELL = """import os
with open({told!r}, "a") as file:
    file.write(os.environ.get("OMP_NUM_THREADS", "free") + " ")"""


def test_each_notebook_runs_with_and_without_thread_variables(tmp_path, root, capsys):
    told = tmp_path / "told.txt"
    cells = [new_code_cell(CELL.format(told=str(told)))]
    write(new_notebook(cells=cells), tmp_path / "07_small.ipynb")
    lab = runpy.run_path(str(root / "benchmarks" / "lab.py"))
    lab["main"](["07", "-n", "2"], tmp_path)
    assert told.read_text().split() == ["free", "1", "free", "1"]
    line = capsys.readouterr().out
    assert line.startswith("07_small") and float(re.search(r"ratio ([\d.]+)", line)[1]) > 0
