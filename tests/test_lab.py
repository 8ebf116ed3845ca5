"""The benchmarks that no other test runs: notebooks in JupyterLab, and the two training loops."""

from __future__ import annotations

import re

from nbformat.v4 import new_code_cell, new_notebook

from benchmarks import lab, training
from tools.form import write

CELL = """import os
with open({told!r}, "a") as file:
    file.write(os.environ.get("OMP_NUM_THREADS", "free") + " ")"""


def test_each_notebook_runs_with_and_without_thread_variables(tmp_path, capsys):
    told = tmp_path / "told.txt"
    cells = [new_code_cell(CELL.format(told=str(told)))]
    write(new_notebook(cells=cells), tmp_path / "07_small.ipynb")
    lab.main(["07", "-n", "2"], tmp_path)
    assert told.read_text().split() == ["free", "1", "1", "free"]
    line = capsys.readouterr().out
    assert line.startswith("07_small") and float(re.search(r"ratio ([\d.]+)", line)[1]) > 0


def test_both_loops_end_with_the_same_loss(monkeypatch, capsys):
    small = {"LADDER": {"0.1M": ((32, 16, 1, 2), 3)}, "LIVE_STEPS": 2, "ROUNDS": 1}
    for name, value in small.items():
        monkeypatch.setattr(training, name, value)
    training.main()
    losses = re.findall(r"(\d+\.\d{4}) (\d+\.\d{4})$", capsys.readouterr().out, re.MULTILINE)
    assert len(losses) == 4 and all(ours == theirs for ours, theirs in losses)
