"""A drawing says in words what it shows, can be told apart in grey, and changes nothing in matplotlib."""

from __future__ import annotations

import base64
import io
import subprocess
import sys

import numpy as np
import pytest
from doubles import says
from fmcourse.uncertainty import Interval
from PIL import Image

from fmcourse.plotting import (
    bars,
    charts,
    curves,
    forest,
    gallery,
    grid,
    heat,
    matches,
    picture,
    plane,
    runs,
    tree,
)

ONE, TWO = Interval(0.5, 0.25, 0.75), Interval(3.0, 2.5, 4.125)
SQUARE = Image.new("RGBA", (8, 8), (255, 0, 0, 128))

DRAWINGS = {
    "forest": (
        lambda: forest(
            {"greedy": ONE, "beam": TWO}, "Beams win", "score (nats)", reference=("chance", 0.1)
        ),
        "Beams win. score (nats): greedy 0.50 [0.25, 0.75]; beam 3.00 [2.50, 4.12]; dashed line chance 0.10.",
    ),
    "curves": (
        lambda: curves(
            {"train": ([1, 2, 3], [9.0, 4.0, 1.0]), "test": ([1, 1000], [9.5, 2.125])},
            "Both fall",
            "step",
            "loss (nats)",
        ),
        "Both fall. loss (nats) against step: train goes from 9.00 at 1 to 1.00 at 3; test goes from 9.50 at 1 to 2.12 at 1000.",
    ),
    "curves with intervals": (
        lambda: curves(
            {"probe": ([1, 4], [ONE, TWO])},
            "It rises",
            "pictures",
            "right (%)",
            log_x=True,
            digits=1,
        ),
        "It rises. right (%) against pictures: probe goes from 0.5 at 1 to 3.0 at 4.",
    ),
    "runs": (
        lambda: runs(
            {"two layers": ([0, 50], [[0, -3], [0.25, -2.5]]), "one": ([0, 50], [[0, -1]])},
            "A",
            "step",
            "nats",
        ),
        "A. nats against step: two layers: 2 runs go from 0.00 to 0.25 at 0 to -3.00 to -2.50 at 50; "
        "one: 1 run goes from 0.00 to 0.00 at 0 to -1.00 to -1.00 at 50.",
    ),
    "bars": (
        lambda: bars(
            {"old": {"a": 1.0, "b": 2.5}, "new": {"a": 0.125, "b": 3.0}},
            "New is mixed",
            "share",
            digits=1,
        ),
        "New is mixed. share. old: a 1.0, b 2.5; new: a 0.1, b 3.0.",
    ),
    "plane": (
        lambda: plane({"greedy": (ONE, TWO)}, "One point", "variety", "oddity (nats)"),
        "One point. variety and oddity (nats): greedy at 0.50 and 3.00.",
    ),
    "plane with a trail": (
        lambda: plane(
            {"greedy": (ONE, TWO)},
            "A way",
            "x",
            "y",
            trail=("way", [(0.0, 1.0), (0.25, 2.0), (0.5, 3.0)]),
            digits=1,
        ),
        "A way. x and y: greedy at 0.5 and 3.0; a line, way, from 0.0 and 1.0 to 0.5 and 3.0.",
    ),
    "heat": (
        lambda: heat(
            [SQUARE],
            [np.array([[0.0, 0.5], [-0.25, 0.125]])],
            ["cat"],
            "It looks up",
            "cosine lost",
        ),
        "It looks up. cosine lost. cat: largest 0.50, 25% down and 75% from the left.",
    ),
    "matches": (
        lambda: matches(
            [SQUARE, SQUARE], ["a cat", "a bus"], np.array([[0.5, -0.001], [0.25, 1]]), "M", "cosine"
        ),
        "M. cosine. picture 1: a cat 0.50, a bus 0.00; picture 2: a cat 0.25, a bus 1.00.",
    ),
    "tree": (
        lambda: tree(
            "foundation",
            {"animals": {"probe": 12.4, "LoRA": 99.6}, "faces": {"probe": 3.0, "LoRA": 0.0}},
            "It runs",
            "success, %",
        ),
        "It runs. A tree from foundation. success, %. animals: probe 12, LoRA 100; faces: probe 3, LoRA 0.",
    ),
    "tree with small print": (
        lambda: tree(
            "root",
            {"animals": {"probe": 12.4}},
            "It runs",
            "success, %",
            {"animals": {"probe": 81.0}},
            "accuracy, %",
        ),
        "It runs. A tree from root. success, %; in small print accuracy, %. animals: probe 12 (81).",
    ),
    "grid": (
        lambda: grid(
            {
                "probe": {"0": {"0": Interval(-1, -2, 0.5), "1": TWO}},
                "tuned": {"0": {"0": ONE, "1": TWO}},
            },
            "M",
            "x",
            "y",
            "gap",
        ),
        "M. gap; rows y, columns x. probe, 0: 0 -1, 1 3*. tuned, 0: 0 0*, 1 3*.",
    ),
    "gallery": (
        lambda: gallery([SQUARE] * 3, ["cat", "dog", "owl"], "Three animals", columns=2),
        "Three animals. Pictures: cat, dog, owl.",
    ),
}


