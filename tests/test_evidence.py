"""Evidence rows are kept one by one, judged from numbers and shown; what is not one is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter

from fmcourse import evidence
from fmcourse.stats import Interval

KEY, OTHER = "head-alone", "alarm-lead"
FOUND = Interval(0.7, 0.6, 0.8)


def record(key=KEY, interval=FOUND, seeds="5 runs", control=(0.25,)):
    evidence.record(key, interval, seeds=seeds, control=control)


def row_of(key):
    table = evidence.table().set_index("key")
    return table.loc[key]


def test_every_claim_is_whole():
    fields = {"claim", "notebook", "section", "unit", "expected", "guard", "control", "paper"}
    fields |= {"carries_over", "edition"}
    for key, claim in evidence.claims().items():
        assert set(claim) == fields, key
        assert claim["expected"][0] < claim["expected"][1], key
        assert claim["guard"][0] < claim["guard"][1], key
    assert not set(evidence.claims()) & {"two-layers", "shared-omission"}


def test_a_row_is_kept_and_shown(state, capsys):
    record()
    said = capsys.readouterr().out
    assert "0.7 [0.6, 0.8] nats" in said and said.endswith("above 0.5: held\n")
    row = row_of(KEY)
    assert (row["estimate"], row["low"], row["high"], row["seeds"]) == (0.7, 0.6, 0.8, "5 runs")
    assert row["control"] == "nothing removed 0.25" and row["verdict"] == "held"
    assert [file.name for file in (state / "evidence").iterdir()] == [f"{KEY}.json"]


def test_a_tool_finds_the_row_in_the_output(monkeypatch):
    shown = []
    monkeypatch.setattr(evidence, "display", shown.append)
    record()
    data, _ = DisplayFormatter().format(shown[0])
    assert data[evidence.MIME] == {"key": KEY, "verdict": "held"}
    assert data["text/plain"].endswith("above 0.5: held")


def test_one_row_replaces_its_like_and_loses_no_other():
    shipped = evidence.table()
    record()
    record(OTHER, Interval(90, 40, 120), control=(20,))
    record(interval=Interval(0.2, 0.1, 0.3))
    table = evidence.table()
    assert list(table.columns) == list(evidence.COLUMNS)
    assert list(evidence.recorded()) == [KEY, OTHER]
    assert row_of(KEY)["verdict"] == "missed" and row_of(OTHER)["estimate"] == 90
    order = [key for key in evidence.claims() if key in set(table["key"])]
    assert list(table["key"]) == order
    assert set(table["key"]) == {*shipped["key"], KEY, OTHER}


def test_what_ships_is_read_by_key(monkeypatch, tmp_path):
    numbers = {"estimate": "inf", "low": 3.7, "high": "inf", "seeds": "5", "control": "x"}
    rows = [{"key": key, **numbers} for key in ("turning-forecast", "an-old-key")]
    (tmp_path / "evidence.json").write_text(json.dumps(rows))
    monkeypatch.setattr(evidence.bundle, "path", tmp_path.joinpath)
    table = evidence.table()
    assert list(table["key"]) == ["turning-forecast"] and table.loc[0, "verdict"] == "missed"
    assert table.loc[0, "expected"] == "between 0.5 and 2"


def test_every_shipped_row_has_its_claim():
    table = evidence.table()
    assert len(table) == len(evidence.claims())
    assert set(table["verdict"]) <= {"held", "missed", "undecided"}


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"key": 1}', '{"estimate": "x"}'])
def test_a_broken_file_is_named_and_the_rest_is_read(state, capsys, text):
    record(OTHER, Interval(90, 40, 120), control=(20,))
    (state / "evidence" / f"{KEY}.json").write_text(text)
    capsys.readouterr()
    assert list(evidence.recorded()) == [OTHER]
    assert f"{KEY}.json" in capsys.readouterr().out
    record()
    assert list(evidence.recorded()) == [KEY, OTHER]


def test_an_interrupted_write_keeps_the_old_row(monkeypatch):
    record()

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(evidence.files.os, "replace", stop)
        record(interval=Interval(0.2, 0.1, 0.3))
    assert evidence.recorded()[KEY]["estimate"] == 0.7


@pytest.mark.parametrize(
    "numbers",
    [
        (np.float32(0.5), np.float64(0.25), np.int64(1)),
        (math.inf, 3.7, math.inf),
        (1.0, math.nan, math.nan),
        (1.0, 1.0, 1.0),
    ],
)
def test_numbers_come_back_and_the_file_is_strict_json(state, numbers):
    record(interval=Interval(*numbers))
    kept = evidence.recorded()[KEY]
    assert [kept[name] for name in evidence.NUMBERS] == pytest.approx(numbers, nan_ok=True)
    text = (state / "evidence" / f"{KEY}.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("expected", "low", "high", "verdict"),
    [
        ([0, math.inf], 0.1, 0.2, "held"),
        ([0, math.inf], 0.1, math.inf, "held"),
        ([0, math.inf], -0.1, 0.2, "undecided"),
        ([0, math.inf], -0.2, -0.1, "missed"),
        ([-math.inf, -1], -3, -2, "held"),
        ([0.5, 2], 0.5, 2, "held"),
        ([0.5, 2], 3.7, math.inf, "missed"),
        ([0.5, 2], 1, math.inf, "undecided"),
        ([0, math.inf], 1, 1, "undecided"),
        ([0, math.inf], math.nan, math.nan, "undecided"),
    ],
)
def test_a_verdict_on_paper(expected, low, high, verdict):
    assert evidence.verdict(expected, Interval(1, low, high)) == verdict


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ([0, math.inf], "above 0"),
        ([-math.inf, 0.25], "below 0.25"),
        ([-5, 5], "within 5 of 0"),
        ([0.02, 0.1], "between 0.02 and 0.1"),
    ],
)
def test_an_expectation_in_words(expected, words):
    assert evidence.expectation(expected) == words


def test_the_guard_is_no_verdict():
    record(interval=Interval(5, 4.5, 5.5))
    record(OTHER, Interval(90, 40, 120), control=(20,))
    assert evidence.outside_guard() == [KEY] and row_of(KEY)["verdict"] == "held"


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"key": "head-alne"}, "key"),
        ({"interval": (0.6, 0.8)}, "interval"),
        ({"interval": Interval(0.9, 0.6, 0.8)}, "interval"),
        ({"interval": Interval(0.7, 0.8, 0.6)}, "interval"),
        ({"interval": Interval(math.nan, 0.6, 0.8)}, "interval"),
        ({"seeds": " "}, "seeds"),
        ({"seeds": 5}, "seeds"),
        ({"control": ()}, "control"),
        ({"control": ("many",)}, "control"),
        ({"control": 0.25}, "control"),
    ],
)
def test_a_message_begins_with_the_argument(changes, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        record(**changes)
    assert evidence.recorded() == {}
