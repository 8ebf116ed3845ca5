"""Decoding gives what transformers gives, token for token, and scores are exact on paper."""

from __future__ import annotations

import math

import pytest
import torch
from doubles import CONTEXT, END, VOCABULARY, Letters, tiny_gpt_neo
from scipy.stats import chisquare
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper, TypicalLogitsWarper

from fmcourse.generation import (
    Beam,
    Greedy,
    Sample,
    bits_per_byte,
    distinct_n,
    generate,
    mark_repeats,
    mean_surprise,
    next_logits,
    perplexity,
    repetition_n,
    scoring,
    self_bleu,
    stream,
    token_losses,
)

ROUNDING = 2e-5  # fp32: 24 bits, logits below 100, sums of a few dozen terms in another order
PROMPT = [3, 1, 4, 1, 5]
SEEDS = range(4)


@pytest.fixture(scope="module")
def model():
    return tiny_gpt_neo()


def theirs(model, prompt, **options):
    """Return what transformers' own generate gives."""
    ids = torch.tensor([prompt])
    options = {"do_sample": False, "pad_token_id": END} | options
    return model.generate(ids, attention_mask=torch.ones_like(ids), **options)


# Filters, on paper and against transformers.


def random_logits(seed, rows=40, vocabulary=60):
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * 3


WARPERS = [
    *[(Sample(top_k=k), TopKLogitsWarper(k)) for k in (1, 7, 200)],
    *[(Sample(top_p=p), TopPLogitsWarper(p)) for p in (0.01, 0.5, 0.9, 1.0)],
    *[(Sample(min_p=p), MinPLogitsWarper(p)) for p in (0.001, 0.5, 1.0)],
    *[(Sample(typical_p=p), TypicalLogitsWarper(p)) for p in (0.01, 0.5, 0.999)],
]


def test_a_filter_equals_transformers():
    # A quarter each: exact in binary, so that a half is a border that is met.
    for logits in (*map(random_logits, SEEDS), torch.zeros(1, 4)):
        for strategy, warper in WARPERS:
            kept = logits.clone()
            filtered = strategy.filter(logits)
            assert torch.equal(filtered, warper(None, logits)) and torch.equal(logits, kept)


def test_tokens_come_as_often_as_their_probability():
    logits, strategy = random_logits(3, 1, 12) / 3, Sample(0.8, top_k=9, top_p=0.95)
    sampled = strategy.choose(logits.expand(40_000, -1), torch.Generator().manual_seed(0))
    counts = torch.bincount(sampled, minlength=12)
    expected = strategy.probabilities(logits)[0]
    assert (counts[expected == 0] == 0).all()
    kept = expected > 0
    # A fixed seed: a right sampler passes once and for all.
    assert chisquare(counts[kept], 40_000 * expected[kept].double(), sum_check=False).pvalue > 0.01


COMBINED = [
    {"temperature": 1.8, "top_p": 0.8, "min_p": 0.05},
    {"top_k": 9, "typical_p": 0.6},
    {"temperature": 1.3, "top_k": 12, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.8},
]


@pytest.mark.parametrize("filters", COMBINED, ids=str)
def test_combined_filters_act_in_the_order_of_generate(model, filters):
    torch.manual_seed(0)  # generate draws from the global generator
    wanted = {"return_dict_in_generate": True, "output_logits": True, "output_scores": True}
    options = wanted | {"do_sample": True, "max_new_tokens": 40, "top_k": 0} | filters
    output = theirs(model, PROMPT, **options)
    assert len(output.logits) > 10
    for logits, scores in zip(output.logits, output.scores):
        assert torch.equal(Sample(**filters).filter(logits.float()), scores)


# Decoding against transformers.


