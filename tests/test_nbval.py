"""Each notebook still prints what is stored: nbval runs it once, as a student's kernel would.

That a check can fail is shown on a small notebook.
"""

import subprocess
import sys
from xml.etree import ElementTree

import pytest
from doubles import without
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import ROOT
from tools.form import CHECKED, read, write

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OPTIONS = ("--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600", "--color=no")
# At the end of every notebook: small models run slowly where a library uses all threads.
ONE_THREAD = """import threadpoolctl, torch
pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
assert {torch.get_num_threads(), *pools} == {1}, pools"""


def nbval(notebook, folder):
    """Run nbval on a notebook; return for each code cell what failed, nothing where it passed."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "pytest.ini").write_text("[pytest]\n")
    write(notebook, folder / "notebooks" / "run.ipynb")
    env = without("OMP_NUM_THREADS", "PYTEST_", "COV_")
    env |= {"FMCOURSE_STATE": str(folder / "state"), "FMCOURSE_PREDICTIONS": "skip"}
    command = [sys.executable, "-m", "pytest", *OPTIONS, "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--junitxml=report.xml", "notebooks/run.ipynb"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )
    assert (folder / "report.xml").exists(), done.stdout + done.stderr
    cases = ElementTree.parse(folder / "report.xml").iter("testcase")
    return ["\n".join(part.text or "" for part in case) for case in cases]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_prints_what_is_stored_and_ends_with_one_thread(path, tmp_path):
    notebook = read(path)
    notebook.cells.append(new_code_cell(ONE_THREAD))
    failures = nbval(notebook, tmp_path)
    assert len(failures) == sum(cell.cell_type == "code" for cell in notebook.cells)
    assert [failure for failure in failures if failure] == []


SMALL = [
    # source, stored output, tags, what nbval says
    ("print(2)", "2\n", [CHECKED], ""),
    ("print('loss 1.39')", "loss 1.38\n", [CHECKED], "Cell outputs differ"),
    # Only checked cells are compared.
    ("print(2)", "3\n", ["core"], ""),
    # An error is a failure in any cell, so that the number of threads is tested too.
    ("assert {2} == {1}", "", ["core"], "AssertionError"),
]


def test_what_nbval_notices_and_what_it_does_not(tmp_path):
    cells = []
    for source, stored, names, _ in SMALL:
        outputs = [new_output("stream", name="stdout", text=stored)] if stored else []
        cell = new_code_cell(source, outputs=outputs, metadata={"tags": names}, execution_count=1)
        cells.append(cell)
    failures = nbval(new_notebook(cells=cells), tmp_path)
    for failure, (source, _, _, words) in zip(failures, SMALL, strict=True):
        assert (words in failure) if words else not failure, source
