"""Do the notebooks keep the house's form? Rules that say what broke, in one table.

    python -m tools.notebooks            check every notebook
    python -m tools.notebooks --fix      bring every notebook into normal form first

Serves all notebooks. :func:`lint` finds what nbval lets pass: it compares nothing where no output is stored,
ignores a mistyped tag, and accepts a failed shell or magic line.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import prose
from tools.form import CHECKED, WIDGET_VIEW, read, serialize, texts, write
from tools.retarget import ROOT, Target, read_target

__all__ = ["RULES", "Page", "lint"]

TAGS = {"setup", "core", "further", "exercise", CHECKED}

CELLS = (15, 65)  # of all kinds
CORE_CELLS = (1, 27)
CHECKED_CELLS = (4, 10)
MEDIAN_LINES = 6  # non-blank lines of a code cell
MOST_LINES = 25
MOST_FUNCTIONS = 2  # outside exercises
ALT_LENGTH = 40  # characters that describe a figure
MOST_BYTES = 1_000_000

SILENT = {
    "append",
    "extend",
    "manual_seed",
    "seed",
    "setdefault",
    "update",
}  # calls that end a cell and show nothing
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.:/~-])(?:/(?:home|root|tmp|work|Users|var)/|\b[A-Z]:\\{1,2}(?:Users|Windows|Program))"
)
UNSTABLE = {
    "a time": re.compile(
        r"(?:\d\.\d+ ?|\b\d+ )(?:s|ms|µs|us|ns|min|h|sec|seconds?|minutes?|hours?)(?![\w-])"
    ),
    "a speed": re.compile(r"\d ?(?:\w+/s|\w+ per second)\b"),
    "an address in memory": re.compile(r"\b0x[0-9a-f]{6,}"),
    "a version": re.compile(r"\b\d+\.\d+\.\d+\b"),
}


@dataclass(frozen=True)
class Page:
    """One notebook as the rules see it: where it lies, its text, its cells, and the repository it should name."""

    path: Path
    text: str
    notebook: NotebookNode
    target: Target

    @cached_property
    def code(self) -> list[tuple[int, NotebookNode]]:
        """The code cells, each with its number among all cells, from 1."""
        return [
            (n, cell) for n, cell in enumerate(self.notebook.cells, 1) if cell.cell_type == "code"
        ]

    @cached_property
    def prose(self) -> list[tuple[int, NotebookNode]]:
        """The markdown cells, each with its number among all cells, from 1."""
        return [
            (n, cell)
            for n, cell in enumerate(self.notebook.cells, 1)
            if cell.cell_type == "markdown"
        ]

    def tagged(self, tag: str) -> list[tuple[int, NotebookNode]]:
        """Return the cells with a tag, each with its number."""
        return [
            (n, cell)
            for n, cell in enumerate(self.notebook.cells, 1)
            if tag in cell.metadata.get("tags", [])
        ]


def lint(path: Path, target: Target | None = None) -> list[str]:
    """Return what is wrong with a notebook, one sentence each, none if all is well.

    Args:
        path: the notebook, in a folder beside which ``images/`` lies.
        target: the repository and ref that it should name; None means those of ``pyproject.toml``.

    >>> lint(Path("notebooks/none.ipynb"))
    ['form: there is no notebooks/none.ipynb']
    """
    if not path.exists():
        return [f"form: there is no {path}"]
    text = path.read_text(encoding="utf-8")
    page = Page(path, text, nbformat.reads(text, as_version=4), target or read_target())
    return [f"{name}: {problem}" for name, rule in RULES.items() for problem in rule(page)]


def _form(page: Page) -> Iterator[str]:
    if page.text != serialize(page.notebook):
        yield "not in normal form; run `python -m tools.notebooks --fix`"
    if "widgets" in page.notebook.metadata or WIDGET_VIEW in page.text:
        yield "holds widget state, which GitHub refuses to show"


def _size(page: Page) -> Iterator[str]:
    size, cells = len(page.text.encode()), len(page.notebook.cells)
    if size > MOST_BYTES:
        yield f"{size:,} bytes, more than {MOST_BYTES:,}"
    yield from _between(cells, CELLS, "cells")


def _title(page: Page) -> Iterator[str]:
    first = page.notebook.cells[0] if page.notebook.cells else NotebookNode(source="")
    if not re.match(r"# .*\?\s*$", first.source, re.MULTILINE):
        yield "the first line should be a heading that asks a question"


def _badge(page: Page) -> Iterator[str]:
    expected = page.target.badge(page.path.name)
    first = page.notebook.cells[0].source if page.notebook.cells else ""
    if f"]({expected})" not in first:
        yield f"the first cell should hold a badge that links to {expected}"
    for number, cell in page.prose:
        for address in re.findall(
            r"https://colab\.research\.google\.com/github/[^\s)\"'>]+", cell.source
        ):
            name = address.rsplit("/", 1)[-1]
            if address != page.target.badge(name) or not (page.path.parent / name).exists():
                yield f"cell {number}: {address} should be {page.target.badge(name)}, with that notebook in place"


def _setup(page: Page) -> Iterator[str]:
    cells = page.tagged("setup")
    if not cells:
        yield "no cell is tagged setup"
    found = [
        a
        for _, cell in cells
        for a in re.findall(r"https://github\.com/[^\s\"']+/archive/[^\s\"']+", cell.source)
    ]
    if cells and found != [page.target.archive]:
        yield f"the setup cells should install {page.target.archive} once, found {', '.join(found) or 'nothing'}"


def _tags(page: Page) -> Iterator[str]:
    for number, cell in enumerate(page.notebook.cells, 1):
        for tag in set(cell.metadata.get("tags", [])) - TAGS:
            yield f"cell {number}: unknown tag {tag!r}, expected one of {', '.join(sorted(TAGS))}"
        if cell.cell_type == "code" and re.search(r"#+\s*(?:NBVAL|PYTEST_VALIDATE)_", cell.source):
            yield f"cell {number}: the comment form of nbval is ignored when anything follows it; use the tag"
    yield from _between(len(page.tagged("core")), CORE_CELLS, "cells tagged core")


def _order(page: Page) -> Iterator[str]:
    for expected, (number, cell) in enumerate(page.code, 1):
        if cell.execution_count != expected:
            yield f"cell {number}: its execution count is {cell.execution_count}, not {expected}; run the notebook from the top"
            return


def _outputs(page: Page) -> Iterator[str]:
    for number, cell in page.code:
        if (
            not cell.outputs
            and "setup" not in cell.metadata.get("tags", [])
            and _shows(cell.source)
        ):
            yield f"cell {number}: shows something, but no output is stored"
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {number}: stores an error, {output.ename}: {output.evalue}"
            if output.get("name") == "stderr":
                yield f"cell {number}: stores stderr: {output.text.strip()[:60]!r}"


def _shows(source: str) -> bool:
    """Return whether a cell prints, displays, or ends in a value."""
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic: the rule about those speaks
        return False
    if not body or source.rstrip().endswith(";"):
        return False
    run = [part for part in body if not isinstance(part, (ast.FunctionDef, ast.ClassDef))]
    called = {
        _name(node.func) for part in run for node in ast.walk(part) if isinstance(node, ast.Call)
    }
    ends_in_value = isinstance(body[-1], ast.Expr) and not _is_silent(body[-1].value)
    return ends_in_value or bool(called & {"print", "display"})


def _is_silent(value: ast.expr) -> bool:
    return (isinstance(value, ast.Constant) and value.value in (None, ...)) or (
        isinstance(value, ast.Call) and _name(value.func) in SILENT
    )


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _checked(page: Page) -> Iterator[str]:
    cells = page.tagged(CHECKED)
    yield from _between(len(cells), CHECKED_CELLS, f"cells tagged {CHECKED}")
    for number, cell in cells:
        found = list(texts(cell.get("outputs", [])))
        if not any(text.strip() for _, text in found):
            yield f"cell {number}: is checked, but stores no text to compare"
        if any(
            kind.startswith("image/")
            for output in cell.get("outputs", [])
            for kind in output.get("data", {})
        ):
            yield f"cell {number}: is checked, but shows a picture, which nbval does not compare"
        for what, pattern in UNSTABLE.items():
            for hit in [m for _, text in found for m in pattern.finditer(text)][:1]:
                yield f"cell {number}: is checked, but prints {what}, {hit[0]!r}, which differs from machine to machine"


def _pictures(page: Page) -> Iterator[str]:
    for number, cell in page.code:
        for output in cell.outputs:
            kinds = output.get("data", {})
            if "image/svg+xml" in kinds or "<svg" in kinds.get("text/html", ""):
                yield f"cell {number}: shows an SVG; save figures as PNG"
            alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
            if "image/png" in kinds and len(alt.strip()) < ALT_LENGTH:
                yield f"cell {number}: its figure needs a description of at least {ALT_LENGTH} characters, got {alt!r}"


def _drawings(page: Page) -> Iterator[str]:
    for number, cell in page.prose:
        for alt, address in _images(cell.source):
            if not alt.strip():
                yield f"cell {number}: the image {address} has no alt text"
            if not address.startswith(
                "https://colab.research.google.com/assets/"
            ) and not _is_drawing(page, address):
                yield f"cell {number}: {address} should be a file under images/, written ../images/<file>"


def _images(source: str) -> Iterator[tuple[str, str]]:
    """Yield the alt text and the address of every image of a markdown cell, written either way."""
    yield from re.findall(r"!\[([^\]]*)\]\(\s*([^)\s]+)", source)
    for tag in re.findall(r"<img\b[^>]*>", source):
        found = {name: re.search(rf"\b{name}=[\"']([^\"']*)", tag) for name in ("alt", "src")}
        yield tuple(match[1] if match else "" for match in found.values())


def _is_drawing(page: Page, address: str) -> bool:
    raw = f"https://raw.githubusercontent.com/{page.target.slug}/{page.target.ref}/images/"
    for start in ("../images/", raw):
        if address.startswith(start):
            return (page.path.parent.parent / "images" / address.removeprefix(start)).is_file()
    return False


def _links(page: Page) -> Iterator[str]:
    for number, cell in page.prose:
        for link in re.findall(r"(?<!\!)\[[^\]]*\]\(\s*([^)\s#]+)", cell.source):
            if not re.match(r"\w+:", link) and not (page.path.parent / link).exists():
                yield f"cell {number}: the link to {link} leads nowhere"


def _lengths(page: Page) -> Iterator[str]:
    lines = {
        n: sum(1 for line in cell.source.splitlines() if line.strip()) for n, cell in page.code
    }
    yield from (
        f"cell {n}: {count} lines, more than {MOST_LINES}"
        for n, count in lines.items()
        if count > MOST_LINES
    )
    if lines and statistics.median(lines.values()) > MEDIAN_LINES:
        yield f"the median code cell has {statistics.median(lines.values()):g} lines, more than {MEDIAN_LINES}"


def _functions(page: Page) -> Iterator[str]:
    plain = [
        cell.source for _, cell in page.code if "exercise" not in cell.metadata.get("tags", [])
    ]
    found = re.findall(r"^\s*(?:async )?def (\w+)", "\n".join(plain), re.MULTILINE)
    if len(found) > MOST_FUNCTIONS:
        yield f"{len(found)} functions outside exercises ({', '.join(found)}), more than {MOST_FUNCTIONS}"


def _words(page: Page) -> Iterator[str]:
    code, prose = (
        sum(len(cell.source.split()) for _, cell in cells) for cells in (page.code, page.prose)
    )
    if prose <= code:
        yield f"{prose} words of prose and {code} of code; a course explains more than it types"


def _paths(page: Page) -> Iterator[str]:
    for number, cell in enumerate(page.notebook.cells, 1):
        for text in [cell.source, *(text for _, text in texts(cell.get("outputs", [])))]:
            for hit in list(ABSOLUTE_PATH.finditer(text))[:1]:
                yield f"cell {number}: names a path of one machine, {text[hit.start() : hit.start() + 40]!r}"


def _runs_through(page: Page) -> Iterator[str]:
    for number, cell in page.code:
        if re.search(
            r"^\s*(?:[!%]|\w+\s*=\s*[!%])", cell.source, re.MULTILINE
        ) and "setup" not in cell.metadata.get("tags", []):
            yield f"cell {number}: a shell or magic line can fail unseen; only the setup cell may hold one"
        if re.search(r"(?<![\w.])(?:input|exit|quit)\(|\bsys\.exit\(|\bSystemExit\b", cell.source):
            yield f"cell {number}: waits for an answer or stops the kernel, so Run all does not reach the end"


def _numbers(page: Page) -> Iterator[str]:
    yield from prose.problems(page.notebook)


def _between(number: int, bounds: tuple[int, int], what: str) -> Iterator[str]:
    if not bounds[0] <= number <= bounds[1]:
        yield f"{number} {what}, expected {bounds[0]} to {bounds[1]}"


RULES: dict[str, Callable[[Page], Iterator[str]]] = {
    "form": _form,
    "size": _size,
    "title": _title,
    "badge": _badge,
    "setup": _setup,
    "tags": _tags,
    "order": _order,
    "outputs": _outputs,
    "checked": _checked,
    "pictures": _pictures,
    "drawings": _drawings,
    "links": _links,
    "lengths": _lengths,
    "functions": _functions,
    "words": _words,
    "paths": _paths,
    "run all": _runs_through,
    "numbers": _numbers,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks", description="Check the form of the notebooks."
    )
    parser.add_argument(
        "notebooks", nargs="*", type=Path, help="files (default: all of notebooks/)"
    )
    parser.add_argument("--fix", action="store_true", help="write them in normal form first")
    chosen = parser.parse_args(arguments)
    problems = 0
    for path in chosen.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        if chosen.fix:
            write(read(path), path)
        found = lint(path)
        problems += len(found)
        print(
            f"{path.name}: {len(found) or 'no'} problem{'s' * (len(found) != 1)}",
            *found,
            sep="\n  ",
        )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
