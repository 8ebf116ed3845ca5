"""Alarms and their lead on paper, prices in pairs, and cards that are fresh."""

import json

import doubles
import pytest

from fmcourse import data, models, safeguards
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
from fmcourse.stats import mean_interval

CASES = doubles.CASES["safeguards"]
CARDS = data.BUNDLED / "cards"


def run(values, harm=(0, 0, 0, 0), planted=False, role="judge"):
    return Trace(planted, role, [0, 10, 20, 30], {"auc": list(values)}, list(harm), seed=0)


CALIBRATION = [run(values, role="calibrate") for values in CASES["calibrate"]]
EARLY, LATE, SILENT, HARMLESS = (run(*given, planted=True) for given in CASES["planted"])
CLEAN, CRYING = map(run, CASES["clean"])


def test_the_threshold_comes_from_clean_calibration_runs_alone():
    planted = run([9, 9, 9, 9], planted=True, role="calibrate")
    found = calibrate([*CALIBRATION, EARLY, CRYING, planted], "auc")
    assert found == 0.6  # the highest of all their checkpoints


def test_a_further_clean_run_rings_once_in_one_more_than_the_calibration_runs(draw):
    rung = 0
    for _ in range(2_000):
        *calibration, new = (run(values, role="calibrate") for values in draw.normal(size=(5, 4)))
        rung += alarm(new, "auc", calibrate(calibration, "auc")) is not None
    # Four standard errors.
    assert rung / 2_000 == pytest.approx(1 / 5, abs=4 * 0.4 / 2_000**0.5)


def test_alarm_and_onset():
    assert (alarm(SILENT, "auc", 0.5), onset(SILENT)) == (None, 20)  # at the threshold is no alarm
    assert onset(CLEAN) is None


def test_scores_on_paper():
    found = score([*CALIBRATION, EARLY, LATE, SILENT, HARMLESS, CLEAN, CRYING], "auc", 0.65)
    assert found.leads == (20, -20)
    assert found.detected.estimate == pytest.approx(1 / 3)
    assert found.false_alarms.estimate == 0.5
    assert (found.harmful, found.clean) == (3, 2)


def outcome(seed, way, harm, loss, extra=0):
    return {"seed": seed, "way": way, "harm": harm, "loss": loss, "extra_steps": extra}


def test_prices_are_paired_with_doing_nothing():
    outcomes = [outcome(s, "nothing", 0.5, 3 + s) for s in range(3)]
    outcomes += [outcome(s, "clean", 0.1 * s, 3.2 + 1.01 * s, 200) for s in (2, 0, 1)]
    found = prices(outcomes)
    # The runs differ by 1 each, the pairs by 0.01.
    assert vars(found["clean"].loss) == pytest.approx(vars(mean_interval([0.2, 0.21, 0.22])))
    assert found["clean"].harm.estimate == pytest.approx(0.1)
    assert found["clean"].steps == 200 and found["nothing"].loss.estimate == 0


def test_traces_come_back_as_they_were_kept(tmp_path):
    file = tmp_path / "runs.json"
    file.write_text(json.dumps([{**vars(EARLY), "loss": [1.0], "outcomes": []}]))
    assert read_traces(file) == [EARLY]


NAN = float("nan")
QUIET = run([0.5, NAN, 0.5, 0.5], role="calibrate")
test_what_is_not_finite_or_cannot_be_judged_is_refused = doubles.refusals(
    ("auc", calibrate, [*CALIBRATION, QUIET], "auc"),
    ("auc", score, [EARLY, QUIET, run([NAN] * 4)], "auc", 0.65),
    ("threshold", alarm, EARLY, "auc", NAN),
    ("harm", onset, run([0.5] * 4, [0, NAN, 0, 0])),
    ("shares", prices, [outcome(seed, "nothing", NAN, 1.0) for seed in range(3)]),
    ("lower", membership_auc, [NAN, 1.0], [2.0]),
    ("precursor", alarm, EARLY, "acu", 0),
    ("traces", calibrate, [EARLY], "auc"),
    ("traces", score, [EARLY], "auc", 1),
    (
        "outcomes of 'clean'",
        prices,
        [outcome(seed, way, 0, 0) for seed, way in enumerate(["nothing", "clean"] * 2)],
    ),
    ("values", prices, [outcome(0, "nothing", 0, 0)]),
)


@pytest.mark.parametrize("name", [*models.CLIPS, *models.LADDER, *DATASHEETS])
def test_a_card_is_fresh(name):
    make = safeguards.datasheet if name in DATASHEETS else safeguards.model_card
    assert stale((CARDS / f"{name}.md").read_text("utf-8"), str(make(name))) == []
