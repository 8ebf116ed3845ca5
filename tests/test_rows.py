"""An evidence row names the cell that recorded it."""

from __future__ import annotations

import json

import pytest
from doubles import says
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from fmcourse import evidence
from tools import form
from tools.retarget import ROOT
from tools.rows import recording_cell

STORED = json.loads((ROOT / "fmcourse" / "bundled" / "evidence.json").read_text(encoding="utf-8"))


def executed(*printed):
    """Return a notebook whose code cells, c0, c1 and so on, printed these texts."""
    outputs = [[new_output("stream", name="stdout", text=text)] if text else [] for text in printed]
    cells = [
        new_code_cell("0", id=f"c{place}", outputs=output) for place, output in enumerate(outputs)
    ]
    return new_notebook(cells=[new_markdown_cell("Recorded: a: 1 [1, 1]"), *cells])


def test_the_cell_is_the_one_that_says_so(capsys):
    texts = dict.fromkeys(
        ("section", "notebook", "expected", "seeds", "control", "paper", "carries_over"), "x"
    )
    evidence.record("a (b?)", 0.5, (0.4, 0.6), band=(0, 1), **texts)
    notebook = executed("", "before\n" + capsys.readouterr().out, "Recorded: b: 1 [1, 1]")
    assert recording_cell(notebook, "a (b?)") == "c1" and recording_cell(notebook, "b") == "c2"


def test_the_last_of_two_cells_counts_as_its_row_does():
    assert (
        recording_cell(executed("Recorded: a: 1 [1, 1]", "Recorded: a: 2 [2, 2]", "2"), "a") == "c1"
    )


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "a: 1 [1, 1]",
        "Not Recorded: a: 1 [1, 1]",
        "Recorded: a: b: 1 [1, 1]",
        "Recorded: a b: 1 [1, 1]",
    ],
)
def test_a_claim_that_no_cell_recorded_is_named(printed):
    with says(
        ValueError,
        "no cell printed that it recorded 'a'; execute the notebook, and let evidence.record speak",
    ):
        recording_cell(executed(printed), "a")


def test_there_are_stored_rows():
    assert len(STORED) >= 12


@pytest.mark.parametrize(
    "row", STORED, ids=lambda row: f"{row['notebook'][:2]}: {row['claim'][:50]}"
)
def test_the_cell_of_a_stored_row_records_it_with_these_figures(row):
    cell = next(
        cell
        for cell in form.read(ROOT / "notebooks" / f"{row['notebook']}.ipynb").cells
        if cell.id == row["cell"]
    )
    said = f"Recorded: {row['claim']}: {row['estimate']:.3g} [{row['low']:.3g}, {row['high']:.3g}]; expected: {row['expected']}."
    assert said in [line for _, text in form.texts(cell.outputs) for line in text.splitlines()]
    assert "record(" in cell.source