@pytest.fixture(params=DRAWINGS)
def drawn(request):
    draw, alt = DRAWINGS[request.param]
    return draw(), alt


def pixels(drawing):
    return np.asarray(Image.open(io.BytesIO(drawing.png)).convert("L")).astype(int)


def test_the_alt_text_on_paper(drawn):
    drawing, alt = drawn
    assert drawing.alt == alt


def test_it_shows_itself_as_png_with_its_alt_text(drawn):
    drawing, alt = drawn
    data, metadata = drawing._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    assert base64.b64decode(data["image/png"]) == drawing.png
    assert data["text/plain"] == alt
    assert metadata == {"image/png": {"alt": alt, "width": drawing.width}}


def test_the_picture_is_a_png_with_something_on_it(drawn):
    drawing, _ = drawn
    image = Image.open(io.BytesIO(drawing.png))
    assert (
        image.format == "PNG" and image.width >= drawing.width >= 300
    )  # sharp at its display width
    grey = pixels(drawing)
    assert (
        grey.max() == 255 and grey.min() < 100 and 0.001 < (grey < 200).mean() < 0.6
    )  # ink on white paper


def test_the_same_data_give_the_same_picture():
    for draw, _ in DRAWINGS.values():
        assert draw() == draw()


def test_the_data_change_the_picture():
    low, high = (curves({"a": ([1, 2], [1.0, last])}, "t", "x", "y") for last in (2.0, 1.5))
    assert low.png != high.png


def test_a_logarithmic_axis_changes_the_picture():
    plain, logarithmic = (
        curves({"a": ([1, 10, 1000], [1.0, 2.0, 3.0])}, "t", "x", "y", log_x=log)
        for log in (False, True)
    )
    assert plain.png != logarithmic.png and plain.alt == logarithmic.alt


def test_pictures_stand_on_white():
    clear = gallery([Image.new("RGBA", (8, 8), (0, 0, 0, 0))], [""], "")
    assert (
        pixels(clear).min() == 255
    )  # a fully transparent picture leaves no ink, not a black square


# In grey: with one colour for all series, exchanging two series' data must still change the picture.

PLACES = (1, 6)  # the neighbour, and the one with the same line
NAMES = "abcdefg"


def series_of(kind, exchanged):
    """Draw seven series, the data of the first exchanged with those of another."""
    order = list(range(7))
    order[0], order[exchanged] = order[exchanged], order[0]
    if kind == "curves":
        return curves(
            {name: ([0, 1, 2], [place, place + 0.3, place]) for name, place in zip(NAMES, order)},
            "t",
            "x",
            "y",
        )
    if kind == "runs":
        return runs(
            {name: ([0, 1, 2], [[place, place + 0.3, place]]) for name, place in zip(NAMES, order)},
            "t",
            "x",
            "y",
        )
    dots = {
        name: (Interval(place, place - 0.1, place + 0.1),) * 2 for name, place in zip(NAMES, order)
    }
    return plane(dots, "t", "x", "y")


