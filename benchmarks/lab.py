"""Is a notebook as fast in JupyterLab, whose kernel sets no thread variables, as with one thread?

    python benchmarks/lab.py             notebooks 03 and 05, one pair of runs each
    python benchmarks/lab.py 05 -n 3     one notebook, three pairs

The runs alternate. The ratio of the medians should be at most 1.2.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

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
        pairs = [(seconds(path, None), seconds(path, "1")) for _ in range(chosen.pairs)]
        free, limited = (statistics.median(times) for times in zip(*pairs))
        print(
            f"{path.stem}: as in JupyterLab {free:.1f} s, one thread {limited:.1f} s, "
            f"ratio {free / limited:.2f} (at most {TARGET}; pairs: {chosen.pairs})",
            flush=True,
        )


def seconds(path: Path, threads: str | None) -> float:
    """Return how long a notebook runs in a fresh kernel whose thread variables are set, or not."""
    env = {name: value for name, value in os.environ.items() if name not in LIMITS}
    if threads:
        env |= dict.fromkeys(LIMITS, threads)
    with tempfile.TemporaryDirectory() as state:
        env |= {"FMCOURSE_STATE": state, "FMCOURSE_PREDICTIONS": "skip"}
        start = time.perf_counter()
        run(path, env)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
