"""Charts of numbers and intervals: rows, lines, runs, bars, and points in a plane.

Colours: Okabe & Ito 2008, safe for the colour-blind; series differ in marker and line style too, so that they stay apart in grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fmcourse.arguments import require
from fmcourse.plotting.canvas import Drawing, finish, new_axes
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bars", "curves", "forest", "plane", "runs"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", "p", ">", "h")
FEW = 3  # lines that a legend among them does not hide
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), "-")


def forest(
    intervals: Mapping[str, Interval],
    title: str,
    unit: str,
    reference: tuple[str, float] | None = None,
    digits: int = 2,
) -> Drawing:
    """Draw one dot with its interval per row.

    Args:
        intervals: row label to interval, drawn from top to bottom.
        title: the takeaway.
        unit: what the horizontal axis shows, with its unit.
        reference: label and value of a dashed vertical line, such as chance or the paper's figure.
        digits: decimals in the alt text and beside the dots.
    """
    require(len(intervals) > 0, "intervals", "at least one row", intervals)
    figure, axes = new_axes(height=0.9 + 0.38 * len(intervals))
    for row, (label, interval) in enumerate(intervals.items()):
        axes.plot(
            [interval.low, interval.high],
            [row, row],
            color=COLOURS[0],
            linewidth=2,
            solid_capstyle="butt",
        )
        axes.plot(interval.estimate, row, "o", color=COLOURS[0])
        axes.annotate(
            f"{interval.estimate:.{digits}f}",
            (interval.high, row),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(intervals)), list(intervals))
    axes.set_ylim(len(intervals) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    said = [f"{label} {interval:.{digits}f}" for label, interval in intervals.items()]
    if reference:
        axes.axvline(reference[1], color="black", linestyle="--", linewidth=1)
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate(reference[0], (reference[1], 1), (3, -2), fontsize=8, va="top", **place)
        said.append(f"dashed line {reference[0]} {reference[1]:.{digits}f}")
    return finish(figure, axes, title, unit, "", f"{title}. {unit}: {'; '.join(said)}.")


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float | Interval]]],
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    digits: int = 2,
) -> Drawing:
    """Draw lines through points.

    Args:
        series: label to (x values, y values), of equal length; a y value may be an interval, which is drawn as a bar.
        title: the takeaway.
        x_label, y_label: what the axes show, with units.
        log_x: whether the horizontal axis is logarithmic.
        digits: decimals in the alt text.
    """
    require(len(series) > 0, "series", "at least one line", series)
    crowded = len(series) > FEW
    figure, axes = new_axes(width=9.2) if crowded else new_axes()
    said = []
    for place, (label, (x, y)) in enumerate(series.items()):
        require(
            len(x) == len(y) > 0,
            f"series[{label!r}]",
            "as many x values as y values, at least one",
            (len(x), len(y)),
        )
        look = {
            "marker": _of(MARKERS, place),
            "linestyle": _of(LINES, place),
            "color": _of(COLOURS, place),
        }
        y = _barred(axes, x, y, look["color"])
        axes.plot(x, y, label=label, markersize=4, **look)
        said.append(
            f"{label} goes from {y[0]:.{digits}f} at {x[0]:g} to {y[-1]:.{digits}f} at {x[-1]:g}"
        )
    if log_x:
        axes.set_xscale("log")
    if len(series) > 1:
        _legend(figure, axes, crowded)
    return finish(
        figure,
        axes,
        title,
        x_label,
        y_label,
        f"{title}. {y_label} against {x_label}: {'; '.join(said)}.",
    )


def _barred(
    axes: Axes, x: Sequence[float], y: Sequence[float | Interval], colour: str
) -> Sequence[float]:
    """Draw y values that are intervals as bars, and return the estimates."""
    bars = [value for value in y if isinstance(value, Interval)]
    if not bars:
        return y
    axes.vlines(
        x,
        [bar.low for bar in bars],
        [bar.high for bar in bars],
        color=colour,
        linewidth=1,
        alpha=0.6,
    )
    return [bar.estimate for bar in bars]


def runs(
    groups: Mapping[str, tuple[Sequence[float], Sequence[Sequence[float | Interval]]]],
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    digits: int = 2,
) -> Drawing:
    """Draw every run of every group as a line of its own: a mean of steps would look smooth.

    Args:
        groups: label to (x values, one list of y values per run), one look per group; y values as for :func:`curves`.
        title, x_label, y_label, log_x, digits: as for :func:`curves`.
    """
    require(len(groups) > 0, "groups", "at least one group", groups)
    figure, axes = new_axes()
    said = []
    for place, (label, (x, lines)) in enumerate(groups.items()):
        fits = len(lines) > 0 and all(len(line) == len(x) > 0 for line in lines)
        require(
            fits,
            f"groups[{label!r}]",
            "at least one run, with as many y values as x values",
            [len(x), *map(len, lines)],
        )
        look = {
            "marker": _of(MARKERS, place),
            "linestyle": _of(LINES, place),
            "color": _of(COLOURS, place),
        }
        look |= {"markersize": 4, "markevery": -(-len(x) // 6), "linewidth": 1.2, "alpha": 0.8}
        lines = [_barred(axes, x, line, look["color"]) for line in lines]
        for number, line in enumerate(lines):
            axes.plot(x, line, label=None if number else label, **look)
        ends = [[line[end] for line in lines] for end in (0, -1)]
        spans = [f"{min(values):.{digits}f} to {max(values):.{digits}f}" for values in ends]
        count = "1 run goes" if len(lines) == 1 else f"{len(lines)} runs go"
        said.append(f"{label}: {count} from {spans[0]} at {x[0]:g} to {spans[1]} at {x[-1]:g}")
    if log_x:
        axes.set_xscale("log")
    if len(groups) > 1:
        axes.legend()
    return finish(
        figure,
        axes,
        title,
        x_label,
        y_label,
        f"{title}. {y_label} against {x_label}: {'; '.join(said)}.",
    )


def bars(
    groups: Mapping[str, Mapping[str, float]], title: str, y_label: str, digits: int = 2
) -> Drawing:
    """Draw groups of bars side by side, one colour and hatch per series.

    Args:
        groups: series label to (category label to height); all series have the same categories.
        title: the takeaway.
        y_label: what the heights are, with their unit.
        digits: decimals in the alt text.
    """
    require(len(groups) > 0, "groups", "at least one series", groups)
    categories = list(next(iter(groups.values())))
    same = all(list(heights) == categories for heights in groups.values())
    require(
        same,
        "groups",
        f"the categories {categories} in every series",
        {k: list(v) for k, v in groups.items()},
    )
    figure, axes = new_axes()
    width = 0.8 / len(groups)
    for place, (label, heights) in enumerate(groups.items()):
        left = [i + (place - (len(groups) - 1) / 2) * width for i in range(len(categories))]
        hatch = ("", "//", "..", "xx", "\\\\", "++", "oo")[place % 7]
        axes.bar(
            left,
            list(heights.values()),
            width,
            label=label,
            color=_of(COLOURS, place),
            hatch=hatch,
            edgecolor="white",
        )
    axes.set_xticks(range(len(categories)), categories)
    axes.grid(axis="x", visible=False)
    if len(groups) > 1:
        axes.legend()
    said = [
        f"{label}: " + ", ".join(f"{k} {v:.{digits}f}" for k, v in heights.items())
        for label, heights in groups.items()
    ]
    return finish(figure, axes, title, "", y_label, f"{title}. {y_label}. {'; '.join(said)}.")


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
        title: the takeaway.
        x_label, y_label: what the axes show, with units.
        trail: label and (x, y) pairs of a thin line behind the points, such as the way between two models.
        digits: decimals in the alt text.
    """
    require(len(points) > 0, "points", "at least one point", points)
    figure, axes = new_axes(width=8.4, height=max(3.6, 0.9 + 0.27 * len(points)))
    said = []
    for place, (label, (x, y)) in enumerate(points.items()):
        axes.errorbar(
            x.estimate,
            y.estimate,
            xerr=[[x.estimate - x.low], [x.high - x.estimate]],
            yerr=[[y.estimate - y.low], [y.high - y.estimate]],
            fmt=_of(MARKERS, place),
            color=_of(COLOURS, place),
            label=label,
            capsize=2,
            linewidth=1,
        )
        said.append(f"{label} at {x.estimate:.{digits}f} and {y.estimate:.{digits}f}")
    if trail:
        axes.plot(
            *zip(*trail[1]),
            color="#777777",
            linewidth=1,
            marker=".",
            markersize=4,
            zorder=1,
            label=trail[0],
        )
        ends = " to ".join(
            f"{x:.{digits}f} and {y:.{digits}f}" for x, y in (trail[1][0], trail[1][-1])
        )
        said.append(f"a line, {trail[0]}, from {ends}")
    _legend(figure, axes, crowded=True)
    return finish(
        figure,
        axes,
        title,
        x_label,
        y_label,
        f"{title}. {x_label} and {y_label}: {'; '.join(said)}.",
    )


def _legend(figure: Figure, axes: Axes, crowded: bool) -> None:
    """Explain the lines where they leave room, or beside a crowded plot."""
    if crowded:
        figure.legend(loc="outside right center", fontsize=9)
    else:
        axes.legend()


def _of(palette: Sequence, place: int):
    return palette[place % len(palette)]