@pytest.fixture
def one_colour(monkeypatch):
    monkeypatch.setattr(charts, "COLOURS", ("#777777",) * 7)


@pytest.mark.parametrize("kind", ["curves", "runs", "plane"])
def test_series_differ_without_colour(one_colour, kind):
    straight = series_of(kind, 0)
    for place in PLACES:
        assert series_of(kind, place).png != straight.png, f"series 0 and {place} look alike"


def test_a_larger_figure_is_a_darker_leaf_in_grey_too():
    drawn = [pixels(tree("r", {"a": {"one": value}}, "t", "u")) for value in (0, 25, 50, 75, 100)]
    fills = [
        np.bincount(grey[grey < 252]).argmax() for grey in drawn
    ]  # what most pixels of a leaf have
    assert all(lighter - darker > 15 for lighter, darker in zip(fills, fills[1:]))


def test_bars_differ_without_colour(monkeypatch):
    from matplotlib.axes import Axes

    hatches, original = [], Axes.bar
    monkeypatch.setattr(
        Axes,
        "bar",
        lambda *given, **named: hatches.append(named["hatch"]) or original(*given, **named),
    )
    bars({name: {"one": 1.0} for name in NAMES}, "t", "y")
    assert len(hatches) == len(set(hatches)) == 7


def test_without_markers_and_lines_the_difference_is_gone(one_colour, monkeypatch):
    monkeypatch.setattr(charts, "MARKERS", ("o",) * 7)
    monkeypatch.setattr(charts, "LINES", ("-",) * 7)
    assert series_of("curves", 3).png == series_of("curves", 0).png


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_are_all_different_and_visible_on_white():
    assert (
        len(set(charts.COLOURS)) == len(charts.LINES) == 7
        and len(set(charts.MARKERS)) == len(charts.MARKERS) == 12
    )
    assert len(set(charts.LINES)) >= 6
    # WCAG asks 3:1 for graphics; Okabe and Ito's orange and light blue reach 2.1, and their markers tell them apart.
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in charts.COLOURS)


NOTHING_CHANGED = """
import sys, matplotlib

def settings():  # as they lie there: asking for the backend would choose one
    return {key: dict.__getitem__(matplotlib.rcParams, key) for key in dict.keys(matplotlib.rcParams)}

before = settings()
import test_plotting as t
for draw, _ in t.DRAWINGS.values():
    draw()
assert settings() == before, "the settings or the backend changed"
assert "matplotlib.pyplot" not in sys.modules, "pyplot was imported"
"""


