"""Each notebook keeps the house's form, and each rule of that form is shown able to fail."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import form, notebooks
from tools.retarget import Target

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
TARGET = Target("ada/course", "main")
BADGE = "https://colab.research.google.com/github/ada/course/blob/main/notebooks/00_small.ipynb"
ALT = "A line that rises from left to right, drawn for this test."
PROSE = "Some words that explain what the next cell does, and why anybody should care to run it."


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_keeps_the_form(path):
    assert notebooks.lint(path) == []


def test_there_are_notebooks():
    assert NOTEBOOKS


def code(source, text=None, tags=(), **changes):
    """Return a code cell that printed `text`."""
    outputs = [new_output("stream", name="stdout", text=text)] if text else []
    return new_code_cell(
        source, outputs=outputs, metadata={"tags": list(tags)} if tags else {}, **changes
    )


def small():
    """Return a notebook that keeps every rule."""
    cells = [
        new_markdown_cell(
            f"# Is this small?\n\n[![Open](https://colab.research.google.com/assets/badge.svg)]({BADGE})"
        )
    ]
    cells += [code("%pip install " + TARGET.archive, tags=["setup"])]
    cells += [
        new_markdown_cell(f"![A dot](../images/dot.png) {PROSE}", metadata={"tags": ["core"]})
    ]
    for number in range(6):
        cells += [code(f"print({number})", f"{number}\n", [form.CHECKED]), new_markdown_cell(PROSE)]
    figure = new_output(
        "display_data",
        {"image/png": "", "text/plain": "<Figure>"},
        metadata={"image/png": {"alt": ALT}},
    )
    cells += [new_code_cell("figure", outputs=[figure])]
    return number_cells(new_notebook(cells=cells))


def number_cells(notebook):
    """Set the execution counts as a run from the top does."""
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return notebook


@pytest.fixture
def lint(tmp_path):
    """Return a function that stores a notebook in a folder beside images/ and lints it."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "dot.png").write_bytes(b"")
    (tmp_path / "notebooks").mkdir()

    def run(notebook, as_it_is=False):
        path = tmp_path / "notebooks" / "00_small.ipynb"
        nbformat.write(notebook, path) if as_it_is else form.write(notebook, path)
        return notebooks.lint(path, TARGET)

    return run


def test_a_good_notebook_passes(lint):
    assert lint(small()) == []


def append(*cells):
    return lambda notebook: notebook.cells.extend(cells)


def change(index, **changes):
    return lambda notebook: notebook.cells[index].update(changes)


def tag(index, *tags):
    return lambda notebook: notebook.cells[index].metadata.update(tags=list(tags))


def output(index, *outputs):
    return lambda notebook: notebook.cells[index].update(outputs=list(outputs))


def printed(text):
    return output(3, new_output("stream", name="stdout", text=text))


HOME = "/" + "home/ada/data"
FAULTS = {
    "size: 75 cells": append(*[new_markdown_cell(PROSE) for _ in range(59)]),
    "size: 14 cells": lambda notebook: notebook.cells.__delitem__(slice(-2, None)),
    "size: 1,0": append(new_markdown_cell("word " * 210_000)),
    "title: the first line": change(0, source=f"# Small\n\n[Colab]({BADGE})"),
    "badge: the first cell": change(0, source="# Is this small?"),
    "badge: cell 5: https://colab": change(
        4, source=f"{PROSE} [next]({BADGE.replace('00_small', '09_none')})"
    ),
    "badge: cell 5: https://colab.research.google.com/github/bob": change(
        4, source=f"{PROSE} {BADGE.replace('ada', 'bob')}"
    ),
    "setup: no cell": tag(1),
    "setup: the setup cells should": change(
        1, source="%pip install https://github.com/bob/course/archive/main.zip"
    ),
    "tags: cell 4: unknown tag 'nbval-checkoutput'": tag(3, "nbval-checkoutput"),
    "tags: cell 4: unknown tag 'raises-exception'": tag(3, "raises-exception"),
    "tags: cell 4: the comment form": change(3, source="# NBVAL_CHECK_OUTPUT\nprint(0)"),
    "tags: 0 cells tagged core": tag(2),
    "outputs: cell 4: shows something": output(3),
    "outputs: cell 4: stores an error": output(
        3, new_output("error", ename="KeyError", evalue="'x'", traceback=[])
    ),
    "outputs: cell 4: stores stderr": output(
        3, new_output("stream", name="stderr", text="careful")
    ),
    "checked: 3 cells": lambda notebook: [tag(index)(notebook) for index in (3, 5, 7)],
    "checked: 11 cells": append(*[code(f"print({n})", f"{n}\n", [form.CHECKED]) for n in range(5)]),
    "checked: cell 4: is checked, but stores no text": output(3),
    "checked: cell 16: is checked, but shows a picture": tag(15, form.CHECKED),
    "checked: cell 4: is checked, but prints a time, '0.83 s'": printed("took 0.83 s\n"),
    "checked: cell 4: is checked, but prints a time, '12 seconds'": printed("12 seconds\n"),
    "checked: cell 4: is checked, but prints a speed": printed("650 tokens/s\n"),
    "checked: cell 4: is checked, but prints an address": printed("<object at 0x7f1122334455>\n"),
    "checked: cell 4: is checked, but prints a version": printed("torch 2.13.0\n"),
    "pictures: cell 16: shows an SVG": output(
        15, new_output("display_data", {"image/svg+xml": "<svg/>", "text/plain": "x"})
    ),
    "pictures: cell 16: its figure needs a description": output(
        15, new_output("display_data", {"image/png": ""})
    ),
    "drawings: cell 5: the image ../images/dot.png has no alt": change(
        4, source=f"![](../images/dot.png) {PROSE}"
    ),
    "drawings: cell 5: ../images/none.png should": change(
        4, source=f'<img alt="None" src="../images/none.png"> {PROSE}'
    ),
    "drawings: cell 5: https://example.org/dot.png": change(
        4, source=f"![A dot](https://example.org/dot.png) {PROSE}"
    ),
    "links: cell 5: the link to 09_none.ipynb leads nowhere": change(
        4, source=f"{PROSE} [next](09_none.ipynb#top)"
    ),
    "lengths: cell 4: 26 lines": change(3, source="print(0)\n" * 26),
    "lengths: the median code cell has 7": lambda notebook: [
        change(n, source="0\n" * 7)(notebook) for n in (3, 5, 7, 9, 11)
    ],
    "functions: 3 functions outside": change(
        3, source="def a(): 0\ndef b(): 0\n\nasync def c(): 0\n\nprint(0)"
    ),
    "words: ": append(code("0 " * 200)),
    "paths: cell 4": change(3, source=f"print(open('{HOME}'))"),
    "paths: cell 4: names a path of one machine": printed(f"read {HOME}\n"),
    "run all: cell 4: a shell or magic line": change(3, source="!false\nprint(0)"),
    "run all: cell 4: waits for an answer": change(3, source="answer = input('?')\nprint(0)"),
    "numbers: cell 5: 25: nothing that its section showed": change(
        4, source=f"**Read it.** It is 25. {PROSE}"
    ),
}


