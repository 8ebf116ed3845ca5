"""The answer key holds every folded solution; the check before class says what is missing; the guide's tables hold."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest
from doubles import says
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import answers, form, ready

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TASK = "### Exercise 1 · Double (2 minutes)\n\nDouble `x`."
SOLUTION = "<details><summary>Solution</summary>\n\n```python\nx = 2 * x\n```\n</details>"


def notebook(*texts):
    return new_notebook(
        cells=[new_markdown_cell("# Is it two?\n\nA start."), *map(new_markdown_cell, texts)]
    )


@pytest.fixture
def house(tmp_path):
    """Return a function that makes a repository with one notebook of some texts."""
    (tmp_path / "notebooks").mkdir()

    def make(*texts):
        form.write(notebook(*texts), tmp_path / "notebooks" / "00_two.ipynb")
        return tmp_path

    return make


def test_an_exercise_and_its_solution():
    found = answers.answers(notebook(f"Before.\n\n{TASK}", f"{SOLUTION}\n\n## Next"))
    assert found == [
        answers.Answer(
            "Exercise 1 · Double (2 minutes)", "Double `x`.", "```python\nx = 2 * x\n```"
        )
    ]


def test_a_cell_of_code_is_no_exercise():
    assert answers.answers(new_notebook(cells=[new_code_cell(TASK)])) == []


@pytest.mark.parametrize(
    "texts, words",
    [
        ((TASK,), "Exercise 1 · Double (2 minutes): expected one folded solution, found 0"),
        (
            (TASK, SOLUTION, SOLUTION),
            "Exercise 1 · Double (2 minutes): expected one folded solution, found 2",
        ),
        ((SOLUTION,), "expected a heading '### Exercise' above each solution, found 0 headings"),
    ],
)
def test_what_does_not_pair_is_named(texts, words):
    with says(ValueError, words):
        answers.answers(notebook(*texts))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_exercise_of_the_course_is_in_the_key(path):
    stored = form.read(path)
    exercises = [cell for cell in stored.cells if "exercise" in cell.metadata.get("tags", [])]
    assert len(answers.answers(stored)) == len(exercises) > 0


def test_the_key_is_a_page_with_the_solution_unfolded(house, capsys):
    root = house(TASK, SOLUTION)
    assert answers.main([], root) == 0
    text = (root / "build" / "answers.html").read_text()
    assert "Is it two?" in text and "Double" in text and "<details" not in text.split("</head>")[1]
    assert capsys.readouterr().out == "The key: build/answers.html, 2 parts\n"


def test_a_key_with_a_gap_is_not_written(house, capsys):
    root = house(TASK)
    assert answers.main([], root) == 1
    assert capsys.readouterr().err.startswith("00_two: Exercise 1 · Double")
    assert not (root / "build").exists()


def test_ready_names_what_is_missing_and_its_remedy(house, capsys, monkeypatch):
    monkeypatch.setattr(ready, "lint", lambda path: ["size: too many cells"])
    monkeypatch.setattr("fmcourse.doctor", lambda: ["memory is short"], raising=False)
    root = house()
    assert ready.main(root) == 1
    assert capsys.readouterr().out.splitlines() == [
        "memory is short",
        "00_two.ipynb: size: too many cells",
        "build/00_two.html: no page to fall back on; run `make course`",
        "build/answers.html: no answer key; run `make answers`",
    ]


def test_an_old_page_is_noticed_and_a_new_one_is_ready(house, capsys, monkeypatch):
    monkeypatch.setattr(ready, "lint", lambda path: [])
    monkeypatch.setattr("fmcourse.doctor", list, raising=False)
    root = house()
    (root / "build").mkdir()
    for name in ("00_two.html", "answers.html"):
        (root / "build" / name).touch()
    assert ready.main(root) == 0
    assert (
        capsys.readouterr().out
        == "Ready: environment, notebooks, pages and answer key are in place.\n"
    )
    os.utime(root / "build" / "00_two.html", (0, 0))
    assert list(ready.missing(root)) == [
        "build/00_two.html: older than its notebook; run `make course`"
    ]


# The guide's tables: minutes and restart points.

TABLES = (
    (ROOT / "TEACHING.md")
    .read_text(encoding="utf-8")
    .partition("## Minutes and restart points")[2]
    .partition("\n## ")[0]
)
NUMBERED = re.compile(r"^## ((\d+) · .+)$", re.MULTILINE)


def rows(text):
    """Return for each notebook of the guide's tables its rows: section, minutes, restart at."""
    parts = re.split(r"^### (\d\d) .+$", text, flags=re.MULTILINE)[1:]
    lines = {
        name: re.findall(r"^\|(.*)\|$", body, re.MULTILINE)[2:]
        for name, body in zip(parts[::2], parts[1::2])
    }
    return {
        name: [tuple(map(str.strip, line.split("|"))) for line in own]
        for name, own in lines.items()
    }


