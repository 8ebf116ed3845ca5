"""What does the figure say? Drawings with a takeaway title, intervals, and alt text written from their data.

Serves every notebook. The functions receive arrays and intervals, never models, and return a :class:`Drawing`,
which shows itself as PNG with its alt text.
"""

from __future__ import annotations

from fmcourse.plotting.canvas import Drawing
from fmcourse.plotting.cells import grid, tree
from fmcourse.plotting.charts import bars, curves, forest, plane, runs
from fmcourse.plotting.pictures import alt_text, gallery, heat, matches, picture

__all__ = [
    "Drawing",
    "alt_text",
    "bars",
    "curves",
    "forest",
    "gallery",
    "grid",
    "heat",
    "matches",
    "picture",
    "plane",
    "runs",
    "tree",
]
