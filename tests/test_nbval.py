"""Do the notebooks still print what is stored, and would anybody notice if they did not?

Each notebook is executed twice by nbval: as it is, and with one token changed in every output of every checked
cell. The first run must pass; in the second exactly the checked cells must fail. Two runs go at a time.
"""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools.form import CHECKED, read, write

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
OPTIONS = [
    "--nbval-lax",
    "--nbval-current-env",
    "--nbval-cell-timeout=300",
    "--color=no",
    "-p",
    "no:cacheprovider",
]
DIFFER = "Cell outputs differ"


def corrupt(text: str) -> str:
    """Return `text` with the smallest change that makes it wrong: a digit, a boolean, or the last word."""
    if digits := list(re.finditer(r"\d", text)):
        return _replace(text, digits[-1], str((int(digits[-1][0]) + 1) % 10))
    if booleans := list(re.finditer(r"\b(?:True|False)\b", text)):
        return _replace(text, booleans[-1], "False" if booleans[-1][0] == "True" else "True")
    if words := list(re.finditer(r"\w+", text)):
        return _replace(text, words[-1], words[-1][0][::-1] + "x")
    return text + "x"


def _replace(text: str, match: re.Match, replacement: str) -> str:
    return text[: match.start()] + replacement + text[match.end() :]


def corrupted(notebook):
    """Return a copy in which every textual output of every checked cell is wrong."""
    wrong = copy.deepcopy(notebook)
    for cell in wrong.cells:
        for output in cell.outputs if CHECKED in cell.metadata.get("tags", []) else []:
            if output.output_type == "stream":
                output.text = corrupt(output.text)
            for kind in [kind for kind in output.get("data", {}) if kind.startswith("text/")]:
                output.data[kind] = corrupt(output.data[kind])
    return wrong


def nbval(notebook, folder: Path) -> dict[int, str]:
    """Run nbval on a notebook stored in `folder`; return code cell (from 0) to failure, "" where it passed."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    write(notebook, folder / "notebooks" / "run.ipynb")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env["FMCOURSE_STATE"] = str(folder / "state")
    command = [
        sys.executable,
        "-m",
        "pytest",
        *OPTIONS,
        "--junitxml=report.xml",
        "notebooks/run.ipynb",
    ]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert (folder / "report.xml").exists(), done.stdout + done.stderr
    cases = ElementTree.parse(folder / "report.xml").iter("testcase")
    return {
        int(case.get("name").removeprefix("Cell ")): "\n".join(part.text or "" for part in case)
        for case in cases
    }


def checked(notebook) -> set[int]:
    """Return the numbers of the checked cells among the code cells, from 0, as nbval counts."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {number for number, cell in enumerate(code) if CHECKED in cell.metadata.get("tags", [])}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Start two runs for each notebook, and return a function that waits for the results of one."""
    folder = tmp_path_factory.mktemp("nbval")
    with ThreadPoolExecutor(max_workers=2) as pool:
        started = {}
        for path in NOTEBOOKS:
            notebook = read(path)
            started[path, "clean"] = pool.submit(nbval, notebook, folder / path.stem / "clean")
            started[path, "wrong"] = pool.submit(
                nbval, corrupted(notebook), folder / path.stem / "wrong"
            )
        yield lambda path, kind: started[path, kind].result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_prints_what_is_stored(runs, path):
    results = runs(path, "clean")
    assert len(results) == sum(cell.cell_type == "code" for cell in read(path).cells)
    assert {cell: failure for cell, failure in results.items() if failure} == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_wrong_output_is_noticed(runs, path):
    failures = {cell: failure for cell, failure in runs(path, "wrong").items() if failure}
    assert set(failures) == checked(read(path))
    assert all(DIFFER in failure for failure in failures.values())


def test_the_mutation_test_can_fail(tmp_path):
    """A cell whose comparison is switched off by a comment passes although its output is wrong."""
    cells = [("print(1 + 1)", "2\n"), ("# NBVAL_IGNORE_OUTPUT\nprint(True)", "True\n")]
    notebook = new_notebook(
        cells=[
            new_code_cell(
                source,
                metadata={"tags": [CHECKED]},
                execution_count=number,
                outputs=[new_output("stream", name="stdout", text=text)],
            )
            for number, (source, text) in enumerate(cells, 1)
        ]
    )
    assert set(nbval(notebook, tmp_path / "clean").values()) == {""}
    wrong = nbval(corrupted(notebook), tmp_path / "wrong")
    assert checked(notebook) == {0, 1}
    assert DIFFER in wrong[0] and wrong[1] == ""


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("loss 1.39\n", "loss 1.30\n"),
        ("equal: True\n", "equal: False\n"),
        ("5 of 5: True\n", "5 of 6: True\n"),
        ("the states\n", "the setatsx\n"),
        ("", "x"),
    ],
)
def test_the_smallest_change(right, wrong):
    assert corrupt(right) == wrong


def test_only_checked_cells_are_changed_and_the_argument_stays():
    def cell(tags):
        return new_code_cell(
            "1",
            metadata={"tags": tags},
            outputs=[new_output("execute_result", {"text/plain": "1"})],
        )

    notebook = new_notebook(cells=[cell([CHECKED]), cell(["core"])])
    wrong = corrupted(notebook)
    assert [cell.outputs[0].data["text/plain"] for cell in wrong.cells] == ["2", "1"]
    assert [cell.outputs[0].data["text/plain"] for cell in notebook.cells] == ["1", "1"]
