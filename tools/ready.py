"""Says before class what is missing, each with its remedy.

    python -m tools.ready                on the machine that will be projected

It looks at the environment (the course's own doctor) and at the website, which a class uses when no
kernel runs. Only sources are compared: opening and running a notebook makes no page old.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import fmcourse
from tools import ROOT
from tools.form import digest, read
from tools.retarget import PLACEHOLDER, read_target
from tools.site import sources


def missing(root: Path = ROOT) -> Iterator[str]:
    """Yield what a class would miss, one sentence each, none when all is in place."""
    yield from map(str, fmcourse.doctor())
    made = sources(root)
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        try:
            now = digest(read(path))
        except (OSError, ValueError) as error:
            problem = str(error).partition("\n")[0]
            remedy = f"run `git checkout notebooks/{path.name}`"
            yield f"{path.name} cannot be read ({problem}); {remedy}"
            continue
        if path.stem not in made:
            yield f"build/site: no page of {path.name} to fall back on; run `make course`"
        elif made[path.stem] != now:
            yield f"build/site: made from an older {path.name}; run `make course`"


def main(root: Path = ROOT) -> int:
    """Print what is missing; return 1 if anything is."""
    found = list(missing(root))
    print(*(found or ["Ready: environment and website are in place."]), sep="\n")
    if read_target(root).slug == PLACEHOLDER:
        print(
            f"Note: the Colab badges still lead to {PLACEHOLDER}, which is a placeholder."
            " Before you use them run `make retarget SLUG=owner/name REF=tag`."
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
