"""The receptive field is exact, attention stays inside it, and the cache keeps what is seen."""

from __future__ import annotations

import pytest
import torch
from doubles import tiny_gpt_neo

from fmcourse.generation import attention_maps, influence, kept_tokens, receptive_field
from fmcourse.generation.decoding import begin

WINDOW = 8  # of the doubles
TEXT = [token % 16 + 1 for token in range(40)]
ROUNDING = 1e-6  # fp32 sums of some dozens of shares


def layered(*kinds):
    """Return a GPT-Neo with these layers."""
    config = tiny_gpt_neo().config
    config.num_layers, config.attention_layers = len(kinds), list(kinds)
    config.attention_types = [[[kind], 1] for kind in kinds]
    return type(tiny_gpt_neo())(config).eval()


@pytest.mark.parametrize(
    ("kinds", "seen"),
    [
        (["local"], WINDOW),
        (["local", "local"], 2 * WINDOW - 1),
        (["local"] * 3, 3 * WINDOW - 2),
        (["global"], 40),
        (["local", "global"], 40),
    ],
)
def test_the_receptive_field_on_paper(kinds, seen):
    assert receptive_field(layered(*kinds), 40) == seen
    assert receptive_field(layered(*kinds), 5) == 5  # no more than there is


def test_influence_is_what_a_change_of_the_text_shows():
    model = layered("local", "local")
    acts = influence(model, TEXT) > 0
    with torch.inference_mode():
        before = model(torch.tensor([TEXT])).logits[0, -1]
        for place in range(len(TEXT)):
            changed = torch.tensor([TEXT])
            changed[0, place] = (changed[0, place] + 3) % 16 + 1
            assert bool(acts[place]) != torch.equal(model(changed).logits[0, -1], before)


def test_attention_stays_in_the_past_and_in_the_window():
    maps = attention_maps(layered("global", "local"), TEXT)
    assert maps.shape == (2, 2, 40, 40)
    distance = torch.arange(40)[:, None] - torch.arange(40)
    assert torch.allclose(maps.sum(-1), torch.ones(2, 2, 40), atol=ROUNDING)
    assert (maps[:, :, distance < 0] == 0).all() and (maps[0][:, distance >= 0] > 0).all()
    assert (maps[1][:, distance >= WINDOW] == 0).all() and (
        maps[1][:, (distance >= 0) & (distance < WINDOW)] > 0
    ).all()


@pytest.mark.parametrize("length", [1, WINDOW, 30])
def test_the_fast_way_keeps_just_that(length):
    model = layered("global", "local", "local")
    session = begin(model, [torch.ones(length, dtype=torch.long)], 1, 2)
    assert session.cache_bytes == sum(2 * 16 * 4 * kept for kept in kept_tokens(model, length + 2))
