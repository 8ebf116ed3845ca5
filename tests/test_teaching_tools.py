"""The answer key holds every folded solution, and the check before class says what is missing."""

import json
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import fmcourse
from tools import answers, form, ready, site

TASK = "### Exercise 1 · Double (2 minutes)\n\nDouble `x`."
SOLUTION = "<details><summary>Solution</summary>\n\n```python\nx = 2 * x\n```\n</details>"


def notebook(*texts):
    texts = ("# Is it two?\n\nA start.", *texts)
    return new_notebook(cells=[new_markdown_cell(text) for text in texts])


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A repository with one notebook."""
    (tmp_path / "notebooks").mkdir()
    settings = '[tool.fmcourse]\nrepository = "fmcourse/fmcourse"\nref = "main"\n'
    (tmp_path / "pyproject.toml").write_text(settings)
    monkeypatch.setattr(fmcourse, "doctor", lambda: [], raising=False)
    form.write(notebook(), tmp_path / "notebooks" / "00_two.ipynb")
    return tmp_path


@pytest.mark.parametrize(
    "texts, words",
    [
        ((TASK,), "Exercise 1 · Double (2 minutes): expected one folded solution, found 0"),
        ((TASK, SOLUTION, SOLUTION), "expected one folded solution, found 2"),
        ((SOLUTION, TASK, SOLUTION), "expected a heading"),
    ],
)
def test_a_key_with_a_gap_is_refused(texts, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        answers.key({"00_two": notebook(*texts)})


def test_the_course_has_a_key():
    assert answers.key(site.executed()).count("**Solution**") > 8


def test_ready_names_what_is_missing_and_its_remedy(house, printed, monkeypatch):
    monkeypatch.setattr(fmcourse, "doctor", lambda: ["memory is short"])
    assert ready.main(house) == 1
    said = printed()
    for words in ("memory is short", "no page of 00_two.ipynb", "make course"):
        assert words in said


def test_a_page_is_old_when_the_sources_changed_and_only_then(house, printed):
    path = house / "notebooks" / "00_two.ipynb"
    (house / "build" / "site").mkdir(parents=True)
    made = json.dumps({"00_two": form.digest(form.read(path))})
    (house / "build" / "site" / "sources.json").write_text(made)
    opened = form.read(path)
    opened.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    opened.metadata.widgets = {"state": {}}
    form.nbformat.write(opened, path)
    assert ready.main(house) == 0
    said = printed()
    assert said.startswith("Ready") and "placeholder" in said and "make retarget" in said
    opened.cells.append(new_code_cell("1"))
    form.nbformat.write(opened, path)
    assert ["older" in sentence for sentence in ready.missing(house)] == [True]


@pytest.mark.parametrize("text", ["", "{", "<<<<<<< ours\n{}\n"])
def test_a_broken_notebook_is_one_sentence_with_a_remedy(house, text):
    (house / "notebooks" / "00_two.ipynb").write_text(text)
    (sentence,) = ready.missing(house)
    assert "00_two.ipynb cannot be read" in sentence and "git checkout" in sentence
