"""How far is it? One line, or one figure, that changes in place.

The last state stays, so that an executed notebook shows what was done. Serves training and sweeps.
"""

from __future__ import annotations

import sys
import time
from typing import Any

__all__ = ["MovingFigure", "Progress"]


REDRAW_SECONDS = 0.5  # in place, on a screen
REPEAT_SECONDS = 30.0  # a new line each time, in a log file


class Progress:
    """A context manager that shows ``label: done of total, text, seconds``, redrawn in place; a log gets a line now and then.

    Args:
        total: how many steps there are.
        label: what is being done, a word or two.
        shown: False makes every call silent.

    >>> with Progress(3, "counting", shown=False) as line:
    ...     line.update(1)
    >>> line.text(2)
    'counting: 2 of 3'
    """

    def __init__(self, total: int, label: str, shown: bool = True) -> None:
        self.total, self.label, self.shown = total, label, shown
        self._started = self._drawn = time.monotonic()
        self._last: tuple[int, str] | None = None
        self._display: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self.shown and self._last:
            self._draw(
                f"{self.text(*self._last)}, {time.monotonic() - self._started:.0f} s", end="\n"
            )

    def text(self, done: int, detail: str = "") -> str:
        """Return the line for `done` steps."""
        return f"{self.label}: {done} of {self.total}" + (f", {detail}" if detail else "")

    def update(self, done: int, detail: str = "") -> None:
        """Say that `done` steps are done; `detail` is added behind."""
        self._last = (done, detail)
        pause = REDRAW_SECONDS if _in_notebook() or sys.stderr.isatty() else REPEAT_SECONDS
        if self.shown and time.monotonic() - self._drawn > pause:
            self._drawn = time.monotonic()
            self._draw(self.text(done, detail), end="")

    def _draw(self, text: str, end: str) -> None:
        if not _in_notebook():
            in_place = sys.stderr.isatty()
            print(
                f"\r{text}\033[K" if in_place else text,
                end=end if in_place else "\n",
                file=sys.stderr,
                flush=True,
            )
        elif self._display is None:
            from IPython.display import display

            self._display = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._display.update({"text/plain": text}, raw=True)


class MovingFigure:
    """A figure that is redrawn in place in a notebook, and not at all elsewhere; the last one stays.

    >>> MovingFigure().show("no notebook, nothing shown")
    """

    def __init__(self) -> None:
        self._display: Any = None

    def show(self, figure: Any) -> None:
        """Show a figure in place of the one before; anything that IPython can display."""
        if not _in_notebook():
            return
        if self._display is None:
            from IPython.display import display

            self._display = display(figure, display_id=True)
        else:
            self._display.update(figure)


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return type(get_ipython()).__name__ in ("ZMQInteractiveShell", "Shell")  # Shell: Google Colab
