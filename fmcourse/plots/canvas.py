"""What all figures share: style, white ground, axes that suit the values, and PNG with alt text."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from fmcourse.arguments import require
from fmcourse.stats import Interval

__all__ = [
    "TITLE",
    "Drawing",
    "alike",
    "encode",
    "finish",
    "fit",
    "new_axes",
    "new_figure",
    "said",
    "spans",
    "styled",
]

DPI = 130  # a third more than is shown, for a page at 200%
SHADES = 32  # colours of a figure of lines and dots; stored so, it needs a third of the bytes
# Black on white, also where a notebook chose a dark style.
STYLE: Any = {
    name: colour for name, colour in matplotlib.rcParamsDefault.items() if name.endswith("color")
}
STYLE |= {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}
TITLE: Any = {"x": 0.01, "ha": "left", "fontsize": 11, "fontweight": "bold"}
MARK = "#B0006D"  # of a line that is added; no series has it
TICKS = 8  # so many values of a logarithmic axis are ticks themselves

# A decorator: what a function draws has the course's style, and other figures keep theirs.
styled = matplotlib.rc_context(STYLE)


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

    @styled
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
        reach = (2 * low - high, 2 * high - low)
        if getattr(axes, f"get_{axis}scale")() == "log":
            reach = (low / 1e6, high * 1e6)
        place = value
        if not reach[0] <= value <= reach[1]:
            place = low if value < low else high
            label += ", beyond this axis"
        getattr(axes, f"set_{axis}bound")(min(low, place), max(high, place))
        mark = axes.axvline if axis == "x" else axes.axhline
        line = mark(place, color=MARK, linestyle=":", linewidth=2.5, clip_on=False)
        # Beside the line, at the end where a figure's own labels seldom stand.
        text = axes.annotate(
            label,
            (place, 0) if axis == "x" else (0, place),
            (4, 4),
            xycoords=getattr(axes, f"get_{axis}axis_transform")(),
            textcoords="offset points",
            color=MARK,
            fontweight="bold",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )
        if axis == "x" and place > (low + high) / 2:
            text.set(ha="right", position=(-4, 4))
        marked = encode(self.figure, f"{self.alt} Dotted line, {label}.", SHADES)
        line.remove()
        text.remove()
        getattr(axes, f"set_{axis}bound")(*bounds)
        return replace(marked, figure=self.figure, axis=self.axis)


@styled
def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure in the course's style, width and height in inches."""
    return Figure((width, height), layout="constrained")


@styled
def new_axes(width: float = 7.2, height: float = 3.2) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes, in the course's style."""
    figure = new_figure(width, height)
    return figure, figure.add_subplot()


def alike(name: str, tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Check that all tables have the same labels in the same order, and return these."""
    labels = {key: list(table) for key, table in tables.items()}
    require(len(labels) > 0, name, "at least one entry", tables)
    first = next(iter(labels.values()))
    same = all(own == first for own in labels.values())
    require(same, name, f"{first} in every entry", labels)
    return first


def spans(values: Iterable[float | Interval]) -> np.ndarray:
    """Return estimates and both ends, shape (3, values); a number is an interval of no width.

    A value is missing where the estimate is NaN or infinite; then its ends are NaN as well.
    """
    rows = []
    for value in values:
        ends = [value.estimate, value.low, value.high] if isinstance(value, Interval) else [value]
        rows.append(ends * (3 // len(ends)))
    found = np.array(rows, dtype=float).reshape(-1, 3).T
    return np.where(np.isfinite(found[0]), found, np.nan)


def said(value: float | Interval, digits: int) -> str:
    """Return a value in words: what is missing, or has no interval, is called so."""
    estimate, low, _ = spans([value])[:, 0]
    if math.isnan(estimate):
        return "missing"
    if math.isnan(low):
        return f"{estimate:z.{digits}f}, no interval"
    return f"{value:z.{digits}f}"


def fit(axes: Axes, axis: str, values: np.ndarray) -> None:
    """Suit an axis to its values: whole ticks for whole numbers, no room for impossible values, and
    a line at 0 where values lie on both sides of it.

    Values from 0 to 1, or to 100, count as shares, and values of one sign as bounded by 0.
    """
    own = getattr(axes, f"{axis}axis")
    finite = np.unique(values[np.isfinite(values)])
    if len(finite) == 0:
        return
    if own.get_scale() == "log":
        if len(finite) <= TICKS:
            own.set_ticks(finite, [f"{value:,g}" for value in finite])
            own.set_ticks([], minor=True)
        return
    if (finite == finite.round()).all():
        own.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    low, high = own.get_view_interval()
    if finite[0] >= 0:
        whole = 1 if finite[-1] <= 1 else 100
        highest = min(high, whole) if finite[-1] <= whole else high
        getattr(axes, f"set_{axis}lim")(max(low, 0), highest)
    elif finite[-1] > 0:
        line = axes.axvline if axis == "x" else axes.axhline
        line(0, color="black", linewidth=0.8, zorder=1)


def finish(figure: Figure, axes: Axes, title: str, x_label: str, y_label: str, alt: str) -> Drawing:
    """Write the title and the axes' labels, and return the drawing."""
    figure.suptitle(title, **TITLE)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    # Where nothing is measured upwards, the values lie along the horizontal axis.
    return replace(encode(figure, alt, SHADES), figure=figure, axis="y" if y_label else "x")


@styled
def encode(figure: Figure, alt: str, shades: int | None = None) -> Drawing:
    """Return a figure as PNG, with its alt text; in so many colours at most, or in all it has."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    image = Image.open(file).convert("RGB")
    if shades:
        image = image.quantize(shades, dither=Image.Dither.NONE)
    smaller = io.BytesIO()
    image.save(smaller, "PNG", optimize=True)
    return Drawing(smaller.getvalue(), alt, width=round(figure.get_figwidth() * 100))
