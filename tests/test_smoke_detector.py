"""The recipe of the smoke detector, at a size that runs in seconds: a planted run is followed, mended in every way, and kept."""

from __future__ import annotations

import pytest

from fmcourse.safeguards import Trace, prices
from recipes import smoke_detector


@pytest.fixture
def small(monkeypatch, tmp_path):
    sizes = {"EVERY": 2, "EXTRA": 1, "SECRETS": 2, "COPIES": 2, "CORPUS": 2_000, "MEASURED": 100}
    for name, size in sizes.items():
        monkeypatch.setattr(smoke_detector, name, size)
    monkeypatch.setattr(smoke_detector, "work_folder", lambda name: tmp_path)
    return smoke_detector


def test_a_planted_run_is_followed_mended_and_kept(small, monkeypatch):
    run = small.one_run("judge", 0, True, steps=3, threshold=-1.0)  # so low that the alarm rings at once
    trace = Trace(**run["trace"])
    assert list(trace.steps) == [0, 2, 3] and trace.planted
    assert {len(values) for values in trace.precursors.values()} == {3} == {len(run["loss"])}
    ways = {outcome["way"]: outcome for outcome in run["outcomes"]}
    assert len(ways) == 4 and ways["clean data after the fact"]["extra_steps"] == 1
    assert ways["nothing"]["loss"] == pytest.approx(run["loss"][-1])  # the last checkpoint, measured again
    assert ways["halfway back to the start"]["loss"] != ways["nothing"]["loss"]
    assert set(prices([{**o, "seed": seed} for seed in (0, 1) for o in run["outcomes"]])) == set(ways)
    monkeypatch.setattr(small, "Runner", None)
    assert small.one_run("judge", 0, True, steps=3, threshold=-1.0) == run  # read, not run again
