"""How long `import fmcourse` takes in fresh interpreters, beside an empty program, alternating.

python -m benchmarks.startup
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.common import alternate, timed

ROUNDS = 9
PROGRAMS = ("import fmcourse", "pass")


def main() -> None:
    commands = {program: [sys.executable, "-c", program] for program in PROGRAMS}
    ways = {
        program: timed(lambda command=command: subprocess.run(command, check=True))
        for program, command in commands.items()
    }
    seconds = alternate(ROUNDS, ways)
    added = (seconds["import fmcourse"] - seconds["pass"]).median()
    print(f"import fmcourse adds {added:.3f} s (median of {ROUNDS} alternating rounds)")


if __name__ == "__main__":
    main()
