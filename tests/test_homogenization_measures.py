"""Who is failed by everybody: on paper, by the paper's formulas, and at every edge."""

import math

import numpy as np
import pandas as pd
import pytest
from doubles import refusals

from fmcourse.homogenization import (
    failure_matrix,
    homogenization,
    interval_over_seeds,
    power,
    shuffled,
    smallest_detectable,
    systemic_failure_rate,
)

T, F = True, False
ON_PAPER = [[T, T], [T, F], [F, F], [F, T]]  # errors 1/2 and 1/2, one of four failed by both
GROUPS = ["a", "a", "b", "b"]  # error rates 1 and 1/2 in a, 0 and 1/2 in b
EMPTY = pd.Categorical(GROUPS, categories=["a", "b", "c"])
KINDS = ("individual", "average", "uniform", "worst")
# So that H of independent columns lies within 0.1 of 1: its standard error is about 0.02.
PEOPLE = 40_000


# On paper.


def test_the_failure_matrix_on_paper():
    # Each deployer has a task of its own.
    assert failure_matrix([[0, 5], [1, 6]], [[0, 6], [0, 6]]).tolist() == [[F, T], [T, F]]


def test_shuffling_keeps_each_error_rate_and_removes_what_is_shared(draw):
    same = np.repeat(draw.random((PEOPLE, 1)) < 0.3, 3, 1)
    mixed = shuffled(same, seed=1)
    assert (mixed.sum(0) == same.sum(0)).all() and homogenization(same).ratio > 10
    assert homogenization(mixed).ratio == pytest.approx(1, abs=0.1)
    assert (shuffled(same, seed=1) == mixed).all()


# The paper's formulas, group by group.


def by_the_formulas(failures, groups):
    error = math.prod(failures.mean(0))
    rates, shares = [], []
    for group in set(groups):
        own = failures[groups == group]
        rates.append(math.prod(own.mean(0)))
        shares.append((len(own) / len(failures)) ** failures.shape[1])
    average = np.dot(shares, rates) / sum(shares)
    found = (failures.all(1).mean(), average, np.mean(rates), max(rates))
    return {kind: rate / error for kind, rate in zip(KINDS, found)}


def test_agreement_with_the_formulas_on_random_data(draw):
    failures = draw.random((300, 3)) < (0.3, 0.2, 0.4)
    groups = draw.choice(list("abcd"), 300, p=[0.6, 0.2, 0.15, 0.05])
    for kind, wanted in by_the_formulas(failures, groups).items():
        assert homogenization(failures, groups, kind).ratio == pytest.approx(wanted, rel=1e-9), kind


# Every edge: a documented answer, or clear words.


def test_a_deployer_without_errors_leaves_no_ratio():
    found = homogenization([[T, F], [F, F]])
    assert math.isnan(found.ratio) and found.observed == found.expected == 0
    assert found.reason == "deployer 1 fails nobody, so no systemic failure is expected"


def test_an_empty_group_leaves_no_ratio_and_weighs_nothing_in_the_average():
    for kind in ("uniform", "worst"):
        found = homogenization(ON_PAPER, EMPTY, kind)
        assert math.isnan(found.ratio) and math.isnan(found.observed)
        assert found.reason == "group 'c' is empty"
    assert homogenization(ON_PAPER, EMPTY, "average") == homogenization(ON_PAPER, GROUPS, "average")


def test_filtered_series_keep_their_order():
    table = pd.DataFrame({"said": list("xyxy"), "right": list("xxxx"), "group": list("abab")})
    kept = table[table["said"] == "y"]
    failures = failure_matrix(kept["said"], kept["right"])
    assert failures.tolist() == [[T], [T]]
    assert homogenization(failures, kept["group"], "worst").ratio == 1
    chosen = pd.DataFrame(ON_PAPER).astype("boolean").iloc[[3, 0]]
    assert systemic_failure_rate(chosen) == 0.5


WRONG_PREDICTIONS = [
    [[0.2, 0.9]],
    [[1.0, math.nan]],
    [["x", None]],
    pd.array([1, None]),
    np.zeros((2, 3, 4)),
    [[0, 1], [1]],
]
WRONG_GROUPS = [None, [*"abb", None], "aabb", [1, "1", 1, "1"], pd.DataFrame({"group": GROUPS})]


test_a_message_begins_with_the_argument = refusals(
    *(("predictions", failure_matrix, predictions, [0]) for predictions in WRONG_PREDICTIONS),
    *(("groups", homogenization, ON_PAPER, groups, "worst") for groups in WRONG_GROUPS),
    ("labels", failure_matrix, [[0, 1]], ["no"]),
    ("failures", systemic_failure_rate, pd.DataFrame([[T, None]], dtype="boolean")),
    ("failures", homogenization, [["1"]]),
    ("kind", homogenization, ON_PAPER, GROUPS, "worse"),
    ("failures", interval_over_seeds, [[[True]], [[False]]]),
    ("errors", power, [0.5, 0.0], 1, 10),
    ("ratio", power, [0.5, 0.5], math.nan, 10),
    ("wanted", smallest_detectable, [0.2], 10, 80),
)
