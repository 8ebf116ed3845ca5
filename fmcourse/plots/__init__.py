"""The course's figures: PNG with alt text, readable in grey; matplotlib's settings are left alone.

Used by every notebook. No function here knows what it draws. Differences are drawn as differences:
one interval around the difference, from a line at 0.
"""

from __future__ import annotations

from fmcourse.plots.canvas import Drawing
from fmcourse.plots.cells import grid, tree
from fmcourse.plots.charts import bars, curves, forest, plane, runs
from fmcourse.plots.pictures import alt_text, gallery, heat, picture

__all__ = [
    "Drawing",
    "alt_text",
    "bars",
    "curves",
    "forest",
    "gallery",
    "grid",
    "heat",
    "picture",
    "plane",
    "runs",
    "tree",
]
