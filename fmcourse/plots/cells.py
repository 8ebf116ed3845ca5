"""Figures in labelled cells: the family of a foundation as a tree, and maps of two settings.

The colour goes from white to dark, so that it can be read in grey, and each cell says its figure.
Notebook 02 uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from fmcourse.arguments import require
from fmcourse.plots.canvas import (
    TITLE,
    Drawing,
    alike,
    encode,
    finish,
    new_axes,
    new_figure,
    said,
    spans,
    styled,
)
from fmcourse.stats import Interval

__all__ = ["grid", "tree"]

SCALE = "Oranges"  # of matplotlib: ever darker
WIDTH, HEIGHT = 0.8, 0.62  # of a leaf, where the next one is 1 away
LIGHT_ON = 0.6  # the share of the scale from which on white is easier to read than black


@styled
def tree(
    root: str,
    branches: Mapping[str, Mapping[str, float]],
    title: str,
    unit: str,
    beside: Mapping[str, Mapping[str, float]] | None = None,
    beside_unit: str = "",
    largest: float = 100.0,
) -> Drawing:
    """Draw a family: the root on top, a branch for each task, on it a leaf for each adaptation.

    Args:
        root: what stands in the root.
        branches: branch to (leaf to figure); all branches have the same leaves, in the same order.
        title: what is shown.
        unit: what the figures are; they stand in the leaves and colour them.
        beside: a second figure for each leaf, which stands below the first in small print.
        beside_unit: what these are.
        largest: the figure of the darkest leaf, in the unit of the figures.
    """
    leaves = alike("branches", branches)
    if beside:
        fits = list(beside) == list(branches) and alike("beside", beside) == leaves
        require(fits, "beside", f"{leaves} on each of {list(branches)}", beside)
    figure, axes = new_axes(max(4.0, 1.6 + len(branches)), 1.5 + 0.55 * len(leaves))
    middle = (len(branches) - 1) / 2
    _box(axes, middle, 0, root)
    words = []
    for x, (branch, figures) in enumerate(branches.items()):
        axes.plot([middle, x, x], [0.2, 1, 1 + len(leaves)], color="black", linewidth=1, zorder=0)
        _box(axes, x, 1, branch)
        told = []
        for y, (leaf, value) in enumerate(figures.items(), 2):
            small = said(beside[branch][leaf], 0) if beside else ""
            _cell(axes, x, y, value / largest, said(value, 0), small)
            told.append(f"{leaf} {said(value, 0)}" + (f" ({small})" if beside else ""))
        words.append(f"{branch}: {', '.join(told)}")
    axes.set_yticks(range(2, 2 + len(leaves)), leaves)
    axes.set_xticks([])
    _bare(axes, (-0.6, len(branches) - 0.4), (1.5 + len(leaves), -0.35))
    units = f"{unit}; in small print {beside_unit}" if beside else unit
    alt = f"{title}. A tree from {root}. {units}. {'; '.join(words)}."
    return finish(figure, axes, title, units, "", alt)


@styled
def grid(
    panels: Mapping[str, Mapping[str, Mapping[str, Interval]]],
    title: str,
    x_label: str,
    y_label: str,
    unit: str,
    digits: int = 0,
) -> Drawing:
    """Draw maps side by side, each cell with its figure, starred where its interval leaves out 0.

    Args:
        panels: panel label to (row label to (column label to interval)); all panels have the same
            rows and columns.
        title: what is shown.
        x_label, y_label: what columns and rows are.
        unit: what the figures are; the further one lies from 0, the darker is its cell.
        digits: decimals in the cells and in the alt text.
    """
    rows = alike("panels", panels)
    every = {}
    for label, own in panels.items():
        for name, row in own.items():
            every[f"{label}, {name}"] = row
    columns = alike("panels", every)
    size = np.abs([spans(row.values())[0] for row in every.values()])
    largest = np.nan_to_num(size).max() or 1
    figure = new_figure(max(4.0, 1.2 + 0.62 * len(columns) * len(panels)), 1.5 + 0.5 * len(rows))
    subplots = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, own) in zip(subplots, panels.items()):
        for y, row in enumerate(own.values()):
            for x, cell in enumerate(row.values()):
                _cell(axes, x, y, abs(cell.estimate) / largest, _starred(cell, digits))
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_title(label, fontsize=10)
        _bare(axes, (-0.5, len(columns) - 0.5), (len(rows) - 0.5, -0.5))
    words = []
    for name, row in every.items():
        told = [f"{column} {_starred(cell, digits)}" for column, cell in row.items()]
        words.append(f"{name}: {', '.join(told)}")
    figure.supxlabel(f"{x_label}; {unit}", fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    figure.suptitle(title, **TITLE)
    alt = f"{title}. {unit}; rows {y_label}, columns {x_label}. {'. '.join(words)}."
    return encode(figure, alt)


def _starred(cell: Interval, digits: int) -> str:
    return said(cell.estimate, digits) + ("*" if cell.low > 0 or cell.high < 0 else "")


def _cell(axes: Axes, x: float, y: float, share: float, text: str, small: str = "") -> None:
    """Draw one cell, its darkness from 0 (white) to 1; white for NaN."""
    share = float(np.clip(np.nan_to_num(share), 0, 1))
    ink = "white" if share > LIGHT_ON else "black"
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    colour = matplotlib.colormaps[SCALE](share)
    axes.add_patch(Rectangle(corner, WIDTH, HEIGHT, facecolor=colour, edgecolor="black"))
    style: Any = {"ha": "center", "va": "center", "color": ink}
    size = 10 if len(text) < len("missing") else 7
    axes.text(x, y - 0.1 if small else y, text, fontsize=size, fontweight="bold", **style)
    axes.text(x, y + 0.18, small, fontsize=7, **style)


def _box(axes: Axes, x: float, y: float, text: str) -> None:
    look = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "black"}
    axes.text(x, y, text, ha="center", va="center", fontsize=10, bbox=look)


def _bare(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Set the limits, and take grid, ticks and frame away."""
    axes.set(xlim=x, ylim=y)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
