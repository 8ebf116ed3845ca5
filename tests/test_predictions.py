"""A prediction is written down before the run and shown beside the measurement; it is never marked."""

from __future__ import annotations

import pytest
from doubles import says

from fmcourse import predictions
from fmcourse.predictions import QUESTIONS, Question, predict, recall, reveal

NUMBER = "greedy-repeats"
CHOICE = "ladder"


def said(capsys):
    return capsys.readouterr().out.splitlines()


@pytest.fixture(autouse=True)
def questions(monkeypatch):
    """Ask two questions of our own, so that the words below do not move with the course."""
    mine = {
        NUMBER: Question("Which share comes back?", low=0, high=100, unit="%"),
        CHOICE: Question("What happens?", choices=("fall", "stay", "rise")),
        "cache": Question("How many tokens?", low=1, high=100_000, unit="tokens"),
    }
    monkeypatch.setattr(predictions, "QUESTIONS", mine)


def test_predict_and_reveal_a_number(capsys):
    predict(NUMBER, 12.5)
    assert said(capsys) == ["Which share comes back?", "Your prediction, 12.5 %, is written down."]
    reveal(NUMBER, 61.23)
    assert said(capsys) == ["You predicted 12.5 %; measured: 61.2 %."]


def test_predict_and_reveal_a_choice(capsys):
    predict(CHOICE, "rise")
    assert said(capsys) == ["What happens?", "Your prediction, rise, is written down."]
    reveal(CHOICE, "fall")
    assert said(capsys) == ["You predicted rise; measured: fall."]


@pytest.mark.parametrize(
    ("name", "allowed"),
    [(NUMBER, "a number from 0 to 100 (%)"), (CHOICE, "one of 'fall', 'stay', 'rise'")],
)
def test_three_dots_are_no_prediction_yet(capsys, name, allowed):
    predict(name, ...)
    assert said(capsys)[1:] == [f"Not predicted yet: put {allowed} in place of the three dots."]
    reveal(name)
    assert said(capsys) == ["You made no prediction; nothing is measured yet."]


def test_reveal_before_the_measurement_and_without_a_prediction(capsys):
    reveal(NUMBER, 50)
    assert said(capsys) == ["You made no prediction; measured: 50 %."]
    predict(NUMBER, 20)
    said(capsys)
    reveal(NUMBER)
    assert said(capsys) == ["You predicted 20 %; nothing is measured yet."]


def test_large_numbers_are_shown_as_people_write_them(capsys):
    predict("cache", 5850)
    reveal("cache", 99)
    predict("cache", 100_000)
    reveal("cache", 5850)
    text = capsys.readouterr().out
    assert "e+" not in text


@pytest.mark.parametrize("answer", [0, 100, 0.0, 99.9])
def test_the_ends_of_a_range_are_allowed(answer):
    predict(NUMBER, answer)


def test_a_measurement_outside_the_range_is_shown_all_the_same(capsys):
    reveal(NUMBER, -3)
    assert said(capsys) == ["You made no prediction; measured: -3 %."]


def test_a_second_prediction_takes_the_place_of_the_first(capsys):
    predict(NUMBER, 10)
    predict(CHOICE, "stay")
    predict(NUMBER, 20)
    said(capsys)
    reveal(NUMBER, 30)
    reveal(CHOICE, "stay")
    assert said(capsys) == [
        "You predicted 20 %; measured: 30 %.",
        "You predicted stay; measured: stay.",
    ]


def test_three_dots_do_not_erase(capsys):
    predict(NUMBER, 10)
    predict(NUMBER, ...)
    said(capsys)
    reveal(NUMBER, 30)
    assert said(capsys) == ["You predicted 10 %; measured: 30 %."]


def test_a_prediction_is_recalled_as_it_was_given():
    assert recall(NUMBER) is None
    predict(NUMBER, 0)
    predict(CHOICE, "stay")
    assert recall(NUMBER) == 0 and recall(CHOICE) == "stay" and recall("cache") is None


def test_predictions_are_kept_in_the_state_folder(state, monkeypatch, tmp_path, capsys):
    predict(NUMBER, 10)
    assert [file.name for file in state.iterdir()] == ["predictions.json"]
    monkeypatch.setenv("FMCOURSE_STATE", str(tmp_path / "elsewhere"))
    said(capsys)
    reveal(NUMBER, 30)
    assert said(capsys) == ["You made no prediction; measured: 30 %."]


ERRORS = [
    (
        lambda: predict("greedy-repeat", 5),
        "name: expected one of 'greedy-repeats', 'ladder', 'cache', got 'greedy-repeat'; did you mean 'greedy-repeats'?",
    ),
    (lambda: reveal("x", 5), "name: expected one of 'greedy-repeats', 'ladder', 'cache', got 'x'"),
    (lambda: recall("x"), "name: expected one of 'greedy-repeats', 'ladder', 'cache', got 'x'"),
    (lambda: predict(NUMBER, -1), "answer: expected a number from 0 to 100 (%), got -1"),
    (lambda: predict(NUMBER, 101), "answer: expected a number from 0 to 100 (%), got 101"),
    (lambda: predict(NUMBER, "much"), "answer: expected a number from 0 to 100 (%), got 'much'"),
    (lambda: predict(NUMBER, True), "answer: expected a number from 0 to 100 (%), got True"),
    (lambda: predict(NUMBER, float("nan")), "answer: expected a number from 0 to 100 (%), got nan"),
    (
        lambda: predict(CHOICE, "falls"),
        "answer: expected one of 'fall', 'stay', 'rise', got 'falls'; did you mean 'fall'?",
    ),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(call, words, state):
    with says(ValueError, words):
        call()
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_courses_own_questions(name):
    question = QUESTIONS[name]
    assert question.text.endswith("?")
    if question.choices:
        assert len(set(question.choices)) >= 2 and question.unit == ""
    else:
        assert question.low < question.high and question.unit
