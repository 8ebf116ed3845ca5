"""The course's own pictures, as ``drawings.toml`` describes them.

They are kept in ``images/`` as SVG, sharp at any size, and as PNG, which the notebooks show.
"""

from __future__ import annotations

import io
import tomllib
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch
from scipy.stats import norm

from fmcourse.files import write_atomic
from recipes.common import BUNDLED, ROOT, command_line, output

DRAWINGS = tomllib.loads((ROOT / "recipes" / "drawings.toml").read_text(encoding="utf-8"))
INK = "#222222"
FILLS = {
    "data": "#d6e8f5",
    "model": "#fbe3d1",
    "use": "#d5efe4",
    "plain": "#f2f2f2",
    "note": "#ffffff",
}
FORMATS = {
    "svg": {"metadata": {"Date": None}},
    "png": {"dpi": 160, "metadata": {"Software": None}},
}


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, names=tuple(DRAWINGS))
    folder = ROOT / "images" if output() == BUNDLED else output()
    matplotlib.rcParams |= {"svg.fonttype": "path", "svg.hashsalt": "fmcourse", "font.size": 11}
    for name in chosen.only:
        figure, axes = plt.subplots(figsize=(9, 4.6))
        axes.axis("off")
        axes.set_xlim(0, 90)
        axes.set_ylim(0, 43)
        for kind, *numbers in DRAWINGS[name]["elements"]:
            ELEMENTS[kind](axes, *numbers)
        figure.subplots_adjust(0, 0, 1, 1)
        for ending, options in FORMATS.items():
            file = io.BytesIO()
            figure.savefig(file, format=ending, **options)
            write_atomic(Path(folder) / f"{name}.{ending}", file.getvalue())
        plt.close(figure)


def box(
    axes: Axes, x: float, y: float, width: float, height: float, content: str, kind: str
) -> None:
    round_box = "round,pad=0,rounding_size=1.2"
    style = {"boxstyle": round_box, "fc": FILLS[kind], "ec": INK, "lw": 1.2}
    axes.add_patch(FancyBboxPatch((x, y), width, height, **style))
    axes.text(x + width / 2, y + height / 2, content, ha="center", va="center", color=INK)


def arrow(axes: Axes, x: float, y: float, to_x: float, to_y: float) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 12, "color": INK, "lw": 1.1}
    axes.add_patch(FancyArrowPatch((x, y), (to_x, to_y), shrinkA=0, shrinkB=0, **style))


def span(axes: Axes, x: float, y: float, to_x: float, to_y: float) -> None:
    """Draw an arrow with two heads."""
    style = {"arrowstyle": "<->", "color": INK}
    axes.annotate("", (x, y), (to_x, to_y), arrowprops=style)


def text(axes: Axes, x: float, y: float, content: str, options: dict | None = None) -> None:
    style = {"va": "center", "color": INK, "fontsize": 10, **(options or {})}
    axes.text(x, y, content, **style)


def label(axes: Axes, x: float, y: float, content: str) -> None:
    text(axes, x, y, content, {"ha": "center"})


def bold(axes: Axes, x: float, y: float, content: str) -> None:
    text(axes, x, y, content, {"ha": "center", "fontweight": "bold"})


def rectangle(axes: Axes, x: float, y: float, width: float, height: float, options: dict) -> None:
    axes.add_patch(plt.Rectangle((x, y), width, height, **options))


def ellipse(axes: Axes, x: float, y: float, width: float, height: float, options: dict) -> None:
    axes.add_patch(Ellipse((x, y), width, height, **options))


def plot(axes: Axes, x: list[float], y: list[float], options: dict) -> None:
    axes.plot(x, y, **options)


def bell(axes: Axes, middle: float, width: float, options: dict) -> None:
    """Draw a density."""
    x = np.linspace(5, 85, 400)
    axes.plot(x, 8 + 330 * norm.pdf(x, middle, width), **options)


def tail(axes: Axes, start: float, end: float, middle: float, width: float, options: dict) -> None:
    """Fill a density from one point to another."""
    x = np.linspace(start, end, 200)
    axes.fill_between(x, 8, 8 + 330 * norm.pdf(x, middle, width), **options)


def rise(axes: Axes, height: float, middle: float, width: float, options: dict) -> None:
    """Draw a logistic curve."""
    x = np.linspace(8, 66, 300)
    axes.plot(x, 12 + height / (1 + np.exp(-(x - middle) / width)), **options)


ELEMENTS = {
    "box": box,
    "arrow": arrow,
    "span": span,
    "text": text,
    "label": label,
    "bold": bold,
    "rectangle": rectangle,
    "ellipse": ellipse,
    "plot": plot,
    "bell": bell,
    "tail": tail,
    "rise": rise,
}

if __name__ == "__main__":
    main()
