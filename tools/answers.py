"""Gathers the answer key from the solutions that are folded in the notebooks, for the website.

Nothing is written twice: an exercise that changes in its notebook changes here.
"""

import re

from nbformat import NotebookNode

from tools.form import heading

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


def key(notebooks: dict[str, NotebookNode]) -> str:
    """Return the exercises of notebooks, given by their names, with their solutions, as Markdown.

    Raises:
        ValueError: see :func:`answers`; the message begins with the notebook's name.
    """
    texts = ["# Solutions\n\nEach solution passes the notebook's own check."]
    for name, notebook in notebooks.items():
        try:
            found = answers(notebook)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        texts += [f"## {heading(notebook)}", *found]
    return "\n\n".join(texts) + "\n"
