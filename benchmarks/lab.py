"""Is a notebook as fast in JupyterLab, whose kernel sets no thread variables, as with one thread?

    python -m benchmarks.lab             notebooks 03 and 05, one pair of runs each
    python -m benchmarks.lab 05 -n 3     one notebook, three pairs

The runs alternate. The ratio of the medians should be at most 1.2.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
from pathlib import Path

from benchmarks.common import alternate, timed
from tools import ROOT
from tools.course import choose, run

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TARGET = 1.2


def main(arguments: list[str] | None = None, folder: Path = ROOT / "notebooks") -> None:
    """Time the notebooks and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", default=["03", "05"], help="beginnings of names")
    parser.add_argument("-n", "--pairs", type=int, default=1, help="pairs of runs per notebook")
    chosen = parser.parse_args(arguments)
    for path in choose(chosen.notebooks, folder):
        one_thread = functools.partial(execute, path, **dict.fromkeys(LIMITS, "1"))
        ways = {"free": timed(functools.partial(execute, path)), "limited": timed(one_thread)}
        seconds = alternate(chosen.pairs, ways).median()
        print(
            f"{path.stem}: as in JupyterLab {seconds['free']:.1f} s, one thread"
            f" {seconds['limited']:.1f} s, ratio {seconds['free'] / seconds['limited']:.2f}"
            f" (at most {TARGET}; pairs: {chosen.pairs})",
            flush=True,
        )


def execute(path: Path, **limits: str) -> None:
    """Run a notebook in a fresh kernel with these thread variables and no others."""
    env = {name: value for name, value in os.environ.items() if name not in LIMITS}
    with tempfile.TemporaryDirectory() as state:
        ours = {"FMCOURSE_STATE": state, "FMCOURSE_PREDICTIONS": "skip"}
        run(path, env | limits | ours)


if __name__ == "__main__":
    main()
