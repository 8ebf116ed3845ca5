"""A drawing says in words what it shows, can be told apart in grey, and leaves matplotlib alone."""

import base64
import io
import sys

import matplotlib
import numpy as np
import pytest
from doubles import CASES, refused
from PIL import Image

from fmcourse import plots
from fmcourse.stats import Interval

KINDS = {
    "i": lambda ends: Interval(*ends),
    "p": lambda colour: Image.new("RGBA", (8, 8), colour),
    "m": np.array,
}


def made(value):
    """Return an argument of the table with its intervals, pictures and maps made."""
    if isinstance(value, list):
        return [made(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() <= KINDS.keys() and value:
        ((kind, given),) = value.items()
        return KINDS[kind](given)
    return {name: made(part) for name, part in value.items()}


def draw(name, given):
    return getattr(plots, name)(*made(given))


def curves(series, **options):
    return plots.curves(series, "t", "x", "y", **options)


def pixels(drawing):
    return np.asarray(Image.open(io.BytesIO(drawing.png)).convert("L")).astype(int)


def axes_of(drawing):
    return drawing.figure.axes[0]


def settings():
    """Return matplotlib's settings as they lie there: asking for the backend would choose one."""
    return dict(dict.items(matplotlib.rcParams))


@pytest.mark.parametrize("name, given, alt", CASES["plots"]["drawn"])
def test_a_drawing_shows_itself_with_its_alt_text_and_is_always_the_same(
    monkeypatch, name, given, alt
):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    drawing = draw(name, given)
    data, metadata = drawing._repr_mimebundle_()
    png = base64.b64encode(drawing.png).decode()
    assert data == {"image/png": png, "text/plain": alt}
    assert metadata == {"image/png": {"alt": alt, "width": drawing.width}}
    # Ink on white paper, sharp at its display width.
    grey = pixels(drawing)
    assert grey.shape[1] >= drawing.width >= 300
    assert grey[0, 0] == grey[-1, -1] == 255 and grey.min() < 100
    # The same where a dark style was chosen, which stays.
    with matplotlib.rc_context({"figure.facecolor": "black", "text.color": "white"}):
        before = settings()
        assert draw(name, given) == drawing and settings() == before
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize("values, most", [([0, 99.5], 100), ([0.1, Interval(0.9, 0.8, 1)], 1)])
def test_an_axis_has_no_room_for_impossible_values(values, most):
    low, high = axes_of(curves({"a": ([1, 2], values)})).get_ylim()
    assert 0 <= low < high <= most


@pytest.mark.parametrize("log_x", [False, True])
def test_whole_numbers_have_whole_ticks(log_x):
    axes = axes_of(curves({"a": ([1870, 1871, 1872], [3] * 3)}, log_x=log_x))
    for axis in (axes.xaxis, axes.yaxis):
        ticks = axis.get_ticklocs()
        assert len(ticks) and np.allclose(ticks, np.round(ticks))
    assert len(axes.xaxis.get_minorticklocs()) == 0


def test_a_difference_is_seen_against_a_line_at_0():
    forest = plots.forest({"a": Interval(1, -2, 3)}, "t", "x")
    assert any(np.allclose(line.get_xdata(), 0) for line in axes_of(forest).lines)


def test_a_mark_is_drawn_named_and_taken_away():
    drawing = curves({"a": ([1, 2], [0.5, 0.9])})
    marked, far = drawing.marked(1.0, "you"), drawing.marked(300, "you", "x")
    assert marked.alt == f"{drawing.alt} Dotted line, you."
    assert marked.png != drawing.png and far.alt.endswith("you, beyond this axis.")
    assert drawing.marked(1.0, "you").png == marked.png
    with refused("drawing", "one with axes"):
        plots.picture("decoding").marked(1, "you")


def test_series_differ_without_colour():
    names = "abcdefghijkl"
    lines = axes_of(curves({name: ([1], [1]) for name in names})).lines
    assert len({line.get_marker() for line in lines}) == len(names)
    tops = axes_of(plots.bars({name: {"one": 1} for name in names[:7]}, "t", "y")).patches
    assert len({bar.get_hatch() for bar in tops}) == 7


def test_every_drawing_of_ours_has_an_alt_text(root):
    for file in (root / "images").glob("*.png"):
        drawing = plots.picture(file.stem)
        assert len(drawing.alt) > 100 and drawing.png == file.read_bytes()
    with refused("name", "did you mean 'decoding'"):
        plots.picture("decodin")


@pytest.mark.parametrize("name, given, words", CASES["plots"]["refused"])
def test_what_cannot_be_drawn_is_refused(name, given, words):
    with pytest.raises(ValueError, match=words):
        draw(name, given)
