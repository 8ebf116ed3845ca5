"""Writes the printable answer key from the solutions that are folded in the notebooks.

    python -m tools.answers

Nothing is written twice: an exercise that changes in its notebook changes here.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from tools import ROOT
from tools.form import read
from tools.pages import heading, page

__all__ = ["answers", "key", "main"]

EXERCISE = re.compile(r"^### (Exercise .+)$", re.MULTILINE)
FOLDED = re.compile(r"<details><summary>Solution</summary>\s*(.*?)\s*</details>", re.DOTALL)


def answers(notebook: NotebookNode) -> list[str]:
    """Return a notebook's exercises in their order, each with its task and unfolded solution.

    Raises:
        ValueError: an exercise without one solution of its own, or a solution without an exercise.
    """
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    before, *parts = EXERCISE.split(text)
    if FOLDED.search(before):
        raise ValueError("expected a heading '### Exercise' above each solution")
    found = []
    for name, body in zip(parts[::2], parts[1::2]):
        solutions = FOLDED.findall(body)
        if len(solutions) != 1:
            raise ValueError(f"{name}: expected one folded solution, found {len(solutions)}")
        task = FOLDED.split(body)[0].strip()
        found.append(f"### {name}\n\n{task}\n\n**Solution**\n\n{solutions[0]}")
    return found


def key(paths: list[Path]) -> NotebookNode:
    """Return a notebook of text alone: the exercises of some notebooks, with their solutions.

    Raises:
        ValueError: see :func:`answers`; the message begins with the notebook's name.
    """
    texts = ["# Answer key\n\nFor the teacher. Each solution passes the notebook's own check."]
    for path in paths:
        notebook = read(path)
        try:
            found = answers(notebook)
        except ValueError as error:
            raise ValueError(f"{path.stem}: {error}") from error
        texts += [f"## {heading(notebook)}", *found]
    return new_notebook(cells=[new_markdown_cell(text) for text in texts])


def main(root: Path = ROOT) -> int:
    """Write the key to build/answers.html; return 1 when an exercise lacks its solution."""
    try:
        made = key(sorted((root / "notebooks").glob("*.ipynb")))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    target = root / "build" / "answers.html"
    target.parent.mkdir(exist_ok=True)
    target.write_text(page(made, "Answer key"), encoding="utf-8")
    print("The key: build/answers.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