@pytest.mark.parametrize(("width", "penalty"), [(2, 0.5), (3, 1.0), (5, 2.0)])
def test_beam_search_equals_generate(width, penalty):
    for seed in SEEDS:
        model = tiny_gpt_neo(seed)
        for wanted, new in ((1, 9), (width, 18)):
            options = {"num_beams": width, "length_penalty": penalty}
            options |= {"num_return_sequences": wanted, "max_new_tokens": new}
            found = generate(model, PROMPT, Beam(width, penalty), new, wanted)
            assert torch.equal(found, theirs(model, PROMPT, **options))


# Shapes, padding, reuse.


def tokens_through(model, work):
    """Return how many tokens enter the model while `work` is done, rows times length."""
    entered = []
    hook = model.register_forward_pre_hook(lambda module, given: entered.append(given[0].numel()))
    try:
        work()
    finally:
        hook.remove()
    return sum(entered)


def test_the_prompt_is_read_once():
    endless = tiny_gpt_neo(end=None)
    for strategy, samples, rows in ((Greedy(), 4, 4), (Sample(), 4, 4), (Beam(3), 2, 3)):

        def work(strategy=strategy, samples=samples):
            generate(endless, PROMPT, strategy, 7, samples, seed=0)

        # The prompt once; the seventh new token need not be read.
        assert tokens_through(endless, work) == len(PROMPT) + rows * 6


def test_what_follows_an_end_is_only_ends(model):
    rows = generate(model, PROMPT, Sample(temperature=3.0), 40, num_samples=30, seed=0)
    new = rows[:, len(PROMPT) :].tolist()
    firsts = {row.index(END) for row in new if END in row}
    assert len(firsts) > 3  # rows end early, and at different places
    for row in new:
        assert set(row[row.index(END) :]) == {END} if END in row else True


@pytest.mark.parametrize("strategy", [Greedy(), Sample(), Beam(3)], ids=str)
def test_the_result_can_be_trained_on(strategy):
    model = tiny_gpt_neo()
    rows = generate(model, PROMPT, strategy, 4, seed=0)
    model(rows, labels=rows).loss.backward()
    assert model.transformer.wte.weight.grad.abs().sum() > 0


def test_seeds_reproduce_and_leave_the_global_generator_alone(model):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    samples = [generate(model, PROMPT, Sample(), 20, 4, seed=seed).tolist() for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]
    assert len({tuple(row) for row in samples[0]}) > 1
    assert torch.equal(torch.get_rng_state(), before)
    one = generate(model, PROMPT, Sample(), 20)  # without a seed the global one is used
    torch.manual_seed(3)
    assert torch.equal(generate(model, PROMPT, Sample(), 20), one)


def test_the_next_logits(model):
    with torch.inference_mode():
        expected = model(torch.tensor([[1, 2, 3]])).logits[:, -1]
    assert torch.allclose(next_logits(model, Letters(), "abc"), expected, atol=ROUNDING)
    # A long text keeps its end.
    kept = "abcdefgh" * 8
    wanted = next_logits(model, Letters(), kept)
    assert torch.equal(next_logits(model, Letters(), "p" * 30 + kept), wanted)


@pytest.mark.parametrize("strategy", [Greedy(), Sample(temperature=3.0)], ids=str)
def test_a_stream_hands_out_what_generate_returns(model, strategy):
    ended = 0
    for seed in range(12):
        whole = generate(model, PROMPT, strategy, 30, seed=seed)[0, len(PROMPT) :].tolist()
        assert list(stream(model, PROMPT, strategy, 30, seed=seed)) == whole
        ended += len(whole) < 30
    assert ended or isinstance(strategy, Greedy)  # so the comparison saw texts that ended early
    assert list(stream(model, PROMPT, strategy, 0)) == []


# Scoring.


def plain_losses(model, ids):
    with torch.inference_mode():
        rows = model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)
    return torch.tensor([-row[token].item() for row, token in zip(rows, ids[1:])])


def random_text(length, seed=0, vocabulary=VOCABULARY):
    return torch.randint(
        vocabulary, (length,), generator=torch.Generator().manual_seed(seed)
    ).tolist()


