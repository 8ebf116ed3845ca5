"""A wrong argument: the error names it, what was expected, what came, and the valid choices."""

from __future__ import annotations

import pytest

from fmcourse.arguments import choose, require


def test_a_right_argument_passes():
    assert require(True, "width", "at least 2", 1) is None
    assert choose("style", "noto", iter(["twemoji", "noto"])) == "noto"


def test_a_wrong_one_is_named_with_what_came():
    with pytest.raises(ValueError, match="^width: expected at least 2, got 1$"):
        require(False, "width", "at least 2", 1)


@pytest.mark.parametrize("got", ["tweemoji", ["twemoji"]])
def test_a_near_miss_gets_a_hint(got):
    with pytest.raises(ValueError, match="'noto', 'twemoji', .* did you mean 'twemoji'"):
        choose("style", got, ["noto", "twemoji"])


@pytest.mark.parametrize("got", ["zzz", None, 3, ("noto",)])
def test_what_is_near_nothing_gets_no_hint(got):
    with pytest.raises(ValueError, match="expected one of 'twemoji'") as error:
        choose("style", got, ["twemoji"])
    assert "did you mean" not in str(error.value)


def test_a_long_value_is_cut():
    with pytest.raises(ValueError) as error:
        require(False, "name", "a word", "a" * 1000)
    assert len(str(error.value)) < 120
