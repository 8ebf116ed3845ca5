"""The fast decoder gives the plain one's tokens, for one prompt and for many; and it keeps no more than it must."""

from __future__ import annotations

import pytest
import torch
from doubles import CONTEXT, END, VOCABULARY, Letters, says, tiny_gpt_neo
from transformers import BertConfig, BertLMHeadModel

from fmcourse.generation import Beam, Decoder, Greedy, Sample, generate, generate_batch, next_logits

ROUNDING = 2e-5  # fp32: 24 bits, logits below 100, sums of a few dozen terms in another order
SMALL = BertConfig(
    vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
)
WINDOW = 8  # of the doubles' local layer
PROMPTS = [
    [3, 1, 4, 1, 5],
    [9],
    [2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4],
    [6, 2, 6, 4, 3, 3, 8, 3, 2],
]


def random_prompt(length, seed=0):
    return torch.randint(1, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length", [1, WINDOW - 1, WINDOW, WINDOW + 1, 30])
def test_greedy_equals_generate_of_transformers(length):
    for seed in range(4):
        model, prompt = tiny_gpt_neo(seed), random_prompt(length, seed)[None]
        new = CONTEXT - length  # to the end of the context, the window passed several times
        options = {"do_sample": False, "pad_token_id": END, "max_new_tokens": new}
        reference = model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)
        assert torch.equal(generate(Decoder(model), prompt, Greedy(), new), reference)


@pytest.mark.parametrize(
    "strategy",
    [Beam(2), Beam(5, 2.0), Sample(temperature=2.0), Sample(top_k=5, min_p=0.01)],
    ids=str,
)
def test_other_strategies_equal_the_plain_model(strategy):
    for seed in range(3):
        model = tiny_gpt_neo(seed)
        plain = generate(model, PROMPTS[0], strategy, 40, num_samples=2, seed=seed)
        assert torch.equal(
            generate(Decoder(model), PROMPTS[0], strategy, 40, num_samples=2, seed=seed), plain
        )


@pytest.mark.parametrize("rows", [1, 3])
def test_logits_are_those_of_a_full_pass_at_every_step(rows):
    model, prompt = tiny_gpt_neo(), random_prompt(5)[None]
    new = torch.stack([random_prompt(20, seed) for seed in range(rows)])
    with torch.inference_mode():
        full = model(torch.cat([prompt.repeat(rows, 1), new], dim=1)).logits
        session = Decoder(model).begin(prompt, None, rows, 21)
        for place in range(20):
            assert torch.allclose(session.logits, full[:, 4 + place], atol=ROUNDING)
            session.step(new[:, place])
        assert torch.allclose(session.logits, full[:, -1], atol=ROUNDING)


@pytest.mark.parametrize("activation", ["gelu_new", "relu", "gelu"])
def test_any_activation_that_lets_large_numbers_pass(activation):
    model = tiny_gpt_neo()
    model.config.activation_function = activation
    changed = type(model)(model.config).eval()
    for number in changed.parameters():
        torch.nn.init.normal_(number, std=0.3)  # biases too, which a fresh model has at 0
    text = random_prompt(20)[None]
    with torch.inference_mode():
        assert torch.allclose(
            Decoder(changed).begin(text, None, 1, 1).logits,
            changed(text).logits[:, -1],
            atol=ROUNDING,
        )


@pytest.mark.parametrize("model_of", [lambda model: model, Decoder], ids=["model", "decoder"])
def test_a_batch_of_unequal_prompts_gives_what_each_gives_alone(model_of):
    for seed in range(3):
        model = tiny_gpt_neo(seed)
        together = generate_batch(model_of(model), PROMPTS, Greedy(), 40)
        for rows, prompt in zip(together, PROMPTS):
            assert torch.equal(rows, generate(model, prompt, Greedy(), 40))


def test_the_batches_end_early_and_late():
    drawn = [
        zip(generate_batch(tiny_gpt_neo(seed), PROMPTS, Greedy(), 40), PROMPTS) for seed in range(3)
    ]
    lengths = {rows.shape[1] - len(prompt) for pairs in drawn for rows, prompt in pairs}
    assert 40 in lengths and min(lengths) < 40  # so the comparison above saw both


