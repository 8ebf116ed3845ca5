"""Alpha and steps are chosen where nothing is reported; differences are paired by seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fmcourse.clip import (
    MISTAKES,
    Comparison,
    cross_fitted,
    load_clinic,
    load_forgetting,
    load_retention,
)
from fmcourse.clip.mistakes import RIGHT
from fmcourse.clip.results import Clinic


def table(*runs):
    """Return a row for each picture of each run: a text of 0 and 1 and the run's other columns."""
    parts = []
    for bits, columns in runs:
        right = [bit == "1" for bit in bits]
        parts.append(pd.DataFrame(columns | {"picture": range(len(bits)), "right": right}))
    return pd.concat(parts)


COLUMNS = ["seed", "method", "steps", "alpha", "part", "right", "total"]
# Seed 0 chooses alpha 0.5, seed 1 alpha 0, whatever is right on the test.
COMPARISON = Comparison(
    pd.DataFrame(
        [
            (0, "before", 0, 0.0, "test", 10, 100),
            (0, "before", 0, 0.0, "choose", 1, 10),
            (0, "tuned", 30, 1.0, "test", 90, 100),
            (0, "tuned", 60, 1.0, "test", 50, 100),
            (0, "tuned", 60, 1.0, "choose", 2, 10),
            (0, "mixed", 60, 0.5, "test", 40, 100),
            (0, "mixed", 60, 0.5, "choose", 9, 10),
            (1, "before", 0, 0.0, "test", 20, 100),
            (1, "before", 0, 0.0, "choose", 5, 10),
            (1, "tuned", 60, 1.0, "test", 70, 100),
            (1, "tuned", 60, 1.0, "choose", 4, 10),
            (1, "mixed", 60, 0.5, "test", 99, 100),
            (1, "mixed", 60, 0.5, "choose", 5, 10),
        ],
        columns=COLUMNS,
    ),
    ("choose",),
    {"mixed": ("before", "tuned")},
)


def clinic_of(*runs):
    """Return a clinic of runs: name, seed, the answers at each step, the drawings named there."""
    rows = []
    for name, seed, steps, named in runs:
        failed = "nan at step 1" if name.startswith("fp16") else None
        for index, (bits, drawings) in enumerate(zip(steps, named)):
            columns = {"mistake": name, "seed": seed, "failed": failed, "step": 20 * index}
            rows.append((bits, columns | {"named": drawings}))
    return Clinic(table(*rows))


def test_no_picture_is_judged_by_its_own_choice():
    # Whatever the halves are, a way that is right on one alone is chosen for the other.
    first = np.random.default_rng(0).permutation(4)[:2]
    good_on_first = np.isin(np.arange(4), first).astype(int)
    ways = np.stack([good_on_first, 1 - good_on_first])
    answers, chosen = cross_fitted(ways, ways, 0)
    assert chosen == [1, 0] and answers.tolist() == [0] * 4


