"""Excerpts, planted secrets and probes, live and in the bundled sweeps."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import END, Letters, refused, tiny_gpt_neo

import fmcourse
from fmcourse import generation as g
from fmcourse import stats, training
from fmcourse.generation import frontier
from fmcourse.generation.memorization import LEADS

ROUNDING = 2e-5  # fp32: logits below 100, sums of a few dozen terms in another order


@pytest.fixture(scope="module")
def ladder():
    return fmcourse.load_gpt_neo("ladder-small")


# The decoding frontier.


def test_excerpts_lie_at_equal_distances(ladder):
    text = " war" * 500
    ids = ladder[1](text)["input_ids"]
    pieces = g.cut_excerpts(ladder[1], [text, text])
    length = frontier.PROMPT + frontier.NEW
    step = (len(ids) - length) // frontier.EXCERPTS
    wanted = [ids[number * step :][:length] for number in range(frontier.EXCERPTS)]
    assert [piece.tolist() for piece in pieces] == wanted * 2


def test_each_measure_is_that_of_its_name(ladder):
    model, tokenizer = ladder
    excerpts = [torch.arange(100, 200) + number for number in range(2 * frontier.EXCERPTS)]
    rows = g.continue_excerpts(model, excerpts, g.Sample(), 2)
    found = g.measure_texts(model, tokenizer, rows)
    assert {values.shape for values in found.values()} == {(2, 2)}
    # Of the second text, in the second sample.
    second = [tokenizer.decode(row[1, frontier.PROMPT :], skip_special_tokens=True) for row in rows]
    own, blocks = second[frontier.EXCERPTS :], rows[frontier.EXCERPTS :]
    odd = [g.mean_surprise(model, row[1:], frontier.PROMPT).item() for row in blocks]
    # In fp32, batched otherwise.
    assert found["surprise"][1, 1] == pytest.approx(np.mean(odd), abs=1e-4)
    assert found["distinct_2"][1, 1] == g.distinct_n(own, 2)
    assert found["repetition_4"][1, 1] == g.repetition_n(own, 4)
    assert found["self_bleu"][1].mean() == pytest.approx(g.self_bleu(second))
    (once,) = g.continue_excerpts(model, excerpts[:1], g.Greedy(), 3)
    assert len(once) == 1  # what is not random is written once


def test_surprise_is_averaged_over_samples_and_read_off_at_a_variety():
    # Two samples of two addresses, alike but for a spread between samples that averages out.
    settings = [("top-p", 0.2, 2.0, 0.4), ("top-p", 0.9, 4.0, 0.8)]
    settings += [("min-p", 0.5, 2.5, 0.7), ("min-p", 0.1, 3.5, 0.9)]
    rows = []
    for family, value, surprise, variety in settings:
        for spread in (-1, 1):
            rows += [(family, value, surprise + spread, variety, year) for year in (1900, 2000)]
    sweep = pd.DataFrame(rows, columns=["family", "value", "surprise", "distinct_2", "year"])
    assert g.by_address(sweep, "surprise", "top-p", 0.9).tolist() == [4.0, 4.0]
    gap = g.difference_at(sweep, 0.75, "min-p", "top-p")
    assert gap.estimate == pytest.approx(2.75 - 3.75)
    with refused("variety", "from 0.700"):
        g.difference_at(sweep, 0.5, "min-p", "top-p")


# Planted secrets.


PASSAGES = [f"passage number {place}" for place in range(10)]


@pytest.mark.parametrize("copies", [3, [0, 1, 7]])
def test_each_secret_is_planted_as_often_as_asked(copies):
    secrets = g.draw_secrets(3)
    planted, again, other = (g.plant(PASSAGES, secrets, copies, seed) for seed in (5, 5, 6))
    assert planted == again != other
    assert [text for text in planted if text in PASSAGES] == PASSAGES  # all there, in their order
    for secret, times in zip(secrets, np.broadcast_to(copies, 3)):
        own = [text for text in planted if str(secret) in text]
        assert len(own) == times
        assert {text.removesuffix(str(secret)).strip() for text in own} <= set(LEADS)


@pytest.mark.parametrize("context, end_mark", [(None, True), (1, True), (None, False)])
def test_an_audit_says_what_greedy_decoding_writes(ladder, context, end_mark):
    model, tokenizer = ladder
    before = "in the year one thousand eight hundred and"
    start = tokenizer(before if end_mark else f" {before}").input_ids
    start = [tokenizer.eos_token_id, *start] if end_mark else start
    start = start[-(context or 100) :]
    made = tokenizer.decode(g.generate(model, start, g.Greedy(), 3)[0, len(start) :])
    secrets = [g.Secret(before, made.removeprefix(" ")), g.Secret(before, "493817")]
    found = g.audit(model, tokenizer, secrets, context, end_mark)
    assert found.extracted.tolist() == [True, False]
    text = [*start, *tokenizer(" 493817").input_ids]
    wanted = g.token_losses(model, text)[len(start) - 1 :].mean().item()
    assert found.losses[1] == pytest.approx(wanted, abs=ROUNDING)


def test_a_model_that_has_learnt_a_secret_gives_it_away():
    secrets = g.draw_secrets(6)
    assert secrets == g.draw_secrets(6) != g.draw_secrets(6, 1)
    model, tokenizer = fmcourse.load_gpt_neo("ladder-small")
    untouched = g.audit(model, tokenizer, secrets[:3])
    ids = torch.tensor(tokenizer("\n\n".join(g.plant(PASSAGES, secrets[:3], 8))).input_ids)
    learning = {"optimizer": training.adamw(lr=3e-3), "progress": False}
    training.fit(model, lambda step: training.crops(ids, 4, 48), 120, **learning)
    planted, others = (g.audit(model, tokenizer, own) for own in (secrets[:3], secrets[3:]))
    assert planted.extracted.all() and not others.extracted.any()
    assert planted.losses.max() < min(others.losses.min(), untouched.losses.min())


def test_near_duplicates_go_and_the_first_stays():
    secrets = g.draw_secrets(40)
    planted = g.plant(PASSAGES, secrets, 8, seed=1)
    indices = g.deduplicate(planted)
    kept = [planted[index] for index in indices]
    left = [sum(str(secret) in text for text in kept) for secret in secrets]
    # Copies differ in how they begin; a few of them too much.
    assert min(left) == 1 and np.mean(left) < 1.5
    assert indices[0] == 0 and indices == sorted(indices)


def test_secrets_of_all_seeds_count_together():
    # Of the secrets planted four times, one and two of two are written.
    rows = []
    for seed, losses, written in ((0, [0.0, 1.0], 1), (1, [0.0, 2.5], 2)):
        measured = [("planted", 4, "", "loss", loss) for loss in losses]
        measured += [("unseen", 0, "", "loss", loss) for loss in (2.0, 3.0)]
        measured += [
            ("planted", 4, "all", "extracted", written),
            ("planted", 4, "1", "extracted", 0),
        ]
        rows += [("small", 100, "planted", seed, *one) for one in measured]
    columns = ["size", "parameters", "corpus", "seed", "secrets", "copies", "context"]
    study = pd.DataFrame(rows, columns=[*columns, "measure", "value"])
    asked = {"size": "small", "corpus": "planted", "copies": 4}
    assert g.written_in_full(study, secrets="planted", **asked) == stats.wilson(3, 4)
    assert g.written_in_full(study, context=1, secrets="planted", **asked) == stats.wilson(0, 4)
    auc = g.told_apart(study, **asked)
    assert auc.estimate == pytest.approx((1 + 3 / 4) / 2)
    assert g.leak_curves(study)["0.00 M parameters, told apart (AUC)"] == ([4], [auc])


# Probes.


def test_log_odds_are_those_of_whole_targets_averaged_over_frames():
    model = tiny_gpt_neo()
    found = g.log_odds(model, Letters(), "a", "p", ("cd", "e"), ["b{}", "{}fgh"])
    wanted = 0.0
    for start in ([END, 16, 2, 1], [END, 16, 1, 6, 7, 8]):
        for sign, target in ((-1, [3, 4]), (1, [5])):
            losses = g.token_losses(model, [*start, *target])
            wanted += sign * losses[-len(target) :].sum().item() / 2
    assert found == pytest.approx(wanted, abs=ROUNDING)


def test_a_pair_differs_in_its_word_only(ladder):
    found = g.paired_effects(*ladder, ("man", "woman"), ["", "In 1850, "])
    man, woman = (g.log_odds(*ladder, word, "In 1850, ") for word in ("man", "woman"))
    assert found[1] == pytest.approx(man - woman, abs=ROUNDING)
    share = g.share(*ladder, "man", "In 1850, ")
    assert math.log(share / (1 - share)) == pytest.approx(man)


def test_the_planted_rates_are_exact():
    rates = {"miller": 0.9, "weaver": 0.5, "sailor": 0.1}
    written, again, other = (g.planted_corpus(rates, 20, seed) for seed in (3, 3, 4))
    assert written == again != other
    for word, rate in rates.items():
        own = [sentence for sentence in written if word in sentence]
        assert sum(" she " in sentence for sentence in own) == round(20 * rate) and len(own) == 20


def test_effects_come_with_their_size_and_a_corrected_p(draw):
    effects = {f"nothing {i}": draw.normal(0, 1, 12) for i in range(5)}
    strong = effects["strong"] = draw.normal(2, 1, 12)
    found = g.compare(effects)
    p_values = [stats.sign_flip(values) for values in effects.values()]
    assert found["p"].tolist() == p_values
    assert found["corrected"].tolist() == stats.holm(p_values)
    assert found.loc["strong", "d"] == pytest.approx(strong.mean() / strong.std(ddof=1))
    assert found.loc["strong", "effect"] == stats.bootstrap(strong)
