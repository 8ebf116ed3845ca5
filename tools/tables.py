"""Writes the tables of EVIDENCE.md and docs/environments.md, each between two marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["markdown", "renew"]


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as a markdown table; bars are escaped, and a line break becomes a blank.

    >>> print(markdown(["a", "b"], [["1", "2|3"]]))
    | a | b |
    | --- | --- |
    | 1 | 2\\|3 |
    """
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        entries = [text.replace("|", "\\|").replace("\n", " ") for text in row]
        lines.append("| " + " | ".join(entries) + " |")
    return "\n".join(lines)


def renew(page: Path, name: str, table: str) -> None:
    """Put a table between a page's two marks of that name.

    Raises:
        ValueError: the marks are not there, once each and in order; the page stays as it is.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        raise ValueError(f"{page.name}: expected the lines {start} and {end} around the table")
    page.write_text(f"{before}{start}\n{table}\n{end}{after}", encoding="utf-8", newline="\n")
