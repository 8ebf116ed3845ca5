"""People are counted as in the data; samples are as biased as they say."""

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

SMALL = pd.DataFrame(
    [
        *(("a", f"cook {tone}", "female", tone, "role", "cook") for tone in (*TONES, "none")),
        ("a", "pilot", "none", "none", "role", "pilot"),
        ("b", "cook", "male", "none", "role", "cook"),
        ("b", "two", "female, male", "light, dark", "activity", "wrestling"),
    ],
    columns=["style", "name", "gender", "skin_tone", "kind", "role"],
)


def test_an_audit_on_paper():
    # Drawings, roles, and the shares of roles in five tones, as a woman, and as a man.
    assert coverage(SMALL).to_numpy().tolist() == [[7, 2, 0.5, 0.5, 0], [2, 2, 0, 0, 0.5]]
    assert professions(SMALL).loc["cook"].to_dict() == {"female": 1, "male": 1, "none": 0}
    assert list(professions(SMALL).index) == ["cook", "pilot"]


def test_a_role_has_neither_tone_nor_gender():
    table = people()
    assert not table["role"].str.contains("skin tone|woman|man |person |,$").any()
    own = table[table["role"] == "health worker"]
    assert set(own["gender"]) == {"female", "male", "none"} and set(TONES) <= set(own["skin_tone"])


@pytest.mark.parametrize("bias, rebalanced, fitting", [(0, 0, 60), (1, 0.5, 90), (0.9, 0, 114)])
def test_a_sample_is_as_biased_as_asked_and_its_roles_are_not_tested(bias, rebalanced, fitting):
    pairs = transfer_people()
    assert (pairs.groupby("role").size() == 8).all()
    assert (pairs.groupby("role")["part"].nunique() == 1).all()
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
