"""A made-up induction head scores 1, others what paper says; ablation silences one head; the circuit can be seen to matter."""

from __future__ import annotations

import contextlib
import math

import pytest
import torch
from doubles import says

from fmcourse.emergence import (
    ablated,
    attention_only,
    draw_strings,
    in_context_score,
    prefix_matching_score,
    score_induction,
    small_gpt_neo,
    token_losses,
    train_induction,
)

LENGTH = 48


def looking(back, length=12):
    """Return attention that looks `back` tokens back, to the first token where there are not so many."""
    keys = (torch.arange(length) - back).clamp(min=0)
    return torch.nn.functional.one_hot(keys, length).float()


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


def test_an_induction_head_scores_one_and_a_previous_token_head_nothing():
    heads = torch.stack([looking(3), looking(1), looking(0)])
    assert prefix_matching_score(heads, period=4).tolist() == [1, 0, 0]


def test_equal_attention_on_paper():
    even = torch.tril(torch.ones(4, 4)) / torch.arange(1, 5)[:, None]
    # period 2: query 2 may look at key 1 (1 of 3 keys), query 3 at key 2 (1 of 4)
    assert abs(prefix_matching_score(even[None], 2).item() - (1 / 3 + 1 / 4) / 2) < 1e-6


def test_prefix_matching_equals_a_loop():
    torch.manual_seed(0)
    attention = torch.tril(torch.rand(5, 3, 20, 20))
    attention = attention / attention.sum(-1, keepdim=True)
    periods = torch.tensor([3, 4, 7, 9, 19])
    assert torch.allclose(
        prefix_matching_score(attention, periods), by_a_loop(attention, periods), atol=1e-6
    )


def test_the_order_of_strings_does_not_matter():
    attention, periods = torch.rand(4, 2, 9, 9), torch.tensor([2, 3, 4, 5])
    turned = prefix_matching_score(attention.flip(0), periods.flip(0))
    assert torch.allclose(prefix_matching_score(attention, periods), turned, atol=1e-6)


def test_in_context_score_on_paper():
    losses = torch.tensor([[4.0] * 8 + [2.0] * 31 + [1.0] * 8])
    assert in_context_score(losses) == -3
    assert in_context_score(losses.flip(1)) == 3
    assert in_context_score(torch.full((2, 47), 3.5)) == 0


def test_strings_repeat_where_they_say_so():
    strings = draw_strings(300, bursty=0.5, seed=0)
    assert strings.ids.shape == (300, LENGTH) and set(strings.period.tolist()) == {
        0,
        *range(12, 25),
    }
    assert 0.4 < (strings.period > 0).double().mean() < 0.6  # three and a half standard errors
    for ids, period in zip(strings.ids, strings.period.tolist()):
        assert not period or torch.equal(ids[period:], ids[:-period])


def test_the_endpoints_of_burstiness():
    assert (draw_strings(50, bursty=1.0, seed=0).period > 0).all()
    assert (draw_strings(50, bursty=0.0, seed=0).period == 0).all()


