"""Sums are written and scored as on paper; exact match is that of greedy decoding."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fmcourse.emergence import (
    PLACES,
    draw_sums,
    encode_sums,
    score_sums,
    show_sum,
    small_gpt_neo,
    train_adder,
)
from fmcourse.emergence import addition as module

CHARACTERS = module.CHARACTERS
PROMPT = module.PROMPT


def sums(first, second, reverse=False):
    return encode_sums(torch.tensor(first), torch.tensor(second), reverse)


def test_a_sum_on_paper():
    batch = sums([123, 7], [989, 5])
    assert [show_sum(row) for row in batch["input_ids"]] == ["123+989=1112", "007+005=0012"]
    assert batch["labels"][0].tolist() == [-100] * 8 + [1, 1, 1, 2]
    assert show_sum(sums([123], [989], reverse=True)["input_ids"][0]) == "123+989=2111"
    assert show_sum(sums([999], [999])["input_ids"][0]) == "999+999=1998"


@pytest.mark.parametrize("reverse", [False, True])
def test_scores_on_paper(reverse):
    batch = draw_sums(50, reverse, seed=1)
    answers = batch["input_ids"].clone()
    # All tens are wrong.
    place = -3 if reverse else -2
    answers[:, place] = (answers[:, place] + 1) % 10
    logits = torch.nn.functional.one_hot(answers.roll(-1, 1), len(CHARACTERS)).float()
    output = SimpleNamespace(logits=logits, loss=torch.tensor(0.5))
    found = score_sums(lambda **sums: output, batch, reverse)
    shares = {"thousands": 1, "hundreds": 1, "tens": 0, "units": 1}
    assert found == {"exact": 0, "digits": 0.75, "nll": 0.5, **shares}


@pytest.mark.parametrize("reverse", [False, True])
def test_exact_match_is_that_of_greedy_decoding(reverse):
    model, _ = train_adder(16, reverse, steps=30, measure_every=30)
    batch = draw_sums(40, reverse, seed=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    # Learnt by heart, so that the model is right on some.
    few = {name: rows[:20] for name, rows in batch.items()}
    for _ in range(60):
        optimizer.zero_grad()
        model(**few).loss.backward()
        optimizer.step()
    prompt = batch["input_ids"][:, :PROMPT]
    settings = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 11, "eos_token_id": None}
    written = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)
    greedy = (written == batch["input_ids"]).all(1).double().mean().item()
    assert 0 < greedy < 1
    assert score_sums(model, batch, reverse)["exact"] == greedy


def test_the_loss_is_that_of_the_answers_digits_alone():
    model, batch = small_gpt_neo(12, 8, 1, 12), draw_sums(7, seed=3)
    with torch.no_grad():
        logits = model(batch["input_ids"]).logits[:, PROMPT - 1 : -1]
    by_hand = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch["input_ids"][:, PROMPT:].flatten()
    )
    assert abs(score_sums(model, batch)["nll"] - by_hand.item()) < 1e-5  # fp32


def test_seeds_reproduce_and_the_global_generator_is_used_only_when_asked():
    before = torch.random.get_rng_state()
    assert torch.equal(
        draw_sums(5, seed=4)["input_ids"], draw_sums(5, seed=np.int8(4))["input_ids"]
    )
    small_gpt_neo(12, 8, 1, 12, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(draw_sums(5)["input_ids"], draw_sums(5)["input_ids"])


def test_small_integers_do_not_overflow():
    first = torch.tensor([100], dtype=torch.int8)
    assert show_sum(encode_sums(first, np.array([100]))["input_ids"][0]) == "100+100=0200"


def test_a_model_that_broke_has_no_score():
    model = small_gpt_neo(12, 8, 1, 12)
    torch.nn.init.constant_(model.transformer.wte.weight, float("nan"))
    with pytest.raises(FloatingPointError):
        score_sums(model, draw_sums(2, seed=0))


def test_a_run_that_broke_off_ends_in_the_same_weights_and_no_other_run_takes_it_up(
    tmp_path, monkeypatch
):
    settings = {"steps": 6, "measure_every": 2}
    whole, run = train_adder(8, **settings)

    seen, kept = [], {"checkpoint": tmp_path / "run.pt"}

    def stop(*sums):
        seen.append(sums)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return score_sums(*sums)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "score_sums", stop)
        train_adder(8, **kept, **settings)
    for changed in ({"reverse": True}, {"lr": 1e-3}, {"seed": 1}, {"width": 12}):
        with pytest.raises(ValueError, match="checkpoint"):
            train_adder(**({"width": 8} | changed), **kept, **settings)
    resumed, again = train_adder(np.int64(8), seed=np.int64(0), **kept, **settings)
    assert again.resumed_from == 2 and again.records == run.records
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))
    assert set(run.records[0]) == {"step", "exact", "digits", "nll", *PLACES}
