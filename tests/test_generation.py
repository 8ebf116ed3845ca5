"""Decoding gives what transformers gives, token for token, and scores are exact on paper."""

import math

import pytest
import torch
from doubles import CASES, CONTEXT, END, VOCABULARY, Letters, random_ids, theirs, tiny_gpt_neo

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
MODEL = tiny_gpt_neo()


@pytest.mark.parametrize("filters", CASES["generation"]["filters"])
def test_sampling_equals_generate(filters):
    options = {"do_sample": True, "max_new_tokens": 40, "top_k": 0} | filters
    for seed in range(4):
        model = tiny_gpt_neo(seed)
        torch.manual_seed(seed)
        wanted = theirs(model, PROMPT, **options)
        torch.manual_seed(seed)
        assert torch.equal(generate(model, PROMPT, Sample(**filters), 40), wanted)


@pytest.mark.parametrize(
    "strategy, samples, rows", [(Greedy(), 4, 4), (Sample(), 4, 4), (Beam(3), 2, 3)]
)
def test_the_prompt_is_read_once(strategy, samples, rows):
    endless, entered = tiny_gpt_neo(end=None), []
    endless.register_forward_pre_hook(lambda module, given: entered.append(given[0].numel()))
    generate(endless, PROMPT, strategy, 7, samples, seed=0)
    # The prompt once; the seventh new token need not be read.
    assert sum(entered) == len(PROMPT) + rows * 6


def test_what_follows_an_end_is_only_ends():
    rows = generate(MODEL, PROMPT, Sample(temperature=3.0), 40, num_samples=30, seed=0)
    new = [row for row in rows[:, len(PROMPT) :].tolist() if END in row]
    assert len({row.index(END) for row in new}) > 3  # rows end early, and at different places
    assert all(set(row[row.index(END) :]) == {END} for row in new)


@pytest.mark.parametrize("strategy", [Greedy(), Sample(), Beam(3)])
def test_the_result_can_be_trained_on(strategy):
    model = tiny_gpt_neo()
    rows = generate(model, PROMPT, strategy, 4, seed=0)
    model(rows, labels=rows).loss.backward()
    assert model.transformer.wte.weight.grad.abs().sum() > 0


def test_seeds_reproduce_and_leave_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    samples = [generate(MODEL, PROMPT, Sample(), 20, 4, seed=seed).tolist() for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]
    assert len({tuple(row) for row in samples[0]}) > 1
    assert torch.equal(torch.get_rng_state(), before)
    one = generate(MODEL, PROMPT, Sample(), 20)  # without a seed the global one is used
    torch.manual_seed(3)
    assert torch.equal(generate(MODEL, PROMPT, Sample(), 20), one)


def test_the_next_logits():
    with torch.inference_mode():
        expected = MODEL(torch.tensor([[1, 2, 3]])).logits[:, -1]
    assert torch.allclose(next_logits(MODEL, Letters(), "abc"), expected, atol=ROUNDING)
    # A long text keeps its end.
    found = [next_logits(MODEL, Letters(), "p" * count + "abcdefgh" * 8) for count in (0, 30)]
    assert torch.equal(*found)


@pytest.mark.parametrize("strategy", [Greedy(), Sample(temperature=3.0)])
def test_a_stream_hands_out_what_generate_returns(strategy):
    lengths = set()
    for seed in range(12):
        whole = generate(MODEL, PROMPT, strategy, 30, seed=seed)[0, len(PROMPT) :].tolist()
        assert list(stream(MODEL, PROMPT, strategy, 30, seed=seed)) == whole
        lengths.add(len(whole))
    assert len(lengths) > 1 or strategy == Greedy()  # so the comparison saw early ends
    assert list(stream(MODEL, PROMPT, strategy, 0)) == []


# Scoring.


def plain_losses(model, ids):
    with torch.inference_mode():
        rows = model(torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)
    return torch.tensor([-row[token].item() for row, token in zip(rows, ids[1:])])


@pytest.mark.parametrize("length", [2, CONTEXT, CONTEXT + 1, 100, 128, 200])
def test_each_token_is_scored_once_after_half_a_window_or_more(length, monkeypatch):
    # Few windows at once, so that blocks are read one after the other.
    monkeypatch.setattr(scoring, "LOGIT_BYTES", 3 * 4 * CONTEXT * VOCABULARY)
    text = random_ids(length, length, 0).tolist()
    losses = plain_losses(MODEL, text[:CONTEXT])
    for end in [*range(CONTEXT * 3 // 2, length, CONTEXT // 2), length]:
        added = end - len(losses) - 1
        window = plain_losses(MODEL, text[max(0, end - CONTEXT) : end])
        losses = torch.cat([losses, window[len(window) - added :]])
    assert torch.allclose(token_losses(MODEL, text), losses, atol=ROUNDING)
    assert perplexity(MODEL, text) == pytest.approx(math.exp(losses.mean()), rel=ROUNDING)


def test_bits_per_byte_counts_bytes_and_the_first_token():
    class Accents(Letters):
        letters = "abcdefghijklmné"  # the last takes two bytes

    bits = plain_losses(MODEL, [END, 1, 2, 15]).sum().item() / math.log(2)
    assert bits_per_byte(MODEL, Accents(), "abé") == pytest.approx(bits / 4, rel=ROUNDING)


def test_the_surprise_of_continuations_is_that_of_their_own_tokens():
    rows = torch.stack([random_ids(20, seed) for seed in range(4)])
    rows[0, 9], rows[1, 19] = END, END
    found = mean_surprise(MODEL, rows, 5)
    assert found.shape == (4,) and not found.requires_grad
    # The end counts, what fills the row behind it does not.
    for row, stop, mean in zip(rows.tolist(), (10, 20, 20, 20), found.tolist()):
        wanted = plain_losses(MODEL, row[:stop])[4:].mean().item()
        assert mean == pytest.approx(wanted, abs=ROUNDING)


# Variety. Seven pairs: three times "a rose", twice "rose is", twice "is a".

ROSES = "a rose is a rose is a rose"
# Of 4 words 3 are shared, of 3 pairs 2, of 2 triples 1, of the one quadruple none, which counts as
# half a match; equal lengths, so no brevity penalty.
BLEU = (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** (1 / 4)


def test_variety_on_paper():
    assert distinct_n([ROSES, "a rose"], 2) == 3 / 8  # over all texts
    assert repetition_n([ROSES, "one two three"], 2) == pytest.approx(2 / 7)  # their mean
    assert repetition_n([ROSES, "one"], 2) == pytest.approx(4 / 7)  # too short does not count
    assert self_bleu(["a b c d", "a b c e"]) == pytest.approx(BLEU)
    assert [mark_repeats("one one one", n) for n in (1, 4)] == ["one [one one]", "one one one"]
