"""A prediction is written down, kept, locked at its reveal, and collected by a class."""

import datetime
import json
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from doubles import refused, toml

from fmcourse import plots
from fmcourse.quiz import codes, kept, predictions
from fmcourse.quiz.predictions import clear, export, predict, recall, reveal, tally
from fmcourse.quiz.questions import QUESTIONS
from fmcourse.stats import Interval
from tools import ROOT


@pytest.fixture
def shown(monkeypatch):
    """Collect what is displayed."""
    things = []
    monkeypatch.setattr(predictions, "display", things.append)
    return things


def forest():
    rows = {"old": Interval(40, 30, 50), "new": Interval(60, 50, 70)}
    return plots.forest(rows, "Flips", "share that changes, %")


# What may be typed.

TYPED = toml("answers.toml")
OF_LIBRARIES = [("flips", np.float32(60), 60), ("flips", torch.tensor(7), 7)]


@pytest.mark.parametrize(
    "name, answer, value",
    [*TYPED["right"], *OF_LIBRARIES],
)
def test_an_answer_in_any_reasonable_form(name, answer, value):
    predict(name, answer)
    assert recall(name) == value


@pytest.mark.parametrize(
    "name, answer, words",
    [*TYPED["wrong"], ("flips", np.ones(2), "no number"), ("years", 10**400, "out of range")],
)
def test_what_is_no_answer_hears_one_sentence_and_changes_nothing(name, answer, words, printed):
    before = "rise" if name == "ladder" else 50
    predict(name, before)
    predict(name, answer)
    assert words in printed().splitlines()[-1]
    assert recall(name) == before


# The reveal.


@pytest.mark.parametrize("answer", [..., ""])
def test_without_an_answer_nothing_is_shown(answer, shown, printed):
    predict("flips", answer)
    reveal("flips", 48, forest(), "a table that gives it away")
    assert "Predict first" in printed().splitlines()[-1] and shown == []
    predict("flips", 20)  # it is not locked either
    reveal("flips")
    assert "Nothing is measured" in printed()


def test_a_number_is_marked_in_the_figure_and_locked(shown, printed):
    predict("flips", 20)
    plain = forest()
    reveal("flips", Interval(48, 40, 56), plain, "a line")
    said = printed()
    assert all(words in said for words in ("a line", "You predicted 20%", "48%", "28 points"))
    assert "your prediction: 20%" in shown[0].alt and shown[0].png != plain.png
    predict("flips", 48)
    assert "locked" in printed() and recall("flips") == 20
    reveal("flips")
    assert "Measured: 48%" in printed()
    clear("flips")
    assert recall("flips") is None


@pytest.mark.parametrize("name, answer, measured, words", TYPED["reveals"])
def test_a_choice_and_a_skip_get_no_mark_and_are_locked(
    name, answer, measured, words, shown, printed
):
    predict(name, answer)
    reveal(name, measured, forest())
    assert words in printed() and [one.alt for one in shown] == [forest().alt]
    predict(name, measured)
    assert "locked" in printed()


def test_a_course_run_skips_all_and_keeps_nothing(shown, state, monkeypatch, printed):
    monkeypatch.setenv("FMCOURSE_PREDICTIONS", "skip")
    reveal("flips", 48, forest())
    assert len(shown) == 1 and "48%" in printed() and not any(state.rglob("*.json"))


@pytest.mark.parametrize("figure", [[], [plots.Drawing(b"", "a gallery", 10)]])
def test_without_axes_the_answer_gets_a_line_of_its_own(figure, shown, printed):
    predict("years", 1000)
    reveal("years", 326_000, *figure)
    assert "1,000 years" in shown[0].alt and "326,000" in shown[0].alt
    assert "factor of 326" in printed()


def test_a_mark_stands_where_start_and_scale_put_it(monkeypatch, shown):
    drawing, places = forest(), []
    axes = drawing.figure.axes[0]
    draw = axes.axvline
    monkeypatch.setattr(axes, "axvline", lambda x, **look: places.append(x) or draw(x, **look))
    predict("lead", 35)
    reveal("lead", 100, drawing, start=110, scale=-1, axis="x")
    assert places == [75]


# What is kept.


def test_a_former_class_is_not_shown_and_a_lunch_break_is_no_end(monkeypatch, printed):
    start, hours = datetime.datetime(2026, 3, 4, 9, tzinfo=datetime.UTC), 0
    monkeypatch.setattr(predictions, "_now", lambda: start + datetime.timedelta(hours=hours))
    predict("flips", 20)
    monkeypatch.setattr(predictions, "_announced", set())  # a new kernel
    hours = 5
    predict("codes", 3)
    assert "kept: 1" in printed()
    hours = 12
    assert (recall("flips"), recall("codes")) == (20, 3)
    hours = 24
    assert (recall("flips"), recall("codes"), export()) == (None, None, "")
    predict("codes", 5)
    assert (recall("flips"), recall("codes")) == (None, 5)
    clear()
    assert recall("codes") is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"answer": "much", "time": "2026"}'])
