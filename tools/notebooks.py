"""Checks the form of the notebooks: what neither ruff nor nbval sees.

    python -m tools.notebooks            check every notebook
    python -m tools.notebooks --fix      bring every notebook into normal form first

nbval compares nothing where no output is stored, ignores a mistyped tag, and accepts a failed
shell line. What a reader has to take in is printed for each notebook, and limited.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from fmcourse import evidence
from tools import ROOT, claims
from tools.form import CHECKED, READING, alt_text, read, serialize, tags, texts, write
from tools.retarget import Target, read_target

TAGS = {"setup", "core", "further", "exercise", "hide-input", CHECKED}
# Characters that describe a figure.
ALT_LENGTH = 40
MOST_BYTES = 1_000_000
LIMITS = {
    "core words": 900,
    "core code lines": 60,
    "widest line": 88,
    # Of a paragraph that reads a result, which begins with "What we see".
    "words read": 60,
    "numbers read": 4,
    "unlinked arXiv numbers": 0,
}
NO_PROSE = re.compile(r"<!--.*?-->|\$[^$]*\$|`[^`]*`|\(https?://[^)]*\)|\[!\[[^\n]*", re.DOTALL)
WORD = re.compile(r"[A-Za-z']+")
NUMBER = re.compile(r"(?<![\w.])\d[\d,.]*%?")
BADGES = "https://colab.research.google.com/assets/"
MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])(?:/(?:home|root|tmp|work|Users|var)/\w|\b[A-Z]:\\{1,2}(?:Users|Windows|Program))"
)


def lint(path: Path, target: Target | None = None) -> list[str]:
    """Return what is wrong with a notebook, one sentence each, none if all is well.

    Args:
        path: the notebook, in a folder beside which ``images/`` lies.
        target: the repository and ref that it should name; None means those of ``pyproject.toml``.
    """
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    found = list(_file(text, notebook))
    found += _addresses(notebook, path, target or read_target())
    found += _claims(notebook, path)
    for name, count in reading_load(notebook).items():
        if count > LIMITS[name]:
            found.append(f"{name}: {count}, more than {LIMITS[name]}")
    count = 0
    for number, cell in enumerate(notebook.cells, 1):
        problems = list(_any_cell(cell))
        if cell.cell_type == "code":
            count += 1
            problems += _code(cell, count)
        else:
            problems += _prose(cell, path.parent)
        found += [f"cell {number}: {problem}" for problem in problems]
    return found


def _file(text: str, notebook: NotebookNode) -> Iterator[str]:
    if text != serialize(notebook):
        yield "not in normal form; run `python -m tools.notebooks --fix`"
    size = len(text.encode())
    if size > MOST_BYTES:
        yield f"{size:,} bytes, more than {MOST_BYTES:,}"


def _addresses(notebook: NotebookNode, path: Path, target: Target) -> Iterator[str]:
    """Check the badge of the first cell, and what the set-up cell installs."""
    first = notebook.cells[0].source if notebook.cells else ""
    if not first.startswith("# "):
        yield "the first line should be the notebook's title"
    badge = target.badge(path.name)
    if f"]({badge})" not in first:
        yield f"the first cell should hold a badge that links to {badge}"
    setup = "\n".join(cell.source for cell in notebook.cells if "setup" in tags(cell))
    installed = re.findall(r"https://github\.com/[^\s\"']+/archive/[^\s\"']+", setup)
    if installed != [target.archive]:
        yield f"one cell tagged setup should install {target.archive}, found {installed}"


def _claims(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Check that what a notebook records are claims of its own."""
    for key, cell in claims.recorded(notebook).items():
        claim = evidence.claims().get(key)
        if claim is None:
            yield f"cell {cell}: {key!r} is no claim of claims.toml"
        elif claim["notebook"] != path.stem:
            yield f"cell {cell}: {key!r} belongs to {claim['notebook']}"


