"""Writes the student edition: the notebooks without outputs and solutions, in notebooks/student.

    python -m tools.student

"What we see" is folded there, so that nobody reads a result before the cell above it was run.
"""

import copy
import re
import shutil
from pathlib import Path

from nbformat import NotebookNode

from fmcourse.files import write_atomic
from tools import ROOT
from tools.form import READING, read, serialize

SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?</details>\s*", re.DOTALL)
SUMMARY = "<summary>What we see: open it after the cell above has run</summary>"
FOLDED = f"<details>{SUMMARY}\n\n{{}}\n\n</details>"
# Images and other files of the repository lie one folder further up.
UPWARDS = re.compile(r"(?<=\]\()\.\./")
BADGE = re.compile(r"(colab\.research\.google\.com/github/[^)\s]+/notebooks/)")


def student(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook as students get it: no outputs, no solutions, readings folded."""
    taken = copy.deepcopy(notebook)
    for cell in taken.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
            continue
        text = SOLUTION.sub("", cell.source)
        text = READING.sub(lambda found: FOLDED.format(found[0]), text)
        text = UPWARDS.sub("../../", text)
        cell.source = BADGE.sub(r"\1student/", text).strip() or "*(continue below)*"
    return taken


def texts_of(root: Path = ROOT) -> dict[str, str]:
    """Return what each file of the student edition holds, by its name."""
    paths = sorted((root / "notebooks").glob("*.ipynb"))
    return {path.name: serialize(student(read(path))) for path in paths}


def main(root: Path = ROOT) -> None:
    """Write the student edition anew."""
    folder = root / "notebooks" / "student"
    texts = texts_of(root)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in texts.items():
        write_atomic(folder / name, text)
    print(f"The student edition: {len(texts)} notebooks in notebooks/student")


if __name__ == "__main__":
    main()
