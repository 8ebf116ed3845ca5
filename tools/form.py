"""Reads and writes notebooks in one normal form, so that a diff shows content and nothing else.

Serves the other tools. No linter does this: nbstripout drops the outputs that this course ships.
"""

import copy
import hashlib
import html
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from fmcourse.files import read_toml, write_atomic
from tools import ROOT

# The tag of cells whose outputs must come out again.
CHECKED = "nbval-check-output"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
NO_WIDGET = "Run the notebook to use the widget that stands here."
# The paragraph that reads a result.
READING = re.compile(r"^\*\*What we see.*?(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
# "cellView" folds a form in Colab; "holds" lists what a text states of the run above it.
KEPT_CELL_METADATA = ("cellView", "holds", "tags")
METADATA = read_toml(ROOT / "tools" / "metadata.toml")


def read(path: Path) -> NotebookNode:
    """Return the notebook in `path`, in the current notebook format."""
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write `notebook` to `path` in normal form."""
    write_atomic(path, serialize(notebook))


def serialize(notebook: NotebookNode) -> str:
    """Return what a file holds for `notebook` in normal form."""
    return nbformat.writes(normalize(notebook)).rstrip("\n") + "\n"


def normalize(notebook: NotebookNode) -> NotebookNode:
    """Return a copy in normal form: no widget state or view, no clock times, no editor's metadata.

    Cell ids, tags and the descriptions of pictures stay.
    """
    normal = copy.deepcopy(notebook)
    accelerator = {key: value for key, value in notebook.metadata.items() if key == "accelerator"}
    normal.metadata = nbformat.from_dict({**METADATA, **accelerator})
    for cell in normal.cells:
        kept = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
        if cell.cell_type == "code":
            outputs = [_plain_output(output) for output in cell.outputs]
            cell.outputs = _join_streams([output for output in outputs if output.get("data", True)])
    return normal


def _plain_output(output: NotebookNode) -> NotebookNode:
    """Keep of a widget one sentence, and of all metadata a picture's description."""
    if "data" in output:
        if WIDGET_VIEW in output.data:
            output.data = nbformat.from_dict({"text/plain": NO_WIDGET})
        kept = {}
        for kind, about in output.metadata.items():
            if isinstance(about, dict) and "alt" in about:
                kept[kind] = {"alt": about["alt"]}
        output.metadata = nbformat.from_dict(kept)
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


def digest(notebook: NotebookNode) -> str:
    """Return a short name of a notebook's sources, whatever its outputs and metadata."""
    sources = "\0".join(cell.source for cell in notebook.cells)
    return hashlib.sha256(sources.encode()).hexdigest()[:16]


def heading(notebook: NotebookNode) -> str:
    """Return a notebook's title, without the sign before it."""
    return notebook.cells[0].source.partition("\n")[0].lstrip("# ")


def question(cell: NotebookNode) -> str:
    """Return what a prediction's form asks; nothing for any other cell."""
    if cell.cell_type != "code":
        return ""
    return " ".join(re.findall(r"^#@markdown (.*)$", cell.source, re.MULTILINE))


def alt_text(output: NotebookNode) -> str:
    """Return the description of an output's figure; nothing where there is none."""
    return output.metadata.get("image/png", {}).get("alt", "")


def picture(output: NotebookNode) -> str:
    """Return an output's figure as HTML with its description; nothing where there is none."""
    data = output.get("data", {}).get("image/png", "").strip()
    if not data:
        return ""
    return f'<img alt="{html.escape(alt_text(output))}" src="data:image/png;base64,{data}">'


def tags(cell: NotebookNode) -> list[str]:
    """Return a cell's tags."""
    return cell.metadata.get("tags", [])


def texts(cell: NotebookNode) -> Iterator[str]:
    """Yield every text that a cell shows: its streams, and what it displays in words."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield output.text
        for kind, content in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield content