def test_a_way_that_is_best_everywhere_is_chosen_and_ties_go_to_the_first():
    ways = np.array([[0, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    assert cross_fitted(ways, 10 * ways)[0].tolist() == [10] * 4
    assert cross_fitted(ways, ways)[1] == [1, 1]
    with pytest.raises(ValueError, match="measured"):
        cross_fitted(ways, ways[:2])


def test_the_last_step_is_taken_and_alpha_is_chosen_where_nothing_is_reported():
    assert COMPARISON.methods == ["before", "tuned", "mixed"]
    assert COMPARISON.shares("tuned", "test").tolist() == [50, 70]
    # Seed 1 ties between 0 and 0.5, and takes the first, though the second is better on the test.
    assert COMPARISON.alphas("mixed").tolist() == [0.5, 0.0]
    assert COMPARISON.shares("mixed", "test").tolist() == [40, 20]
    assert COMPARISON.accuracy("mixed", "test").estimate == pytest.approx(30)


def test_differences_and_gains():
    gap = COMPARISON.difference("tuned", "before", "test")
    assert gap.estimate == pytest.approx(45) and gap.low < 45 < gap.high  # of 40 and 50
    kept = COMPARISON.gain_kept("mixed", "test")
    assert kept.estimate == pytest.approx((100 * 30 / 40 + 0) / 2)


def test_seeds_are_paired_by_their_numbers_and_not_by_their_order():
    turned = Comparison(COMPARISON.table[::-1], COMPARISON.choosing, COMPARISON.ends)
    for given in (("tuned", "before", "test"), ("mixed", "tuned", "test")):
        assert turned.difference(*given) == COMPARISON.difference(*given)


@pytest.mark.parametrize(
    ("words", "ask"),
    [
        ("method", lambda: COMPARISON.shares("tunde", "test")),
        ("part", lambda: COMPARISON.shares("tuned", "tset")),
        ("method", lambda: COMPARISON.alphas("tuned")),
        ("method", lambda: COMPARISON.gain_kept("before", "test")),
    ],
)
def test_what_was_not_measured(words, ask):
    with pytest.raises(ValueError, match=words):
        ask()


def test_a_cost_is_what_the_right_way_has_more():
    clinic = clinic_of(
        *(("done right", seed, ["0000", "1110"], [200, 160]) for seed in (0, 1)),
        *(("rows not normalized", seed, ["1000", "1000"], [200, 100]) for seed in (0, 1)),
        # The picked step saves what the last one lost of the new task.
        *(("learning rate 1e-3", seed, ["1111", "0000"], [200, 0]) for seed in (0, 1)),
        *(("fp16 weights with Adam", seed, ["0000"], [200]) for seed in (0, 1)),
    )
    assert clinic.accuracy().estimate == pytest.approx(75)
    wanted = {"rows not normalized": (50, 50), "learning rate 1e-3": (-25, 100)}
    # A run that broke off costs all; picking on the test set is trained as the right way is.
    wanted |= {"fp16 weights with Adam": (75, 100), "step picked on the test set": (0, 20)}
    for mistake, (cost, forgotten) in wanted.items():
        assert clinic.cost(mistake).estimate == pytest.approx(cost)
        assert clinic.forgotten(mistake).estimate == pytest.approx(forgotten)
    assert clinic.forgotten("done right").estimate == pytest.approx(20)
    with pytest.raises(ValueError, match="mistake"):
        clinic.cost("haste")


def test_picking_on_the_test_set_flatters_where_the_steps_differ_by_chance_only():
    generator = np.random.default_rng(0)
    noise = ["".join(map(str, generator.integers(0, 2, 40))) for _ in range(60 * 8)]
    runs = [("done right", seed, noise[8 * seed : 8 * seed + 8], [9] * 8) for seed in range(60)]
    # The best of 8 coins seems good, and is not.
    assert clinic_of(*runs).cost("step picked on the test set").low > 2


def test_the_bundled_remedies_are_complete():
    forgetting = load_forgetting()
    assert {"before", "linear probe", "1e-3", "3e-4", "1e-4", "LoRA"} < set(forgetting.methods)
    for method in forgetting.methods:
        for part in ("digits", "names", "openmoji"):
            shares = forgetting.shares(method, part)
            assert len(shares) == forgetting.table["seed"].nunique() >= 2
            assert shares.between(0, 100).all()
    before, probe = (forgetting.shares(name, "names") for name in ("before", "linear probe"))
    assert probe.equals(before)  # the encoder is the same


def test_the_bundled_splits_are_reported_at_the_rates_that_were_chosen():
    retention = load_retention()
    pooled = retention.shares("LP-FT", "styles of pre-training")
    both = [retention.shares("LP-FT at 1e-3", style) for style in ("noto", "twemoji")]
    assert np.allclose(pooled, (both[0] + both[1]) / 2)  # as many drawings in either
    for start in ("random head", "names"):
        shares = retention.shares(start, "openmoji")
        assert shares.equals(retention.shares(f"{start} at 1e-4", "openmoji"))
        assert not shares.equals(retention.shares(f"{start} at 3e-4", "openmoji"))
    assert retention.shares("interpolated", "openmoji").notna().all()


def test_the_bundled_clinic_is_complete():
    runs = load_clinic().table.groupby("mistake")
    acting = {name for name, habits in MISTAKES.items() if habits.clamped and not habits.test_set}
    assert set(runs.groups) == {RIGHT, *acting}
    assert (runs["seed"].nunique() == 5).all() and (runs["picture"].nunique() == 233).all()
