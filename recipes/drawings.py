"""The course's own pictures, as ``drawings.toml`` describes them.

They are kept in ``images/`` as SVG, sharp at any size, and as PNG, which the notebooks show.
"""

import io

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from fmcourse.files import read_toml, write_atomic
from recipes.common import BUNDLED, ROOT, command_line, output

DRAWINGS = read_toml(ROOT / "recipes" / "drawings.toml")
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


def main(arguments=None):
    chosen = command_line(__doc__, arguments, names=DRAWINGS)
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
            write_atomic(folder / f"{name}.{ending}", file.getvalue())
        plt.close(figure)


def box(axes, x, y, width, height, content, kind):
    round_box = "round,pad=0,rounding_size=1.2"
    style = {"boxstyle": round_box, "fc": FILLS[kind], "ec": INK, "lw": 1.2}
    axes.add_patch(FancyBboxPatch((x, y), width, height, **style))
    axes.text(x + width / 2, y + height / 2, content, ha="center", va="center", color=INK)


def arrow(axes, x, y, to_x, to_y):
    style = {"arrowstyle": "-|>", "mutation_scale": 12, "color": INK, "lw": 1.1}
    axes.add_patch(FancyArrowPatch((x, y), (to_x, to_y), shrinkA=0, shrinkB=0, **style))


def span(axes, x, y, to_x, to_y):
    """Draw an arrow with two heads."""
    style = {"arrowstyle": "<->", "color": INK}
    axes.annotate("", (x, y), (to_x, to_y), arrowprops=style)


def text(axes, x, y, content, options=None):
    style = {"va": "center", "color": INK, "fontsize": 10, **(options or {})}
    axes.text(x, y, content, **style)


def label(axes, x, y, content):
    text(axes, x, y, content, {"ha": "center"})


def bold(axes, x, y, content):
    text(axes, x, y, content, {"ha": "center", "fontweight": "bold"})


def rectangle(axes, x, y, width, height, options):
    axes.add_patch(plt.Rectangle((x, y), width, height, **options))


def plot(axes, x, y, options):
    axes.plot(x, y, **options)


def rise(axes, height, middle, width, options):
    """Draw a logistic curve."""
    x = np.linspace(8, 66, 300)
    axes.plot(x, 12 + height / (1 + np.exp(-(x - middle) / width)), **options)


DRAWN = (box, arrow, span, text, label, bold, rectangle, plot, rise)
ELEMENTS = {element.__name__: element for element in DRAWN}

if __name__ == "__main__":
    main()