@pytest.mark.parametrize("length", [2, 40, CONTEXT])
def test_losses_of_a_text_that_fits(model, length):
    text = random_text(length)
    wanted = plain_losses(model, text)
    assert torch.allclose(token_losses(model, text), wanted, atol=ROUNDING)
    assert perplexity(model, text) == pytest.approx(math.exp(wanted.mean()), rel=ROUNDING)


def one_window_at_a_time(model, text, stride):
    """Score a full first window, then only what each further window adds."""
    losses = plain_losses(model, text[:CONTEXT]).tolist()
    for end in [*range(CONTEXT + stride, len(text), stride), len(text)]:
        added = end - len(losses) - 1
        losses += plain_losses(model, text[end - CONTEXT : end])[-added:].tolist()
    return torch.tensor(losses)


@pytest.mark.parametrize(("length", "stride"), [(65, 1), (100, 7), (200, 63), (128, 32)])
def test_losses_of_a_text_that_does_not_fit(model, length, stride, monkeypatch):
    # Few windows at once, so that blocks are read one after the other.
    monkeypatch.setattr(scoring, "LOGIT_BYTES", 3 * 4 * CONTEXT * VOCABULARY)
    text = random_text(length, seed=length)
    wanted = one_window_at_a_time(model, text, stride)
    assert torch.allclose(token_losses(model, text, stride), wanted, atol=ROUNDING)


def test_bits_per_byte_counts_bytes_and_the_first_token(model):
    class Accents(Letters):
        letters = "abcdefghijklmné"  # the last takes two bytes

    bits = plain_losses(model, [END, 1, 2, 15]).sum().item() / math.log(2)
    assert bits_per_byte(model, Accents(), "abé") == pytest.approx(bits / 4, rel=ROUNDING)


def test_the_surprise_of_continuations_is_that_of_their_own_tokens(model):
    rows = torch.tensor([random_text(20, seed) for seed in range(11)]).clamp(min=1)
    rows[0, 9], rows[1, 19] = END, END
    found = mean_surprise(model, rows, 5)
    assert found.shape == (11,) and not found.requires_grad
    for row, mean in zip(rows.tolist(), found.tolist()):
        end = (
            row.index(END) + 1 if END in row else 20
        )  # the end counts, what fills the row behind it does not
        assert mean == pytest.approx(plain_losses(model, row[:end])[4:].mean().item(), abs=ROUNDING)


# Variety. Seven pairs: three times "a rose", twice "rose is", twice "is a".

ROSES = "a rose is a rose is a rose"


@pytest.mark.parametrize(
    ("score", "texts", "wanted"),
    [
        (lambda texts: distinct_n(texts, 2), [ROSES], 3 / 7),
        (lambda texts: distinct_n(texts, 2), [ROSES, "a rose"], 3 / 8),  # over all texts
        (lambda texts: distinct_n(texts, 1), [ROSES, "is"], 3 / 9),
        (lambda texts: repetition_n(texts, 2), [ROSES], 4 / 7),
        (lambda texts: repetition_n(texts, 2), [ROSES, "one two three"], 2 / 7),  # their mean
        (lambda texts: repetition_n(texts, 2), ["one two", "one two"], 0),
        (lambda texts: repetition_n(texts, 2), [ROSES, "one"], 4 / 7),  # too short does not count
        # Of 4 words 3 are shared, of 3 pairs 2, of 2 triples 1, of the one quadruple none, which
        # counts as half a match; equal lengths, so no brevity penalty.
        (self_bleu, ["a b c d", "a b c e"], (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4)),
    ],
)
def test_variety_on_paper(score, texts, wanted):
    assert score(texts) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "n", "wanted"),
    [
        ("a rose is a rose is red", 2, "a rose is [a rose is] red"),
        ("a rose is red", 2, "a rose is red"),
        ("one one one", 1, "one [one one]"),
        ("one", 2, "one"),
    ],
)
def test_repeats_are_marked(text, n, wanted):
    assert mark_repeats(text, n) == wanted
