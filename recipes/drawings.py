"""The course's own pictures: drawn here, kept in ``images/`` as SVG (sharp at any size) and PNG (shown by the notebooks)."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch
from scipy.stats import norm

IMAGES = Path(__file__).resolve().parent.parent / "images"
INK = "#222222"
FILLS = {
    "data": "#d6e8f5",
    "model": "#fbe3d1",
    "use": "#d5efe4",
    "plain": "#f2f2f2",
    "note": "#ffffff",
}
BLUE, ORANGE = "#0072B2", "#D55E00"  # Okabe & Ito 2008; in grey they differ in line style too


def main() -> None:
    matplotlib.rcParams |= {"svg.fonttype": "path", "svg.hashsalt": "fmcourse", "font.size": 11}
    for draw in DRAWINGS:
        figure, axes = plt.subplots(figsize=(9, 4.6))
        axes.axis("off")
        axes.set_xlim(0, 90)
        axes.set_ylim(0, 43)
        draw(axes)
        figure.subplots_adjust(0, 0, 1, 1)
        for ending, options in (
            ("svg", {"metadata": {"Date": None}}),
            ("png", {"dpi": 160, "metadata": {"Software": None}}),
        ):
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
    _box(axes, 1, 24, 19, 12, 'context\n"The state of the"', "data")
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
            axes.add_patch(
                plt.Rectangle(
                    (50 + 13 * column, y),
                    12,
                    5.5,
                    fc="#0072B2" if right else "#e4e4e4",
                    ec=INK,
                    lw=0.8,
                )
            )
            text = "near" if right else "far"
            axes.text(
                56 + 13 * column,
                y + 2.75,
                text,
                ha="center",
                va="center",
                color="white" if right else INK,
                fontsize=10,
            )
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
    axes.add_patch(plt.Rectangle((40.2, 17.8), 1.3, 1.6, color=ORANGE))
    for row, task in enumerate(
        ("child: animals", "child: travel", "child: signs", "child: things")
    ):
        y = 34.5 - 10 * row
        _box(axes, 52, y, 15, 6.5, task, "use")
        _arrow(axes, (42, 23), (52, y + 3.25))
        _arrow(axes, (67, y + 3.25), (76, 23))
        axes.add_patch(plt.Rectangle((65.2, y + 0.7), 1.3, 1.6, color=ORANGE))
    _box(axes, 76, 15, 13, 16, "the same\npeople", "plain")
    _label(axes, 47, 40, "adapt")
    _label(axes, 34.5, 12.5, "trace, patch,\nre-adapt", bold=True)


def sharp_curve(axes) -> None:
    """One sharp curve, and the three things that can have made it so."""
    _box(axes, 1, 14, 22, 18, "", "plain")
    axes.plot([3, 9, 12, 15, 21], [17, 17.3, 23, 28.6, 29], color="#0072B2", lw=2.5)
    _label(axes, 12, 10.5, "a sharp curve: what made it?", bold=True)
    rows = (
        (
            33,
            "the metric",
            "all digits at once, or nothing",
            "score the same\nanswers smoothly",
            "data",
        ),
        (18, "the sampling", "few sizes, few items, one seed", "intervals,\nevery seed", "model"),
        (3, "a circuit", "something new works inside", "look at it,\nand remove it", "use"),
    )
    for y, name, how, test, kind in rows:
        _box(axes, 36, y, 26, 8, f"{name}\n{how}", kind)
        _box(axes, 70, y, 19, 8, test, "note")
        _arrow(axes, (36, y + 4), (23, 23))
        _arrow(axes, (62, y + 4), (70, y + 4))
    _label(axes, 79.5, 42.2, "how to tell", bold=True)


def foundation_family(axes) -> None:
    """A family tree: kinds of data, the models trained on them, and what was adapted from each; years of publication."""
    _label(axes, 9, 40.5, "trained on", bold=True)
    _label(axes, 45, 40.5, "foundation model", bold=True)
    _label(axes, 77, 40.5, "adapted to", bold=True)
    rows = (
        (
            "text",
            "BERT 2018, GPT-2 2019,\nGPT-3 2020, GPT-Neo 2021",
            "answers, summaries,\nfiction, code",
        ),
        ("pairs of image\nand text", "CLIP 2021", "image search, sorting\nwithout labels"),
        ("images", "ViT 2020, MAE 2021", "medical images,\nsatellite maps"),
        (
            "speech, proteins,\ncode, ...",
            "wav2vec 2.0, ESM,\nCodex",
            "dictation, structures,\nprogramming",
        ),
    )
    for row, (data, models, uses) in enumerate(rows):
        y = 30.5 - 9.6 * row
        for x, width, text, kind in (
            (1, 17, data, "data"),
            (30, 30, models, "model"),
            (66, 23, uses, "use"),
        ):
            _box(axes, x, y, width, 7.4, text, kind)
        _arrow(axes, (18, y + 3.7), (30, y + 3.7))
        _arrow(axes, (60, y + 3.7), (66, y + 3.7))


def why_research(axes) -> None:
    """Four reasons around one model; below, what nobody inside or outside one institution can see alone."""
    _box(axes, 33, 16, 24, 11, "one model,\nmany systems", "model")
    reasons = (
        (1, 30, "capability nobody listed", "01 emergence", "data"),
        (62, 30, "a defect that all inherit", "02 homogenization", "plain"),
        (1, 4, "training data nobody has read", "05 data management", "data"),
        (62, 4, "harm found after release", "06 harms", "plain"),
    )
    for x, y, reason, notebook, kind in reasons:
        _box(axes, x, y, 27, 8, reason, kind)
        _label(axes, x + 13.5, y - 2, notebook, bold=True)
        left = x < 33
        _arrow(axes, (28 if left else 62, y + 4), (33 if left else 57, 24 if y > 16 else 19))
    _label(axes, 45, 33, "few can train it,")
    _label(axes, 45, 30.6, "everybody meets it")
    _label(axes, 45, 9.6, "so it needs people")
    _label(axes, 45, 7.2, "from many fields")


def data_management(axes) -> None:
    """Data through the life of a foundation model: three challenges, each where it bites, and the way back."""
    steps = (
        (1, "sources", "data"),
        (24, "training\ndata", "data"),
        (47, "embeddings", "model"),
        (70, "systems", "use"),
    )
    for x, text, kind in steps:
        _box(axes, x, 22, 18, 9, text, kind)
    for x, text in ((19, "clean"), (42, "train"), (65, "adapt")):
        _arrow(axes, (x, 26.5), (x + 5, 26.5))
        _label(axes, x + 2.5, 28.6, text)
    for x, head, text in (
        (21.5, "integration", "where does each row\ncome from?"),
        (56, "monitoring", "which slice drifts,\nand since when?"),
        (79, "patching", "mend one slice,\nbreak no other"),
    ):
        _label(axes, x, 38.8, head, bold=True)
        _label(axes, x, 35.2, text)
    _arrow(axes, (79, 22), (79, 10))
    _box(axes, 47, 4, 42, 6, "errors found by those who are failed", "plain")
    _arrow(axes, (47, 7), (33, 7))
    _box(axes, 11, 4, 22, 6, "manifest, versions", "note")
    _arrow(axes, (15, 10), (15, 22))
    _label(axes, 19.5, 16, "lineage")


def report_map(axes) -> None:
    """The report's four parts with their sections, and the notebook that measures each."""
    parts = (
        (
            "2 Capabilities",
            ("language", "vision", "robotics", "reasoning", "interaction", "philosophy"),
            "03  04",
            "model",
        ),
        ("3 Applications", ("healthcare", "law", "education"), "02", "use"),
        (
            "4 Technology",
            (
                "modelling, training",
                "adaptation, evaluation",
                "systems, data",
                "security, robustness",
                "safety, theory",
                "interpretability",
            ),
            "00 to 06",
            "data",
        ),
        (
            "5 Society",
            ("inequity", "misuse", "environment", "legality", "economics", "ethics of scale"),
            "02  04  06",
            "plain",
        ),
    )
    _box(axes, 21, 36, 48, 6, "emergence and homogenization (section 1)", "note")
    for place, (part, sections, notebooks, kind) in enumerate(parts):
        x = 1 + 22.3 * place
        _box(axes, x, 6, 20.5, 25, "", kind)
        _label(axes, x + 10.2, 28.6, part, bold=True)
        for row, section in enumerate(sections):
            _label(axes, x + 10.2, 25 - 3.3 * row, section)
        _label(
            axes,
            x + 10.2,
            3,
            f"notebook {notebooks}" if len(notebooks) < 3 else f"notebooks {notebooks}",
            bold=True,
        )
        _arrow(axes, (45 + 4 * (place - 1.5), 36), (x + 10.2, 31))


