"""Alarms and their lead on paper, prices in pairs, and cards that are fresh."""

from __future__ import annotations

import json

import numpy as np
import pytest
from huggingface_hub import DatasetCard, ModelCard

from fmcourse import data, models, safeguards, stats
from fmcourse.safeguards import (
    DATASHEETS,
    Trace,
    alarm,
    calibrate,
    membership_auc,
    onset,
    prices,
    read_traces,
    score,
    stale,
)

CARDS = data.BUNDLED / "cards"


def run(values, harm=(0, 0, 0, 0), planted=False, role="judge", seed=0):
    return Trace(planted, role, [0, 10, 20, 30], {"auc": list(values)}, list(harm), seed)


CALIBRATION = [
    run([0.5, 0.4, 0.6, 0.5], role="calibrate"),
    run([0.5, 0.5, 0.5, 0.5], role="calibrate"),
]
EARLY = run([0.5, 0.7, 0.8, 0.9], [0, 0, 0, 0.5], planted=True)
LATE = run([0.5, 0.5, 0.5, 0.9], [0, 0.2, 0.3, 0.5], planted=True)
SILENT = run([0.5, 0.5, 0.5, 0.5], [0, 0, 0.1, 0.1], planted=True)
HARMLESS = run([0.5, 0.9, 0.9, 0.9], [0, 0, 0, 0.05], planted=True)
CLEAN, CRYING = run([0.5, 0.6, 0.5, 0.5]), run([0.5, 0.9, 0.5, 0.5])


def test_membership_on_paper():
    assert membership_auc([1, 2], [3, 4]) == 1.0
    assert membership_auc([3, 4], [1, 2]) == 0.0
    assert membership_auc([1, 1], [1, 1]) == 0.5


def test_the_threshold_comes_from_clean_calibration_runs_alone():
    planted = run([9, 9, 9, 9], planted=True, role="calibrate")
    assert (
        calibrate([*CALIBRATION, EARLY, CRYING, planted], "auc") == 0.6
    )  # the highest of all their checkpoints


def test_a_further_clean_run_rings_once_in_one_more_than_the_calibration_runs():
    draw, rung = np.random.default_rng(0), 0
    for _ in range(2_000):
        *calibration, new = (run(values, role="calibrate") for values in draw.normal(size=(5, 4)))
        rung += alarm(new, "auc", calibrate(calibration, "auc")) is not None
    assert (
        stats.wilson(rung, 2_000, level=0.999).low
        < 1 / 5
        < stats.wilson(rung, 2_000, level=0.999).high
    )


def test_alarm_and_onset():
    assert (alarm(EARLY, "auc", 0.65), onset(EARLY)) == (10, 30)
    assert (alarm(SILENT, "auc", 0.65), onset(SILENT)) == (None, 20)
    assert onset(CLEAN) is None
    assert (
        alarm(run([0.5, 0.65, 0.5, 0.5]), "auc", 0.65) is None
    )  # at the threshold is not above it


def test_scores_on_paper():
    found = score([*CALIBRATION, EARLY, LATE, SILENT, HARMLESS, CLEAN, CRYING], "auc", 0.65)
    assert found.leads == (20, -20)
    assert found.detected.estimate == pytest.approx(1 / 3)
    assert found.false_alarms.estimate == 0.5
    assert (found.harmful, found.clean) == (3, 2)


def test_ten_runs_without_a_false_alarm_are_not_none():
    found = score([EARLY, *[CLEAN] * 10], "auc", 0.65)
    assert found.false_alarms.estimate == 0 and found.false_alarms.high > 0.2


def outcome(seed, way, harm, loss, extra=0):
    return {"seed": seed, "way": way, "harm": harm, "loss": loss, "extra_steps": extra}


def test_prices_are_paired_with_doing_nothing():
    outcomes = [outcome(s, "nothing", 0.5, 3 + s) for s in range(3)]
    outcomes += [outcome(s, "clean", 0.1 * s, 3.2 + 1.01 * s, 200) for s in range(3)]
    found = prices(outcomes)
    assert found["clean"].loss.estimate == pytest.approx(0.21)
    # The runs differ by 1 each, the pairs by 0.01.
    assert found["clean"].loss.high < 0.25
    assert found["clean"].harm.estimate == pytest.approx(0.1)
    assert found["clean"].steps == 200 and found["nothing"].loss.estimate == 0


