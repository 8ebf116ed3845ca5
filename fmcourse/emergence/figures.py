"""Figures that only notebook 01 draws: a diagonal, attention maps, and small panels."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from fmcourse import plots
from fmcourse.emergence.addition import TEST_SUMS

__all__ = ["attention_map", "beside_diagonal", "small_panels", "training_curves"]

Points = tuple[Sequence[float], Sequence[float]]
Line = tuple[Sequence[float], plots.Values]


def training_curves(records: Sequence[Mapping[str, float]], names: Sequence[str]) -> plots.Drawing:
    """Draw what was measured of an adder so far.

    Args:
        records: one per measurement, with its ``step``, as a loop collects them.
        names: what to draw of :func:`score_sums`.
    """
    table = pd.DataFrame(records)
    lines = {name: (table["step"].tolist(), table[name].tolist()) for name in names}
    title = "One model learns to add"
    return plots.curves(lines, title, "training step", f"share of {TEST_SUMS:,} sums")


@plots.styled
def beside_diagonal(
    points: Mapping[str, Points], title: str, x_label: str, y_label: str
) -> plots.Drawing:
    """Draw shares as points beside the diagonal, on which both are equal.

    Args:
        points: label to shares from 0 to 1, along x and along y.
        title, x_label, y_label: as for :func:`fmcourse.plots.curves`.
    """
    figure, axes = plots.new_axes(width=5.2, height=4.2)
    axes.plot([0, 1], [0, 1], "--", color="#777777", label="equal")
    words = []
    for (label, (x, y)), marker, colour in zip(points.items(), plots.MARKERS, plots.COLOURS):
        axes.plot(x, y, marker, markersize=4, color=colour, alpha=0.6, label=label)
        away = np.abs(np.asarray(y) - np.asarray(x)).max()
        words.append(f"{label}, {len(x)} points, at most {away:.2f} away from it")
    axes.legend()
    alt = f"{title}. {y_label} against {x_label}, and the diagonal: {'; '.join(words)}."
    return plots.finish(figure, axes, title, x_label, y_label, alt)


@plots.styled
def attention_map(maps: Mapping[str, torch.Tensor], tokens: Sequence[str]) -> plots.Drawing:
    """Draw attention heads side by side: a row for each token that looks, a column for each that
    may be looked at.

    Args:
        maps: name of the head to its attention weights, shape (tokens, tokens).
        tokens: what each token is called.
    """
    figure = plots.new_figure(1 + 3.4 * len(maps), 4.0)
    panels = figure.subplots(1, len(maps), squeeze=False).ravel()
    words = []
    for axes, (name, weights) in zip(panels, maps.items()):
        axes.imshow(weights, cmap="Greys", vmin=0, vmax=1)
        axes.set_title(name, fontsize=11)
        axes.set_xticks(range(len(tokens)), tokens, fontsize=7)
        axes.set_yticks(range(len(tokens)), tokens, fontsize=7)
        axes.set_xlabel("token that is looked at")
        axes.grid(visible=False)
        words.append(f"{name}, the last token looks most at number {int(weights[-1].argmax()) + 1}")
    panels[0].set_ylabel("token that looks")
    counted = f"Attention among {len(tokens)} tokens, darker for more"
    return plots.encode(figure, f"{counted}: {'; '.join(words)}.")


@plots.styled
def small_panels(panels: Mapping[str, Mapping[str, Line]]) -> plots.Drawing:
    """Draw small figures in two columns, each with lines of its own.

    Args:
        panels: name of the panel to (label of the line to x and y values, as for
            :func:`fmcourse.plots.curves`).
    """
    figure = plots.new_figure(9.2, 2.4 * -(-len(panels) // 2))
    words = []
    for axes, (name, lines) in zip(
        figure.subplots(-(-len(panels) // 2), 2).ravel(), panels.items()
    ):
        for (label, (x, y)), style, colour in zip(lines.items(), plots.LINES, plots.COLOURS):
            middle, low, high = plots.spans(y)
            look = {"linestyle": style, "color": colour, "label": label}
            axes.errorbar(x, middle, [middle - low, high - middle], **look)
            words.append(
                f"{name}, {label}: {middle[0]:.2f} at {x[0]} to {middle[-1]:.2f} at {x[-1]}"
            )
        axes.set_title(name, fontsize=11)
        axes.legend(fontsize=8)
    return plots.encode(figure, f"{len(panels)} small figures. {'; '.join(words)}.")
