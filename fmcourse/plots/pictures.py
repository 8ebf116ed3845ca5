"""Pictures with captions, pictures under a map, and the course's own drawings."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from fmcourse.arguments import choose, require
from fmcourse.plots.canvas import TITLE, Drawing, encode, new_figure, styled

__all__ = ["alt_text", "gallery", "heat", "on_white", "picture"]

PACKAGE = Path(__file__).resolve().parent.parent
IMAGES, INSTALLED_IMAGES = PACKAGE.parent / "images", PACKAGE / "images"
SCALE = "cividis"  # of matplotlib: ever lighter, so that it can be read in grey


@styled
def gallery(
    images: Sequence[Image.Image], captions: Sequence[str], title: str, columns: int = 6
) -> Drawing:
    """Draw pictures on white, each with its caption below.

    Args:
        images: of any mode and size.
        captions: one per image.
        title: what is shown.
        columns: pictures in a row.
    """
    pictures = [on_white(image) for image in images]
    figure, _ = _panels(pictures, captions, title, columns, height=1.35)
    return encode(figure, f"{title}. Pictures: {', '.join(captions)}.")


@styled
def heat(
    images: Sequence[Image.Image],
    maps: Sequence[np.ndarray],
    captions: Sequence[str],
    title: str,
    unit: str,
    columns: int = 3,
) -> Drawing:
    """Draw pictures on white in grey, each with a map laid over it, one colour scale for all.

    Args:
        images: of any mode and size.
        maps: one array of shape (rows, columns) per image; it is stretched over the image.
        captions: one per image.
        title: what is shown.
        unit: what the colours show, with its unit.
        columns: pictures in a row.
    """
    require(
        len(images) == len(maps), "maps", f"one for each of the {len(images)} images", len(maps)
    )
    pictures = [on_white(image).convert("L") for image in images]
    figure, panels = _panels(pictures, captions, title, columns, height=2.3)
    largest = max(float(np.nanmax(np.abs(values), initial=0)) for values in maps)
    scale: Any = {"cmap": SCALE, "vmin": -largest, "vmax": largest, "alpha": 0.6}
    words = []
    for axes, image, values, caption in zip(panels, images, maps, captions):
        extent = (0, image.width, image.height, 0)
        drawn = axes.imshow(values, extent=extent, interpolation="nearest", **scale)
        if np.isnan(values).all():
            words.append(f"{caption}: missing")
            continue
        row, column = np.unravel_index(np.nanargmax(values), values.shape)
        down, right = (row + 0.5) / values.shape[0], (column + 0.5) / values.shape[1]
        place = f"{down:.0%} down and {right:.0%} from the left"
        words.append(f"{caption}: largest {values[row, column]:z.2f}, {place}")
    figure.colorbar(drawn, ax=panels, shrink=0.8, label=unit)
    return encode(figure, f"{title}. {unit}. {'; '.join(words)}.")


def _panels(
    pictures: Sequence[Image.Image],
    captions: Sequence[str],
    title: str,
    columns: int,
    height: float,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of pictures with captions, `height` inches a row, and the axes of each."""
    expected = f"one for each of the {len(pictures)} images, at least one"
    require(len(pictures) == len(captions) > 0, "captions", expected, len(captions))
    require(columns >= 1, "columns", "at least 1", columns)
    rows = -(-len(pictures) // columns)
    figure = new_figure(7.2, 0.4 + height * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.axis("off")
    for axes, picture, caption in zip(panels, pictures, captions):
        axes.imshow(picture, cmap="gray", alpha=0.6 if picture.mode == "L" else 1)
        below: Any = {"xycoords": "axes fraction", "ha": "center", "va": "top", "fontsize": 9}
        axes.annotate(caption, (0.5, -0.05), **below)
    figure.suptitle(title, **TITLE)
    return figure, panels


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


def on_white(image: Image.Image) -> Image.Image:
    """Return a picture of any mode with white in place of what is transparent."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
