"""Does the course run, and do its numbers hold? Every notebook in order, as pages, with the evidence at the end.

    python -m tools.course               run all, write build/<notebook>.html and build/index.html
    python -m tools.course 04            run the notebooks whose names begin so
    python -m tools.course --save        and keep what was executed: notebooks, evidence, the README's table

The kernels run the Python that runs this command, whatever kernelspecs are installed elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from traitlets import default

from tools.form import read, write
from tools.pages import index, page
from tools.retarget import ROOT
from tools.rows import recording_cell
from tools.tables import markdown, with_table

__all__ = ["CellFailure", "OwnKernel", "choose", "evidence_table", "keep", "main", "run"]

CELL_SECONDS = 1800  # a cell that takes longer hangs
COLUMNS = (
    "claim",
    "report",
    "notebook",
    "expected",
    "estimate and interval",
    "paper",
    "carries over?",
)
PRINTED = (
    "claim",
    "notebook",
    "estimate",
    "low",
    "high",
    "expected",
    "seeds",
)  # what fits a terminal; the README has more


class CellFailure(Exception):
    """A cell that did not finish; the message names notebook, cell and error, `notebook` is as far as it came."""

    def __init__(self, name: str, at: _Position, error: str) -> None:
        first = next((line.strip() for line in at.source.splitlines() if line.strip()), "")
        super().__init__(
            f"{name}: code cell {at.number} of {at.total} failed\n  {first}\n  {error}"
        )
        self.notebook = at.notebook


class _Position:
    """Which code cell of a notebook is being run, from 1; told to `report` at the start of each cell."""

    def __init__(self, notebook: NotebookNode, report: Callable[[int, int], None] | None) -> None:
        self.notebook, self.report = notebook, report
        self.total = sum(cell.cell_type == "code" for cell in notebook.cells)
        self.number, self.source = 0, ""

    def __call__(self, cell: NotebookNode, cell_index: int) -> None:
        if cell.cell_type == "code":
            self.number, self.source = self.number + 1, cell.source
        if self.report:
            self.report(self.number, self.total)


class OwnKernel(AsyncKernelManager):
    """Starts the kernel of one interpreter, by default the running one, never one that a kernelspec on disk names."""

    interpreter = sys.executable

    @default("kernel_spec_manager")
    def _own_interpreter(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        return [str(self.interpreter), *super().format_kernel_cmd(extra_arguments)[1:]]

    @default("transport_encryption")
    def _encrypted_where_understood(self) -> str:
        return (
            "auto" if str(self.interpreter) == sys.executable else "disabled"
        )  # an older kernel would wait for ever


def run(
    path: Path,
    env: dict[str, str] | None = None,
    report: Callable[[int, int], None] | None = None,
    python: Path | None = None,
) -> NotebookNode:
    """Execute the notebook in `path` in a kernel of its own and return it with its outputs.

    Args:
        path: the notebook; its folder is the kernel's working folder.
        env: the kernel's environment variables; None means this process's.
        report: called with the number of the code cell that starts, from 1, and how many there are.
        python: the interpreter of the kernel, which has ipykernel; None means the running one.

    Raises:
        CellFailure: a cell raised an error, took longer than ``CELL_SECONDS``, or its kernel died.
    """
    notebook = read(path)
    position = _Position(notebook, report)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        kernel_manager_class=type(
            "Kernel", (OwnKernel,), {"interpreter": python or sys.executable}
        ),
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=position,
    )
    try:
        return client.execute(env=dict(os.environ) if env is None else env)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CellFailure(path.stem, position, _said(error)) from error


def _said(error: Exception) -> str:
    """Return the error as the cell raised it, without nbclient's frame around it."""
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}"
    if isinstance(error, CellTimeoutError):
        return f"the cell ran for more than {CELL_SECONDS} s"
    return "the kernel died; was there too little memory?"


def choose(names: list[str], folder: Path) -> list[Path]:
    """Return the notebooks whose names begin with one of `names`, all of them for none, in reading order.

    Raises:
        ValueError: a name fits no notebook; the message lists those there are.
    """
    present = sorted(folder.glob("*.ipynb"))
    wanted = [Path(name).stem for name in names]
    for name in wanted:
        if not any(path.stem.startswith(name) for path in present):
            raise ValueError(
                f"no notebook begins with {name!r}; there are {', '.join(p.stem for p in present) or 'none'}"
            )
    return [path for path in present if not wanted or path.stem.startswith(tuple(wanted))]


class _Line:
    """One line of progress for a notebook: rewritten in a terminal, written once in a file."""

    def __init__(self, name: str) -> None:
        self.name, self.started, self.alive = name, time.monotonic(), sys.stdout.isatty()
        self.cells = ""

    def __call__(self, number: int, cells: int) -> None:
        self.cells = f"cell {number}/{cells}"
        if self.alive:
            print(f"\r{self}", end="", flush=True)

    def done(self) -> None:
        print(f"\r{self}" if self.alive else str(self), flush=True)

    def __str__(self) -> str:
        return f"{self.name:<28} {self.cells:<12} {time.monotonic() - self.started:6.0f} s"


