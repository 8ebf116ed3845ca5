"""A drawing says in words what it shows, can be told apart in grey, and leaves matplotlib alone."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from math import inf, nan

import matplotlib
import numpy as np
import pytest
from doubles import says
from PIL import Image

from fmcourse import plots
from fmcourse.stats import Interval

ONE, TWO = Interval(0.5, 0.25, 0.75), Interval(3.0, 2.5, 4.125)
BARE, MISSING = Interval(0.5, nan, nan), Interval(nan, nan, nan)
WIDE = Interval(-1, -2, 0.5)
GAPS = {"0": BARE, "1": MISSING}
SMALL = {"a": {"one": 8}, "b": {"one": 9}}
SQUARE = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
NAMES = "abcdefghijkl"


def curves(series, **options):
    return plots.curves(series, "t", "x", "y", **options)


# Each drawing with its alt text.
DRAWINGS = {
    "forest": (
        lambda: plots.forest({"a": ONE, "b": TWO}, "T", "nats", reference=("chance", 0.1)),
        "T. nats: a 0.50 [0.25, 0.75]; b 3.00 [2.50, 4.12]; dashed line chance 0.10.",
    ),
    "forest with gaps": (
        lambda: plots.forest({"a": BARE, "b": MISSING, "c": Interval(1, -0.001, inf)}, "T", "x"),
        "T. x: a 0.50, no interval; b missing; c 1.00 [0.00, inf].",
    ),
    "curves": (
        lambda: curves({"a": ([1, 2, 3], [9.0, 4.0, 1.0]), "b": ([1, 1000], [9.5, 2.125])}),
        "t. y against x: a: 9.00 at 1 then 1.00 at 3; b: 9.50 at 1 then 2.12 at 1000.",
    ),
    "curves of intervals and numbers": (
        lambda: curves({"a": ([1, 4, 8], [0.25, ONE, TWO])}, log_x=True, digits=1),
        "t. y against x: a: 0.2 at 1 then 3.0 at 8.",
    ),
    "curves with gaps": (
        lambda: curves({"a": ([1, 2, 3, 4], [nan, 1, BARE, MISSING]), "b": ([1], [nan])}),
        "t. y against x: a (missing: 3): 1.00 at 2 then 0.50 at 3; "
        "b (missing: 1): nothing measured.",
    ),
    "runs": (
        lambda: plots.runs(
            {"two": ([0, 50], [[0, -3], [ONE, -2.5]]), "one": ([0, 50], [[0, -1]])}, "A", "x", "y"
        ),
        "A. y against x: two (2 runs): 0.00 to 0.50 at 0 then -3.00 to -2.50 at 50; "
        "one: 0.00 at 0 then -1.00 at 50.",
    ),
    "bars": (
        lambda: plots.bars({"old": {"a": 1, "b": 2.5}, "new": {"a": 0.125, "b": nan}}, "T", "y"),
        "T. y. old: a 1.00, b 2.50; new: a 0.12, b missing.",
    ),
    "plane": (
        lambda: plots.plane(
            {"a": (ONE, TWO), "b": (BARE, MISSING)}, "T", "x", "y", ("way", [(0, 1), (0.5, 3)])
        ),
        "T. x and y: a at 0.50 and 3.00; b (missing: 2) at 0.50 and missing; "
        "a line, way, from 0.00 and 1.00 to 0.50 and 3.00.",
    ),
    "heat": (
        lambda: plots.heat([SQUARE], [np.array([[nan, 0.5], [-0.25, 0]])], ["cat"], "T", "lost"),
        "T. lost. cat: largest 0.50, 25% down and 75% from the left.",
    ),
    "tree": (
        lambda: plots.tree("r", {"a": {"one": 12.4}, "b": {"one": nan}}, "T", "%", SMALL, "n"),
        "T. A tree from r. %; in brackets n. a: one 12 (8); b: one missing (9).",
    ),
    "grid": (
        lambda: plots.grid(
            {"p": {"0": {"0": WIDE, "1": TWO}}, "q": {"0": GAPS}}, "T", "x", "y", "u"
        ),
        "T. u; rows y, columns x. p, 0: 0 -1, 1 3*. q, 0: 0 0, 1 missing.",
    ),
    "matches": (
        lambda: plots.matches([SQUARE] * 2, ["cat", "bus"], [[0.5, -0.001], [0.25, 1]], "M", "u"),
        "M. u. picture 1: cat 0.50, bus 0.00; picture 2: cat 0.25, bus 1.00.",
    ),
    "gallery": (
        lambda: plots.gallery([SQUARE] * 3, ["cat", "dog", "owl"], "T", columns=2),
        "T. Pictures: cat, dog, owl.",
    ),
}


@pytest.fixture(params=DRAWINGS)
def drawn(request):
    draw, alt = DRAWINGS[request.param]
    return draw, alt


def pixels(drawing):
    return np.asarray(Image.open(io.BytesIO(drawing.png)).convert("L")).astype(int)


def test_a_drawing_shows_itself_with_its_alt_text_and_is_always_the_same(drawn):
    draw, alt = drawn
    drawing = draw()
    data, metadata = drawing._repr_mimebundle_()
    assert data == {
        "image/png": base64.b64encode(drawing.png).decode(),
        "text/plain": alt,
    }
    assert metadata == {"image/png": {"alt": alt, "width": drawing.width}}
    # Ink on white paper, sharp at its display width, also where a dark style was chosen.
    grey = pixels(drawing)
    assert grey.shape[1] >= drawing.width >= 300
    assert grey[0, 0] == grey[-1, -1] == 255 and grey.min() < 100
    with matplotlib.rc_context({"figure.facecolor": "black", "text.color": "white"}):
        assert draw() == drawing


def axes_of(drawing):
    return drawing.figure.axes[0]


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        ([0, 0.5, 1], (0, 1)),
        ([0, 50, 99.5], (0, 100)),
        ([0.0, 120, 500], (0, inf)),
        ([Interval(0.99, 0.97, 1)] * 3, (0, 1)),
        ([-0.5, 0.5, 1.0], (-inf, inf)),
    ],
)
def test_an_axis_has_no_room_for_impossible_values(values, bounds):
    low, high = axes_of(curves({"a": (range(3), values)})).get_ylim()
    assert bounds[0] <= low < high <= bounds[1]


@pytest.mark.parametrize("log_x", [False, True])
@pytest.mark.parametrize("x", [[1, 2], [1, 2, 4, 8], [1870, 1871, 1872], np.array([16.0, 32, 64])])
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
def test_an_interval_is_drawn_on_a_curve_and_on_a_run(mixed):
    flat, one = [1, 1], {"a": ([1, 2], mixed)}
    assert curves(one).png != curves({"a": ([1, 2], flat)}).png
    both, none = (
        plots.runs({"a": ([1, 2], [line, flat])}, "t", "x", "y") for line in (mixed, flat)
    )
    assert both.png != none.png


def test_a_mark_is_drawn_named_and_taken_away():
    drawing = curves({"a": ([1, 2], [0.5, 0.9])})
    marked, far = drawing.marked(1.0, "you: 100%"), drawing.marked(300, "you", "x")
    assert marked.alt == f"{drawing.alt} Dotted line, you: 100%."
    assert marked.png != drawing.png and far.alt.endswith("you, beyond this axis.")
    assert curves({"a": ([1, 2], [0.5, 0.9])}).marked(1.0, "you: 100%").png == marked.png
    with says(ValueError, "drawing: expected one with axes, got 'T. Pictures: cat, dog, owl.'"):
        DRAWINGS["gallery"][0]().marked(1, "you")


def test_pictures_stand_on_white():
    clear = plots.gallery([Image.new("RGBA", (8, 8), (0, 0, 0, 0))], [""], "")
    assert pixels(clear).min() == 255


# In grey: with one colour for all series, exchanging two series' data must change the picture.


def series_of(kind, order):
    if kind == "bars":
        return plots.bars({name: {"one": 1 + at} for name, at in zip(NAMES, order)}, "t", "y")
    if kind == "plane":
        dots = {name: (Interval(at, at - 1, at + 1),) * 2 for name, at in zip(NAMES, order)}
        return plots.plane(dots, "t", "x", "y")
    return curves({name: ([0, 1, 2], [at, at + 0.3, at]) for name, at in zip(NAMES, order)})


@pytest.mark.parametrize(
    ("kind", "count", "other"),
    [("curves", 7, 1), ("curves", 7, 6), ("plane", 12, 7), ("bars", 7, 3)],
)
def test_series_differ_without_colour(monkeypatch, kind, count, other):
    monkeypatch.setattr(plots, "COLOURS", ("#777777",))
    order = list(range(count))
    straight = series_of(kind, order)
    order[0], order[other] = other, 0
    assert series_of(kind, order).png != straight.png


def test_a_larger_figure_is_a_darker_leaf_in_grey_too():
    fills = []
    for value in (0, 25, 50, 75, 100):
        grey = pixels(plots.tree("r", {"a": {"one": value}}, "t", "u"))
        # What most pixels of a leaf have.
        fills.append(np.bincount(grey[grey < 252]).argmax())
    assert np.diff(fills).max() < -15


NOTHING_CHANGED = """
import sys, matplotlib

