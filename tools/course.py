"""Runs the notebooks in order, builds the website, and shows the evidence at the end.

    python -m tools.course               run all, write build/site
    python -m tools.course 04            run the notebooks whose names begin so
    python -m tools.course --save        and keep it: executed notebooks, evidence, EVIDENCE.md

The kernels run the Python that runs this command, with the variables that a student's kernel has.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm
from traitlets import default

from tools import ROOT, claims, site
from tools.form import read, write

# A cell that takes longer hangs.
CELL_SECONDS = 1800


class CellFailure(Exception):
    """A cell that did not finish; the message names notebook, cell and error.

    Attributes:
        notebook: the notebook as far as it came.
    """

    def __init__(self, name: str, notebook: NotebookNode, number: int, error: Exception) -> None:
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        first = code[number - 1].source.strip().partition("\n")[0]
        said = str(error).partition("\n")[0]
        if isinstance(error, CellExecutionError):
            said = f"{error.ename}: {error.evalue}"
        super().__init__(f"{name}: code cell {number} of {len(code)} failed\n  {first}\n  {said}")
        self.notebook = notebook


class OwnKernel(AsyncKernelManager):
    """Starts the kernel of one interpreter, whatever kernelspecs are installed elsewhere."""

    interpreter: str = sys.executable

    @default("kernel_spec_manager")
    def _own_interpreter(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Return the command that starts the kernel."""
        return [self.interpreter, *super().format_kernel_cmd(extra_arguments)[1:]]

    @default("transport_encryption")
    def _encrypted_where_understood(self) -> str:
        # An older kernel would wait for ever.
        return "auto" if self.interpreter == sys.executable else "disabled"


def run(
    path: Path,
    env: dict[str, str] | None = None,
    report: Callable[[int], None] | None = None,
    python: Path | None = None,
    notebook: NotebookNode | None = None,
) -> NotebookNode:
    """Execute the notebook in `path` in a kernel of its own and return it with its outputs.

    Args:
        path: the notebook; its folder is the kernel's working folder.
        env: the kernel's environment variables; None means this process's.
        report: called with the number of each code cell that starts, from 1.
        python: the interpreter of the kernel, which has ipykernel; None means the running one.
        notebook: what to execute; None means what `path` holds.

    Raises:
        CellFailure: a cell raised an error, took longer than ``CELL_SECONDS``, or its kernel died.
    """
    notebook = notebook or read(path)
    number = 0

    def started(cell: NotebookNode, cell_index: int) -> None:
        nonlocal number
        if cell.cell_type == "code":
            number += 1
            if report:
                report(number)

    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        kernel_manager_class=type(
            "Kernel", (OwnKernel,), {"interpreter": str(python or sys.executable)}
        ),
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=started,
    )
    try:
        return client.execute(env=dict(os.environ) if env is None else env)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CellFailure(path.stem, notebook, number, error) from error


def choose(names: list[str], folder: Path) -> list[Path]:
    """Return the notebooks whose names begin with one of `names`, all for none, in reading order.

    Raises:
        ValueError: a name fits no notebook; the message lists those there are.
    """
    present = sorted(folder.glob("*.ipynb"))
    wanted = [Path(name).stem for name in names]
    for name in wanted:
        if not any(path.stem.startswith(name) for path in present):
            there = ", ".join(path.stem for path in present) or "none"
            raise ValueError(f"no notebook begins with {name!r}; there are {there}")
    return [path for path in present if not wanted or path.stem.startswith(tuple(wanted))]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the course; return 1 when a cell failed or a figure is outside its guard."""
    parser = argparse.ArgumentParser(prog="python -m tools.course", description=__doc__)
    parser.add_argument("notebooks", nargs="*", help="beginnings of names, such as 04")
    parser.add_argument("--save", action="store_true", help="keep what was executed")
    chosen = parser.parse_args(arguments)
    try:
        paths = choose(chosen.notebooks, root / "notebooks")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    _prepare(root)
    started = time.monotonic()
    for path in paths:
        if not _one(path, root, chosen.save):
            return 1
    status = claims.close(root, chosen.save, time.monotonic() - started)
    if chosen.save and status == 0:
        site.pick_figures(root)
    return site.main(root) or status


def _prepare(root: Path) -> None:
    """Let kernels and this process start with no evidence and no predictions, and skip these."""
    state = root / "build" / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    inherited = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = f"{root}{os.pathsep}{inherited}".rstrip(os.pathsep)
    os.environ["FMCOURSE_STATE"] = str(state)
    os.environ["FMCOURSE_PREDICTIONS"] = "skip"


def _one(path: Path, root: Path, save: bool) -> bool:
    """Run one notebook, keep what it shows, and return whether it came through."""
    started = time.monotonic()
    failure = None
    cells = sum(cell.cell_type == "code" for cell in read(path).cells)
    # Without a terminal there is no bar, only the line at the end.
    with tqdm(total=cells, desc=path.stem, unit="cell", leave=False, disable=None) as bar:
        try:
            notebook = run(path, report=lambda number: bar.update())
        except CellFailure as error:
            notebook, failure = error.notebook, error
    print(f"{path.stem:<28} {time.monotonic() - started:6.0f} s", flush=True)
    folder = root / "build" / "executed"
    folder.mkdir(exist_ok=True)
    write(notebook, folder / path.name)
    if failure:
        print(f"\n{failure}\n  as far as it came: build/executed/{path.name}", file=sys.stderr)
    elif save:
        write(notebook, path)
    return failure is None


if __name__ == "__main__":
    sys.exit(main())