def distribution_shift(axes) -> None:
    """Two densities and one boundary, chosen where the training density is thin; the shifted density is not thin there."""
    x = np.linspace(5, 85, 400)
    for middle, side in ((27, "one class"), (57, "another")):
        axes.plot(x, 8 + 330 * norm.pdf(x, middle, 5.5), color=BLUE, lw=2)
        axes.plot(x, 8 + 330 * norm.pdf(x, middle + 12, 6.5), color=ORANGE, lw=2, ls="--")
        _label(axes, middle, 34, side)
    wrong = np.linspace(42, 62, 200)
    axes.fill_between(
        wrong,
        8,
        8 + 330 * norm.pdf(wrong, 39, 6.5),
        fc=FILLS["model"],
        ec=ORANGE,
        hatch="///",
        lw=0,
    )
    axes.plot([42, 42], [6, 38], color=INK, lw=1.4)
    axes.plot([5, 85], [8, 8], color=INK, lw=1.1)
    _label(axes, 42, 40, "boundary, learned in training", bold=True)
    _label(axes, 73, 38, "some feature, left to right\n(schematic)")
    axes.plot([4, 9], [4, 4], color=BLUE, lw=2)
    axes.text(10, 4, "in distribution", va="center", color=INK, fontsize=10)
    axes.plot([30, 35], [4, 4], color=ORANGE, lw=2, ls="--")
    axes.text(36, 4, "shifted", va="center", color=INK, fontsize=10)
    axes.add_patch(plt.Rectangle((52, 3), 5, 2, fc=FILLS["model"], ec=ORANGE, hatch="///", lw=0))
    axes.text(58, 4, "one class, now on the wrong side", va="center", color=INK, fontsize=10)


