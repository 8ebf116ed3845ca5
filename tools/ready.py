"""Is everything in place for class? One command, a list of what is not, each with its remedy.

    python -m tools.ready                before each class, on the machine that will be projected

It looks at the environment (the course's own doctor), the form of the notebooks, and the executed pages, which are what
a class falls back on when no kernel runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tools.notebooks import lint
from tools.retarget import ROOT

__all__ = ["main", "missing"]


def missing(root: Path = ROOT) -> Iterator[str]:
    """Yield what a class would miss, one sentence each, none when all is in place."""
    import fmcourse

    yield from (str(finding) for finding in fmcourse.doctor())
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        yield from (f"{path.name}: {problem}" for problem in lint(path))
        yield from _page(path, root / "build" / f"{path.stem}.html")
    if not (root / "build" / "answers.html").exists():
        yield "build/answers.html: no answer key; run `make answers`"


def _page(notebook: Path, page: Path) -> Iterator[str]:
    if not page.exists():
        yield f"build/{page.name}: no page to fall back on; run `make course`"
    elif page.stat().st_mtime < notebook.stat().st_mtime:
        yield f"build/{page.name}: older than its notebook; run `make course`"


def main(root: Path = ROOT) -> int:
    found = list(missing(root))
    print(*found, sep="\n") if found else print(
        "Ready: environment, notebooks, pages and answer key are in place."
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