@pytest.mark.parametrize("problem", FAULTS)
def test_a_fault_is_found(lint, problem):
    notebook = small()
    FAULTS[problem](notebook)
    found = lint(number_cells(notebook))
    assert any(sentence.startswith(problem) for sentence in found), found


def test_every_rule_is_shown_able_to_fail():
    shown = {problem.partition(":")[0] for problem in FAULTS} | {
        "form",
        "order",
    }  # these two: just below
    assert shown == set(notebooks.RULES)


def test_stripped_outputs_are_found(lint):
    notebook = small()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    found = lint(notebook)
    assert (
        "order: cell 2: its execution count is None, not 1; run the notebook from the top" in found
    )
    assert any(sentence.startswith("outputs: cell 4: shows something") for sentence in found)


def test_widget_state_and_traces_of_an_editor_are_found_and_mended(lint):
    notebook = small()
    notebook.metadata.widgets = {"state": {}}
    notebook.cells[3].metadata["execution"] = {"iopub.execute_input": "2026-11-22T21:00:00"}
    notebook.cells[3].metadata["id"] = "XyZ"
    assert [sentence.partition(";")[0] for sentence in lint(notebook, as_it_is=True)] == [
        "form: not in normal form",
        "form: holds widget state, which GitHub refuses to show",
    ]
    assert lint(notebook) == []


def test_a_missing_notebook_is_named(tmp_path):
    assert notebooks.lint(tmp_path / "none.ipynb", TARGET) == [
        f"form: there is no {tmp_path / 'none.ipynb'}"
    ]


def test_the_normal_form_drops_views_joins_streams_and_keeps_ids_tags_and_descriptions():
    widget = new_output(
        "display_data", {form.WIDGET_VIEW: {"model_id": "1"}, "text/plain": "slider"}
    )
    bare = new_output("display_data", {form.WIDGET_VIEW: {"model_id": "2"}})
    streams = [new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    notebook = small()
    notebook.metadata.accelerator = "GPU"
    notebook.cells[3].outputs = [*streams, widget, bare]
    normal = form.normalize(notebook)
    assert normal.cells[3].outputs == [
        new_output("stream", name="stdout", text="a\nb\n"),
        new_output("display_data", {"text/plain": "slider"}),
    ]
    assert [cell.id for cell in normal.cells] == [cell.id for cell in notebook.cells]
    assert normal.cells[3].metadata.tags == [form.CHECKED]
    assert normal.cells[15].outputs[0].metadata == {"image/png": {"alt": ALT}}
    assert normal.metadata == {**form.METADATA, "accelerator": "GPU"}
    assert len(notebook.cells[3].outputs) == 4, "the argument stays as it is"


def test_the_normal_form_is_its_own_normal_form():
    once = form.normalize(small())
    assert form.normalize(once) == once


@pytest.mark.parametrize(
    "source, shows",
    [
        ("print(1)", True),
        ("for x in y:\n    print(x)", True),
        ("x = 1\nx", True),
        ("with caught(ValueError):\n    model(3)", False),
        ("figure(x);", False),
        ("assert a == b", False),
        ("def f():\n    print(1)", False),
        ("numbers.append(1)", False),
        ("...", False),
    ],
)
def test_what_counts_as_showing_something(source, shows):
    assert notebooks._shows(source) is shows


@pytest.mark.parametrize(
    "text", ["min-p 0.1 min-p", "the 1790s", "top-p 0.9", "3 styles", "loss 0.83"]
)
def test_ordinary_figures_are_no_times(text):
    assert not any(pattern.search(text) for pattern in notebooks.UNSTABLE.values())


@pytest.mark.parametrize(
    "text", ["https://example.org/home/page", "../images/x.png", "notebooks/tmp/x", "and/or"]
)
def test_ordinary_addresses_are_no_paths_of_one_machine(text):
    assert not notebooks.ABSOLUTE_PATH.search(text)


def test_your_own_pictures_go_to_drive_on_request_only():
    path = next(path for path in NOTEBOOKS if path.stem.startswith("03"))
    (cell,) = (
        cell.source
        for cell in form.read(path).cells
        if cell.cell_type == "code" and "work_folder(" in cell.source
    )
    assert 'keep_on_drive = False  #@param {type: "boolean"}' in cell.splitlines()
    assert "work_folder(keep_on_drive)" in cell and 'checkpoint=output / "run.pt"' in cell
