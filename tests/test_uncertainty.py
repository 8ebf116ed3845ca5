"""Intervals and tests: values from tables, brute force beside SciPy, and the words of each error."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from doubles import says
from scipy import stats

from fmcourse.uncertainty import (
    Interval,
    auc,
    bootstrap,
    holm,
    mean_interval,
    share_difference,
    sign_flip,
    wilson,
)

Z_95 = 1.959963984540054  # the normal quantile of 97.5%, from a table
ROUNDING = 1e-12  # a few operations in double precision
VALUES = [0.3, 0.1, 0.4, 0.1, 0.5, 0.9, 0.2, 0.6]


def same(interval, other, tolerance=ROUNDING):
    pairs = zip(
        (interval.estimate, interval.low, interval.high), (other.estimate, other.low, other.high)
    )
    return all(abs(a - b) <= tolerance for a, b in pairs)


def by_wilsons_formula(successes, trials):
    share, weight = successes / trials, Z_95**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = Z_95 * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return Interval(share, middle - half, middle + half)


def test_mean_interval_on_paper():
    found = mean_interval([1.0, 2.0, 3.0])
    half = 4.30265 / math.sqrt(3)  # t table, 2 degrees of freedom, 97.5%: five decimals
    assert same(found, Interval(2.0, 2 - half, 2 + half), tolerance=1e-5)


def test_sign_flip_on_paper():
    assert (
        sign_flip([1.0, 2.0, 3.0]) == 2 / 8
    )  # of the 8 sign patterns only +++ and --- are as extreme
    assert sign_flip([1.0, 2.0]) == 2 / 4
    assert sign_flip([0.0, 0.0, 0.0]) == 1.0


def test_an_interval_shows_itself():
    assert f"{Interval(0.5, 0.25, 1.0):.2f}" == "0.50 [0.25, 1.00]"


@pytest.mark.parametrize("trials", [1, 10, 1000])
def test_wilson_at_the_endpoints(trials):
    none, every = wilson(0, trials), wilson(trials, trials)
    assert none.estimate == 0 and every.estimate == 1
    assert abs(none.low) <= ROUNDING and none.high > 0
    assert abs(every.high - 1) <= ROUNDING and every.low < 1
    assert (
        none.low <= none.estimate and every.estimate <= every.high
    )  # an evidence row insists on it


@pytest.mark.parametrize(("successes", "trials"), [(5, 10), (1, 3), (0, 7), (99, 100), (1, 1)])
def test_wilson_equals_its_formula(successes, trials):
    assert same(wilson(successes, trials), by_wilsons_formula(successes, trials))


@pytest.mark.parametrize(
    "first, second, low, high",
    [  # Newcombe 1998, table II, tenth method
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((0, 10), (0, 10), -0.2775, 0.2775),
    ],
)
def test_share_difference_equals_newcombes_table(first, second, low, high):
    found = share_difference(first, second)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    turned = share_difference(second, first)
    assert (-turned.high, -turned.low) == (pytest.approx(found.low), pytest.approx(found.high))


def test_values_that_are_all_equal_have_no_width():
    assert mean_interval([4.0, 4.0]) == Interval(4.0, 4.0, 4.0)
    assert bootstrap([4.0] * 5) == Interval(4.0, 4.0, 4.0)


@pytest.mark.parametrize("interval", [mean_interval, bootstrap])
def test_the_estimate_lies_inside(interval):
    found = interval(VALUES)
    assert found.low < found.estimate < found.high
    assert abs(found.estimate - sum(VALUES) / len(VALUES)) <= ROUNDING


@pytest.mark.parametrize(
    "interval", [mean_interval, bootstrap, lambda values, level: wilson(3, 10, level)]
)
def test_a_higher_level_is_wider(interval):
    narrow, wide = interval(VALUES, level=0.5), interval(VALUES, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("statistic", [np.mean, np.std, np.linalg.norm])
def test_bootstrap_equals_scipys(statistic):
    ours = bootstrap(VALUES, statistic)
    theirs = stats.bootstrap(
        (VALUES,), statistic, method="percentile", n_resamples=5_000, vectorized=False, rng=1
    )
    ends = theirs.confidence_interval
    noise = (
        (ends.high - ends.low) / 50 * 4
    )  # the Monte-Carlo error named in the module, for two runs, twice over
    assert abs(ours.low - ends.low) <= noise and abs(ours.high - ends.high) <= noise


def brute_force(differences):
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(other >= observed - ROUNDING for other in sums) / len(sums)


@pytest.mark.parametrize(
    "differences",
    [[0.5, -0.2, 0.9], [1.0, 1.0, -1.0, 2.0, 0.25], [0.3, 0.1, 0.4, -0.1, 0.5, 0.9, -0.2, 0.6]],
)
def test_sign_flip_equals_brute_force(differences):
    assert abs(sign_flip(differences) - brute_force(differences)) <= ROUNDING


def test_sign_flip_is_exact_up_to_13_pairs():
    assert sign_flip([1.0] * 13) == 2 / 2**13


def test_sign_flip_draws_beyond_13_pairs():
    values = [*VALUES, *[-value for value in VALUES[:6]], 0.8]
    draws, exact = 9_999, brute_force(values)
    spread = math.sqrt(exact * (1 - exact) / draws)
    assert 0.05 < exact < 0.95  # else the comparison would show little
    assert abs(sign_flip(values) - exact) <= 4 * spread  # four standard errors of the draws


def test_bootstrap_resamples_the_first_axis():
    pairs = np.column_stack(
        [VALUES, VALUES]
    )  # were entries drawn alone, the columns would come apart
    apart = bootstrap(pairs, lambda rows: float(np.abs(rows[:, 0] - rows[:, 1]).max()))
    assert apart == Interval(0.0, 0.0, 0.0)


def test_bootstrap_moves_with_the_data():
    moved = bootstrap([value + 10 for value in VALUES])
    still = bootstrap(VALUES)
    assert same(moved, Interval(still.estimate + 10, still.low + 10, still.high + 10))


def test_the_order_of_runs_does_not_matter():
    assert same(mean_interval(VALUES), mean_interval(VALUES[::-1]))
    assert sign_flip(VALUES) == sign_flip(VALUES[::-1])


def test_the_direction_of_a_difference_does_not_matter():
    values = [0.5, -0.2, 0.9, 0.1]
    assert sign_flip(values) == sign_flip([-value for value in values])


def test_seeds_reproduce_and_inputs_stay():
    values = np.array(VALUES)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3) != bootstrap(values, seed=4)
    many = np.linspace(-0.4, 1, 20)
    assert sign_flip(many, seed=3) == sign_flip(many, seed=3) != sign_flip(many, seed=4)
    assert values.tolist() == VALUES


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.2], [0.2]),
        (
            [0.01, 0.02, 0.03],
            [0.03, 0.04, 0.04],
        ),  # 3, 2 and 1 times; the last may not fall below the one before
        ([0.4, 0.001, 0.9], [0.8, 0.003, 0.9]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_holm_on_paper(p_values, adjusted):
    assert holm(p_values) == pytest.approx(adjusted, abs=ROUNDING)


def test_holm_lies_between_no_correction_and_bonferronis():
    for seed in range(20):
        p_values = np.random.default_rng(seed).uniform(size=6)
        adjusted = np.array(holm(p_values))
        assert (adjusted >= p_values).all() and (
            adjusted <= np.minimum(6 * p_values, 1) + ROUNDING
        ).all()
        order = np.random.default_rng(seed + 1).permutation(6)
        assert holm(p_values[order]) == pytest.approx(adjusted[order], abs=ROUNDING)


def test_holm_keeps_the_family_wise_error():
    draw = np.random.default_rng(0)
    alarms = sum(min(holm(draw.uniform(size=10))) < 0.05 for _ in range(4_000))
    plain = sum(min(draw.uniform(size=10)) < 0.05 for _ in range(4_000))
    assert (
        alarms / 4_000 < 0.065 and plain / 4_000 > 0.35
    )  # 0.05 with an error of 0.0034, and 1 - 0.95**10 = 0.40


def test_auc_on_paper():
    assert auc([1.0, 2.0], [2.0, 3.0]) == 3.5 / 4  # of four pairs three are in order, one is a tie
    assert auc([0.0], [1.0, 2.0]) == 1 and auc([3.0], [1.0, 2.0]) == 0


def test_auc_is_the_share_of_pairs_in_order():
    draw = np.random.default_rng(0)
    lower, higher = draw.integers(0, 9, 20), draw.integers(2, 11, 30)
    pairs = [(a < b) + 0.5 * (a == b) for a, b in itertools.product(lower, higher)]
    assert auc(lower, higher) == pytest.approx(np.mean(pairs), abs=ROUNDING)
    assert auc(higher, lower) == pytest.approx(1 - np.mean(pairs), abs=ROUNDING)


def test_numpys_global_generator_is_untouched():
    before = np.random.get_state()[1].tolist()
    bootstrap(VALUES)
    sign_flip(np.linspace(-0.4, 1, 20))
    assert np.random.get_state()[1].tolist() == before


ERRORS = [
    (lambda: wilson(0, 0), "trials: expected at least 1, got 0"),
    (lambda: wilson(11, 10), "successes: expected a count from 0 to 10, got 11"),
    (lambda: wilson(-1, 10), "successes: expected a count from 0 to 10, got -1"),
    (lambda: wilson(2.5, 10), "successes: expected a count from 0 to 10, got 2.5"),
    (
        lambda: wilson(1, 2, level=95),
        "level: expected a coverage between 0 and 1, such as 0.95, got 95",
    ),
    (lambda: mean_interval([1.0]), "values: expected at least two runs, got 1"),
    (
        lambda: mean_interval([1.0, 2.0], level=0),
        "level: expected a coverage between 0 and 1, such as 0.95, got 0",
    ),
    (lambda: bootstrap([]), "values: expected at least one value, got []"),
    (lambda: bootstrap(1.0), "values: expected at least one value, got 1.0"),
    (
        lambda: bootstrap([1.0], level=1),
        "level: expected a coverage between 0 and 1, such as 0.95, got 1",
    ),
    (lambda: bootstrap([1.0, math.inf]), "values: expected finite numbers, got [1.0, inf]"),
    (lambda: sign_flip([1.0, math.nan]), "values: expected finite numbers, got [1.0, nan]"),
    (lambda: sign_flip([1.0]), "values: expected at least two pairs, got 1"),
    (lambda: auc([], [1.0]), "values: expected at least one value, got []"),
    (lambda: holm([]), "values: expected at least one value, got []"),
    (lambda: holm([0.2, 1.2]), "p_values: expected probabilities from 0 to 1, got [0.2, 1.2]"),
    (lambda: sign_flip([]), "values: expected at least one value, got []"),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(call, words):
    with says(ValueError, words):
        call()
