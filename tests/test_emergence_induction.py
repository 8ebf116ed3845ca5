"""A made-up induction head scores 1, others what paper says; ablation silences one head."""

import numpy as np
import pytest
import torch

from fmcourse.emergence import (
    ablated,
    attention_only,
    draw_strings,
    in_context_score,
    prefix_matching_score,
    small_gpt_neo,
)
from fmcourse.generation import row_losses

LENGTH = 48


def by_a_loop(attention, periods):
    """Return the prefix-matching score of each head, entry by entry."""
    strings, heads, length, _ = attention.shape
    totals, queries = torch.zeros(heads), 0
    for string in range(strings):
        period = int(periods[string])
        for query in range(period, length):
            queries += 1
            for copy in range(query - period, -1, -period):
                totals += attention[string, :, query, copy + 1]
    return totals / queries


def test_prefix_matching_equals_a_loop():
    torch.manual_seed(0)
    attention = torch.tril(torch.rand(5, 3, 20, 20))
    attention = attention / attention.sum(-1, keepdim=True)
    periods = torch.tensor([3, 4, 7, 9, 19])
    assert torch.allclose(
        prefix_matching_score(attention, periods), by_a_loop(attention, periods), atol=1e-6
    )


def test_in_context_score_on_paper():
    losses = torch.tensor([[4.0] * 8 + [2.0] * 31 + [1.0] * 8])
    assert in_context_score(losses) == -3


def test_strings_repeat_where_they_say_so():
    strings = draw_strings(300, bursty=0.5, seed=np.int64(0))
    assert set(strings.period.tolist()) == {0, *range(12, 25)}
    # Three and a half standard errors.
    assert 0.4 < (strings.period > 0).double().mean() < 0.6
    for ids, period in zip(strings.ids, strings.period.tolist()):
        assert not period or torch.equal(ids[period:], ids[:-period])


def test_a_block_of_an_attention_only_model_only_attends():
    model = attention_only(32, 16, 1, LENGTH)
    hidden = torch.randn(1, 5, 16)
    block = model.transformer.h[0]
    with torch.no_grad():
        attended = hidden + block.attn(block.ln_1(hidden))[0]
        assert torch.allclose(block(hidden)[0].view_as(attended), attended, atol=1e-6)


def test_ablation_equals_zeroed_weights_and_ends_with_the_block():
    model, ids = small_gpt_neo(32, 16, 2, LENGTH, seed=3), draw_strings(2, seed=3).ids
    before = row_losses(model, ids)
    with pytest.raises(KeyboardInterrupt), ablated(model, [(1, 2), (1, 0)]):
        silenced = row_losses(model, ids)
        raise KeyboardInterrupt
    assert torch.equal(row_losses(model, ids), before)
    with torch.no_grad():
        weight = model.transformer.h[1].attn.attention.out_proj.weight
        weight[:, 8:12] = 0
        weight[:, :4] = 0
    assert torch.allclose(row_losses(model, ids), silenced, atol=1e-6)
    assert not torch.equal(silenced, before)