def distribution_breadth(axes) -> None:
    """A broad pre-training distribution over narrow tasks; what fine-tuning sees, and what it may forget."""
    axes.add_patch(Ellipse((36, 21), 70, 38, fc=FILLS["data"], ec=INK, lw=1.2))
    _label(axes, 24, 34.5, "pre-training: broad", bold=True)
    tasks = (
        (24, 22, "your task,\nseen in fine-tuning", "model", "-"),
        (52, 25, "the same task,\nanother style", "note", "--"),
    )
    for x, y, text, kind, line in (*tasks, (46, 11, "another task", "note", "--")):
        axes.add_patch(Ellipse((x, y), 25, 11, fc=FILLS[kind], ec=INK, lw=1.2, ls=line))
        axes.text(x, y, text, ha="center", va="center", color=INK, fontsize=10)
    axes.add_patch(Ellipse((82, 10), 13, 11, fc=FILLS["plain"], ec=INK, lw=1.2, ls=":"))
    axes.text(82, 10, "never\nseen", ha="center", va="center", color=INK, fontsize=10)
    for y, text in (
        (38, "solid: improved"),
        (35, "dashed: may be lost"),
        (32, "dotted: never known"),
    ):
        axes.text(70, y, text, va="center", color=INK, fontsize=10)


def smoke_detector(axes) -> None:
    """One run: a precursor that passes its threshold, the harm that shows later, and where mending can set in."""
    steps = np.linspace(8, 66, 300)
    axes.plot(steps, 12 + 22 / (1 + np.exp(-(steps - 22) / 4)), color=BLUE, lw=2.5)
    axes.plot(steps, 12 + 20 / (1 + np.exp(-(steps - 56) / 3)), color=ORANGE, lw=2.5, ls="--")
    axes.plot([6, 66], [19, 19], color=INK, lw=1.1, ls=":")
    axes.plot([6, 66], [10, 10], color=INK, lw=1.1)
    for x, text in ((18.9, "alarm"), (50, "first harm")):
        axes.plot([x, x], [10, 38], color=INK, lw=1.2)
        _label(axes, x, 40, text, bold=True)
    axes.annotate("", (50, 36.5), (18.9, 36.5), arrowprops={"arrowstyle": "<->", "color": INK})
    _label(axes, 34.5, 38.2, "lead")
    _label(axes, 40, 30.5, "precursor")
    _label(axes, 62, 25, "harm")
    _label(axes, 37, 17.2, "threshold, fixed on clean runs")
    _label(axes, 36, 7.8, "training steps (schematic)")
    _box(axes, 3, 0.5, 31, 5.5, "mend at the alarm", "use")
    _box(axes, 56, 0.5, 31, 5.5, "mend after the end", "model")
    _arrow(axes, (18.9, 6), (18.9, 10))
    _arrow(axes, (66, 6), (66, 10))
    _box(axes, 72, 24, 16, 12, "who is woken,\nand what may\nthey stop?", "note")


DRAWINGS = (
    course_map,
    decoding,
    shared_space,
    inheritance,
    sharp_curve,
    foundation_family,
    why_research,
    data_management,
    report_map,
    distribution_shift,
    distribution_breadth,
    smoke_detector,
)


def _box(axes, x: float, y: float, width: float, height: float, text: str, kind: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=1.2",
            fc=FILLS[kind],
            ec=INK,
            lw=1.2,
        )
    )
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", color=INK)


def _arrow(axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=12, color=INK, lw=1.1, shrinkA=0, shrinkB=0
        )
    )


def _label(axes, x: float, y: float, text: str, bold: bool = False) -> None:
    axes.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        color=INK,
        fontsize=10,
        fontweight="bold" if bold else "normal",
    )


if __name__ == "__main__":
    main()
