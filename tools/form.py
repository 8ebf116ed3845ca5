"""What does a stored notebook hold? One normal form, so that a diff shows content and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

__all__ = ["CHECKED", "METADATA", "WIDGET_VIEW", "normalize", "read", "serialize", "texts", "write"]

CHECKED = "nbval-check-output"  # the tag of cells whose outputs must come out again
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KEPT_CELL_METADATA = ("cellView", "tags")  # "cellView" folds a form in Colab
METADATA = {
    "colab": {"provenance": [], "toc_visible": True},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}


def read(path: Path) -> NotebookNode:
    """Return the notebook in `path`, in the current notebook format."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write `notebook` to `path` in normal form."""
    path.write_text(serialize(notebook), encoding="utf-8", newline="\n")


def normalize(notebook: NotebookNode) -> NotebookNode:
    """Return a copy in normal form: no widget state or view, no clock times, no traces of an editor; ids stay."""
    normal = copy.deepcopy(notebook)
    accelerator = {key: value for key, value in notebook.metadata.items() if key == "accelerator"}
    normal.metadata = nbformat.from_dict({**METADATA, **accelerator})
    for cell in normal.cells:
        cell.metadata = nbformat.from_dict(
            {k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA}
        )
        if cell.cell_type == "code":
            outputs = [_plain_output(output) for output in cell.outputs]
            cell.outputs = _join_streams([output for output in outputs if output.get("data", True)])
    return normal


def _plain_output(output: NotebookNode) -> NotebookNode:
    """Drop the widget view, and all metadata but a picture's description."""
    if "data" in output:
        output.data.pop(WIDGET_VIEW, None)
        described = {
            kind: about
            for kind, about in output.metadata.items()
            if isinstance(about, dict) and "alt" in about
        }
        output.metadata = nbformat.from_dict(
            {kind: {"alt": about["alt"]} for kind, about in described.items()}
        )
    return output


def _join_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring texts of one stream: where a kernel splits them differs from run to run."""
    joined: list[NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def serialize(notebook: NotebookNode) -> str:
    """Return what a file holds for `notebook` in normal form."""
    return nbformat.writes(normalize(notebook)).rstrip("\n") + "\n"


def texts(outputs: list[NotebookNode]) -> Iterator[tuple[str, str]]:
    """Yield the kind and content of every text in some outputs: streams and the textual forms of what was displayed."""
    for output in outputs:
        if output.output_type == "stream":
            yield output.name, output.text
        for kind, content in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield kind, content
