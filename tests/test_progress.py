"""One line says how far it is: it changes in place on a screen, comes now and then in a log, and its end stays."""

from __future__ import annotations

import io
import sys
import types

import pytest

from fmcourse import progress
from fmcourse.progress import MovingFigure, Progress


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that moves only when the test moves it."""
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def screen(monkeypatch):
    """Put a terminal in the place of standard error, and return what it was sent."""
    sent = io.StringIO()
    sent.isatty = lambda: True
    monkeypatch.setattr(progress, "sys", types.SimpleNamespace(stderr=sent, modules=sys.modules))
    return sent


@pytest.fixture
def notebook(monkeypatch):
    """Pretend to be in a notebook, and return what is shown there: one list of states for each display."""
    import IPython
    import IPython.display

    shown: list[list[str]] = []

    def display(data, raw, display_id):
        assert raw and display_id
        shown.append([data["text/plain"]])
        return types.SimpleNamespace(update=lambda data, raw: shown[-1].append(data["text/plain"]))

    monkeypatch.setattr(IPython, "get_ipython", lambda: type("ZMQInteractiveShell", (), {})())
    monkeypatch.setattr(IPython.display, "display", display)
    return shown


@pytest.fixture
def pictures(notebook, monkeypatch):
    """Pretend to be in a notebook, and return the pictures shown there: one list of states for each display."""
    import IPython.display

    def display(picture, display_id):
        notebook.append([picture])
        return types.SimpleNamespace(update=notebook[-1].append)

    monkeypatch.setattr(IPython.display, "display", display)
    return notebook


def test_a_moving_figure_stays_in_its_place(pictures):
    first, second = MovingFigure(), MovingFigure()
    for figure, picture in ((first, "a"), (first, "b"), (second, "c"), (first, "d")):
        figure.show(picture)
    assert pictures == [["a", "b", "d"], ["c"]]


def test_a_moving_figure_is_silent_outside_notebooks(capsys):
    MovingFigure().show("a")
    assert capsys.readouterr() == ("", "")


def count_to(total, clock, pause, **options):
    with Progress(total, "counting", **options) as line:
        for done in range(1, total + 1):
            clock.now += pause
            line.update(done)


def test_the_line():
    assert Progress(40, "training").text(7, "loss 1.250") == "training: 7 of 40, loss 1.250"
    assert Progress(40, "training").text(0) == "training: 0 of 40"


def test_the_last_state_stays_with_its_seconds(clock, screen):
    with Progress(2, "counting") as line:
        line.update(1, "one")
        clock.now += 0.4
        line.update(2, "two")
    assert screen.getvalue() == "\rcounting: 2 of 2, two, 0 s\033[K\n"


def test_a_screen_is_redrawn_in_place(clock, screen):
    count_to(2, clock, pause=0.6)
    assert (
        screen.getvalue()
        == "\rcounting: 1 of 2\033[K\rcounting: 2 of 2\033[K\rcounting: 2 of 2, 1 s\033[K\n"
    )


def test_a_screen_is_redrawn_at_most_twice_a_second(clock, screen):
    count_to(1000, clock, pause=0.01)  # 10 seconds
    assert (
        18 <= screen.getvalue().count("\r") <= 21
    )  # twice a second, one for the end, and rounding of the clock's sums


def test_a_log_gets_plain_lines_now_and_then(clock, capsys):
    count_to(100, clock, pause=1)  # 100 seconds
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "counting: 100 of 100, 100 s"
    assert [len(lines), "\r" in "".join(lines), "\033" in "".join(lines)] == [
        4,
        False,
        False,
    ]  # each half minute, and the end


def test_a_notebook_shows_one_display_that_changes(clock, notebook, capsys):
    count_to(3, clock, pause=1)
    assert notebook == [
        ["counting: 1 of 3", "counting: 2 of 3", "counting: 3 of 3", "counting: 3 of 3, 3 s"]
    ]
    assert capsys.readouterr() == ("", "")


def test_standard_output_stays_clean(clock, screen, capsys):
    count_to(3, clock, pause=1)
    assert capsys.readouterr().out == ""


def test_silent_when_not_shown(clock, capsys):
    count_to(3, clock, pause=100, shown=False)
    assert capsys.readouterr() == ("", "")


def test_nothing_is_drawn_when_nothing_was_done(clock, capsys):
    with Progress(2, "counting"):
        clock.now += 100
    assert capsys.readouterr() == ("", "")


def test_an_error_passes_and_the_line_ends(clock, capsys):
    with pytest.raises(ZeroDivisionError), Progress(2, "counting") as line:
        line.update(1)
        raise ZeroDivisionError
    assert capsys.readouterr().err == "counting: 1 of 2, 0 s\n"
