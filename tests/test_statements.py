"""``python -m tools.statements``: what a text states is true, false or raises in a fresh run."""

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import form, statements

TWO = "two threads, oldest instructions"
HOLDS = ["x == 3", "x > 3", "y", "torch.get_num_threads() == 2"]


def test_statements_are_evaluated_in_a_fresh_run(monkeypatch, tmp_path, printed):
    cells = [
        new_code_cell("import fmcourse, torch\nfmcourse.setup()\nx = 3"),
        new_markdown_cell("Three.", metadata={"holds": HOLDS}),
        new_code_cell("x = 4"),
    ]
    path = tmp_path / "notebooks" / "00_three.ipynb"
    path.parent.mkdir()
    form.write(new_notebook(cells=cells), path)
    before = path.read_bytes()
    monkeypatch.setattr(statements, "SETTINGS", {TWO: statements.SETTINGS[TWO]})
    assert statements.main(["00"], tmp_path) == 1
    cell = f"  00_three, cell {cells[1].id}:"
    said = [f"{cell} x > 3 is false", f"{cell} y raises NameError: name 'y' is not defined"]
    assert printed().splitlines() == [f"00_three, {TWO}", *said]
    assert path.read_bytes() == before
