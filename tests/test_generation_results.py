"""The bundled sweeps are read as intervals: addresses and secrets are the units."""

from __future__ import annotations

import pandas as pd
import pytest

from fmcourse import stats
from fmcourse.generation import (
    by_address,
    difference_at,
    leak_curves,
    told_apart,
    written_in_full,
)

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
    return pd.DataFrame(rows, columns=COLUMNS)


def test_samples_are_averaged_within_an_address(frontier):
    assert by_address(frontier, "surprise", "top-p", 0.9).tolist() == [4.0, 4.0]


def test_surprise_is_read_off_at_a_variety(frontier):
    gap = difference_at(frontier, 0.75, "min-p", "top-p")
    assert gap.estimate == pytest.approx(2.75 - 3.75)
    assert difference_at(frontier, 0.5, "top-p", "top-p").estimate == 0


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
    return pd.DataFrame(rows, columns=[*columns, "measure", "value"])


PLANTED = {"size": "small", "corpus": "planted", "copies": 4}


def test_secrets_of_all_seeds_count_together(study):
    asked = PLANTED | {"secrets": "planted"}
    assert written_in_full(study, **asked) == stats.wilson(3, 4)
    assert written_in_full(study, context=1, **asked) == stats.wilson(0, 4)
    assert written_in_full(study, secrets="unseen") == stats.wilson(0, 4)
    auc = told_apart(study, **PLANTED)
    assert auc.estimate == pytest.approx((1 + 3 / 4) / 2)
    assert leak_curves(study)["0.00 M parameters, told apart (AUC)"] == ([4], [auc])


@pytest.mark.parametrize(
    "ask",
    [
        lambda f, s: by_address(f, "suprise", "top-p", 0.9),
        lambda f, s: difference_at(f, 0.5, "min-p", "top-p"),
        lambda f, s: written_in_full(s, context=2, **PLANTED),
    ],
)
def test_what_was_not_measured_is_refused(frontier, study, ask):
    with pytest.raises(ValueError, match="expected"):
        ask(frontier, study)
