"""Charts of numbers and intervals: rows, lines, runs, bars, and points in a plane.

Colours: Okabe & Ito 2008, safe for the colour-blind; series differ in marker, line style and hatch
too, so that they stay apart in grey. What is missing, or has no interval, is named as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fmcourse.arguments import require
from fmcourse.plots.canvas import Drawing, alike, finish, fit, new_axes, said, spans, styled
from fmcourse.stats import Interval

__all__ = ["bars", "curves", "forest", "plane", "runs"]

Values = Sequence[float | Interval]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", "p", ">", "h")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
FEW = 3  # lines that a legend among them does not hide
BESIDE: Any = {"loc": "outside right center", "fontsize": 9}  # a legend of many
MARKED = 15  # points of a line that have a marker, at most


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
    log_x: bool = False,
    digits: int = 2,
) -> Drawing:
    """Draw lines through points.

    Args:
        series: label to (x values, y values), of equal length. A y value may be an interval, which
            is drawn as a bar, or NaN, which leaves a gap.
        title: what is shown.
        x_label, y_label: what the axes show, with units.
        log_x: whether the horizontal axis is logarithmic.
        digits: decimals in the alt text.
    """
    groups = {label: (x, [y]) for label, (x, y) in series.items()}
    return runs(groups, title, x_label, y_label, log_x, digits)


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
        title, x_label, y_label, log_x, digits: as for :func:`curves`.
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
        look: Any = _look(place) | {"markersize": 4, "markevery": -(-len(at) // MARKED)}
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
    """Return what is missing among values of shape (..., 3, points), in brackets, or nothing."""
    missing = np.isnan(values[..., 0, :])
    bare = ~missing & np.isnan(values).any(-2)
    notes = []
    for count, word in ((missing.sum(), "missing"), (bare.sum(), "without interval")):
        if count:
            notes.append(f"{count} {word}")
    return f" ({', '.join(notes)})" if notes else ""


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
    words = []
    for place, (label, named) in enumerate(groups.items()):
        heights = spans(named.values())[0]
        left = centres + (place - (len(groups) - 1) / 2) * width
        look: Any = {"color": _of(COLOURS, place), "hatch": _of(HATCHES, place)}
        axes.bar(left, heights, width, label=label, edgecolor="white", **look)
        for x in left[np.isnan(heights)]:
            axes.text(x, 0, " missing", rotation=90, ha="center", va="bottom", fontsize=8)
        tops = [f"{name} {said(height, digits)}" for name, height in named.items()]
        words.append(f"{label}: {', '.join(tops)}")
    axes.set_xticks(centres, categories)
    axes.grid(axis="x", visible=False)
    fit(axes, "y", np.concatenate([spans(named.values())[0] for named in groups.values()]))
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
        look: Any = _look(place) | {"linestyle": "none", "capsize": 2, "elinewidth": 1}
        named = label + _notes(values)
        look |= {"xerr": errors[:, :1], "yerr": errors[:, 1:], "label": named}
        axes.errorbar(values[0, 0], values[0, 1], **look)
        centre = [said(value, digits) for value in values[0]]
        words.append(f"{named} at {centre[0]} and {centre[1]}")
    ways = np.empty((2, 0))
    if trail:
        label, pairs = trail
        ways = np.array(pairs, dtype=float).T
        axes.plot(
            ways[0],
            ways[1],
            ".-",
            color="#777777",
            linewidth=1,
            markersize=4,
            zorder=1,
            label=label,
        )
        ends = [f"{x:z.{digits}f} and {y:z.{digits}f}" for x, y in (pairs[0], pairs[-1])]
        words.append(f"a line, {label}, from {ends[0]} to {ends[1]}")
    for axis, number in (("x", 0), ("y", 1)):
        fit(axes, axis, np.append(both[:, number], ways[number]))
    figure.legend(**BESIDE)
    alt = f"{title}. {x_label} and {y_label}: {'; '.join(words)}."
    return finish(figure, axes, title, x_label, y_label, alt)


def _look(place: int) -> dict[str, Any]:
    return {
        "marker": _of(MARKERS, place),
        "linestyle": _of(LINES, place),
        "color": _of(COLOURS, place),
        "linewidth": 1.4,
    }


def _of(palette: Sequence, place: int) -> Any:
    return palette[place % len(palette)]
