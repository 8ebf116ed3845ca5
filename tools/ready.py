"""Says before class what is missing, each with its remedy.

    python -m tools.ready                on the machine that will be projected

It looks at the environment (the course's own doctor) and at the pages, which a class uses when no
kernel runs. Only sources are compared: opening and running a notebook makes no page old.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import fmcourse
from tools import ROOT
from tools.form import digest, read
from tools.pages import sources_of
from tools.retarget import PLACEHOLDER, read_target

__all__ = ["main", "missing"]


def missing(root: Path = ROOT) -> Iterator[str]:
    """Yield what a class would miss, one sentence each, none when all is in place."""
    yield from (str(finding) for finding in fmcourse.doctor())
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        yield from _page(path, root / "build" / f"{path.stem}.html")
    if not (root / "build" / "answers.html").exists():
        yield "build/answers.html: no answer key; run `make answers`"


def _page(path: Path, page: Path) -> Iterator[str]:
    try:
        notebook = read(path)
    except (OSError, ValueError) as error:
        problem = str(error).partition("\n")[0]
        yield f"{path.name} cannot be read ({problem}); run `git checkout notebooks/{path.name}`"
        return
    if not page.exists():
        yield f"build/{page.name}: no page to fall back on; run `make course`"
    elif sources_of(page) != digest(notebook):
        yield f"build/{page.name}: made from an older {path.name}; run `make course`"


def main(root: Path = ROOT) -> int:
    """Print what is missing; return 1 if anything is."""
    found = list(missing(root))
    print(*(found or ["Ready: environment, pages and answer key are in place."]), sep="\n")
    if read_target(root).slug == PLACEHOLDER:
        print(
            f"Note: the Colab badges still lead to {PLACEHOLDER}, which is a placeholder."
            " Before you use them run `make retarget SLUG=owner/name REF=tag`."
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
