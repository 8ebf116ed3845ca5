"""The smallest effect that a test detects, and the ledger of the ecosystem."""

import numpy as np
import pytest
from doubles import CASES, refusals
from scipy.stats import ttest_1samp

from fmcourse import data, report


def test_the_smallest_effect_is_found_as_often_as_promised(draw):
    spread = np.array([-1.0, 1.0, -1.0, 1.0, 0.0])
    effect = report.smallest_effect(spread, power=0.8)
    runs = draw.normal(effect, spread.std(ddof=1), (4000, len(spread)))
    assert (ttest_1samp(runs, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.02)
    assert report.smallest_effect(spread + 7) == pytest.approx(effect)


def test_the_ledger_counts_a_training_once_and_packages_once(monkeypatch):
    monkeypatch.setattr(data, "manifest", lambda: CASES["report"]["files"])
    ledger = report.ecosystem(watts=20)
    assert list(ledger.index) == list(report.STAGES)
    assert ledger["files"].tolist()[:4] == [3, 2, 2, 1]
    training = ledger.loc["training"]
    assert training[["MB", "core hours", "Wh"]].tolist() == [4, 0.5, 10]
    assert ledger["Wh"].isna().tolist() == [True, False, False, False, True]


test_an_unknown_setting_is_named = refusals(
    ("differences", report.smallest_effect, [1.0]),
    ("power", lambda: report.smallest_effect([1.0, 2.0], power=1)),
    ("watts", report.ecosystem, 0),
)