def needs(notebook):
    """Return for each numbered section the numbers of the earlier sections that defined, last, a name that it uses."""
    section, defined, found = 0, {}, {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^##? .+$", cell.source, re.MULTILINE):
                numbered = NUMBERED.match(heading)
                section = int(numbered[2]) if numbered else None if section else 0
        elif section is not None:
            code = "\n".join(
                line
                for line in cell.source.splitlines()
                if not line.lstrip().startswith(("%", 'if "google'))
            )
            names = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
            own = {node.id for node in names if isinstance(node.ctx, ast.Store)} | set(
                re.findall(r"def (\w+)", code)
            )
            own |= {node.arg for node in ast.walk(ast.parse(code)) if isinstance(node, ast.arg)}
            imports = [
                node
                for node in ast.walk(ast.parse(code))
                if isinstance(node, (ast.Import, ast.ImportFrom))
            ]
            own |= {
                alias.asname or alias.name.partition(".")[0]
                for node in imports
                for alias in node.names
            }
            used = {defined[node.id] for node in names if node.id in defined and node.id not in own}
            found.setdefault(section, set()).update(used - {0, section})
            defined |= dict.fromkeys(own, section)
    return found


def test_the_needs_of_a_section_on_paper():
    cells = [
        new_code_cell("import a"),
        new_markdown_cell("## 1 · One"),
        new_code_cell("x = a.b\ny = 2"),
    ]
    cells += [
        new_markdown_cell("Words.\n\n## 2 · Two"),
        new_code_cell("print(x, [y for y in range(3)])"),
    ]
    cells += [
        new_markdown_cell("## 3 · Three"),
        new_code_cell("def f(x):\n    return a\n\nf(1)\nimport b.c"),
    ]
    cells += [
        new_markdown_cell("## 4 · Four"),
        new_code_cell("b.c"),
        new_markdown_cell("## Evidence"),
    ]
    assert needs(new_notebook(cells=[*cells, new_code_cell("print(x)")])) == {
        0: set(),
        1: set(),
        2: {1},
        3: set(),
        4: {3},
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_guide_lists_every_section_with_its_minutes(path):
    named = rows(TABLES)[path.stem[:2]]
    text = "\n".join(cell.source for cell in form.read(path).cells if cell.cell_type == "markdown")
    assert [section for section, _, _ in named] == [
        heading for heading, _ in NUMBERED.findall(text)
    ]
    assert all(1 <= int(minutes) <= 20 for _, minutes, _ in named)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_section_runs_from_its_restart_point(path):
    wanted = needs(form.read(path))
    for section, _, restart in rows(TABLES)[path.stem[:2]]:
        number, first = int(section.split()[0]), {int(part) for part in re.findall(r"\d+", restart)}
        assert restart == "itself" if not first else max(first) < number, section
        lacking = (
            set().union(*(wanted.get(part, set()) for part in (number, *first))) - first - {number}
        )
        assert not lacking, f"{section}: needs section {sorted(lacking)} as well"
