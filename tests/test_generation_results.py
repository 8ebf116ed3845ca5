"""The bundled sweeps are read as intervals: addresses and secrets are the units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fmcourse.generation import (
    DecodingFrontier,
    Memorization,
    load_decoding_frontier,
    load_memorization,
)
from fmcourse.stats import wilson

COLUMNS = ["family", "value", "surprise", "distinct_2", "sample", "year"]
SETTINGS = [
    ("top-p", 0.2, 2.0, 0.4),
    ("top-p", 0.9, 4.0, 0.8),
    ("min-p", 0.5, 2.5, 0.7),
    ("min-p", 0.1, 3.5, 0.9),
]


@pytest.fixture(scope="module")
def frontier():
    """Two samples of two addresses, alike but for a spread between samples that averages out."""
    rows = []
    for family, value, surprise, variety in SETTINGS:
        for sample, spread in enumerate((-1, 1)):
            rows += [(family, value, surprise + spread, variety, sample, y) for y in (1900, 2000)]
    return DecodingFrontier(pd.DataFrame(rows, columns=COLUMNS))


def test_samples_are_averaged_within_an_address(frontier):
    found = frontier.interval("surprise", "top-p", 0.9)
    assert found.estimate == 4.0 and np.isnan([found.low, found.high]).all()
    assert frontier.values("min-p") == [0.5, 0.1]  # in the order of the sweep


def test_surprise_is_read_off_at_a_variety(frontier):
    gap = frontier.difference("min-p", "top-p", 0.75)
    assert gap.estimate == pytest.approx(2.75 - 3.75)
    assert frontier.difference("top-p", "top-p", 0.5).estimate == 0
    variety, surprise = frontier.curves(["min-p"])["min-p"]
    assert variety == [0.7, 0.9] and [odd.estimate for odd in surprise] == [2.5, 3.5]


@pytest.fixture(scope="module")
def study():
    """Two seeds; of the secrets planted four times, one and two of two are written."""
    rows = []
    for seed, losses, written in ((0, [0.0, 1.0], 1), (1, [0.0, 2.5], 2)):
        measured = [("planted", 4, "", "loss", loss) for loss in losses]
        measured += [("unseen", 0, "", "loss", loss) for loss in (2.0, 3.0)]
        measured += [
            ("planted", 4, name, "extracted", n) for name, n in (("all", written), ("1", 0))
        ]
        measured += [("unseen", 0, "all", "extracted", 0), ("planted", 4, "", "copies_left", 4.0)]
        rows += [("small", 100, "planted", seed, *one) for one in measured]
    columns = ["size", "parameters", "corpus", "seed", "secrets", "copies", "context"]
    return Memorization(pd.DataFrame(rows, columns=[*columns, "measure", "value"]))


def test_secrets_of_all_seeds_count_together(study):
    assert study.extraction("small", 4) == wilson(3, 4)
    assert study.extraction("small", 4, context=1) == wilson(0, 4)
    assert study.never_planted("small") == wilson(0, 4)
    assert study.auc("small", 4).estimate == pytest.approx((1 + 3 / 4) / 2)
    assert study.sizes == {"small": 100} and study.contexts == [1]
    assert study.copies_left(4, "planted") == 4
    told = study.curves()["0.00 M parameters, told apart (AUC)"]
    assert told == ([4], [study.auc("small", 4)])


@pytest.mark.parametrize(
    "ask",
    [
        lambda f, s: f.interval("surprise", "top-q", 1),
        lambda f, s: f.interval("surprise", "top-p", 1),
        lambda f, s: f.interval("suprise", "top-p", 0.9),
        lambda f, s: f.difference("min-p", "top-p", 0.5),
        lambda f, s: s.auc("small", 3),
        lambda f, s: s.auc("small", 4, "plain"),
        lambda f, s: s.extraction("small", 4, context=2),
    ],
)
def test_what_was_not_measured_is_refused(frontier, study, ask):
    with pytest.raises(ValueError, match="expected"):
        ask(frontier, study)


def test_the_bundled_sweeps_are_complete():
    frontier = load_decoding_frontier()
    runs = frontier.table.groupby(["family", "value"]).size()
    assert len(runs) == 60 + 1 and set(runs) == {13, 4 * 13}
    repeated = [("greedy", 1), ("temperature", 1.0)]
    greedy, plain = (frontier.interval("repetition_4", *which).estimate for which in repeated)
    assert greedy > plain
    study = load_memorization()
    losses = study.table[study.table["measure"] == "loss"]
    counts = losses.groupby(["size", "corpus", "seed", "secrets", "copies"]).size()
    assert len(counts) == 2 * 2 * 2 * (8 + 1) and set(counts) == {30, 100}
    assert study.never_planted("ladder-medium").estimate == 0
    assert study.copies_left(64) < 0.1 * study.copies_left(64, "planted")