def test_seeds_reproduce():
    first, second, third = (draw_strings(4, seed=seed).ids for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_an_untrained_model_knows_nothing():
    in_context, heads = score_induction(attention_only(32, 64, 2, LENGTH), draw_strings(20, seed=1))
    assert abs(in_context) < 0.1 and heads.shape == (2, 4) and heads.max() < 0.2


def test_token_losses_are_the_models_loss():
    model, ids = small_gpt_neo(32, 16, 1, LENGTH), draw_strings(3, seed=2).ids
    with torch.no_grad():
        assert abs(token_losses(model, ids).mean() - model(input_ids=ids, labels=ids).loss) < 1e-5


def test_a_block_of_an_attention_only_model_only_attends():
    model = attention_only(32, 16, 1, LENGTH)
    hidden = torch.randn(1, 5, 16)
    block = model.transformer.h[0]
    with torch.no_grad():
        attended = hidden + block.attn(block.ln_1(hidden))[0]
        assert torch.allclose(block(hidden)[0].view_as(attended), attended, atol=1e-6)


def test_the_first_of_two_layers_is_local():
    assert attention_only(32, 16, 2, LENGTH).config.attention_layers == ["local", "global"]
    assert attention_only(32, 16, 1, LENGTH).config.attention_layers == ["global"]


def test_ablation_equals_zeroed_weights_and_ends_with_the_block():
    model, ids = small_gpt_neo(32, 16, 2, LENGTH, seed=3), draw_strings(2, seed=3).ids
    before = token_losses(model, ids)
    with ablated(model, layer=1, head=2):
        silenced = token_losses(model, ids)
    assert torch.equal(token_losses(model, ids), before)
    with torch.no_grad():
        model.transformer.h[1].attn.attention.out_proj.weight[:, 8:12] = 0
    assert torch.allclose(token_losses(model, ids), silenced, atol=1e-6) and not torch.equal(
        silenced, before
    )


def test_ablation_ends_after_an_error_too():
    model, ids = small_gpt_neo(32, 16, 1, LENGTH), draw_strings(2, seed=3).ids
    before = token_losses(model, ids)
    with pytest.raises(RuntimeError, match="stuck"), ablated(model, 0, 0):
        raise RuntimeError("stuck")
    assert torch.equal(token_losses(model, ids), before)


def test_a_short_run_keeps_a_record_of_every_head():
    _, run = train_induction(2, steps=3, measure_every=2, tokens=8)
    heads = {f"head {layer}.{head}" for layer in (0, 1) for head in range(4)}
    assert [record["step"] for record in run.records] == [0, 2, 3]
    assert set(run.records[0]) == {"step", "in_context", *heads}


@pytest.mark.slow
def test_two_layers_grow_an_induction_head_and_one_does_not():
    model, run = train_induction(2)
    _, control = train_induction(1)
    best = max((value, name) for name, value in run.records[-1].items() if name.startswith("head"))
    assert (
        best[0] > 0.5
        and max(value for name, value in control.records[-1].items() if name.startswith("head"))
        < 0.4
    )
    assert run.records[-1]["in_context"] < -2 < control.records[-1]["in_context"]
    matching = [
        name for name, value in run.records[-1].items() if name.startswith("head") and value > 0.5
    ]
    strings = draw_strings(100, seed=9)
    with contextlib.ExitStack() as stack:
        for name in matching:  # together: each has stand-ins among the others
            stack.enter_context(ablated(model, *map(int, name.removeprefix("head ").split("."))))
        assert (
            in_context_score(token_losses(model, strings.ids)) > run.records[-1]["in_context"] + 1
        )


ERRORS = [
    (
        lambda: prefix_matching_score(torch.ones(4, 4), 2),
        "attention: expected shape (strings, heads, length, length), got (1, 4, 4)",
    ),
    (
        lambda: prefix_matching_score(torch.ones(1, 4, 5), 2),
        "attention: expected shape (strings, heads, length, length), got (1, 1, 4, 5)",
    ),
    (
        lambda: prefix_matching_score(torch.ones(1, 4, 4), 0),
        "period: expected whole numbers from 1 to 3, got [0]",
    ),
    (
        lambda: prefix_matching_score(torch.ones(1, 4, 4), 4),
        "period: expected whole numbers from 1 to 3, got [4]",
    ),
    (
        lambda: in_context_score(torch.ones(2, 15)),
        "losses: expected strings of 16 losses or more, got (2, 15)",
    ),
    (
        lambda: in_context_score(torch.ones(47)),
        "losses: expected strings of 16 losses or more, got (47,)",
    ),
    (lambda: draw_strings(0), "count: expected at least 1, got 0"),
    (lambda: draw_strings(1, bursty=1.5), "bursty: expected a chance from 0 to 1, got 1.5"),
    (lambda: draw_strings(1, bursty=math.nan), "bursty: expected a chance from 0 to 1, got nan"),
    (lambda: draw_strings(1, tokens=1), "tokens: expected at least 2, got 1"),
    (
        lambda: draw_strings(1, length=47),
        "length: expected at least 48, twice the longest period, got 47",
    ),
    (lambda: ablated(small_gpt_neo(4, 4, 1, 4), 1, 0).__enter__(), "layer: expected 0 to 0, got 1"),
    (lambda: ablated(small_gpt_neo(4, 4, 1, 4), 0, 4).__enter__(), "head: expected 0 to 3, got 4"),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(call, words):
    with says(ValueError, words):
        call()
