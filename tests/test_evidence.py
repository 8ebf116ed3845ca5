"""Evidence rows are kept, replaced and shown; and a row that contradicts itself is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from doubles import says

from fmcourse import evidence
from fmcourse.uncertainty import Interval

TEXTS = {
    "section": "2.1 Language",
    "notebook": "04_small",
    "expected": "falls",
    "seeds": "8 prompts",
    "control": "shuffled: 0.00",
    "paper": "0.73 (Holtzman et al. 2020)",
    "carries_over": "yes, the cause is in the decoding",
}


def record(
    claim="Greedy text repeats itself",
    estimate=0.5,
    interval=(0.4, 0.6),
    band=(0.3, 1.0),
    **changes,
):
    return evidence.record(claim, estimate, interval, band=band, **(TEXTS | changes))


def test_a_row_on_paper(capsys):
    row = record()
    assert (
        capsys.readouterr().out
        == "Recorded: Greedy text repeats itself: 0.5 [0.4, 0.6]; expected: falls.\n"
    )
    numbers = {"estimate": 0.5, "low": 0.4, "high": 0.6, "band": [0.3, 1.0]}
    assert row == {"claim": "Greedy text repeats itself", **TEXTS, **numbers}
    assert evidence.rows() == [row]


def test_the_columns_are_those_promised():
    promised = "claim, section, notebook, expected, estimate, low, high, seeds, control, paper, carries_over"
    assert evidence.COLUMNS == tuple(promised.split(", "))
    assert list(evidence.table().columns) == list(evidence.COLUMNS)  # before the first row too
    assert len(evidence.table()) == 0 and evidence.rows() == [] and evidence.outside() == []
    record()
    table = evidence.table()
    assert list(table.columns) == list(evidence.COLUMNS) and len(table) == 1
    assert table.loc[0, "estimate"] == 0.5 and table.loc[0, "paper"] == TEXTS["paper"]


def test_an_interval_may_come_as_one():
    assert record(interval=Interval(0.5, 0.4, 0.6)) == record(interval=(0.4, 0.6))


@pytest.mark.parametrize("ends", [(0.5, 0.6), (0.4, 0.5), (0.5, 0.5)])
def test_an_estimate_may_stand_at_an_end(ends):
    assert record(interval=ends)["estimate"] == 0.5


def test_the_same_claim_is_replaced_in_its_place():
    record("first")
    record("second")
    record("first", estimate=0.45)
    assert [(row["claim"], row["estimate"]) for row in evidence.rows()] == [
        ("first", 0.45),
        ("second", 0.5),
    ]


def test_the_same_claim_of_another_notebook_stays():
    record(notebook="04_small")
    record(notebook="00_first", estimate=0.45)
    assert [(row["notebook"], row["estimate"]) for row in evidence.rows()] == [
        ("00_first", 0.45),
        ("04_small", 0.5),
    ]


def test_rows_come_by_notebook_and_then_as_recorded():
    for notebook, claim in [("04_b", "z"), ("00_a", "y"), ("04_b", "a"), ("00_a", "x")]:
        record(claim, notebook=notebook)
    assert [row["claim"] for row in evidence.rows()] == ["y", "x", "z", "a"]
    assert list(evidence.table()["claim"]) == ["y", "x", "z", "a"]


def test_outside_the_band():
    record("inside", 0.5, band=(0.3, 1.0))
    record("at an end", 0.5, band=(0.5, 0.9))
    low = record("below", 0.5, band=(0.51, 1.0))
    high = record("above", 0.5, band=(0.0, 0.49))
    record("open", 0.5, band=(-math.inf, math.inf))
    assert evidence.outside() == [low, high]


def test_rows_survive_in_the_state_folder(state):
    row = record(paper="Größe ≥ 1, “quoted”")
    files = [file.name for file in (state / "evidence").iterdir()]
    assert files == ["04_small.json"]  # nothing half-written is left
    assert json.loads((state / "evidence" / "04_small.json").read_text(encoding="utf-8")) == [row]


def test_an_interrupted_write_loses_nothing(state, monkeypatch):
    row = record("first")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(evidence.os, "replace", stop)
        record("second")
    assert evidence.rows() == [row]


def test_numpy_numbers_are_kept_as_plain_ones():
    row = record(
        estimate=np.float32(0.5),
        interval=(np.float64(0.25), np.float32(0.75)),
        band=(np.int64(0), np.float32(1)),
    )
    assert evidence.rows() == [row]
    assert {type(row[name]) for name in ("estimate", "low", "high")} == {float}


def test_the_interval_is_not_changed():
    ends = [0.4, 0.6]
    record(interval=ends)
    assert ends == [0.4, 0.6]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("text", ["", "  ", None, 3])
def test_an_empty_text_is_refused(name, text):
    with says(ValueError, f"{name}: expected a text, got {text!r}"):
        record(**{name: text})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"claim": ""}, "claim: expected a text, got ''"),
        ({"estimate": 0.7}, "interval: expected two ends around the estimate 0.7, got (0.4, 0.6)"),
        (
            {"interval": (0.6, 0.4)},
            "interval: expected two ends around the estimate 0.5, got (0.6, 0.4)",
        ),
        (
            {"estimate": math.nan},
            "interval: expected two ends around the estimate nan, got (0.4, 0.6)",
        ),
        ({"band": (1, 0)}, "band: expected a lower end and a higher end, got (1, 0)"),
        ({"band": (0, 0)}, "band: expected a lower end and a higher end, got (0, 0)"),
    ],
    ids=str,
)
def test_the_words_of_each_error(changes, words):
    with says(ValueError, words):
        record(**changes)
    assert evidence.rows() == []


def shipped(monkeypatch, tmp_path, rows):
    (tmp_path / "shipped.json").write_text(json.dumps(rows))
    monkeypatch.setattr(
        evidence.bundle, "path", lambda name: {"evidence.json": tmp_path / "shipped.json"}[name]
    )


def test_the_course_is_what_ships_with_what_was_recorded_here_in_its_place(monkeypatch, tmp_path):
    old = {**record(claim="old"), "notebook": "04_small"}
    other = {**old, "claim": "other", "notebook": "01_other", "expected": "above 0.45"}
    evidence._store([], "04_small")
    shipped(monkeypatch, tmp_path, [old, other])
    assert list(evidence.course()["claim"]) == ["other", "old"]
    record(claim="new", expected="above 0")
    table = evidence.course()
    assert list(table.columns) == [*evidence.COLUMNS, "verdict"]
    assert list(zip(table["claim"], table["verdict"])) == [("other", "null"), ("new", "held")]


@pytest.mark.parametrize(
    ("expected", "low", "high", "verdict"),
    [
        ("above 0", 0.1, 0.2, "held"),
        ("above 0", -0.1, 0.2, "null"),
        ("above 0", -0.2, -0.1, "missed"),
        ("below -1", -3, -2, "held"),
        ("below 0.1", 0.2, 0.3, "missed"),
        ("between 0.5 and 2", 0.5, 2, "held"),
        ("between 0.5 and 2", 3.7, 8.1, "missed"),
        ("within 5 points of 0", -4, 4, "held"),
        ("within 5 points of 0", -4, 6, "null"),
        ("falls", 0, 1, "in words"),
        ("above all others", 0, 1, "in words"),
    ],
)
def test_a_verdict_on_paper(expected, low, high, verdict):
    assert evidence.verdict({"expected": expected, "low": low, "high": high}) == verdict


def test_every_row_that_ships_is_judged():
    assert set(evidence.course()["verdict"]) <= {"held", "null", "missed"}
