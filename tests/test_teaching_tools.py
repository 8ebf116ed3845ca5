"""The answer key holds every folded solution, and the check before class says what is missing."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import fmcourse
from tools import ROOT, answers, form, pages, ready

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TASK = "### Exercise 1 · Double (2 minutes)\n\nDouble `x`."
SOLUTION = "<details><summary>Solution</summary>\n\n```python\nx = 2 * x\n```\n</details>"


def notebook(*texts):
    texts = ("# Is it two?\n\nA start.", *texts)
    return new_notebook(cells=[new_markdown_cell(text) for text in texts])


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Return a function that makes a repository with one notebook of some texts."""
    (tmp_path / "notebooks").mkdir()
    settings = '[tool.fmcourse]\nrepository = "fmcourse/fmcourse"\nref = "main"\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    monkeypatch.setattr(fmcourse, "doctor", lambda: [], raising=False)

    def make(*texts):
        form.write(notebook(*texts), tmp_path / "notebooks" / "00_two.ipynb")
        return tmp_path

    return make


@pytest.mark.parametrize(
    "texts, words",
    [
        ((TASK,), "Exercise 1 · Double (2 minutes): expected one folded solution, found 0"),
        ((TASK, SOLUTION, SOLUTION), "expected one folded solution, found 2"),
        ((SOLUTION, TASK, SOLUTION), "expected a heading"),
    ],
)
def test_a_key_with_a_gap_is_not_written(house, capsys, texts, words):
    root = house(*texts)
    assert answers.main(root) == 1
    assert words in capsys.readouterr().err
    assert not (root / "build").exists()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_of_the_course_is_in_the_key(path):
    stored = form.read(path)
    exercises = [cell for cell in stored.cells if "exercise" in form.tags(cell)]
    assert len(answers.answers(stored)) == len(exercises) > 0


def test_the_key_is_a_page_with_the_solution_unfolded(house):
    root = house("Before.", TASK, f"{SOLUTION}\n\n## Next")
    assert answers.main(root) == 0
    text = (root / "build" / "answers.html").read_text()
    assert "Is it two?" in text and "Double" in text and "Before." not in text
    assert "<details" not in text


def test_ready_names_what_is_missing_and_its_remedy(house, capsys, monkeypatch):
    monkeypatch.setattr(fmcourse, "doctor", lambda: ["memory is short"])
    assert ready.main(house()) == 1
    said = capsys.readouterr().out
    for words in ("memory is short", "00_two.html: no page", "make course", "make answers"):
        assert words in said


def test_a_page_is_old_when_the_sources_changed_and_only_then(house, capsys):
    root = house()
    path = root / "notebooks" / "00_two.ipynb"
    (root / "build").mkdir()
    (root / "build" / "answers.html").touch()
    (root / "build" / "00_two.html").write_text(pages.page(form.read(path), "Two"))
    opened = form.read(path)
    opened.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    opened.metadata.widgets = {"state": {}}
    form.nbformat.write(opened, path)
    assert ready.main(root) == 0
    said = capsys.readouterr().out
    assert said.startswith("Ready") and "placeholder" in said and "make retarget" in said
    opened.cells.append(new_code_cell("1"))
    form.nbformat.write(opened, path)
    assert ["older" in sentence for sentence in ready.missing(root)] == [True]


@pytest.mark.parametrize("text", ["", "{", "<<<<<<< ours\n{}\n"])
def test_a_broken_notebook_is_one_sentence_with_a_remedy(house, text):
    root = house()
    (root / "notebooks" / "00_two.ipynb").write_text(text)
    (sentence, _) = ready.missing(root)
    assert "00_two.ipynb cannot be read" in sentence and "git checkout" in sentence


def test_a_repository_with_an_address_gets_no_note(house, capsys):
    root = house()
    settings = '[tool.fmcourse]\nrepository = "ada/course"\nref = "v1"\n'
    (root / "pyproject.toml").write_text(settings)
    ready.main(root)
    assert "placeholder" not in capsys.readouterr().out
