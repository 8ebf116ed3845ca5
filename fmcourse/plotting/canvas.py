"""What all drawings share: one style, one title, and a picture with its alt text."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["TITLE", "Drawing", "encode", "finish", "new_axes", "new_figure"]

DPI = 110
SHADES = 128  # colours of a figure of lines and dots; stored so, it needs a third of the bytes
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}
MARK = "#B0006D"  # of a line that is added; no series has it
TITLE = {"x": 0.01, "ha": "left", "fontsize": 11, "fontweight": "bold"}


@dataclass(frozen=True)
class Drawing:
    """A picture and its alt text; as the last line of a cell it shows itself as PNG.

    Attributes:
        png: the encoded picture.
        alt: what the picture shows, for those who cannot see it.
        width: display width in pixels.
        figure: what it was drawn from, for a mark to be added; None for a picture without axes.
        axis: the axis of values, ``x`` or ``y``.
    """

    png: bytes = field(repr=False)
    alt: str
    width: int
    figure: Figure | None = field(default=None, repr=False, compare=False)
    axis: str = "y"

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        data = {"image/png": base64.b64encode(self.png).decode("ascii"), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt, "width": self.width}}

    def marked(self, value: float, label: str, axis: str | None = None) -> Drawing:
        """Return this drawing with a dotted line at a value, such as a prediction; its label is
        added to the alt text.

        Args:
            value: in units of the axis. One that lies far beyond the drawn range is marked at its
                edge.
            label: what stands beside the line.
            axis: ``x`` or ``y``; None means the drawing's own axis of values.

        Raises:
            ValueError: a drawing without axes.
        """
        if self.figure is None:
            raise ValueError(f"drawing: expected one with axes, got {self.alt!r}")
        axes = self.figure.axes[0]
        axis = axis or self.axis
        low, high = bounds = getattr(axes, f"get_{axis}bound")()
        nearest, farthest = low - (high - low), high + (high - low)
        is_log = getattr(axes, f"get_{axis}scale")() == "log"
        if is_log:
            nearest, farthest = low / 1e6, high * 1e6
        place = value
        if not nearest <= value <= farthest:
            place = low if value < low else high
            label += ", beyond this axis"
        margin = 0.05 * (high - low)
        room = (place / 1.3, place * 1.3) if is_log else (place - margin, place + margin)
        getattr(axes, f"set_{axis}bound")(min(low, room[0]), max(high, room[1]))
        mark = axes.axvline if axis == "x" else axes.axhline
        line = mark(place, color=MARK, linestyle=":", linewidth=2.5)
        # Beside the line, at the end where a figure's own labels seldom stand.
        text = axes.annotate(
            label,
            (place, 0) if axis == "x" else (0, place),
            (4, 4),
            xycoords=("data", "axes fraction") if axis == "x" else ("axes fraction", "data"),
            textcoords="offset points",
        )
        text.set(color=MARK, fontweight="bold", fontsize=9)
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})
        if axis == "x" and place > (low + high) / 2:
            text.set(ha="right", position=(-4, 4))
        marked = encode(self.figure, f"{self.alt} Dotted line, {label}.", SHADES)
        line.remove()
        text.remove()
        getattr(axes, f"set_{axis}bound")(*bounds)
        return replace(marked, figure=self.figure, axis=self.axis)


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
    # Where nothing is measured upwards, the values lie along the horizontal axis.
    return replace(encode(figure, alt, SHADES), figure=figure, axis="y" if y_label else "x")


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