def test_a_broken_file_costs_one_answer(content, state):
    predict("flips", 20)
    predict("codes", 3)
    next(state.rglob("flips.json")).write_bytes(content)
    assert recall("flips") is None and recall("codes") == 3


def test_two_kernels_lose_nothing():
    start = "from fmcourse.quiz.predictions import predict; "
    halves = ["predict('flips', 20); predict('years', 5)", "predict('codes', 3)"]
    kernels = [subprocess.Popen([sys.executable, "-c", start + half]) for half in halves]
    assert [kernel.wait() for kernel in kernels] == [0, 0]
    assert [recall(name) for name in ("flips", "years", "codes")] == [20, 5, 3]


def test_a_full_disk_does_not_stop_the_notebook(monkeypatch, printed):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "write_atomic", refuse)
    predict("flips", 20)
    assert "No space" in printed() and recall("flips") == 20
    clear()
    assert recall("flips") is None


def test_predictions_move_to_drive(monkeypatch, tmp_path):
    predict("flips", 20)
    monkeypatch.setattr(predictions, "work_folder", lambda wanted: tmp_path)
    predictions.keep_on_drive(True)
    assert recall("flips") == 20 and list(tmp_path.rglob("flips.json"))


# A class.


def test_a_code_holds_the_answers_and_notices_every_typo():
    given = {"flips": 12.5, "ladder": "rise"}
    short = codes.encode(given)
    assert codes.decode(f" {short.lower()} ") == given
    # Each exchanged or missing character before the last, whose spare bits do not count.
    for i in range(len(short) - 1):
        exchanged = short[:i] + short[i + 1] + short[i] + short[i + 2 :]
        for other in {exchanged, short[:i]} - {short}:
            with pytest.raises(ValueError, match=r"."):
                codes.decode(other)


def test_a_class_is_drawn_with_the_measured_value(shown, printed):
    predict("flips", 20)
    predict("ladder", "fall")
    reveal("flips", 48)
    reveal("ladder", "fall")
    others = [codes.encode({"flips": value}) for value in (30, 40)]
    shown.clear()
    tally(f"Anna: {export()}, Bob {others[0]}; {others[1]}\nFM2-AAAAAAAA")
    assert "3 of 4" in printed()
    alts = " ".join(thing.alt for thing in shown)
    assert "3 predictions from 20% to 40%, the middle one 30%" in alts and "48%" in alts
    assert "fall (measured) 1" in alts
    tally([codes.encode({"years": value}) for value in (10, 1e9)])
    assert "1,000,000,000 years" in shown[-1].alt


# The notebooks' forms.


CELLS = {
    path.stem: [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
}
SOURCES = [cell.source for cells in CELLS.values() for cell in cells]
ASKED = [source for source in SOURCES if "predictions.predict(" in source]


@pytest.mark.parametrize("source", ASKED, ids=lambda source: source[-24:-12])
def test_a_prediction_has_a_form_of_its_own_and_a_later_reveal(source):
    *heading, form, call = source.splitlines()
    name = re.fullmatch(r'predictions\.predict\("([\w-]+)", prediction\)', call).group(1)
    question = QUESTIONS[name]
    text = " ".join(line.removeprefix("#@markdown ") for line in heading[1:])
    assert text.startswith(question.text)
    if question.choices:
        assert json.loads(form.split("#@param ")[1]) == ["...", *question.choices, "skip"]
    else:
        assert question.allowed in text and '{type: "string"}' in form
    later = "".join(SOURCES[SOURCES.index(source) + 1 :])
    assert re.search(rf'predictions\.reveal\(\s*"{name}"', later)


def test_each_question_is_asked_once_and_an_unknown_one_is_an_error():
    asked = re.findall(r'predictions\.predict\("([\w-]+)"', "".join(ASKED))
    assert sorted(asked) == sorted(QUESTIONS)
    with refused("name", "did you mean .flips."):
        predict("flip", 5)


@pytest.mark.parametrize("notebook", CELLS)
def test_a_kernel_without_the_course_hears_what_to_do(notebook, monkeypatch):
    monkeypatch.setitem(sys.modules, "fmcourse", None)
    with pytest.raises(ModuleNotFoundError, match=r"install.*Colab.*JupyterLab or VS Code.*kernel"):
        exec(CELLS[notebook][1].source, {})