def evidence_table(rows: list[dict[str, Any]]) -> str:
    """Return evidence rows as the markdown table that the README shows."""
    return markdown(COLUMNS, [_entries(row) for row in rows])


def _entries(row: dict[str, Any]) -> list[str]:
    from fmcourse import evidence

    cell = f"[{row['notebook'].partition('_')[0]}](notebooks/{row['notebook']}.ipynb#cell-id={row['cell']})"
    verdict = evidence.verdict(row)
    expected = row["expected"] if verdict == "in words" else f"{row['expected']}: {verdict}"
    figure = f"{row['estimate']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
    return [row["claim"], row["section"], cell, expected, figure, row["paper"], row["carries_over"]]


def keep(
    rows: list[dict[str, Any]], notebooks: list[str], seconds: float, root: Path = ROOT
) -> None:
    """Store the rows of the notebooks that ran, each with its cell, leave those of the others, and renew the README's table.

    Raises:
        ValueError: no cell of its notebook recorded a row, or the README has no place for the table; nothing is stored then.
    """
    path, readme = root / "fmcourse" / "bundled" / "evidence.json", root / "README.md"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    others = [row for row in old if row["notebook"] not in notebooks]
    merged = sorted(
        [*others, *(row | {"cell": _cell(row, root)} for row in rows)],
        key=lambda row: row["notebook"],
    )
    text = with_table(readme.read_text(encoding="utf-8"), "evidence", evidence_table(merged))
    if merged != old:
        path.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        _register(path, seconds)
    readme.write_text(text, encoding="utf-8")


def _cell(row: dict[str, Any], root: Path) -> str:
    try:
        return recording_cell(read(root / "notebooks" / f"{row['notebook']}.ipynb"), row["claim"])
    except (OSError, ValueError) as error:
        raise ValueError(f"{row['notebook']}: {error}") from error


def _register(path: Path, seconds: float) -> None:
    from recipes.common import register

    register(
        path,
        licence="CC-BY-4.0",
        attribution="the authors of fmcourse",
        sources=["the notebooks of this course, as executed"],
        recipe="tools/course.py",
        settings={
            "command": "python -m tools.course --save",
            "profile": os.environ.get("FMCOURSE_PROFILE", "tiny"),
        },
        seconds=seconds,
    )


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.course", description="Run the course and write its pages."
    )
    parser.add_argument(
        "notebooks", nargs="*", help="beginnings of names, such as 04 (default: all)"
    )
    parser.add_argument(
        "--save",
        action="store_true",
        help="keep the executed notebooks, the evidence and the README's table",
    )
    chosen = parser.parse_args(arguments)
    try:
        paths = choose(chosen.notebooks, root / "notebooks")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    _empty_state(root)
    started = time.monotonic()
    if not all(_one(path, root, chosen.save) for path in paths):
        return 1
    pages = sorted(path for path in (root / "build").glob("*.html") if path.name != "index.html")
    (root / "build" / "index.html").write_text(index(pages), encoding="utf-8")
    print("The pages: build/index.html\n")
    return _close([path.stem for path in paths], chosen.save, time.monotonic() - started, root)


def _empty_state(root: Path) -> None:
    """Let evidence and predictions, of the kernels and of this process, start from nothing under ``build/state``."""
    state = root / "build" / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    os.environ["FMCOURSE_STATE"] = str(state)


def _one(path: Path, root: Path, save: bool) -> bool:
    """Run one notebook, write its page, and return whether it came through."""
    line, failure = _Line(path.stem), None
    try:
        notebook = run(path, _environment(root), line)
    except CellFailure as error:
        notebook, failure = error.notebook, error
    line.done()
    (root / "build" / f"{path.stem}.html").write_text(page(notebook, path.stem), encoding="utf-8")
    if failure:
        print(f"\n{failure}\n  as far as it came: build/{path.stem}.html", file=sys.stderr)
    elif save:
        write(notebook, path)
    return failure is None


def _environment(root: Path) -> dict[str, str]:
    """Return a kernel's environment: our package first, and one thread, which small models run fastest on."""
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), *inherited]),
    }


def _close(names: list[str], save: bool, seconds: float, root: Path) -> int:
    """Print the evidence, keep it when asked, and fail on an estimate outside its band."""
    from fmcourse import evidence

    table, outside = evidence.table(), evidence.outside()
    printed = table[list(PRINTED)].to_string(index=False, float_format="%.3g", max_colwidth=60)
    print("No evidence was recorded." if table.empty else printed)
    for row in outside:
        print(
            f"outside its band: {row['claim']} ({row['notebook']}): {row['estimate']}",
            file=sys.stderr,
        )
    if outside or not save:
        return 1 if outside else 0
    try:
        keep(evidence.rows(), names, seconds, root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
