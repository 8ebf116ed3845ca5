"""Where do the README's tables come from? Each from results that a command stored, between two marks of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["markdown", "with_table"]


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as a markdown table; a bar in a text is escaped, and a line break becomes a blank.

    >>> print(markdown(["a", "b"], [["1", "2|3"]]))
    | a | b |
    | --- | --- |
    | 1 | 2\\|3 |
    """
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(_plain, row)) + " |" for row in rows)])


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def with_table(readme: str, name: str, table: str) -> str:
    """Return the README's text with a table between the two marks of that name.

    Raises:
        ValueError: the marks are not there, once each and in order.
    """
    marks = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, mark, rest = readme.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not mark or not end:
        raise ValueError(
            f"README.md: expected the lines {marks[0]} and {marks[1]}, where the {name} table belongs"
        )
    return f"{before}{mark}\n{table}\n{end}{after}"
