"""Deployers learn from the rows they should, without what is withheld; sharing rows matters."""

import numpy as np
import pytest

from fmcourse.homogenization import (
    adult_failures,
    adult_people,
    census,
    systemic_failure_rate,
)

SEEDS = (30, 31)


@pytest.fixture(scope="module")
def failures():
    return {shared: [adult_failures(shared, seed) for seed in SEEDS] for shared in (True, False)}


@pytest.fixture
def learnt_from(monkeypatch):
    """Put deployers in place that learn nothing and note their rows, which can be told apart."""
    rows = []

    class Noted:
        def __init__(self, trees, random_state):
            pass

        def fit(self, features, labels):
            rows.append(set(features[:, 0].astype(int)))
            return self

        def predict(self, features):
            return np.zeros(len(features), bool)

    monkeypatch.setattr(census, "RandomForestClassifier", Noted)
    monkeypatch.setattr(census, "_features", lambda: np.arange(45_222, dtype="float64")[:, None])
    return rows


@pytest.mark.parametrize("shared, rows", [(False, 4 * 500), (True, 500)])
def test_deployers_share_rows_as_asked_and_learn_from_nobody_they_judge(learnt_from, shared, rows):
    adult_failures(shared)
    known = set.union(*learnt_from)
    assert len(known) == rows and max(known) < 45_222 - len(adult_people())


def test_what_is_withheld_does_not_move_the_features(monkeypatch):
    table, features = census._table(), census._features()
    mixed = table.assign(**{name: table[name].to_numpy()[::-1] for name in census.WITHHELD})
    monkeypatch.setattr(census, "_table", lambda: mixed)
    assert (census._features.__wrapped__() == features).all()
    assert features.shape[0] == len(table) and np.isfinite(features).all()


def test_sharing_rows_leaves_accuracy_and_concentrates_failure(failures):
    shared, disjoint = (np.array(failures[kind]) for kind in (True, False))
    assert shared.shape == (len(SEEDS), len(adult_people()), 4)
    assert abs(shared.mean() - disjoint.mean()) < 0.015
    assert systemic_failure_rate(shared[0]) > systemic_failure_rate(disjoint[0]) + 0.03


def test_equal_seeds_give_equal_decisions(failures):
    assert (adult_failures(True, SEEDS[0]) == failures[True][0]).all()
    assert (failures[True][0] != failures[True][1]).any()
