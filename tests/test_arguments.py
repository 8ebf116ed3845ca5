"""A wrong argument hears its name, what was expected, what came, and the valid choices."""

from __future__ import annotations

import pytest
from doubles import says

from fmcourse.arguments import choose, require


def test_what_holds_passes():
    assert require(True, "width", "at least 2", 1) is None


def test_what_does_not_hold_is_said_in_one_sentence():
    with says(ValueError, "width: expected at least 2, got 1"):
        require(False, "width", "at least 2", 1)


def test_a_choice_is_returned():
    assert choose("style", "noto", ["noto", "twemoji"]) == "noto"


def test_choices_may_come_from_an_iterator():
    assert choose("style", "noto", iter(["twemoji", "noto"])) == "noto"


def test_a_near_miss_gets_a_hint():
    with says(
        ValueError,
        "style: expected one of 'noto', 'twemoji', got 'tweemoji'; did you mean 'twemoji'?",
    ):
        choose("style", "tweemoji", ["noto", "twemoji"])


@pytest.mark.parametrize("got", ["zzz", None, 3, ("noto",)])
def test_what_is_near_nothing_gets_no_hint(got):
    with says(ValueError, f"style: expected one of 'twemoji', got {got!r}"):
        choose("style", got, ["twemoji"])


def test_a_list_is_no_choice_and_still_gets_the_sentence():
    with says(ValueError, "style: expected one of 'noto', got ['noto']; did you mean 'noto'?"):
        choose("style", ["noto"], {"noto": 1})


@pytest.mark.parametrize(
    ("letters", "shown"), [(78, "'" + 78 * "a" + "'"), (79, "'" + 76 * "a" + "...")]
)
def test_a_long_value_is_cut_at_80_characters(letters, shown):
    assert len(shown) == 80
    with says(ValueError, f"name: expected a word, got {shown}"):
        require(False, "name", "a word", "a" * letters)
