"""Evaluates what the texts state of live runs, in fresh runs under several CPU settings.

    python -m tools.statements              every notebook that states something
    python -m tools.statements 03 05        those whose names begin so

A cell's metadata ``holds`` lists Boolean Python expressions over what the kernel knows once the
cells above it have run. Each must be true under every setting. Nothing is stored.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy  # noqa: F401 - brings the BLAS whose architecture is asked for
import threadpoolctl
from nbformat.v4 import new_code_cell

from tools import ROOT
from tools.course import CellFailure, choose, run
from tools.form import read

OWN = {pool.get("architecture") for pool in threadpoolctl.threadpool_info()}
# Threads change the order of sums, and instructions how these are rounded.
SETTINGS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads, oldest instructions": {
        "OMP_NUM_THREADS": "2",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
    "one thread, instructions of a different machine": {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_CORETYPE": "Sandybridge" if "Haswell" in OWN else "Haswell",
        "MKL_CBWR": "COMPATIBLE",
    },
}
# fmcourse.setup limits the tiny profile to one thread, whatever the environment says.
BEFORE = """import fmcourse.runtime
def _set_threads(profile):
    import os, torch
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
fmcourse.runtime._set_threads = _set_threads"""
CHECK = """def _fault_of(text):
    try:
        return "" if eval(text, globals()) else "is false"
    except Exception as error:
        return f"raises {{type(error).__name__}}: {{error}}"
print(__import__("json").dumps([_fault_of(text) for text in {expressions!r}]))"""


def false(path: Path, setting: dict[str, str]) -> Iterator[str]:
    """Run a notebook afresh, and yield a sentence for each statement that is not true there."""
    notebook = read(path)
    checks = {}
    cells = [new_code_cell(BEFORE)]
    for cell in notebook.cells:
        cells.append(cell)
        if "holds" in cell.metadata:
            checks[cell.id] = new_code_cell(CHECK.format(expressions=cell.metadata.holds))
            cells.append(checks[cell.id])
    stated = {cell.id: cell.metadata.get("holds", []) for cell in notebook.cells}
    notebook.cells = cells
    with tempfile.TemporaryDirectory() as state:
        ours = {"FMCOURSE_STATE": state, "FMCOURSE_PREDICTIONS": "skip", "PYTHONPATH": str(ROOT)}
        try:
            run(path, dict(os.environ) | ours | setting, notebook=notebook)
        except CellFailure as failure:
            yield str(failure)
    for cell, check in checks.items():
        streams = [output.text for output in check.outputs if output.get("name") == "stdout"]
        # Nothing after a failure; and a progress bar of the cell before may end here.
        for line in "".join(streams).strip().splitlines()[-1:]:
            for expression, fault in zip(stated[cell], json.loads(line)):
                if fault:
                    yield f"{path.stem}, cell {cell}: {expression} {fault}"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Print every statement that is not true under one of the settings; return 1 if any is."""
    faults = []
    for path in choose(sys.argv[1:] if arguments is None else arguments, root / "notebooks"):
        if any("holds" in cell.metadata for cell in read(path).cells):
            for name, setting in SETTINGS.items():
                print(f"{path.stem}, {name}", flush=True)
                for fault in false(path, setting):
                    print(f"  {fault}", flush=True)
                    faults.append(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
