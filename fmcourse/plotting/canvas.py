"""What all drawings share: one style, one title, and a picture with its alt text."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["TITLE", "Drawing", "encode", "finish", "new_axes", "new_figure"]

DPI = 110
SHADES = 128  # colours of a figure of lines and dots; stored so, it needs a third of the bytes
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}
TITLE = {"x": 0.01, "ha": "left", "fontsize": 11, "fontweight": "bold"}


@dataclass(frozen=True)
class Drawing:
    """A picture and its alt text; as the last line of a cell it shows itself as PNG.

    Attributes:
        png: the encoded picture.
        alt: what the picture shows, for those who cannot see it.
        width: display width in pixels.
    """

    png: bytes
    alt: str
    width: int

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        data = {"image/png": base64.b64encode(self.png).decode("ascii"), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt, "width": self.width}}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure in the course's style, width and height in inches."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        return Figure((width, height), layout="constrained")


def new_axes(width: float = 7.2, height: float = 3.2) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes, in the course's style."""
    import matplotlib

    figure = new_figure(width, height)
    with matplotlib.rc_context(STYLE):
        return figure, figure.add_subplot()


def finish(figure: Figure, axes: Axes, title: str, x_label: str, y_label: str, alt: str) -> Drawing:
    """Write the title and the axes' labels, and return the drawing."""
    figure.suptitle(title, **TITLE)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return encode(figure, alt, SHADES)


def encode(figure: Figure, alt: str, shades: int | None = None) -> Drawing:
    """Return a figure as PNG, with its alt text; in so many colours at most, or in all it has."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, pil_kwargs={"optimize": True})
    png = file.getvalue() if shades is None else _in_shades(file, shades)
    return Drawing(png, alt, width=round(figure.get_figwidth() * 100))


def _in_shades(file: io.BytesIO, shades: int) -> bytes:
    from PIL import Image

    few, smaller = (
        Image.open(file).convert("RGB").quantize(shades, dither=Image.Dither.NONE),
        io.BytesIO(),
    )
    few.save(smaller, "PNG", optimize=True)
    return smaller.getvalue()
