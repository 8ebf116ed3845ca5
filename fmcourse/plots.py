"""The course's figures: PNG with alt text, readable in grey and on any ground, for every notebook.

No function here knows what it draws, and none changes matplotlib's settings. Differences are drawn
as differences: one interval around the difference, against a line at 0. What is missing is named.
Colours: Okabe & Ito 2008, safe for the colour-blind; series differ in marker, line style and hatch
too.
"""

import base64
import io
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image

from fmcourse.arguments import choose, require
from fmcourse.files import read_toml
from fmcourse.stats import Interval

DPI = 120  # a fifth more than is shown, for a page at 200%
# Colours of a figure of lines and dots: stored so, it needs half of the bytes, and rare ones stay.
SHADES = 128
# Black on white, also where a notebook chose a dark style.
STYLE = {
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
TITLE = {"x": 0.01, "ha": "left", "fontsize": 11, "fontweight": "bold"}
MARK = "#B0006D"  # of a line that is added; no series has it
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^DvPX<*p>h"  # each sign is one
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
FEW = 3  # lines that a legend among them does not hide
BESIDE = {"loc": "outside right center", "fontsize": 9}  # the legend of more
MARKED = 15  # points of a line that have a marker, at most
CELLS = "Oranges"  # of matplotlib: ever darker, so that it can be read in grey
LIGHT_ON = 0.6  # the share of it from which on white is easier to read than black
HEAT = "cividis"  # of matplotlib: ever lighter
PACKAGE = Path(__file__).resolve().parent
IMAGES, INSTALLED_IMAGES = PACKAGE.parent / "images", PACKAGE / "images"
Values = Sequence[float | Interval]
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
    def marked(self, value: float, label: str, axis: str | None = None) -> "Drawing":
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
    first = next(iter(labels.values()), [])
    same = len(first) > 0 and all(own == first for own in labels.values())
    require(same, name, f"{first or 'at least one label'} in every entry", labels)
    return first


def spans(values: Iterable[float | Interval]) -> np.ndarray:
    """Return estimates and both ends, shape (3, values); a number is an interval of no width.

    A value is missing where the estimate is NaN or infinite; then its ends are NaN as well.
    """
    rows = [astuple(each) if isinstance(each, Interval) else [each] * 3 for each in values]
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
    # A longer label would be cut off in a low figure.
    axes.set_ylabel(textwrap.fill(y_label, 40))
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


@styled
def forest(
    intervals: Mapping[str, Interval],
    title: str,
    unit: str,
    reference: tuple[str, float] | None = None,
    digits: int = 2,
) -> Drawing:
    """Draw one dot with its interval per row; an end that is infinite becomes an arrow.

    Args:
        intervals: row label to interval, drawn from top to bottom.
        title: what is shown.
        unit: what the horizontal axis shows, with its unit.
        reference: label and value of a dashed vertical line, such as chance or the paper's figure.
        digits: decimals in the alt text and beside the dots.
    """
    require(len(intervals) > 0, "intervals", "at least one row", intervals)
    figure, axes = new_axes(height=0.9 + 0.38 * len(intervals))
    values = spans(intervals.values())
    rows = np.arange(len(intervals))
    drawn = np.where(np.isfinite(values), values, values[0])
    axes.hlines(rows, drawn[1], drawn[2], color=COLOURS[0], linewidth=2)
    axes.plot(drawn[0], rows, "o", color=COLOURS[0], clip_on=False)
    axes.set_yticks(rows, list(intervals))
    axes.set_ylim(len(intervals) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    words = [f"{label} {said(interval, digits)}" for label, interval in intervals.items()]
    if reference:
        axes.axvline(reference[1], color="black", linestyle="--", linewidth=1)
        place: Any = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(reference[0], (reference[1], 1), (3, -2), fontsize=8, va="top", **place)
        words.append(f"dashed line {reference[0]} {reference[1]:z.{digits}f}")
    fit(axes, "x", values)
    edges = axes.get_xlim()
    for row, interval in enumerate(intervals.values()):
        estimate, low, high = values[:, row]
        for end, edge in zip((low, high), edges):
            if np.isinf(end):
                axes.annotate("", (edge, row), (estimate, row), arrowprops={"arrowstyle": "->"})
        beside = said(interval if np.isnan(low) else estimate, digits)
        right = edges[0] if np.isnan(estimate) else drawn[2, row]
        place = {"textcoords": "offset points", "va": "center", "fontsize": 9}
        axes.annotate(beside, (right, row), (6, 0), **place)
    return finish(figure, axes, title, unit, "", f"{title}. {unit}: {'; '.join(words)}.")


def curves(
    series: Mapping[str, tuple[Sequence[float], Values]],
    title: str,
    x_label: str,
    y_label: str,
    **options,
) -> Drawing:
    """Draw lines through points.

    Args:
        series: label to (x values, y values), of equal length. A y value may be an interval, which
            is drawn as a bar, or NaN, which leaves a gap.
        title, x_label, y_label, options: as for :func:`runs`.
    """
    groups = {label: (x, [y]) for label, (x, y) in series.items()}
    return runs(groups, title, x_label, y_label, **options)


@styled
def runs(
    groups: Mapping[str, tuple[Sequence[float], Sequence[Values]]],
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    digits: int = 2,
) -> Drawing:
    """Draw every run of every group as a line of its own: a mean of steps would look smooth.

    Args:
        groups: label to (x values, one list of y values per run), one look per group; y values as
            for :func:`curves`.
        title: what is shown.
        x_label, y_label: what the axes show, with units.
        log_x: whether the horizontal axis is logarithmic.
        digits: decimals in the alt text.
    """
    require(len(groups) > 0, "lines", "at least one", groups)
    crowded = len(groups) > FEW
    figure, axes = new_axes(width=9.2 if crowded else 7.2)
    if log_x:
        axes.set_xscale("log")
    words, noted, every_x, every_y = [], False, [], []
    for place, (label, (x, lines)) in enumerate(groups.items()):
        counts = [len(x)] + [len(line) for line in lines]
        fits = len(counts) > 1 and len(set(counts)) == 1 and counts[0] > 0
        require(fits, label, "as many y values as x values, at least one, in each line", counts)
        at = np.array(x, dtype=float)
        values = np.stack([spans(line) for line in lines])
        look = _look(place) | {"markersize": 4, "markevery": -(-len(at) // MARKED)}
        named = label + _notes(values)
        noted |= named != label
        for number, (estimate, low, high) in enumerate(values):
            wide = np.isfinite(high - low) & (high > low)
            axes.vlines(
                at[wide], low[wide], high[wide], color=look["color"], linewidth=1, alpha=0.6
            )
            axes.plot(at, estimate, label=None if number else named, clip_on=False, **look)
        count = f" ({len(lines)} runs)" if len(lines) > 1 else ""
        words.append(f"{named}{count}: {_ends(at, values[:, 0], digits)}")
        every_x.append(at)
        every_y.append(values.ravel())
    fit(axes, "x", np.concatenate(every_x))
    fit(axes, "y", np.concatenate(every_y))
    if crowded:
        figure.legend(**BESIDE)
    elif len(groups) > 1 or noted:
        axes.legend()
    alt = f"{title}. {y_label} against {x_label}: {'; '.join(words)}."
    return finish(figure, axes, title, x_label, y_label, alt)


def _ends(x: np.ndarray, lines: np.ndarray, digits: int) -> str:
    """Return where lines of shape (runs, points) begin and end, in words."""
    measured = np.flatnonzero(np.isfinite(lines).any(0))
    if len(measured) == 0:
        return "nothing measured"
    texts = []
    for point in measured[[0, -1]]:
        low, high = (said(of(lines[:, point]), digits) for of in (np.nanmin, np.nanmax))
        texts.append(f"{low if low == high else f'{low} to {high}'} at {x[point]:g}")
    return " then ".join(texts)


def _notes(values: np.ndarray) -> str:
    """Return how many of values of shape (..., 3, points) miss an end, in brackets, or nothing."""
    count = int(np.isnan(values[..., 1, :]).sum())
    return f" (missing: {count})" if count else ""


@styled
def bars(
    groups: Mapping[str, Mapping[str, float]], title: str, y_label: str, digits: int = 2
) -> Drawing:
    """Draw groups of bars side by side, one colour and hatch per series.

    Args:
        groups: series label to (category label to height); all series have the same categories.
        title: what is shown.
        y_label: what the heights are, with their unit.
        digits: decimals in the alt text.
    """
    categories = alike("groups", groups)
    figure, axes = new_axes()
    width = 0.8 / len(groups)
    centres = np.arange(len(categories))
    words, drawn = [], []
    for place, (label, named) in enumerate(groups.items()):
        heights = spans(named.values())[0]
        drawn.append(heights)
        left = centres + (place - (len(groups) - 1) / 2) * width
        look = {"color": _of(COLOURS, place), "hatch": _of(HATCHES, place)}
        axes.bar(left, heights, width, label=label, edgecolor="white", **look)
        for x in left[np.isnan(heights)]:
            axes.text(x, 0, " missing", rotation=90, ha="center", va="bottom", fontsize=8)
        tops = [f"{name} {said(height, digits)}" for name, height in named.items()]
        words.append(f"{label}: {', '.join(tops)}")
    axes.set_xticks(centres, categories)
    axes.grid(axis="x", visible=False)
    fit(axes, "y", np.concatenate(drawn))
    if len(groups) > 1:
        axes.legend()
    return finish(figure, axes, title, "", y_label, f"{title}. {y_label}. {'; '.join(words)}.")


@styled
def plane(
    points: Mapping[str, tuple[Interval, Interval]],
    title: str,
    x_label: str,
    y_label: str,
    trail: tuple[str, Sequence[tuple[float, float]]] | None = None,
    digits: int = 2,
) -> Drawing:
    """Draw labelled points with an interval along both axes, such as quality against diversity.

    Args:
        points: label to (interval along x, interval along y).
        title: what is shown.
        x_label, y_label: what the axes show, with units.
        trail: label and (x, y) pairs of a thin line behind the points, such as the way between two
            models.
        digits: decimals in the alt text.
    """
    require(len(points) > 0, "points", "at least one point", points)
    figure, axes = new_axes(width=8.4, height=max(3.6, 0.9 + 0.27 * len(points)))
    words = []
    both = np.stack([spans(pair) for pair in points.values()], axis=-1)
    for place, label in enumerate(points):
        values = both[..., place]
        errors = np.abs(values[1:] - values[0])
        look = _look(place) | {"linestyle": "none", "capsize": 2, "elinewidth": 1}
        named = label + _notes(values)
        look |= {"xerr": errors[:, :1], "yerr": errors[:, 1:], "label": named, "clip_on": False}
        axes.errorbar(values[0, 0], values[0, 1], **look)
        centre = [said(value, digits) for value in values[0]]
        words.append(f"{named} at {centre[0]} and {centre[1]}")
    ways = np.empty((2, 0))
    if trail:
        label, pairs = trail
        ways = np.array(pairs, dtype=float).T
        axes.plot(*ways, ".-", color="#777777", linewidth=1, zorder=1, label=label)
        ends = [f"{x:z.{digits}f} and {y:z.{digits}f}" for x, y in (pairs[0], pairs[-1])]
        words.append(f"a line, {label}, from {ends[0]} to {ends[1]}")
    for axis, number in (("x", 0), ("y", 1)):
        fit(axes, axis, np.append(both[:, number], ways[number]))
    figure.legend(**BESIDE)
    alt = f"{title}. {x_label} and {y_label}: {'; '.join(words)}."
    return finish(figure, axes, title, x_label, y_label, alt)


def _look(place: int) -> dict[str, Any]:
    """Return how the series of this number is drawn."""
    palettes = {"marker": MARKERS, "linestyle": LINES, "color": COLOURS}
    return {name: _of(palette, place) for name, palette in palettes.items()} | {"linewidth": 1.4}


def _of(palette: Sequence, place: int):
    return palette[place % len(palette)]


@styled
def tree(
    root: str,
    branches: Mapping[str, Mapping[str, float]],
    title: str,
    unit: str,
    beside: Mapping[str, Mapping[str, float]],
    beside_unit: str,
) -> Drawing:
    """Draw a family: the root on top, a branch for each task, on it a leaf for each adaptation.

    Args:
        root: what stands in the root.
        branches: branch to (leaf to figure); all branches have the same leaves, in the same order.
        title: what is shown.
        unit: what the figures are; they stand in the leaves and colour them, from 0 to 100.
        beside: a second figure for each leaf, which stands behind the first in brackets.
        beside_unit: what these are.
    """
    leaves = alike("branches", branches)
    fits = list(beside) == list(branches) and alike("beside", beside) == leaves
    require(fits, "beside", f"{leaves} on each of {list(branches)}", beside)
    figure, axes = new_axes(max(4.0, 1.6 + len(branches)), 1.5 + 0.5 * len(leaves))
    bottom = 1.5 + len(leaves)
    rows = [list(figures.values()) for figures in branches.values()]
    shares = np.array(rows, dtype=float).T / 100
    edges = (-0.5, len(branches) - 0.5, bottom, 1.5)
    axes.imshow(shares, CELLS, vmin=0, vmax=1, aspect="auto", extent=edges)
    centred: Any = {"ha": "center", "va": "center"}
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "black"}
    middle = (len(branches) - 1) / 2
    axes.text(middle, 0, root, bbox=box, **centred)
    words = []
    for x, (branch, figures) in enumerate(branches.items()):
        axes.plot([middle, x, x], [0.2, 1, 1.5], color="black", linewidth=1, zorder=0)
        axes.text(x, 1, branch, bbox=box, **centred)
        texts = []
        for y, (leaf, value) in enumerate(figures.items()):
            text = f"{said(value, 0)} ({said(beside[branch][leaf], 0)})"
            axes.text(x, 2 + y, text, color=_ink(shares[y, x]), fontsize=9, **centred)
            texts.append(f"{leaf} {text}")
        words.append(f"{branch}: {', '.join(texts)}")
    axes.set_yticks(range(2, 2 + len(leaves)), leaves)
    axes.set_xticks([])
    axes.set_ylim(bottom, -0.35)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    units = f"{unit}; in brackets {beside_unit}"
    alt = f"{title}. A tree from {root}. {units}. {'; '.join(words)}."
    return finish(figure, axes, title, units, "", alt)


def _ink(share: float) -> str:
    """Return the colour that can be read on a cell of this darkness, from 0 to 1."""
    return "white" if share > LIGHT_ON else "black"


@styled
def matches(
    images: Sequence[Image.Image],
    captions: Sequence[str],
    values: ArrayLike,
    title: str,
    unit: str,
) -> Drawing:
    """Draw pictures beside a heat map: a row for each picture, a column for each caption.

    Args:
        images: of any mode and size.
        captions: the columns.
        values: how well each picture fits each caption, shape (images, captions).
        title: what is shown.
        unit: what the values are; the largest is the darkest.
    """
    table = np.asarray(values, dtype=float)
    shape = (len(images), len(captions))
    require(table.shape == shape, "values", f"shape {shape}", table.shape)
    figure = new_figure(1.3 * (len(captions) + 1), 1.0 + 0.85 * len(images))
    panels = figure.subplots(len(images), len(captions) + 1, squeeze=False)
    shares = (table - table.min()) / max(np.ptp(table), 1e-9)
    lines = []
    for number, (row, image) in enumerate(zip(panels, images)):
        row[0].imshow(on_white(image))
        row[0].axis("off")
        words = []
        for axes, caption, value, share in zip(row[1:], captions, table[number], shares[number]):
            axes.set_facecolor(matplotlib.colormaps[CELLS](0.9 * share))
            axes.set(xticks=[], yticks=[])
            text = f"{value:z.2f}"
            axes.text(0.5, 0.5, text, ha="center", va="center", color=_ink(share))
            words.append(f"{caption} {text}")
        lines.append(f"picture {number + 1}: {', '.join(words)}")
    for axes, caption in zip(panels[0][1:], captions):
        axes.set_title(textwrap.fill(caption, 14), fontsize=10)
    figure.suptitle(title, **TITLE)
    figure.supxlabel(unit, fontsize=10)
    return encode(figure, f"{title}. {unit}. {'; '.join(lines)}.")


@styled
def gallery(
    images: Sequence[Image.Image], captions: Sequence[str], title: str, columns: int = 6
) -> Drawing:
    """Draw pictures on white, each with its caption below.

    Args:
        images: of any mode and size.
        captions: one per image.
        title: what is shown.
        columns: pictures in a row.
    """
    pictures = [on_white(image) for image in images]
    figure, _ = _panels(pictures, captions, title, columns, height=1.35)
    return encode(figure, f"{title}. Pictures: {', '.join(captions)}.")


@styled
def heat(
    images: Sequence[Image.Image],
    maps: Sequence[np.ndarray],
    captions: Sequence[str],
    title: str,
    unit: str,
) -> Drawing:
    """Draw pictures on white in grey, each with a map laid over it, one colour scale for all.

    Args:
        images: of any mode and size.
        maps: one array of shape (rows, columns) per image; it is stretched over the image.
        captions: one per image.
        title: what is shown.
        unit: what the colours show, with its unit.
    """
    require(len(images) == len(maps), "maps", f"{len(images)}, one for each image", len(maps))
    pictures = [on_white(image).convert("L") for image in images]
    figure, panels = _panels(pictures, captions, title, columns=3, height=2.3)
    largest = max(float(np.nanmax(np.abs(values), initial=0)) for values in maps)
    scale: Any = {"cmap": HEAT, "vmin": -largest, "vmax": largest, "alpha": 0.6}
    words = []
    for axes, image, values, caption in zip(panels, images, maps, captions):
        extent = (0, image.width, image.height, 0)
        drawn = axes.imshow(values, extent=extent, interpolation="nearest", **scale)
        row, column = np.unravel_index(np.nanargmax(values), values.shape)
        down, right = (row + 0.5) / values.shape[0], (column + 0.5) / values.shape[1]
        place = f"{down:.0%} down and {right:.0%} from the left"
        words.append(f"{caption}: largest {values[row, column]:z.2f}, {place}")
    figure.colorbar(drawn, ax=panels, shrink=0.8, label=unit)
    return encode(figure, f"{title}. {unit}. {'; '.join(words)}.")


def _panels(
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    title: str,
    columns: int,
    height: float,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of pictures with captions, `height` inches a row, and the axes of each."""
    expected = f"one for each of the {len(pictures)} images, at least one"
    require(len(pictures) == len(captions) > 0, "captions", expected, len(captions))
    require(columns >= 1, "columns", "at least 1", columns)
    rows = -(-len(pictures) // columns)
    figure = new_figure(7.2, 0.4 + height * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.axis("off")
    for axes, picture, caption in zip(panels, pictures, captions):
        axes.imshow(picture, cmap="gray", alpha=0.6 if picture.mode == "L" else 1)
        below = {"xycoords": "axes fraction", "ha": "center", "va": "top", "fontsize": 9}
        axes.annotate(caption, (0.5, -0.05), **below)
    figure.suptitle(title, **TITLE)
    return figure, panels


def picture(name: str) -> Drawing:
    """Return one of the course's own drawings from ``images/``, with its alt text.

    Raises:
        ValueError: there is no such drawing; the message lists those there are.
    """
    folder = IMAGES if IMAGES.is_dir() else INSTALLED_IMAGES
    choose("name", name, sorted(file.stem for file in folder.glob("*.png")))
    texts = read_toml("alt_texts.toml")
    return Drawing((folder / f"{name}.png").read_bytes(), texts[name], width=720)


def on_white(image: Image.Image) -> Image.Image:
    """Return a picture of any mode with white in place of what is transparent."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
