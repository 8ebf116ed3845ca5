"""Equally many pairs, from more or fewer styles and groups; the seeds rotate one order; nothing
shown is drawn over."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from fmcourse.breadth import GROUPS, shared_concepts

pytest.importorskip(
    "resvg_py",
    reason="needs the recipes' packages (`pip install -e '.[recipes]'`) and npm, which fetches the names",
)
pytestmark = pytest.mark.slow

from recipes import breadth, sweep_clip  # noqa: E402
from recipes.emoji import TRAINING_STYLES  # noqa: E402
from recipes.emoji_pairs import all_concepts  # noqa: E402


def test_the_seeds_rotate_one_order():
    orders = [breadth.order_of(GROUPS, seed) for seed in range(8)]
    assert {order[0] for order in orders} == set(GROUPS)
    assert orders[1] == orders[0][1:] + orders[0][:1]


@pytest.mark.parametrize("width", [1, 5])
def test_each_concept_is_drawn_once_and_the_styles_share_alike(width, monkeypatch):
    codes = [code for own in shared_concepts().values() for code in own[:5]]
    styles, dealt, reader = TRAINING_STYLES[:width], [], breadth.read_pictures

    def read(asked, concepts, tones):
        dealt.extend(asked * len(concepts))
        return reader(asked, concepts, tones=tones)

    monkeypatch.setattr(breadth, "read_pictures", read)
    pictures = breadth.one_style_each(codes, styles, random.Random(0))
    assert sorted(pictures.concept.tolist()) == list(range(40)) and not pictures.toned.any()
    assert Counter(dealt) == dict.fromkeys(styles, 40 // width)
    assert [
        all_concepts()[codes[place]]["name"] for place in pictures.concept.tolist()
    ] == pictures.label


@pytest.mark.parametrize("width", [1, 8])
def test_groups_have_equally_many_concepts_in_all_styles(width):
    pictures, groups = breadth.chosen_pairs("groups", width, seed=0)
    counted = Counter(
        all_concepts()[pictures.concepts[place]]["group"] for place in pictures.concept.tolist()
    )
    assert counted == dict.fromkeys(groups, 240 // width) and len(groups) == width


def test_a_picture_stays_in_its_style_unless_it_may_vary():
    pictures, _ = breadth.chosen_pairs("groups", 8, seed=0)
    captions = sweep_clip.own_captions(pictures)
    tokenizer = sweep_clip.make_tokenizer(sorted({text for own in captions for text in own}))
    still, varied = (
        sweep_clip.Sampler(pictures, captions, tokenizer, 0, 24, way) for way in (False, True)
    )
    assert (still.painted_share, still.lined_share) == (0, 0)
    assert (varied.painted_share, varied.lined_share) == (sweep_clip.PAINTED, sweep_clip.LINE_ART)
