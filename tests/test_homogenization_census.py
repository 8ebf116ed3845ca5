"""Deployers learn from the rows they should, without what is withheld; sharing rows matters."""

from __future__ import annotations

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


def test_the_people_are_those_judged(failures):
    people = adult_people()
    assert failures[True][0].shape == (len(people), 4) == (5_000, 4)
    assert set(people["sex"]) == {"Male", "Female"} and people["race"].nunique() == 5


def test_disjoint_rows_are_disjoint_and_shared_ones_the_same(learnt_from):
    adult_failures(shared=False)
    assert len(set.union(*learnt_from)) == 4 * 500
    learnt_from.clear()
    adult_failures(shared=True)
    assert len(set.union(*learnt_from)) == 500


@pytest.mark.parametrize("shared", [True, False])
def test_nobody_learns_from_those_who_are_judged(learnt_from, shared):
    adult_failures(shared)
    assert max(set.union(*learnt_from)) < 45_222 - 5_000


def test_what_is_withheld_does_not_move_the_features(monkeypatch):
    table, features = census._table(), census._features()
    mixed = table.assign(**{name: table[name].to_numpy()[::-1] for name in census.WITHHELD})
    monkeypatch.setattr(census, "_table", lambda: mixed)
    assert (census._features.__wrapped__() == features).all()
    assert features.shape[0] == len(table) and np.isfinite(features).all()


def test_sharing_rows_leaves_accuracy_and_concentrates_failure(failures):
    shared, disjoint = (np.array(failures[kind]) for kind in (True, False))
    assert abs(shared.mean() - disjoint.mean()) < 0.015
    assert systemic_failure_rate(shared[0]) > systemic_failure_rate(disjoint[0]) + 0.03


def test_equal_seeds_give_equal_decisions(failures):
    assert (adult_failures(True, SEEDS[0]) == failures[True][0]).all()
    assert (failures[True][0] != failures[True][1]).any()
