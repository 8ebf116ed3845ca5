"""The recipe of the decoding frontier: as many settings for every way of sampling, each kept."""

from __future__ import annotations

import numpy as np

from fmcourse.generation import Sample
from recipes import decoding_frontier


def test_every_way_of_drawing_has_as_many_settings():
    drawn = {
        family: len(values)
        for family, (make, values) in decoding_frontier.FAMILIES.items()
        if all(isinstance(make(value), Sample) for value in values)
    }
    assert len(drawn) == 7 and set(drawn.values()) == {8}


def test_a_setting_is_measured_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(decoding_frontier, "work_folder", lambda name: tmp_path)
    monkeypatch.setattr(decoding_frontier, "SAMPLES", 2)
    bench = decoding_frontier.Bench("validation")
    bench.excerpts, bench.writer.config.eos_token_id = bench.excerpts[:8], None
    run = bench.kept("top-p, hot", 0.5)
    assert [len(run["surprise"]), len(run["surprise"][0])] == [2, 2] and run[
        "family"
    ] == "top-p, hot"
    assert [len(bench.president()["distinct_2"]), len(bench.president()["distinct_2"][0])] == [1, 2]
    table = decoding_frontier.tidy(bench.years[:2], [run])
    assert table.columns[:4].tolist() == ["family", "value", "sample", "year"] and len(table) == 4
    assert table["distinct_2"].tolist() == np.ravel(run["distinct_2"]).tolist()
    monkeypatch.setattr(bench, "run", None)
    assert bench.kept("top-p, hot", 0.5) == run  # read, not run again
