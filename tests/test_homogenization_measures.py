"""Who is failed by everybody: values on paper, the paper's formulas once more, and an answer or clear words for every edge."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from doubles import says
from fmcourse.uncertainty import wilson

from fmcourse import homogenization as topic
from fmcourse.homogenization import (
    failure_counts,
    failure_matrix,
    group_failure,
    homogenization,
    shuffled,
    systemic_failure_rate,
)

T, F = True, False
ON_PAPER = [[T, T], [T, F], [F, F], [F, T]]  # errors 1/2 and 1/2, one of four failed by both
GROUPS = ["a", "a", "b", "b"]  # error rates 1 and 1/2 in a, 0 and 1/2 in b
ROUNDING = 1e-12
PEOPLE = (
    40_000  # so that H of independent columns lies within .1 of 1: its standard error is about .02
)


def random_failures(seed=0, people=400, rates=(0.3, 0.2, 0.4)):
    return np.random.default_rng(seed).random((people, len(rates))) < rates


# On paper.


def test_the_failure_matrix_on_paper():
    found = failure_matrix([["x", "y"], ["y", "y"]], ["x", "y"])
    assert found.tolist() == [[F, T], [F, F]] and found.dtype == bool


def test_each_deployer_may_have_a_task_of_its_own():
    assert failure_matrix([[0, 5], [1, 6]], [[0, 6], [0, 6]]).tolist() == [[F, T], [T, F]]


def test_one_deployer_may_come_as_a_row():
    assert failure_matrix([1, 0], [1, 1]).tolist() == [[F], [T]]


def test_h_on_paper():
    found = homogenization(ON_PAPER)
    assert (found.observed, found.expected, found.ratio, found.difference, found.reason) == (
        0.25,
        0.25,
        1.0,
        0.0,
        "",
    )
    assert float(found) == 1.0
    # a: 1 * 1/2, b: 0 * 1/2; both groups are half of the people
    assert [
        homogenization(ON_PAPER, GROUPS, kind).ratio for kind in ("average", "uniform", "worst")
    ] == [1.0, 1.0, 2.0]


def test_the_groups_of_the_average_are_weighed_by_the_power_of_their_share():
    failures, groups = [[T, T], [F, F], [F, F], [T, F]], ["a", "b", "b", "b"]
    weights, rates = [(1 / 4) ** 2, (3 / 4) ** 2], [1 * 1, 1 / 3 * 0]
    wanted = sum(w * r for w, r in zip(weights, rates)) / sum(weights) / (1 / 2 * 1 / 4)
    assert homogenization(failures, groups, "average").ratio == pytest.approx(wanted, abs=ROUNDING)


def test_counts_on_paper():
    counts = failure_counts(ON_PAPER)
    assert counts.observed.tolist() == [0.25, 0.5, 0.25]
    assert counts.expected == pytest.approx([0.25, 0.5, 0.25], abs=ROUNDING)


def test_systemic_failure_by_group_on_paper():
    assert group_failure(ON_PAPER, GROUPS) == {"a": wilson(1, 2), "b": wilson(0, 2)}


# The endpoints.


@pytest.mark.parametrize("kind", ["individual", "average", "uniform"])
def test_independent_columns_give_about_1(kind):
    failures = random_failures(people=PEOPLE)
    groups = np.arange(PEOPLE) % 5
    assert homogenization(failures, groups, kind).ratio == pytest.approx(1, abs=0.1)


def test_identical_columns_give_the_error_to_the_power_of_1_minus_k():
    column = random_failures()[:, :1]
    for deployers in (1, 2, 5):
        found = homogenization(np.repeat(column, deployers, 1)).ratio
        assert found == pytest.approx(column.mean() ** -(deployers - 1), rel=ROUNDING)


def test_independent_counts_are_poisson_binomial_and_identical_ones_are_not():
    failures = random_failures(people=PEOPLE)
    counts = failure_counts(failures)
    assert counts.observed == pytest.approx(
        counts.expected, abs=0.01
    )  # five standard errors of a share
    same = failure_counts(np.repeat(failures[:, :1], 3, 1))
    assert same.observed[1] == same.observed[2] == 0 and same.expected[1] > 0.3


def test_shuffling_keeps_each_error_rate_and_removes_what_is_shared():
    same = np.repeat(random_failures(people=PEOPLE)[:, :1], 3, 1)
    mixed = shuffled(same, seed=1)
    assert (mixed.sum(0) == same.sum(0)).all()
    assert homogenization(same).ratio > 10 and homogenization(mixed).ratio == pytest.approx(
        1, abs=0.1
    )
    assert (shuffled(same, seed=1) == mixed).all() and (shuffled(same, seed=2) != mixed).any()


# The paper's formulas, computed another way: with loops over group and deployer, and exact fractions for the counts.


def by_the_formulas(failures, groups):
    people, deployers = failures.shape
    error = math.prod(sum(map(bool, failures[:, k])) / people for k in range(deployers))
    weighted = together = 0.0
    joint = []
    for g in sorted(set(groups)):
        own = [row for row, group in zip(failures.tolist(), groups) if group == g]
        rate, share = 1.0, 1.0
        for k in range(deployers):
            rate *= sum(row[k] for row in own) / len(own)
            share *= len(own) / people
        weighted, together = weighted + share * rate, together + share
        joint.append(rate)
    all_fail = sum(all(row) for row in failures.tolist()) / people
    return {
        "individual": all_fail / error,
        "average": weighted / (error * together),
        "uniform": sum(joint) / len(joint) / error,
        "worst": max(joint) / error,
    }


@pytest.mark.parametrize("seed", range(5))
def test_agreement_with_the_formulas_on_random_data(seed):
    failures = random_failures(seed, people=300)
    groups = (
        np.random.default_rng(seed).choice(list("abcd"), 300, p=[0.6, 0.2, 0.15, 0.05]).tolist()
    )
    for kind, wanted in by_the_formulas(failures, groups).items():
        assert homogenization(failures, groups, kind).ratio == pytest.approx(wanted, rel=1e-9), kind


def test_agreement_of_the_counts_with_all_patterns():
    rates = random_failures().mean(0)
    wanted = np.zeros(4)
    for pattern in np.ndindex(2, 2, 2):
        wanted[sum(pattern)] += np.prod(
            [rate if failed else 1 - rate for rate, failed in zip(rates, pattern)]
        )
    assert failure_counts(random_failures()).expected == pytest.approx(wanted, abs=ROUNDING)


# Invariances.


@pytest.mark.parametrize("kind", ["individual", "average", "uniform", "worst"])
def test_neither_order_nor_the_groups_names_matter_and_arguments_stay(kind):
    failures, order = random_failures(), np.random.default_rng(1).permutation(400)
    groups, kept = np.arange(400) % 3, failures.copy()
    named = np.array(["north", "west", "east"])[groups]
    wanted = homogenization(failures, groups, kind).ratio
    assert homogenization(failures[order][:, ::-1], named[order], kind).ratio == pytest.approx(
        wanted, rel=ROUNDING
    )
    assert (failures == kept).all()


def test_ones_and_zeros_are_as_good_as_booleans():
    failures = random_failures()
    assert (
        homogenization(failures.astype(float))
        == homogenization(failures)
        == homogenization(failures.tolist())
    )


# Every edge: a documented answer, or clear words.


def test_one_deployer_is_always_as_expected():
    assert homogenization([[T], [F]]).ratio == 1.0


def test_a_deployer_without_errors_leaves_no_ratio():
    found = homogenization([[T, F], [F, F]])
    assert math.isnan(found.ratio) and found.observed == found.expected == found.difference == 0
    assert found.reason == "deployer 1 fails nobody, so no systemic failure is expected"


def test_nobody_right_at_all():
    assert homogenization([[T, T], [T, T]]).ratio == 1.0


EMPTY = pd.Categorical(["a", "a", "b", "b"], categories=["a", "b", "c"])


@pytest.mark.parametrize("kind", ["uniform", "worst"])
def test_an_empty_group_leaves_no_ratio(kind):
    found = homogenization(ON_PAPER, EMPTY, kind)
    assert (
        math.isnan(found.ratio)
        and math.isnan(found.observed)
        and found.reason == "group 'c' is empty"
    )


def test_an_empty_group_weighs_nothing_in_the_average():
    assert homogenization(ON_PAPER, EMPTY, "average") == homogenization(ON_PAPER, GROUPS, "average")
    assert math.isnan(group_failure(ON_PAPER, EMPTY)["c"].estimate)


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda: failure_matrix([[0.2, 0.9]], [1]),
            "predictions: expected classes, none missing (turn probabilities into classes first), got [[0.2, 0.9]]",
        ),
        (
            lambda: failure_matrix([[1.0, math.nan]], [1]),
            "predictions: expected classes, none missing (turn probabilities into classes first), got [[1.0, nan]]",
        ),
        (
            lambda: failure_matrix([["x", None]], ["x"]),
            "predictions: expected classes as whole numbers, booleans or text, none missing, got [['x', None]]",
        ),
        (
            lambda: failure_matrix([[1 + 2j]], [1]),
            "predictions: expected classes as whole numbers, booleans or text, got dtype('complex128')",
        ),
        (
            lambda: failure_matrix(np.zeros((2, 3, 4)), [0, 0]),
            "predictions: expected classes of shape (individuals, deployers), got (2, 3, 4)",
        ),
        (lambda: failure_matrix([], []), "predictions: expected at least one class, got []"),
        (
            lambda: failure_matrix([[0, 1]], [0, 1]),
            "labels: expected shape (1,) or (1, 2), got (2,)",
        ),
        (
            lambda: failure_matrix([[0, 1]], ["no"]),
            "labels: expected classes of the predictions' kind (int64), got dtype('<U2')",
        ),
        (
            lambda: systemic_failure_rate([T, F]),
            "failures: expected shape (individuals, deployers), at least one of each, got (2,)",
        ),
        (
            lambda: systemic_failure_rate(np.zeros((0, 2))),
            "failures: expected shape (individuals, deployers), at least one of each, got (0, 2)",
        ),
        (
            lambda: systemic_failure_rate([[1.0, math.nan]]),
            "failures: expected True or False (or 1 or 0), none missing, got [[1.0, nan]]",
        ),
        (
            lambda: homogenization([[0.5, 1]]),
            "failures: expected True or False (or 1 or 0), none missing, got [[0.5, 1]]",
        ),
        (
            lambda: homogenization([["x"]]),
            "failures: expected True or False (or 1 or 0), none missing, got [['x']]",
        ),
        (
            lambda: homogenization(ON_PAPER, GROUPS, "worse"),
            "kind: expected one of 'individual', 'average', 'uniform', 'worst', got 'worse'; did you mean 'worst'?",
        ),
        (
            lambda: homogenization(ON_PAPER, kind="worst"),
            "groups: expected one group for each individual, got None",
        ),
        (
            lambda: homogenization(ON_PAPER, GROUPS[:3], "worst"),
            "groups: expected one for each of the 4 individuals, got 3",
        ),
        (
            lambda: homogenization(ON_PAPER, ["a", None, "b", "b"], "worst"),
            "groups: expected a group for every individual, none missing, got ['a', None, 'b', 'b']",
        ),
    ],
)
def test_the_words_of_each_error(call, words):
    with says(ValueError, words):
        call()


def test_what_is_offered_is_there():
    assert all(hasattr(topic, name) for name in topic.__all__)
