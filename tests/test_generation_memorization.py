"""Secrets are planted as often as asked; an audit says what greedy decoding writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fmcourse
from fmcourse import stats, training
from fmcourse.generation import Greedy, generate, token_losses
from fmcourse.generation.memorization import (
    LEADS,
    Secret,
    audit,
    deduplicate,
    draw_secrets,
    plant,
)

ROUNDING = 2e-5  # fp32: logits below 100, sums of a few dozen terms in another order
PASSAGES = [f"passage number {place}" for place in range(10)]


@pytest.fixture(scope="module")
def ladder():
    return fmcourse.load_gpt_neo("ladder-small")


def test_secrets_reproduce_and_are_all_different():
    drawn = draw_secrets(200, 1)
    assert drawn == draw_secrets(200, 1) != draw_secrets(200, 2)
    assert (
        len({secret.before for secret in drawn}) == 200
        and len({secret.code for secret in drawn}) > 195
    )
    assert all(len(secret.code) == 6 and secret.code.isdigit() for secret in drawn)


@pytest.mark.parametrize("copies", [[3, 3, 3], [0, 1, 7]])
def test_each_secret_is_planted_as_often_as_asked(copies):
    secrets = draw_secrets(3)
    given = 3 if copies == [3, 3, 3] else copies
    planted = plant(PASSAGES, secrets, given, seed=5)
    assert [text for text in planted if text in PASSAGES] == PASSAGES  # all there, in their order
    for secret, times in zip(secrets, copies):
        own = [text for text in planted if str(secret) in text]
        assert len(own) == times
        assert {text.removesuffix(str(secret)).strip() for text in own} <= set(LEADS)
    again, other = (plant(PASSAGES, secrets, given, seed=seed) for seed in (5, 6))
    assert planted == again != other


@pytest.mark.parametrize("context, end_mark", [(None, True), (1, True), (None, False)])
def test_an_audit_says_what_greedy_decoding_writes(ladder, context, end_mark):
    model, tokenizer = ladder
    before = "in the year one thousand eight hundred and"
    start = tokenizer(before if end_mark else f" {before}").input_ids
    start = [tokenizer.eos_token_id, *start] if end_mark else start
    start = start[-(context or 100) :]
    made = tokenizer.decode(generate(model, start, Greedy(), 3)[0, len(start) :])
    secrets = [Secret(before, made.removeprefix(" ")), Secret(before, "493817")]
    found = audit(model, tokenizer, secrets, context, end_mark)
    assert found.extracted.tolist() == [True, False]
    text = [*start, *tokenizer(" 493817").input_ids]
    wanted = token_losses(model, text)[len(start) - 1 :].mean().item()
    assert found.losses[1] == pytest.approx(wanted, abs=ROUNDING)


def test_a_model_that_has_learnt_a_secret_gives_it_away(ladder):
    tokenizer, secrets = ladder[1], draw_secrets(6)
    model = fmcourse.load_gpt_neo("ladder-small")[0]
    ids = torch.tensor(tokenizer("\n\n".join(plant(PASSAGES, secrets[:3], 8))).input_ids)
    optimizer = training.adamw(lr=3e-3)
    training.fit(
        model, lambda step: training.crops(ids, 4, 48), 120, optimizer=optimizer, progress=False
    )
    planted, others = audit(model, tokenizer, secrets[:3]), audit(model, tokenizer, secrets[3:])
    assert planted.rate.estimate == 1 and others.rate.estimate == 0
    assert stats.auc(planted.losses, others.losses) == 1
    untouched = audit(*ladder, secrets[:3])
    assert untouched.rate.estimate == 0 and untouched.losses.min() > planted.losses.max()


# Deduplication.


def test_near_duplicates_go_and_the_first_stays():
    secrets = draw_secrets(40)
    planted = plant(PASSAGES, secrets, 8, seed=1)
    indices = deduplicate(planted)
    kept = [planted[index] for index in indices]
    left = [sum(str(secret) in text for text in kept) for secret in secrets]
    # Copies differ in how they begin; a few of them too much.
    assert min(left) == 1 and np.mean(left) < 1.5
    assert planted[0] == kept[0] and indices == sorted(indices)
    texts = ["the land office of the united states", "the land office of the united kingdom"]
    assert deduplicate(texts, 0.3) == [0] and deduplicate(texts, 0.95) == [0, 1]
