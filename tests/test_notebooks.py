"""Each notebook keeps the form, and each rule of that form is shown able to fail."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import ROOT, form, notebooks
from tools.retarget import Target

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TARGET = Target("ada/course", "v1")
ALT = "A line that rises from left to right, drawn for this test."
# Written so that it does not find itself.
HOME = "/" + "home/ada/data"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_keeps_the_form(path):
    assert notebooks.lint(path) == []


def printed(text):
    return new_output("stream", name="stdout", text=text)


def figure(alt):
    return new_output("display_data", {"image/png": ""}, metadata={"image/png": {"alt": alt}})


def small():
    """Return a notebook that keeps every rule: title, set-up, drawing, checked cell, figure."""
    badge = (
        f"[![Open](https://colab.research.google.com/assets/b.svg)]({TARGET.badge('00_a.ipynb')})"
    )
    cells = [
        new_markdown_cell(f"# Is this small?\n\n{badge}"),
        new_code_cell(f"%pip install {TARGET.archive}", metadata={"tags": ["setup"]}),
        new_markdown_cell("![A dot](../images/dot.png) and [this](00_a.ipynb#x)"),
        new_code_cell("1", outputs=[printed("1\n")], metadata={"tags": [form.CHECKED]}),
        new_code_cell("figure", outputs=[figure(ALT)]),
    ]
    notebook = new_notebook(cells=cells)
    code = [cell for cell in cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
    return notebook


@pytest.fixture
def lint(tmp_path):
    """Return a function that stores a notebook in a folder beside images/ and lints it."""
    for folder in ("images", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "images" / "dot.png").write_bytes(b"")

    def run(notebook, write=form.write):
        path = tmp_path / "notebooks" / "00_a.ipynb"
        write(notebook, path)
        return notebooks.lint(path, TARGET)

    return run


def test_a_good_notebook_passes(lint):
    assert lint(small()) == []


FAULTS = [
    (0, {"source": "Small"}, "title"),
    (0, {"source": "# Small"}, "badge"),
    (1, {"source": "%pip install https://github.com/bob/course/archive/v1.zip"}, "should install"),
    (2, {"source": "word " * 210_000}, "bytes, more than"),
    (2, {"source": "![](../images/dot.png)"}, "no alt text"),
    (2, {"source": "![A dot](../images/dog.png)"}, "leads nowhere"),
    (2, {"source": "![A dot](https://example.org/dot.png)"}, "under images/"),
    (2, {"source": "[next](09_none.ipynb)"}, "leads nowhere"),
    (2, {"source": HOME}, "path of one machine"),
    (3, {"metadata": {"tags": ["nbval-checkoutput"]}}, "unknown tag"),
    (3, {"source": "# NBVAL_CHECK_OUTPUT"}, "comment form"),
    (3, {"source": "x = !false"}, "fail unseen"),
    (3, {"outputs": []}, "stores no text"),
    (3, {"outputs": [figure(ALT), printed("1")]}, "does not compare"),
    (3, {"outputs": [printed(HOME)]}, "path of one machine"),
    (3, {"execution_count": 7}, "execution count 7, not 2"),
    (4, {"outputs": [figure("A line.")]}, "at least 40 characters"),
    (4, {"outputs": [new_output("stream", name="stderr", text="oh")]}, "stderr"),
    (4, {"outputs": [new_output("error", ename="KeyError", evalue="x")]}, "stores an error"),
    (4, {"outputs": [new_output("display_data", {"image/svg+xml": "<svg/>"})]}, "SVG"),
]


@pytest.mark.parametrize("index, changes, words", FAULTS)
def test_each_fault_is_found(lint, index, changes, words):
    notebook = small()
    notebook.cells[index].update(nbformat.from_dict(changes))
    assert any(words in problem for problem in lint(notebook)), lint(notebook)


def test_what_an_editor_left_is_found_and_repaired(lint):
    notebook = small()
    notebook.metadata.widgets = {"state": {}}
    notebook.cells[3].metadata["execution"] = {"iopub.execute_input": "2026-11-22T21:00:00"}
    (problem,) = lint(notebook, write=nbformat.write)
    assert "not in normal form" in problem
    assert lint(notebook) == []


def test_the_normal_form_keeps_content_and_joins_what_a_kernel_splits():
    view = {form.WIDGET_VIEW: {"model_id": "1"}}
    notebook = small()
    notebook.metadata.accelerator = "GPU"
    notebook.cells[3].outputs = [
        printed("a\n"),
        printed("b\n"),
        new_output("display_data", {**view, "text/plain": "slider"}),
        new_output("display_data", view),
    ]
    normal = form.normalize(notebook)
    slider = new_output("display_data", {"text/plain": "slider"})
    assert normal.cells[3].outputs == [printed("a\nb\n"), slider]
    assert [cell.id for cell in normal.cells] == [cell.id for cell in notebook.cells]
    assert form.tags(normal.cells[3]) == [form.CHECKED]
    assert normal.cells[4].outputs[0].metadata == {"image/png": {"alt": ALT}}
    assert normal.metadata == {**form.METADATA, "accelerator": "GPU"}
    assert len(notebook.cells[3].outputs) == 4, "the argument stays as it is"
    assert form.normalize(normal) == normal


# The first two code cells install the course and choose a profile.


def code(path, number):
    return [cell for cell in form.read(path).cells if cell.cell_type == "code"][number].source


FORM = re.compile(r"^profile = None +#@param (\[.*\]) \{type: \"raw\"\}$", re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_colabs_form_gives_the_profiles_as_python(path):
    """With type raw Colab inserts an option as it stands, so a word needs quotes of its own."""
    options = FORM.search(code(path, 1))[1]
    assert [eval(option) for option in eval(options)] == [None, "tiny", "full"]
