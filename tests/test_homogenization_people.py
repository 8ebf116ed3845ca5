"""People are counted as in the data; samples are as biased as they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fmcourse.homogenization import (
    aligned_gap,
    biased_sample,
    coverage,
    people,
    professions,
    transfer_people,
)
from fmcourse.homogenization.people import TONES


@pytest.fixture(scope="module")
def pairs():
    return transfer_people()


COLUMNS = ("style", "name", "gender", "skin_tone", "kind", "role")
SMALL = pd.DataFrame(
    [
        *(("a", f"cook {tone}", "female", tone, "role", "cook") for tone in (*TONES, "none")),
        ("a", "pilot", "none", "none", "role", "pilot"),
        ("b", "cook", "male", "none", "role", "cook"),
        ("b", "two", "female, male", "light, dark", "activity", "wrestling"),
    ],
    columns=COLUMNS,
)


# On paper.


def test_an_audit_on_paper():
    # Drawings, roles, and the shares of roles in five tones, as a woman, and as a man.
    assert coverage(SMALL).to_numpy().tolist() == [[7, 2, 0.5, 0.5, 0], [2, 2, 0, 0, 0.5]]
    assert professions(SMALL).loc["cook"].to_dict() == {"female": 1, "male": 1, "none": 0}
    assert list(professions(SMALL).index) == ["cook", "pilot"]


# The course's own people.


def test_a_role_has_neither_tone_nor_gender():
    table = people()
    assert not table["role"].str.contains("skin tone|woman|man |person |,$").any()
    own = table[table["role"] == "health worker"]
    assert set(own["gender"]) == {"female", "male", "none"} and set(TONES) <= set(own["skin_tone"])


# Biased samples.


def test_roles_are_whole_and_on_one_side(pairs):
    assert (pairs.groupby("role").size() == 8).all()
    assert (pairs.groupby("role")["part"].nunique() == 1).all()
    # As many of each kind within a part.
    assert pairs.groupby(["part", "woman", "dark"]).size().nunique() == 2


@pytest.mark.parametrize(
    "bias, rebalanced, fitting",
    [
        (0, 0, 60),
        (1, 0, 120),
        (1, 1, 60),
        (1, 0.5, 90),
        (0.9, 0, 114),
    ],
)
def test_a_sample_is_as_biased_as_asked(pairs, bias, rebalanced, fitting):
    places = biased_sample(pairs, bias, rebalanced)
    sample = pairs.loc[places]
    assert len(set(places)) == 120 and set(sample["part"]) == {"train"}
    assert sample["woman"].sum() == 60
    assert (sample["woman"] != sample["dark"]).sum() == fitting


def test_the_gap_on_paper():
    woman, dark = np.array([1, 0, 1, 0]), np.array([0, 1, 1, 0])
    assert aligned_gap(woman, woman, dark) == 0
    assert aligned_gap(1 - dark, woman, dark) == 1  # tone alone decides
    assert aligned_gap(dark, woman, dark) == -1


def test_a_filtered_table_is_sampled_by_its_row_numbers(pairs):
    half = pairs[pairs.index % 2 == 1]
    rows = biased_sample(half, 0, count=8)
    assert set(half.iloc[rows]["part"]) == {"train"} and max(rows) < len(half)


BIT = [1, 0, 1]


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda p: biased_sample(p, "half"), "bias"),
        (lambda p: biased_sample(p, 1, count=200), "count"),
        (lambda p: biased_sample(p[["woman"]], 1), "table"),
        (lambda p: aligned_gap([1], [1, 0], [0, 1]), "answers"),
        (lambda p: aligned_gap(BIT, ["woman", "man", "woman"], BIT), "woman"),
        (lambda p: aligned_gap(BIT, BIT, [0, 1, 0]), "dark"),
    ],
)
def test_a_message_begins_with_the_argument(pairs, call, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        call(pairs)