def test_samples_in_a_batch_share_their_prompt_and_reproduce():
    decoder = Decoder(tiny_gpt_neo(end=None))
    one, again = (
        generate_batch(decoder, PROMPTS, Sample(), 12, num_samples=3, seed=1) for _ in range(2)
    )
    for prompt, rows, same in zip(PROMPTS, one, again):
        assert rows.shape == (3, len(prompt) + 12) and torch.equal(rows, same)
        assert rows[:, : len(prompt)].tolist() == [prompt] * 3
        assert len({tuple(row) for row in rows.tolist()}) == 3


def test_no_new_tokens_in_a_batch():
    assert [rows.tolist() for rows in generate_batch(tiny_gpt_neo(), PROMPTS, Greedy(), 0, 2)] == [
        [p, p] for p in PROMPTS
    ]


def test_prompts_longer_than_the_context_may_be_shortened():
    model, long = tiny_gpt_neo(end=None), random_prompt(CONTEXT + 30)
    kept, other = generate_batch(model, [long, PROMPTS[0]], Greedy(), 10, shorten=True)
    assert torch.equal(kept, generate(model, long[-(CONTEXT - 10) :], Greedy(), 10))
    assert torch.equal(other, generate(model, PROMPTS[0], Greedy(), 10))


def test_local_layers_keep_their_window_only():
    decoder = Decoder(tiny_gpt_neo())
    session = decoder.begin(random_prompt(20)[None], None, 3, 30)
    assert session.cache_bytes == 2 * 3 * 16 * 4 * (
        50 + WINDOW
    )  # keys and values, rows, width, bytes, slots


def test_the_prompt_is_read_once_for_all_samples():
    model = tiny_gpt_neo()
    with torch.inference_mode():
        one, many = (
            Decoder(model).begin(random_prompt(9)[None], None, rows, 1).logits for rows in (1, 5)
        )
    assert torch.equal(many, one.expand(5, -1))


def test_the_next_token_of_a_decoder():
    model = tiny_gpt_neo()
    fast, plain = (next_logits(which, Letters(), "abc") for which in (Decoder(model), model))
    assert torch.allclose(fast, plain, atol=ROUNDING)


def test_a_decoder_keeps_the_weights_it_was_made_from():
    model = tiny_gpt_neo()
    decoder = Decoder(model)
    before = generate(decoder, PROMPTS[0], Greedy(), 20)
    assert all(number.requires_grad for number in model.parameters())
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight.zero_()
    assert torch.equal(generate(decoder, PROMPTS[0], Greedy(), 20), before)


ERRORS = [
    (lambda m: Decoder(BertLMHeadModel(SMALL)), "model: expected a GPT-Neo, got 'bert'"),
    (lambda m: Decoder(m.half()), "model: expected weights in torch.float32, got torch.float16"),
    (lambda m: generate_batch(m, [], Greedy(), 1), "prompts: expected at least one prompt, got []"),
    (
        lambda m: generate_batch(m, [[1], []], Greedy(), 1),
        "ids: expected at least one whole number, got []",
    ),
    (
        lambda m: generate_batch(m, [[1]], Beam(2), 1),
        "strategy: expected Greedy() or Sample(...), got Beam(width=2, length_penalty=1.0)",
    ),
    (lambda m: generate_batch(m, [[1]], Greedy(), 1, 0), "num_samples: expected at least 1, got 0"),
    (
        lambda m: generate_batch(m, [[1]], Greedy(), -1),
        "max_new_tokens: expected 0 or more, got -1",
    ),
    (
        lambda m: generate_batch(m, [[1], [1] * 60], Greedy(), 5),
        "max_new_tokens: expected at most 4 (the context holds 64 tokens, the prompt has 60; shorten it), got 5",
    ),
    (
        lambda m: generate_batch(m, [[1]], Greedy(), 64, shorten=True),
        "max_new_tokens: expected at most 63 (the context holds 64 tokens, the prompt has 1; shorten it), got 64",
    ),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(call, words):
    with says(ValueError, words):
        call(tiny_gpt_neo())
