"""People are counted as in the data; samples are as biased as they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fmcourse import data
from fmcourse.homogenization import (
    aligned_gap,
    biased_sample,
    count_drawings,
    coverage,
    people,
    professions,
    transfer_people,
)
from fmcourse.homogenization.people import TONES


@pytest.fixture(scope="module")
def table():
    return people()


@pytest.fixture(scope="module")
def pairs():
    return transfer_people()


def row(style, name, gender, tone, kind="role", role="cook"):
    return {
        "style": style,
        "name": name,
        "gender": gender,
        "skin_tone": tone,
        "kind": kind,
        "role": role,
    }


SMALL = pd.DataFrame(
    [
        *(row("a", f"cook {tone}", "female", tone) for tone in (*TONES, "none")),
        row("a", "pilot", "none", "none", role="pilot"),
        row("b", "cook", "male", "none"),
        row("b", "two", "female, male", "light, dark", kind="activity", role="wrestling"),
    ]
)


# On paper.


def test_coverage_on_paper():
    found = coverage(SMALL)
    assert found.loc["a"].to_dict() == {
        "drawings": 7,
        "roles": 2,
        "five_tones": 0.5,
        "woman": 0.5,
        "man": 0,
    }
    assert found.loc["b"].to_dict() == {
        "drawings": 2,
        "roles": 2,
        "five_tones": 0,
        "woman": 0,
        "man": 0.5,
    }


def test_an_audit_on_paper():
    assert count_drawings(SMALL, "gender").to_dict() == {
        "female": {"a": 6, "b": 0},
        "male": {"a": 0, "b": 1},
        "none": {"a": 1, "b": 0},
        "several": {"a": 0, "b": 1},
    }
    assert count_drawings(SMALL, "gender", by="role").loc["wrestling", "several"] == 1


def test_professions_on_paper():
    assert professions(SMALL).loc["cook"].to_dict() == {"female": 1, "male": 1, "none": 0}
    assert list(professions(SMALL).index) == ["cook", "pilot"]


# The course's own people.


def test_every_drawing_is_counted_once(table):
    assert (
        count_drawings(table, "gender").to_numpy().sum()
        == count_drawings(table, "skin_tone").to_numpy().sum()
        == len(table)
    )
    assert set(count_drawings(table, "kind").index) == set(data.STYLES)


def test_a_role_has_neither_tone_nor_gender(table):
    assert not table["role"].str.contains("skin tone|woman|man |person |,$").any()
    own = table[table["role"] == "health worker"]
    assert set(own["gender"]) == {"female", "male", "none"} and set(TONES) <= set(own["skin_tone"])


def test_the_place_is_that_of_the_picture(table):
    drawings = data.load_emoji()["name"]
    assert all(
        drawings[place] == name for place, name in zip(table["place"][::500], table["name"][::500])
    )


def test_the_oldest_style_draws_hardly_any_role_as_a_woman_and_as_a_man(table):
    shares = coverage(table)
    assert shares.loc["emojione", "woman"] < 0.3 < 0.7 < shares.loc["noto", "woman"]


# Biased samples.


def test_roles_are_whole_and_on_one_side(pairs):
    assert (pairs.groupby("role").size() == 8).all()
    assert (pairs.groupby("role")["part"].nunique() == 1).all()
    assert (
        pairs.groupby(["part", "woman", "dark"]).size().nunique() == 2
    )  # as many of each kind within a part


@pytest.mark.parametrize(
    "bias, rebalanced, fitting",
    [
        (0, 0, 60),
        (1, 0, 120),
        (0.5, 0, 90),
        (1, 1, 60),
        (1, 0.5, 90),
        (0.9, 0, 114),
    ],
)
def test_a_sample_is_as_biased_as_asked(pairs, bias, rebalanced, fitting):
    places = biased_sample(pairs, bias, rebalanced)
    sample = pairs.loc[places]
    assert (
        len(set(places)) == 120 and set(sample["part"]) == {"train"} and sample["woman"].sum() == 60
    )
    assert (sample["woman"] != sample["dark"]).sum() == fitting


def test_samples_follow_their_seed(pairs):
    assert (biased_sample(pairs, 0.5, seed=1) == biased_sample(pairs, 0.5, seed=1)).all()
    assert set(biased_sample(pairs, 0.5, seed=1)) != set(biased_sample(pairs, 0.5, seed=2))


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
        (lambda p: count_drawings(SMALL, "tone"), "column"),
        (lambda p: count_drawings(SMALL[["style"]], "gender"), "table"),
        (lambda p: biased_sample(p, np.nan), "bias"),
        (lambda p: biased_sample(p, "half"), "bias"),
        (lambda p: biased_sample(p, 0, count=8.0), "count"),
        (lambda p: biased_sample(p, 1, count=200), "count"),
        (lambda p: biased_sample(p[["woman"]], 1), "table"),
        (lambda p: aligned_gap([1], [1, 0], [0, 1]), "answers"),
        (lambda p: aligned_gap([1, np.nan, 0], BIT, BIT), "answers"),
        (lambda p: aligned_gap(BIT, ["woman", "man", "woman"], BIT), "woman"),
        (lambda p: aligned_gap(BIT, BIT, [0, 1, 0]), "dark"),
    ],
)
def test_a_message_begins_with_the_argument(pairs, call, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        call(pairs)
