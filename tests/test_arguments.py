"""A wrong argument: the error names it, what was expected, what came, and the valid choices."""

import math

import numpy as np
import pytest
import torch
from doubles import refused

from fmcourse.arguments import choose, real, whole


@pytest.mark.parametrize("got, words", [("x" * 1000, r"xxx\.\.\.$"), (None, "got None$")])
def test_a_wrong_choice_lists_the_right_ones(got, words):
    with refused("style", f"one of 'noto', 'twemoji', .*{words}"):
        choose("style", got, iter(["noto", "twemoji"]))


@pytest.mark.parametrize("value", [3, np.uint8(3), torch.tensor(3)])
def test_a_whole_number_of_any_library_is_pythons(value):
    found = whole("width", value, 3, 3)
    assert found == 3 and type(found) is int


@pytest.mark.parametrize(
    "value", [2, 5, 3.0, "3", None, True, np.True_, torch.tensor(True), torch.ones(2).long()]
)
def test_what_is_no_whole_number_in_the_range(value):
    with refused("width", "a whole number from 3 to 4"):
        whole("width", value, 3, 4)


def test_a_real_number_is_finite_and_no_truth_value():
    assert all(map(real, (1, 0.5, np.float32(2), 10**400)))
    assert not any(map(real, ("1", True, np.True_, None, math.nan, -math.inf, 1j)))
