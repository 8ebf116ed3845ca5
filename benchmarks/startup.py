"""How long `import fmcourse` takes in fresh interpreters, beside an empty program, alternating.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 9


def main() -> None:
    rounds = [(seconds("import fmcourse"), seconds("pass")) for _ in range(ROUNDS)]
    added = statistics.median(ours - empty for ours, empty in rounds)
    print(f"import fmcourse adds {added:.3f} s (median of {ROUNDS} alternating rounds)")


def seconds(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
