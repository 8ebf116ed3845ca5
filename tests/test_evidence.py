"""Evidence rows are kept one by one, judged from numbers and shown; what is not one is refused."""

import json
import math
import os

import numpy as np
import pytest
from doubles import CASES, refused

from fmcourse import evidence
from fmcourse.stats import Interval

KEY, OTHER = "head-alone", "alarm-lead"
FOUND = Interval(0.7, 0.6, 0.8)


def record(key=KEY, interval=FOUND, seeds="5 runs", control=(0.25,)):
    evidence.record(key, interval, seeds=seeds, control=control)


def row_of(key):
    table = evidence.table().set_index("key")
    return table.loc[key]


def test_every_claim_is_whole_and_has_its_row():
    fields = set(evidence.COLUMNS) - {*evidence.NUMBERS, "verdict", "seeds", "key"} | {"guard"}
    table = evidence.table()
    assert list(table["key"]) == list(evidence.claims())
    for key, claim in evidence.claims().items():
        assert set(claim) == fields, key
        assert all(claim[name][0] < claim[name][1] for name in ("expected", "guard")), key


def test_a_row_is_kept_and_shown_to_readers_and_tools(state, monkeypatch):
    shown = []
    monkeypatch.setattr(evidence, "display", lambda data, raw: shown.append(data))
    record()
    assert shown[0][evidence.MIME] == {"key": KEY, "verdict": "held"}
    said = shown[0]["text/plain"]
    assert "0.7 [0.6, 0.8] nats" in said and said.endswith("above 0.5: held")
    row = row_of(KEY)
    assert (row["estimate"], row["low"], row["high"], row["seeds"]) == (0.7, 0.6, 0.8, "5 runs")
    assert row["control"] == "nothing removed 0.25" and row["verdict"] == "held"
    assert os.listdir(state / "evidence") == [f"{KEY}.json"]


def test_one_row_replaces_its_like_and_loses_no_other():
    shipped = evidence.table()
    record(OTHER, Interval(90, 40, 120), control=(20,))
    record(interval=Interval(5, 4.5, 5.5))
    assert evidence.outside_guard() == [KEY] and row_of(KEY)["verdict"] == "held"
    record(interval=Interval(0.2, 0.1, 0.3))
    assert list(evidence.recorded()) == [KEY, OTHER] and evidence.outside_guard() == []
    assert row_of(KEY)["verdict"] == "missed" and row_of(OTHER)["estimate"] == 90
    table = evidence.table()
    assert list(table.columns) == list(evidence.COLUMNS)
    assert list(table["key"]) == list(shipped["key"])


def test_what_ships_is_read_by_key(monkeypatch, tmp_path):
    numbers = {"estimate": "inf", "low": 3.7, "high": "inf", "seeds": "5", "control": "x"}
    rows = [{"key": key, **numbers} for key in ("turning-forecast", "an-old-key")]
    (tmp_path / "evidence.json").write_text(json.dumps(rows))
    monkeypatch.setattr(evidence.data, "path", tmp_path.joinpath)
    (row,) = evidence.table().to_dict("records")
    found = row["key"], row["verdict"], row["expected"]
    assert found == ("turning-forecast", "missed", "between 0.5 and 2")


@pytest.mark.parametrize("text", ["", "[]", '{"estimate": "x"}'])
def test_a_broken_file_is_named_and_the_rest_is_read(state, printed, text):
    record(OTHER, Interval(90, 40, 120), control=(20,))
    (state / "evidence" / f"{KEY}.json").write_text(text)
    assert list(evidence.recorded()) == [OTHER]
    assert f"{KEY}.json" in printed()


def test_numbers_come_back_and_the_file_is_strict_json(state):
    record(interval=Interval(np.float32(0.5), -math.inf, math.nan))
    kept = evidence.recorded()[KEY]
    assert [kept[name] for name in evidence.NUMBERS] == pytest.approx(
        (0.5, -math.inf, math.nan), nan_ok=True
    )
    text = (state / "evidence" / f"{KEY}.json").read_text("utf-8")
    json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize("expected, low, high, verdict", CASES["evidence"]["verdicts"])
def test_a_verdict_on_paper(expected, low, high, verdict):
    assert evidence.verdict(expected, Interval(1, low, high)) == verdict


@pytest.mark.parametrize("argument, value", CASES["evidence"]["refused"])
def test_a_message_begins_with_the_argument(argument, value):
    value = Interval(*value) if argument == "interval" else value
    with refused(argument):
        record(**{argument: value})
    assert evidence.recorded() == {}
