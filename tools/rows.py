"""Where does an evidence row come from? The cell of an executed notebook that recorded it."""

from __future__ import annotations

import re

from nbformat import NotebookNode

from tools.form import texts

__all__ = ["recording_cell"]


def recording_cell(notebook: NotebookNode, claim: str) -> str:
    """Return the id of the cell of an executed notebook whose output says that a claim was recorded, the last if several do.

    Raises:
        ValueError: none does.
    """
    said = re.compile(rf"^Recorded: {re.escape(claim)}: \S+ \[", re.MULTILINE)
    for cell in reversed(notebook.cells):
        if any(said.search(text) for _, text in texts(cell.get("outputs", []))):
            return cell.id
    raise ValueError(
        f"no cell printed that it recorded {claim!r}; execute the notebook, and let evidence.record speak"
    )
