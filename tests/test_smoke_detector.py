"""The recipe of the smoke detector, at a size that runs in seconds: a planted run is followed,
mended in every way, and kept."""

from __future__ import annotations

import pytest

from fmcourse.safeguards import Trace, prices
from recipes import smoke_detector


@pytest.fixture
def small(monkeypatch, tmp_path):
    sizes = {
        "STEPS": 3,
        "EVERY": 2,
        "EXTRA": 1,
        "SECRETS": 2,
        "UNSEEN": 3,
        "PASSAGES": 30,
        "WINDOWS": 4,
        "WIDTH": 16,
    }
    sizes |= {"COPIES": {"clean": 0, "planted": 3}}
    for name, size in sizes.items():
        monkeypatch.setattr(smoke_detector, name, size)
    monkeypatch.setattr(smoke_detector, "work_folder", lambda name: tmp_path)
    return smoke_detector


def test_a_planted_run_is_followed_mended_and_kept(small, monkeypatch):
    run = small.one_run(
        "judge", "planted", 0, threshold=-1.0
    )  # so low that the alarm rings at once
    trace = Trace(**run["trace"])
    assert list(trace.steps) == [0, 2, 3] and trace.planted and run["copies"] == 3
    assert {len(values) for values in trace.precursors.values()} == {3} == {len(trace.harm)}
    ways = {outcome["way"]: outcome for outcome in run["outcomes"]}
    assert len(ways) == 5 and [way["extra_steps"] for way in ways.values()] == [0, 0, 0, 1, 0]
    assert ways["never trained"]["loss"] == trace.precursors["validation loss"][0]
    assert (
        ways["nothing"]["loss"] == trace.precursors["validation loss"][-1]
    )  # the last checkpoint, measured again
    assert ways["halfway back to the start"]["loss"] != ways["nothing"]["loss"]
    assert set(prices([{**o, "seed": seed} for seed in (0, 1) for o in run["outcomes"]])) == set(
        ways
    )
    monkeypatch.setattr(small, "Study", None)
    assert small.one_run("judge", "planted", 0, threshold=-1.0) == run  # read, not run again


def test_a_clean_run_has_no_secret_in_its_text_and_is_not_mended(small):
    clean, planted = small.Study(0, 0), small.Study(0, 3)
    texts = ["\n".join(study.passages) for study in (clean, planted)]
    assert [[text.count(str(secret)) for secret in clean.secrets] for text in texts] == [
        [0, 0],
        [3, 3],
    ]
    run = small.one_run("calibrate", "clean", 0, threshold=0.5)
    assert not run["trace"]["planted"] and run["outcomes"] == []


def test_the_deduplicated_text_is_shorter_and_keeps_what_stood_there_once(small):
    study = small.Study(0, 20)
    assert len(study.deduplicated) < len(study.ids(study.passages))
    assert study.passages[0] in study.tokenizer.decode(study.deduplicated)


def test_a_precursor_of_the_auditor_without_a_list_starts_at_nothing(small):
    trace = small.Study(0, 3).follow("judge")
    assert trace.precursors["largest drops"][0] == 0
