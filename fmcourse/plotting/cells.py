"""Figures in labelled cells: the family of a foundation as a tree, and maps of two settings side by side.

The colour goes from white to dark, so that it can be read in grey, and each cell says its figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fmcourse.arguments import require
from fmcourse.plotting.canvas import TITLE, Drawing, encode, finish, new_axes, new_figure
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["grid", "tree"]

SCALE = "Oranges"  # of matplotlib: ever darker
WIDTH, HEIGHT = 0.8, 0.62  # of a leaf, where the next one is 1 away
LIGHT_ON = 0.6  # the share of the scale from which on white is easier to read than black


def tree(
    root: str,
    branches: Mapping[str, Mapping[str, float]],
    title: str,
    unit: str,
    beside: Mapping[str, Mapping[str, float]] | None = None,
    beside_unit: str = "",
    largest: float = 100.0,
) -> Drawing:
    """Draw a family: the root on top, a branch for each task, and on it a leaf for each way to adapt.

    Args:
        root: what stands in the root.
        branches: branch to (leaf to figure); all branches have the same leaves, in the same order.
        title: the takeaway.
        unit: what the figures are; they stand in the leaves and colour them.
        beside: a second figure for each leaf, which stands below the first in small print.
        beside_unit: what these are.
        largest: the figure of the darkest leaf, in the unit of the figures.
    """
    require(len(branches) > 0, "branches", "at least one branch", branches)
    leaves = list(next(iter(branches.values())))
    for name, own in (("branches", branches), ("beside", beside or branches)):
        same = list(own) == list(branches) and all(
            list(figures) == leaves for figures in own.values()
        )
        require(
            same,
            name,
            f"the leaves {leaves} on each of the branches {list(branches)}",
            {k: list(v) for k, v in own.items()},
        )
    figure, axes = new_axes(
        width=max(4.0, 1.6 + 1.0 * len(branches)), height=1.5 + 0.55 * len(leaves)
    )
    middle = (len(branches) - 1) / 2
    _box(axes, middle, 0, root)
    for x, (branch, figures) in enumerate(branches.items()):
        axes.plot([middle, x, x], [0.2, 1, 1 + len(leaves)], color="black", linewidth=1, zorder=0)
        _box(axes, x, 1, branch)
        for y, (leaf, value) in enumerate(figures.items(), 2):
            _cell(
                axes,
                x,
                y,
                value / largest,
                f"{value:.0f}",
                f"{beside[branch][leaf]:.0f}" if beside else "",
            )
    axes.set_yticks(range(2, 2 + len(leaves)), leaves)
    axes.set_xticks([])
    _bare(axes, (-0.6, len(branches) - 0.4), (1.5 + len(leaves), -0.35))
    said = [
        f"{branch}: {_said(figures, (beside or {}).get(branch))}"
        for branch, figures in branches.items()
    ]
    units = f"{unit}; in small print {beside_unit}" if beside else unit
    return finish(
        figure, axes, title, units, "", f"{title}. A tree from {root}. {units}. {'; '.join(said)}."
    )


def _said(figures: Mapping[str, float], beside: Mapping[str, float] | None) -> str:
    return ", ".join(
        f"{leaf} {value:.0f}" + (f" ({beside[leaf]:.0f})" if beside else "")
        for leaf, value in figures.items()
    )


def grid(
    panels: Mapping[str, Mapping[str, Mapping[str, Interval]]],
    title: str,
    x_label: str,
    y_label: str,
    unit: str,
    digits: int = 0,
) -> Drawing:
    """Draw maps side by side, each cell with its figure; a star says that its interval leaves out 0.

    Args:
        panels: panel label to (row label to (column label to interval)); all panels have the same rows and columns.
        title: the takeaway.
        x_label, y_label: what columns and rows are.
        unit: what the figures are; the further one lies from 0, the darker is its cell.
        digits: decimals in the cells and in the alt text.
    """
    require(len(panels) > 0, "panels", "at least one map", panels)
    rows, columns = _labels(next(iter(panels.values())))
    same = all(_labels(own) == (rows, columns) for own in panels.values())
    require(
        same,
        "panels",
        f"the rows {rows} and the columns {columns} in every map",
        {k: _labels(v) for k, v in panels.items()},
    )
    cells = [cell for own in panels.values() for row in own.values() for cell in row.values()]
    largest = max(abs(cell.estimate) for cell in cells) or 1.0
    figure = new_figure(max(4.0, 1.2 + 0.62 * len(columns) * len(panels)), 1.5 + 0.5 * len(rows))
    said = []
    for axes, (label, own) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items()
    ):
        for y, row in enumerate(own.values()):
            for x, cell in enumerate(row.values()):
                _cell(axes, x, y, abs(cell.estimate) / largest, _starred(cell, digits))
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_title(label, fontsize=10)
        _bare(axes, (-0.5, len(columns) - 0.5), (len(rows) - 0.5, -0.5))
        told = [
            f"{name}: "
            + ", ".join(f"{column} {_starred(cell, digits)}" for column, cell in row.items())
            for name, row in own.items()
        ]
        said.append(f"{label}, {'; '.join(told)}")
    figure.supxlabel(f"{x_label}; {unit}", fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    figure.suptitle(title, **TITLE)
    return encode(figure, f"{title}. {unit}; rows {y_label}, columns {x_label}. {'. '.join(said)}.")


def _labels(rows: Mapping[str, Mapping[str, Interval]]) -> tuple[list[str], list[str]]:
    return list(rows), list(next(iter(rows.values()), {}))


def _starred(cell: Interval, digits: int) -> str:
    return f"{cell.estimate:.{digits}f}" + ("" if cell.low <= 0 <= cell.high else "*")


def _cell(axes: Axes, x: float, y: float, share: float, text: str, small: str = "") -> None:
    """Draw one cell, its darkness from 0 (white) to 1."""
    import matplotlib
    from matplotlib.patches import Rectangle

    share = min(max(share, 0.0), 1.0)
    colour, ink = matplotlib.colormaps[SCALE](share), "white" if share > LIGHT_ON else "black"
    axes.add_patch(
        Rectangle(
            (x - WIDTH / 2, y - HEIGHT / 2),
            WIDTH,
            HEIGHT,
            facecolor=colour,
            edgecolor="black",
            linewidth=0.8,
        )
    )
    axes.text(
        x,
        y - 0.1 if small else y,
        text,
        ha="center",
        va="center",
        color=ink,
        fontsize=10,
        fontweight="bold",
    )
    axes.text(x, y + 0.18, small, ha="center", va="center", color=ink, fontsize=7)


def _box(axes: Axes, x: float, y: float, text: str) -> None:
    look = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "black"}
    axes.text(x, y, text, ha="center", va="center", fontsize=10, bbox=look)


def _bare(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Set the limits, and take grid, ticks and frame away."""
    axes.set(xlim=x, ylim=y)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
