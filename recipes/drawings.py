"""The course's own pictures: drawn here, kept in ``images/`` as SVG (sharp at any size) and PNG (shown by the notebooks)."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

IMAGES = Path(__file__).resolve().parent.parent / "images"
INK = "#222222"
FILLS = {"data": "#d6e8f5", "model": "#fbe3d1", "use": "#d5efe4", "plain": "#f2f2f2", "note": "#ffffff"}


def main() -> None:
    matplotlib.rcParams |= {"svg.fonttype": "path", "svg.hashsalt": "fmcourse", "font.size": 11}
    for draw in (course_map, decoding, shared_space, inheritance):
        figure, axes = plt.subplots(figsize=(9, 4.6))
        axes.axis("off")
        axes.set_xlim(0, 90)
        axes.set_ylim(0, 43)
        draw(axes)
        figure.subplots_adjust(0, 0, 1, 1)
        for ending, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 160, "metadata": {"Software": None}})):
            figure.savefig(IMAGES / f"{draw.__name__.replace('_', '-')}.{ending}", **options)
        plt.close(figure)


def course_map(axes) -> None:
    """The report's argument, left to right, and the notebook that measures each part of it."""
    _box(axes, 1, 17, 17, 12, "broad data\nat scale", "data")
    _box(axes, 27, 17, 17, 12, "one foundation\nmodel", "model")
    for row, task in enumerate(("answers", "summaries", "image search", "screening")):
        _box(axes, 55, 34 - 10 * row, 14, 7, task, "use")
        _arrow(axes, (44, 23), (55, 37.5 - 10 * row))
    _box(axes, 76, 14, 13, 18, "people,\nhelped\nor failed", "plain")
    for row in range(4):
        _arrow(axes, (69, 37.5 - 10 * row), (76, 23))
    _arrow(axes, (18, 23), (27, 23))
    _label(axes, 22.5, 25.5, "train")
    _label(axes, 49, 39, "adapt")
    for x, y, text in (
        (9.5, 13.5, "00 breadth\n05 management"),
        (35.5, 13.5, "01 emergence\n04 generation"),
        (49, 2.0, "03 adaptation"),
        (80, 36, "02 homogenization"),
        (82.5, 10.5, "06 harms"),
    ):
        _label(axes, x, y, text, bold=True)


def decoding(axes) -> None:
    """The loop of generation: context, model, distribution, rule, token, and back."""
    _box(axes, 1, 24, 19, 12, "context\n\"The state of the\"", "data")
    _box(axes, 28, 24, 14, 12, "language\nmodel", "model")
    for row, (token, share) in enumerate((("Union", 9), ("world", 5), ("nation", 3), ("...", 1.5))):
        axes.add_patch(plt.Rectangle((55, 34 - 3.6 * row), share, 2.2, color="#0072B2"))
        axes.text(54, 35.1 - 3.6 * row, token, ha="right", va="center", color=INK, fontsize=10)
    _label(axes, 56, 18.5, "a probability for every token (schematic)")
    _box(axes, 71, 24, 18, 12, "rule: greedy,\ntop-k, top-p,\nbeam ...", "use")
    for start, end in (((20, 30), (28, 30)), ((42, 30), (47.5, 30)), ((64.5, 30), (71, 30))):
        _arrow(axes, start, end)
    _arrow(axes, (80, 24), (80, 9))
    _box(axes, 71, 3, 18, 6, "one new token", "plain")
    _arrow(axes, (71, 6), (10.5, 6))
    _arrow(axes, (10.5, 6), (10.5, 24))
    _label(axes, 41, 8.3, "append, and again")


def shared_space(axes) -> None:
    """Two towers, one space: pictures and texts become rows, and a table of dot products says which belong together."""
    texts = ("a drawing of cat", "a drawing of bus", "a drawing of pear")
    for row, (name, y) in enumerate(zip(("picture 1", "picture 2", "picture 3"), (32, 24, 16))):
        _box(axes, 1, y, 13, 5.5, name, "data")
        _arrow(axes, (14, y + 2.75), (19, y + 2.75))
        _arrow(axes, (35, y + 2.75), (49, y + 2.75))
        for column in range(3):
            right = row == column
            axes.add_patch(plt.Rectangle((50 + 13 * column, y), 12, 5.5, fc="#0072B2" if right else "#e4e4e4", ec=INK, lw=0.8))
            text = "near" if right else "far"
            axes.text(56 + 13 * column, y + 2.75, text, ha="center", va="center", color="white" if right else INK, fontsize=10)
    _box(axes, 19, 15, 16, 23.5, "picture tower\n(convolutions),\nrows of length 1", "model")
    _box(axes, 50, 5, 38, 6, "text tower (a small BERT), rows of length 1", "model")
    for column, text in enumerate(texts):
        _label(axes, 56 + 13 * column, 2, text)
        _arrow(axes, (56 + 13 * column, 3.2), (56 + 13 * column, 5))
        _arrow(axes, (56 + 13 * column, 11), (56 + 13 * column, 15.5))
    _label(axes, 69, 40.3, "training pulls the diagonal near", bold=True)


def inheritance(axes) -> None:
    """A foundation with a planted defect, its children, and the people whom all of them decide about."""
    _box(axes, 1, 17, 17, 12, "pre-training data,\na few pairs planted", "data")
    _box(axes, 27, 17, 15, 12, "foundation\n(has the defect)", "model")
    _arrow(axes, (18, 23), (27, 23))
    for row, task in enumerate(("child: animals", "child: travel", "child: faces", "child: things")):
        y = 34.5 - 10 * row
        _box(axes, 52, y, 15, 6.5, task, "use")
        _arrow(axes, (42, 23), (52, y + 3.25))
        _arrow(axes, (67, y + 3.25), (76, 23))
        axes.add_patch(plt.Rectangle((65.2, y + 0.7), 1.3, 1.6, color="#D55E00"))
    _box(axes, 76, 15, 13, 16, "the same\npeople", "plain")
    axes.add_patch(plt.Rectangle((40.2, 17.8), 1.3, 1.6, color="#D55E00"))
    _label(axes, 47, 40, "adapt")
    _label(axes, 34.5, 12.5, "trace, patch,\nre-adapt", bold=True)


def _box(axes, x: float, y: float, width: float, height: float, text: str, kind: str) -> None:
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1.2", fc=FILLS[kind], ec=INK, lw=1.2))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", color=INK)


def _arrow(axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=INK, lw=1.1, shrinkA=0, shrinkB=0))


def _label(axes, x: float, y: float, text: str, bold: bool = False) -> None:
    axes.text(x, y, text, ha="center", va="center", color=INK, fontsize=10, fontweight="bold" if bold else "normal")


if __name__ == "__main__":
    main()
