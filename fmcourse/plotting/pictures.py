"""Pictures with captions, pictures under a map, and the course's own drawings."""

from __future__ import annotations

import functools
import textwrap
import tomllib
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import ArrayLike

from fmcourse.arguments import choose, require
from fmcourse.plotting.canvas import TITLE, Drawing, encode, new_figure

__all__ = ["alt_text", "gallery", "heat", "matches", "picture"]

PACKAGE = Path(__file__).resolve().parent.parent
IMAGES, INSTALLED_IMAGES = PACKAGE.parent / "images", PACKAGE / "images"


def gallery(images: Sequence, captions: Sequence[str], title: str, columns: int = 6) -> Drawing:
    """Draw pictures on white, each with its caption below.

    Args:
        images: PIL images of any mode and size.
        captions: one per image.
        title: the takeaway.
        columns: pictures in a row.
    """
    require(
        len(images) == len(captions) > 0,
        "captions",
        f"one for each of the {len(images)} images",
        len(captions),
    )
    require(columns >= 1, "columns", "at least 1", columns)
    rows = -(-len(images) // columns)
    figure = new_figure(7.2, 0.4 + 1.35 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.axis("off")
        if place < len(images):
            axes.imshow(_on_white(images[place]))
            axes.annotate(
                captions[place],
                (0.5, -0.05),
                xycoords="axes fraction",
                ha="center",
                va="top",
                fontsize=9,
            )
    figure.suptitle(title, **TITLE)
    return encode(figure, f"{title}. Pictures: {', '.join(captions)}.")


def heat(
    images: Sequence,
    maps: Sequence,
    captions: Sequence[str],
    title: str,
    unit: str,
    columns: int = 3,
) -> Drawing:
    """Draw pictures on white in grey, each with a map laid over it, one colour scale for all.

    Args:
        images: PIL images.
        maps: one array of shape (rows, columns) per image; it is stretched over the image.
        captions: one per image.
        title: the takeaway.
        unit: what the colours show, with its unit.
        columns: pictures in a row.
    """
    require(
        len(images) == len(maps) == len(captions) > 0,
        "maps",
        f"one for each of the {len(images)} images",
        len(maps),
    )
    require(columns >= 1, "columns", "at least 1", columns)
    rows = -(-len(images) // columns)
    figure = new_figure(7.2, 0.4 + 2.3 * rows)
    figure.get_layout_engine().set(h_pad=0.15)  # room for the captions
    grid = figure.subplots(rows, columns, squeeze=False)
    largest = max(float(abs(values).max()) for values in maps)
    said = []
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, values, caption in zip(grid.flat, images, maps, captions):
        width, height = image.size
        axes.imshow(_on_white(image).convert("L"), cmap="gray", alpha=0.6)
        shown = {
            "cmap": "RdBu_r",
            "vmin": -largest,
            "vmax": largest,
            "alpha": 0.6,
            "interpolation": "nearest",
        }
        drawn = axes.imshow(values, extent=(0, width, height, 0), **shown)
        axes.annotate(
            caption, (0.5, -0.05), xycoords="axes fraction", ha="center", va="top", fontsize=9
        )
        row, column = divmod(int(values.argmax()), values.shape[1])
        down, right = ((place + 0.5) / count for place, count in zip((row, column), values.shape))
        said.append(
            f"{caption}: largest {values.max():.2f}, {down:.0%} down and {right:.0%} from the left"
        )
    figure.colorbar(drawn, ax=list(grid.flat), shrink=0.8, label=unit)
    figure.suptitle(title, **TITLE)
    return encode(figure, f"{title}. {unit}. {'; '.join(said)}.")


def matches(
    images: Sequence, captions: Sequence[str], values: ArrayLike, title: str, unit: str
) -> Drawing:
    """Draw pictures beside a heat map: a row for each picture, a column for each caption.

    Args:
        images: PIL images.
        captions: the columns.
        values: how well each picture fits each caption, shape (images, captions).
        title: what is shown.
        unit: what the values are; the largest is the darkest.
    """
    table = np.asarray(values, dtype=float)
    shape = (len(images), len(captions))
    require(table.shape == shape, "values", f"shape {shape}", table.shape)
    lowest, span = table.min(), max(np.ptp(table), 1e-9)
    figure = new_figure(1.3 * (len(captions) + 1), 1.0 + 0.85 * len(images))
    grid = figure.subplots(len(images), len(captions) + 1, squeeze=False)
    said = []
    for line, image, row in zip(grid, images, table):
        line[0].imshow(_on_white(image))
        line[0].axis("off")
        row = np.round(row, 2) + 0.0  # no minus before a zero
        for axes, value in zip(line[1:], row):
            share = (value - lowest) / span
            axes.set_facecolor(matplotlib.colormaps["Oranges"](0.9 * share))
            axes.set(xticks=[], yticks=[])
            ink = "white" if share > 0.6 else "black"
            axes.text(0.5, 0.5, f"{value:.2f}", ha="center", va="center", color=ink)
        said.append(", ".join(f"{each} {value:.2f}" for each, value in zip(captions, row)))
    for axes, caption in zip(grid[0][1:], captions):
        axes.set_title(textwrap.fill(caption, 14), fontsize=10)
    figure.suptitle(title, **TITLE)
    figure.supxlabel(unit, fontsize=10)
    lines = "; ".join(f"picture {number}: {line}" for number, line in enumerate(said, 1))
    return encode(figure, f"{title}. {unit}. {lines}.")


def picture(name: str) -> Drawing:
    """Return one of the course's own drawings from ``images/``, with its alt text.

    Raises:
        ValueError: there is no such drawing; the message lists those there are.
    """
    folder = IMAGES if IMAGES.is_dir() else INSTALLED_IMAGES
    choose("name", name, sorted(file.stem for file in folder.glob("*.png")))
    return Drawing((folder / f"{name}.png").read_bytes(), alt_text(name), width=720)


def alt_text(name: str) -> str:
    """Return what a picture shows, in words, from ``alt_texts.toml``.

    Raises:
        ValueError: no text has that name; the message lists the names.
    """
    texts = _alt_texts()
    return texts[choose("name", name, texts)]


@functools.cache
def _alt_texts() -> dict[str, str]:
    return tomllib.loads((PACKAGE / "alt_texts.toml").read_text(encoding="utf-8"))


def _on_white(image):
    from PIL import Image

    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