def reading_load(notebook: NotebookNode) -> dict[str, int]:
    """Return what a reader has to take in, by the names of LIMITS."""
    core = [cell for cell in notebook.cells if "core" in tags(cell)]
    apart = {"setup", "exercise"}
    shown = [cell for cell in core if not apart & set(tags(cell)) and "#@" not in cell.source]
    prose = NO_PROSE.sub(" ", _sources(notebook.cells, "markdown"))
    readings = READING.findall(prose)
    words = WORD.findall(NO_PROSE.sub(" ", _sources(core, "markdown")))
    return {
        "core words": len(words),
        "core code lines": len(re.findall(r"^\s*[^\s#]", _sources(shown, "code"), re.MULTILINE)),
        "widest line": max(map(len, _sources(notebook.cells, "code").splitlines()), default=0),
        "words read": max((len(WORD.findall(text)) for text in readings), default=0),
        "numbers read": max((len(NUMBER.findall(text)) for text in readings), default=0),
        "unlinked arXiv numbers": len(re.findall(r"arXiv:? ?\d{4}\.\d{4,5}", prose)),
    }


def _sources(cells: list[NotebookNode], kind: str) -> str:
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == kind)


def _any_cell(cell: NotebookNode) -> Iterator[str]:
    for tag in set(tags(cell)) - TAGS:
        yield f"unknown tag {tag!r}, expected one of {', '.join(sorted(TAGS))}"
    for text in [cell.source, *texts(cell)]:
        if hit := MACHINE_PATH.search(text):
            yield f"names a path of one machine, {text[hit.start() : hit.start() + 40]!r}"


def _code(cell: NotebookNode, count: int) -> Iterator[str]:
    if cell.execution_count != count:
        yield f"execution count {cell.execution_count}, not {count}; run the notebook from the top"
    if re.search(r"^\s*(?:\w+\s*=\s*)?[!%]", cell.source, re.MULTILINE) and "setup" not in tags(
        cell
    ):
        yield "a shell or magic line can fail unseen; only the set-up cell may hold one"
    if re.search(r"#+\s*(?:NBVAL|PYTEST_VALIDATE)_", cell.source):
        yield "nbval ignores its comment form when anything follows it; use the tag"
    checked = CHECKED in tags(cell)
    if checked and not "".join(texts(cell)).strip():
        yield "is checked, but stores no text to compare"
    for output in cell.outputs:
        yield from _output(output, checked)


def _output(output: NotebookNode, checked: bool) -> Iterator[str]:
    if output.output_type == "error":
        yield f"stores an error, {output.ename}: {output.evalue}"
    if output.get("name") == "stderr":
        yield f"stores stderr: {output.text.strip()[:60]!r}"
    data = output.get("data", {})
    if "image/svg+xml" in data or "<svg" in data.get("text/html", ""):
        yield "shows an SVG; save figures as PNG"
    if "image/png" in data:
        alt = alt_text(output)
        if len(alt.strip()) < ALT_LENGTH:
            yield f"its figure needs a text of at least {ALT_LENGTH} characters, got {alt!r}"
        if checked:
            yield "is checked, but shows a picture, which nbval does not compare"


def _prose(cell: NotebookNode, folder: Path) -> Iterator[str]:
    for mark, text, link in re.findall(r"(!?)\[([^\]]*)\]\(\s*([^)\s#]+)", cell.source):
        if mark and not text.strip():
            yield f"the image {link} has no alt text"
        if mark and ":" in link and not link.startswith(BADGES):
            yield f"the image {link} should be a file under images/"
        if ":" not in link and not (folder / link).exists():
            yield f"the link to {link} leads nowhere"


def main(arguments: list[str] | None = None) -> int:
    """Print what is wrong with each notebook; return 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__)
    parser.add_argument("--fix", action="store_true", help="write them in normal form first")
    chosen = parser.parse_args(arguments)
    problems = 0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if chosen.fix:
            write(read(path), path)
        load = reading_load(read(path))
        print(f"{path.stem}:", ", ".join(f"{name} {count}" for name, count in load.items()))
        for problem in lint(path):
            print(f"{path.name}: {problem}")
            problems += 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
