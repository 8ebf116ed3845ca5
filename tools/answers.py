"""What are the solutions? A printable key, made from those that are folded in the notebooks.

    python -m tools.answers              write build/answers.html
    python -m tools.answers 03 04        of the notebooks whose names begin so

Nothing is written twice: an exercise that changes in its notebook changes here, and one without a solution is an error.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from tools.course import choose
from tools.form import read
from tools.pages import page
from tools.retarget import ROOT

__all__ = ["Answer", "answers", "key", "main"]

HEADING = re.compile(r"^### (Exercise .+)$", re.MULTILINE)
FOLDED = re.compile(r"<details><summary>Solution</summary>\s*(.*?)\s*</details>", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """One exercise: its heading, the task as the notebook puts it, and the folded solution, both in markdown."""

    heading: str
    task: str
    solution: str


def answers(notebook: NotebookNode) -> list[Answer]:
    """Return a notebook's exercises in their order.

    Raises:
        ValueError: an exercise without a solution of its own, or a solution without an exercise.
    """
    text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    _, *parts = HEADING.split(text)
    pairs = list(zip(parts[::2], parts[1::2]))
    for heading, body in pairs:
        found = len(FOLDED.findall(body))
        if found != 1:
            raise ValueError(f"{heading}: expected one folded solution, found {found}")
    if len(FOLDED.findall(text)) != len(pairs):
        raise ValueError(
            f"expected a heading '### Exercise' above each solution, found {len(pairs)} headings"
        )
    return [
        Answer(heading, FOLDED.split(body)[0].strip(), FOLDED.search(body)[1])
        for heading, body in pairs
    ]


def key(paths: list[Path]) -> NotebookNode:
    """Return a notebook of text alone: for each of some notebooks its exercises and their solutions.

    Raises:
        ValueError: see :func:`answers`; the message begins with the notebook's name.
    """
    cells = [
        new_markdown_cell(
            "# Answer key\n\nFor the teacher. Each solution passes the notebook's own check."
        )
    ]
    for path in paths:
        notebook = read(path)
        try:
            own = answers(notebook)
        except ValueError as error:
            raise ValueError(f"{path.stem}: {error}") from error
        if own:
            cells.append(new_markdown_cell("#" + notebook.cells[0].source.splitlines()[0]))
        cells += [
            new_markdown_cell(f"### {one.heading}\n\n{one.task}\n\n**Solution**\n\n{one.solution}")
            for one in own
        ]
    return new_notebook(cells=cells)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.answers", description="Write the answer key."
    )
    parser.add_argument(
        "notebooks", nargs="*", help="beginnings of names, such as 04 (default: all)"
    )
    chosen = parser.parse_args(arguments)
    try:
        made = key(choose(chosen.notebooks, root / "notebooks"))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    target = root / "build" / "answers.html"
    target.parent.mkdir(exist_ok=True)
    target.write_text(page(made, "Answer key"), encoding="utf-8")
    print(f"The key: build/answers.html, {len(made.cells) - 1} parts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
