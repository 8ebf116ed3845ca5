"""Each notebook keeps the form, and each rule of that form is shown able to fail."""

from __future__ import annotations

import tomllib
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from fmcourse import evidence
from tools import ROOT, form, notebooks
from tools.retarget import Target

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TARGET = Target("ada/course", "v1")
CLAIM = next(iter(evidence.claims()))
ALT = "A line that rises from left to right, drawn for this test."


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
def lint(tmp_path, monkeypatch):
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


FAULTS = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))
# Too long for the table.
LONG = [
    (2, {"source": "word " * 210_000}, "bytes, more than"),
    (2, {"source": "word " * 901, "metadata": {"tags": ["core"]}}, "core words: 901"),
    (2, {"source": "**What we see.**" + " word" * 58}, "words read: 61"),
    (4, {"source": "x = 1\n# why\n\n" * 61, "metadata": {"tags": ["core"]}}, "code lines: 61"),
    (4, {"source": f"x = {'1' * 85}"}, "widest line: 89"),
    (2, {"source": "arXiv 2108.07258"}, "unlinked arXiv numbers: 1"),
]


@pytest.mark.parametrize("index, changes, words", [*FAULTS["rows"], *LONG])
def test_each_fault_is_found(lint, index, changes, words):
    notebook = small()
    notebook.cells[index].update(nbformat.from_dict(changes))
    assert any(words in problem for problem in lint(notebook)), lint(notebook)


@pytest.mark.parametrize("key, words", [("none", "is no claim"), (CLAIM, "belongs to")])
def test_a_row_of_no_claim_or_of_a_different_notebook_is_found(lint, key, words):
    notebook = small()
    row = {evidence.MIME: {"key": key}, "text/plain": "a row"}
    notebook.cells[3].outputs = [printed("1\n"), new_output("display_data", row)]
    (problem,) = lint(notebook)
    assert words in problem


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
    sentence = new_output("display_data", {"text/plain": form.NO_WIDGET})
    assert normal.cells[3].outputs == [printed("a\nb\n"), sentence, sentence]
    assert [cell.id for cell in normal.cells] == [cell.id for cell in notebook.cells]
    assert form.tags(normal.cells[3]) == [form.CHECKED]
    assert normal.cells[4].outputs[0].metadata == {"image/png": {"alt": ALT}}
    assert normal.metadata == {**form.METADATA, "accelerator": "GPU"}
    assert len(notebook.cells[3].outputs) == 4, "the argument stays as it is"
    assert form.normalize(normal) == normal
