"""A drawing says in words what it shows, can be told apart in grey, and leaves matplotlib alone."""

from __future__ import annotations

import base64
import io
import sys
from math import inf

import matplotlib
import numpy as np
import pytest
from doubles import CASES
from PIL import Image

from fmcourse import plots
from fmcourse.stats import Interval

DRAWN, REFUSED = CASES["plots"]["drawn"], CASES["plots"]["refused"]
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
    kept = matplotlib.rcParams
    return {key: dict.__getitem__(kept, key) for key in dict.keys(kept)}


@pytest.mark.parametrize(("name", "given", "alt"), DRAWN)
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


@pytest.mark.parametrize(
    ("values", "bounds"),
    [([0, 50, 99.5], (0, 100)), ([0.0, 500], (0, inf)), ([Interval(0.99, 0.97, 1)] * 2, (0, 1))],
)
def test_an_axis_has_no_room_for_impossible_values(values, bounds):
    low, high = axes_of(curves({"a": (range(len(values)), values)})).get_ylim()
    assert bounds[0] <= low < high <= bounds[1]


@pytest.mark.parametrize("log_x", [False, True])
@pytest.mark.parametrize("x", [[1, 2], [1870, 1871, 1872], np.array([16.0, 32, 64])])
def test_whole_numbers_have_whole_ticks(x, log_x):
    axes = axes_of(curves({"a": (x, [3] * len(x))}, log_x=log_x))
    for axis in (axes.xaxis, axes.yaxis):
        ticks = axis.get_ticklocs()
        assert len(ticks) and np.allclose(ticks, np.round(ticks))
    assert len(axes.xaxis.get_minorticklocs()) == 0


def test_a_difference_is_seen_against_a_line_at_0():
    crossing, apart = ({"a": ([1, 2], [end, 3.0])} for end in (-1.0, 1.0))
    assert len(axes_of(curves(crossing)).lines) == len(axes_of(curves(apart)).lines) + 1
    forest = plots.forest({"a": Interval(1, -2, 3)}, "t", "x")
    assert any(np.allclose(line.get_xdata(), 0) for line in axes_of(forest).lines)


@pytest.mark.parametrize("mixed", [[1, Interval(1, 0.1, 1.9)], [Interval(1, 0.1, 1.9), 1]])
def test_an_interval_among_numbers_is_drawn(mixed):
    assert curves({"a": ([1, 2], mixed)}).png != curves({"a": ([1, 2], [1, 1])}).png


def test_a_mark_is_drawn_named_and_taken_away():
    drawing = curves({"a": ([1, 2], [0.5, 0.9])})
    marked, far = drawing.marked(1.0, "you: 100%"), drawing.marked(300, "you", "x")
    assert marked.alt == f"{drawing.alt} Dotted line, you: 100%."
    assert marked.png != drawing.png and far.alt.endswith("you, beyond this axis.")
    assert drawing.marked(1.0, "you: 100%").png == marked.png
    with pytest.raises(ValueError, match="^drawing: expected one with axes"):
        plots.picture("decoding").marked(1, "you")


# With one colour for all series, exchanging two series' data must change the picture.


@pytest.mark.parametrize(("kind", "count"), [("curves", 7), ("plane", 12), ("bars", 7)])
def test_series_differ_without_colour(monkeypatch, kind, count):
    monkeypatch.setattr(plots, "COLOURS", ("#777777",))

    def drawn(heights):
        names = "abcdefghijkl"
        dots = {name: (Interval(at, at - 1, at + 1),) * 2 for name, at in zip(names, heights)}
        lines = {name: ([0, 1, 2], [at, at + 0.3, at]) for name, at in zip(names, heights)}
        tops = {name: {"one": 1 + at} for name, at in zip(names, heights)}
        data, labels = {"curves": (lines, "xy"), "plane": (dots, "xy"), "bars": (tops, "y")}[kind]
        return getattr(plots, kind)(data, "t", *labels).png

    straight = list(range(count))
    assert drawn([*straight[-1:], *straight[1:-1], 0]) != drawn(straight)


def test_a_larger_figure_is_a_darker_leaf_in_grey_too():
    fills = []
    for value in (0, 25, 50, 75, 100):
        grey = pixels(plots.tree("r", {"a": {"one": value}}, "t", "u"))
        # What most pixels of a leaf have.
        fills.append(np.bincount(grey[grey < 252]).argmax())
    assert np.diff(fills).max() < -15


def test_every_drawing_of_ours_has_an_alt_text(root):
    for file in (root / "images").glob("*.png"):
        drawing = plots.picture(file.stem)
        assert len(drawing.alt) > 100 and drawing.png == file.read_bytes()
    with pytest.raises(ValueError, match="did you mean 'decoding'"):
        plots.picture("decodin")


@pytest.mark.parametrize(("name", "given", "words"), REFUSED)
def test_what_cannot_be_drawn_is_refused(name, given, words):
    with pytest.raises(ValueError, match=words):
        draw(name, given)