def test_matplotlib_is_left_as_it_was(root):
    command = [sys.executable, "-c", NOTHING_CHANGED]
    done = subprocess.run(command, cwd=root / "tests", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_notebooks_own_settings_are_respected_and_kept():
    import matplotlib

    with matplotlib.rc_context({"axes.titlesize": 33}):
        DRAWINGS["curves"][0]()
        assert matplotlib.rcParams["axes.titlesize"] == 33


def test_an_interval_on_a_curve_and_on_a_run_is_drawn():
    wide, narrow = ([Interval(1, 1 - w, 1 + w), Interval(1, 0, 2)] for w in (0.9, 0.1))
    assert (
        curves({"a": ([1, 2], wide)}, "t", "x", "y").png
        != curves({"a": ([1, 2], narrow)}, "t", "x", "y").png
    )
    one, other = (runs({"a": ([1, 2], [line, [1, 1]])}, "t", "x", "y") for line in (wide, narrow))
    assert (
        one.png != other.png
        and one.alt
        == other.alt
        == "t. y against x: a: 2 runs go from 1.00 to 1.00 at 1 to 1.00 to 1.00 at 2."
    )


def test_twelve_points_of_a_plane_differ_without_colour(one_colour):
    dots = [(Interval(place, place - 0.1, place + 0.1),) * 2 for place in range(12)]
    straight = plane(dict(zip("abcdefghijkl", dots)), "t", "x", "y")
    for other in range(1, 12):
        swapped = [*dots]
        swapped[0], swapped[other] = dots[other], dots[0]
        assert plane(dict(zip("abcdefghijkl", swapped)), "t", "x", "y").png != straight.png, (
            f"0 and {other} look alike"
        )


def test_inputs_are_not_changed():
    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    image = SQUARE.copy()
    curves({"a": (x, y)}, "t", "x", "y")
    gallery([image], ["red"], "t")
    assert x.tolist() == [1, 2] and y.tolist() == [3, 4] and image.tobytes() == SQUARE.tobytes()


def test_our_own_drawings_are_found():
    drawing = picture("decoding")
    assert drawing.alt.startswith("A loop.") and drawing.png.startswith(b"\x89PNG")


def test_every_drawing_has_an_alt_text(root):
    for file in (root / "images").glob("*.png"):
        assert len(picture(file.stem).alt) > 100, file.name


UNEQUAL = "series['a']: expected as many x values as y values, at least one"
ERRORS = [
    (lambda: forest({}, "t", "x"), "intervals: expected at least one row, got {}"),
    (lambda: curves({}, "t", "x", "y"), "series: expected at least one line, got {}"),
    (lambda: curves({"a": ([1, 2], [1])}, "t", "x", "y"), f"{UNEQUAL}, got (2, 1)"),
    (lambda: curves({"a": ([], [])}, "t", "x", "y"), f"{UNEQUAL}, got (0, 0)"),
    (lambda: runs({}, "t", "x", "y"), "groups: expected at least one group, got {}"),
    (
        lambda: runs({"a": ([1, 2], [[1]])}, "t", "x", "y"),
        "groups['a']: expected at least one run, with as many y values as x values, got [2, 1]",
    ),
    (
        lambda: runs({"a": ([1, 2], [])}, "t", "x", "y"),
        "groups['a']: expected at least one run, with as many y values as x values, got [2]",
    ),
    (lambda: bars({}, "t", "y"), "groups: expected at least one series, got {}"),
    (
        lambda: bars({"old": {"a": 1}, "new": {"b": 1}}, "t", "y"),
        "groups: expected the categories ['a'] in every series, got {'old': ['a'], 'new': ['b']}",
    ),
    (lambda: tree("r", {}, "t", "u"), "branches: expected at least one branch, got {}"),
    (
        lambda: tree("r", {"a": {"one": 1}, "b": {"two": 1}}, "t", "u"),
        "branches: expected the leaves ['one'] on each of the branches ['a', 'b'], got {'a': ['one'], 'b': ['two']}",
    ),
    (
        lambda: tree("r", {"a": {"one": 1}}, "t", "u", {"b": {"one": 1}}, "v"),
        "beside: expected the leaves ['one'] on each of the branches ['a'], got {'b': ['one']}",
    ),
    (lambda: grid({}, "t", "x", "y", "u"), "panels: expected at least one map, got {}"),
    (
        lambda: grid({"a": {"r": {"c": ONE}}, "b": {"r": {"d": ONE}}}, "t", "x", "y", "u"),
        "panels: expected the rows ['r'] and the columns ['c'] in every map, got {'a': (['r'], ['c']), 'b': (['r'], ['d'])}",
    ),
    (lambda: plane({}, "t", "x", "y"), "points: expected at least one point, got {}"),
    (
        lambda: heat([SQUARE], [], ["one"], "t", "u"),
        "maps: expected one for each of the 1 images, got 0",
    ),
    (
        lambda: matches([SQUARE], ["one", "two"], [[1.0]], "t", "u"),
        "values: expected shape (1, 2), got (1, 1)",
    ),
    (
        lambda: gallery([SQUARE] * 2, ["one"], "t"),
        "captions: expected one for each of the 2 images, got 1",
    ),
    (lambda: gallery([SQUARE], ["one"], "t", columns=0), "columns: expected at least 1, got 0"),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(call, words):
    with says(ValueError, words):
        call()


def test_an_unknown_picture_lists_what_there_is():
    with pytest.raises(
        ValueError,
        match="^name: expected one of .*'decoding'.*, got 'decodin'; did you mean 'decoding'",
    ):
        picture("decodin")
