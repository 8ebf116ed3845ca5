"""Alpha and steps are chosen where nothing is reported; differences are paired by seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from doubles import CASES

from fmcourse.clip import (
    MISTAKES,
    load_clinic,
    load_forgetting,
    load_retention,
    load_shift,
)
from fmcourse.clip.mistakes import RIGHT
from fmcourse.clip.results import Clinic, Comparison


def table(*runs):
    """Return a row for each picture of each run: a text of 0 and 1 and the run's other columns."""
    parts = []
    for bits, columns in runs:
        right = [bit == "1" for bit in bits]
        parts.append(pd.DataFrame(columns | {"picture": range(len(bits)), "right": right}))
    return pd.concat(parts)


# Seed 0 chooses alpha 0.5, seed 1 alpha 0, whatever is right on the test.
COMPARISON = Comparison(
    pd.DataFrame(CASES["clip"]["runs"], columns=CASES["clip"]["columns"]),
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
    # Whatever the halves are, a step that is right on one alone is chosen for the other.
    runs = []
    for seed in (0, 1):
        first = np.random.default_rng(seed).permutation(4)[:2]
        on_first = "".join("01"[picture in first] for picture in range(4))
        elsewhere = "".join("10"[picture in first] for picture in range(4))
        runs.append((RIGHT, seed, [on_first, elsewhere], [9, 9]))
    assert clinic_of(*runs).accuracy().estimate == 0


def test_the_last_step_is_taken_and_alpha_is_chosen_where_nothing_is_reported():
    assert COMPARISON.methods == ["before", "tuned", "mixed"]
    assert COMPARISON.shares("tuned", "test").tolist() == [50, 70]
    # Seed 1 ties between 0 and 0.5, and takes the first, though the second is better on the test.
    assert COMPARISON.alphas("mixed").tolist() == [0.5, 0.0]
    assert COMPARISON.shares("mixed", "test").tolist() == [40, 20]
    assert COMPARISON.accuracy("mixed", "test").estimate == pytest.approx(30)


def test_differences_and_gains_pair_seeds_by_their_numbers():
    gap = COMPARISON.difference("tuned", "before", "test")
    assert gap.estimate == pytest.approx(45) and gap.low < 45 < gap.high  # of 40 and 50
    kept = COMPARISON.gain_kept("mixed", "test")
    assert kept.estimate == pytest.approx((100 * 30 / 40 + 0) / 2)
    turned = Comparison(COMPARISON.table[::-1], COMPARISON.choosing, COMPARISON.ends)
    for given in (("tuned", "before", "test"), ("mixed", "tuned", "test")):
        assert turned.difference(*given) == COMPARISON.difference(*given)


def test_what_was_not_measured():
    with pytest.raises(ValueError, match="method"):
        COMPARISON.accuracy("tunde", "test")
    with pytest.raises(ValueError, match="part"):
        COMPARISON.accuracy("tuned", "tset")
    with pytest.raises(ValueError, match="method"):
        COMPARISON.gain_kept("before", "test")


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


def test_the_bundled_comparisons_are_complete():
    for comparison in (load_forgetting(), load_retention(), load_shift()):
        for method in comparison.methods:
            shares = comparison.shares(method, "openmoji")
            assert len(shares) == comparison.table["seed"].nunique() >= 2
            assert shares.between(0, 100).all()
    shift = load_shift()
    assert shift.shares("names", "left out").equals(shift.shares("names at 1e-4", "left out"))
    assert not shift.shares("interpolated at 1e-3", "left out").equals(
        shift.shares("interpolated", "left out")
    )
    retention = load_retention()
    pooled = retention.shares("LP-FT", "styles of pre-training")
    both = [retention.shares("LP-FT at 1e-3", style) for style in ("noto", "twemoji")]
    assert np.allclose(pooled, (both[0] + both[1]) / 2)  # as many drawings in either
    for start in ("random head", "names"):
        chosen, other = (
            retention.shares(f"{start} at {rate}", "openmoji") for rate in ("1e-4", "3e-4")
        )
        assert retention.shares(start, "openmoji").equals(chosen) and not chosen.equals(other)


def test_the_bundled_clinic_is_complete():
    runs = load_clinic().table.groupby("mistake")
    acting = {name for name, habits in MISTAKES.items() if habits.clamped and not habits.test_set}
    assert set(runs.groups) == {RIGHT, *acting}
    assert (runs["seed"].nunique() == 5).all() and (runs["picture"].nunique() == 233).all()