def settings():  # as they lie there: asking for the backend would choose one
    kept = matplotlib.rcParams
    return {key: dict.__getitem__(kept, key) for key in dict.keys(kept)}

before = settings()
import test_plots as t
for draw, _ in t.DRAWINGS.values():
    draw()
assert settings() == before, "the settings or the backend changed"
assert "matplotlib.pyplot" not in sys.modules, "pyplot was imported"
"""


def test_matplotlib_is_left_as_it_was(root):
    command = [sys.executable, "-c", NOTHING_CHANGED]
    done = subprocess.run(command, cwd=root / "tests", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_every_drawing_of_ours_has_an_alt_text(root):
    for file in (root / "images").glob("*.png"):
        drawing = plots.picture(file.stem)
        assert len(drawing.alt) > 100 and drawing.png == file.read_bytes()
    with pytest.raises(ValueError, match="did you mean 'decoding'"):
        plots.picture("decodin")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.forest({}, "t", "x"), "intervals"),
        (lambda: curves({}), "lines"),
        (lambda: curves({"a": ([1, 2], [1])}), r"a: .*\[2, 1\]"),
        (lambda: curves({"a": ([], [])}), r"a: .*\[0, 0\]"),
        (lambda: plots.runs({"a": ([1, 2], [])}, "t", "x", "y"), r"a: .*\[2\]"),
        (lambda: plots.bars({"old": {"a": 1}, "new": {"b": 1}}, "t", "y"), "groups: .*'a'"),
        (lambda: plots.tree("r", {"a": {"c": 1}}, "t", "u", {"b": {"c": 1}}), "beside"),
        (lambda: plots.grid({"a": {"r": {"c": ONE}}, "b": {"r": {}}}, "t", "", "", ""), "panels"),
        (lambda: plots.heat([SQUARE], [], ["one"], "t", "u"), "maps"),
        (lambda: plots.gallery([SQUARE] * 2, ["one"], "t"), "captions: .* 2 images.* got 1"),
        (lambda: plots.gallery([SQUARE], ["one"], "t", columns=0), "columns"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