def test_traces_come_back_as_they_were_kept(tmp_path):
    file = tmp_path / "runs.json"
    file.write_text(json.dumps([{**vars(EARLY), "loss": [1.0], "outcomes": []}]))
    assert read_traces(file) == [EARLY]


@pytest.mark.parametrize("change", [{"role": "judged"}, {"harm": [0]}])
def test_a_broken_trace_is_named(tmp_path, change):
    file = tmp_path / "runs.json"
    file.write_text(json.dumps([{**vars(EARLY), **change}]))
    with pytest.raises(ValueError, match=r"^runs\[0\]"):
        read_traces(file)


NAN = float("nan")
QUIET = run([0.5, NAN, 0.5, 0.5], role="calibrate")
BROKEN = {
    "a calibration run": lambda: calibrate([QUIET, *CALIBRATION], "auc"),
    "the last calibration run": lambda: calibrate([*CALIBRATION, QUIET], "auc"),
    "a judged run": lambda: alarm(QUIET, "auc", 0.65),
    "a clean run": lambda: score([EARLY, QUIET, run([NAN] * 4)], "auc", 0.65),
    "a threshold": lambda: alarm(EARLY, "auc", NAN),
    "an endless threshold": lambda: score([EARLY, CLEAN], "auc", float("inf")),
    "a harm": lambda: onset(run([0.5] * 4, [0, NAN, 0, 0])),
    "a harm in a score": lambda: score([run([1] * 4, [NAN] * 4, True), CLEAN], "auc", 0.6),
    "a price": lambda: prices([outcome(seed, "nothing", NAN, 1.0) for seed in range(3)]),
    "a loss": lambda: membership_auc([NAN, 1.0], [2.0]),
}


@pytest.mark.parametrize("where", BROKEN)
def test_what_is_not_finite_never_counts_as_quiet(where):
    with pytest.raises(ValueError, match="finite"):
        BROKEN[where]()


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(ValueError, match="auc"):
        alarm(EARLY, "acu", 0)
    with pytest.raises(ValueError, match="calibrate"):
        calibrate([EARLY], "auc")
    with pytest.raises(ValueError, match="harmful and clean"):
        score([EARLY], "auc", 1)
    with pytest.raises(ValueError, match="the seeds"):
        prices([outcome(seed, way, 0, 0) for seed, way in enumerate(["nothing", "clean"] * 2)])
    with pytest.raises(ValueError, match="at least 2"):
        prices([outcome(0, "nothing", 0, 0)])
    with pytest.raises(ValueError, match="value"):
        membership_auc([], [1])
    with pytest.raises(ValueError, match="emoji"):
        safeguards.datasheet("emojis")


@pytest.mark.parametrize("name", [*models.CLIPS, *models.LADDER])
def test_a_model_card_is_fresh(name):
    assert (
        stale((CARDS / f"{name}.md").read_text(encoding="utf-8"), str(safeguards.model_card(name)))
        == []
    )


@pytest.mark.parametrize("name", DATASHEETS)
def test_a_datasheet_is_fresh(name):
    assert (
        stale((CARDS / f"{name}.md").read_text(encoding="utf-8"), str(safeguards.datasheet(name)))
        == []
    )


def test_a_stale_card_is_noticed(monkeypatch):
    entry = safeguards._entry("ladder-small/model.safetensors")
    altered = {**entry, "settings": {**entry["settings"], "steps": 1}}
    monkeypatch.setattr(safeguards, "_entry", lambda file: altered)
    stored = (CARDS / "ladder-small.md").read_text(encoding="utf-8")
    found = stale(stored, str(safeguards.model_card("ladder-small")))
    assert found == [
        f"-| setting: steps | {entry['settings']['steps']} |",
        "+| setting: steps | 1 |",
    ]


def test_a_card_is_of_the_hub_librarys_kind():
    assert isinstance(safeguards.model_card("sweep-clip"), ModelCard)
    card = safeguards.datasheet("addresses")
    assert isinstance(card, DatasetCard) and card.data.pretty_name == "addresses"
    assert "249 rows" in card.text
