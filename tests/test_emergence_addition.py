"""Sums are written and scored as on paper; exact match is that of greedy decoding."""

from __future__ import annotations

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


class Oracle(torch.nn.Module):
    """Answers every sum rightly but for the places given; it reads the prompt only."""

    def __init__(self, wrong=(), reverse=False):
        super().__init__()
        self.wrong, self.reverse = wrong, reverse

    def forward(self, input_ids, labels=None):
        numbers = [int(show_sum(row)[:3]) + int(show_sum(row)[4:7]) for row in input_ids]
        answers = sums([0] * len(numbers), [0] * len(numbers))["input_ids"][:, PROMPT:].clone()
        for row, number in enumerate(numbers):
            for place, name in enumerate(PLACES):
                digit = int(f"{number:04d}"[place])
                answers[row, 3 - place if self.reverse else place] = (
                    digit + (name in self.wrong)
                ) % 10
        logits = torch.zeros(len(numbers), input_ids.shape[1], len(CHARACTERS))
        logits[:, PROMPT - 1 : -1] = torch.nn.functional.one_hot(answers, len(CHARACTERS)) * 50.0
        return type("Output", (), {"logits": logits, "loss": torch.tensor(0.0)})


def test_a_sum_on_paper():
    batch = sums([123, 7], [989, 5])
    assert [show_sum(row) for row in batch["input_ids"]] == ["123+989=1112", "007+005=0012"]
    assert batch["labels"][0].tolist() == [-100] * 8 + [1, 1, 1, 2]
    assert show_sum(sums([123], [989], reverse=True)["input_ids"][0]) == "123+989=2111"
    assert show_sum(sums([999], [999])["input_ids"][0]) == "999+999=1998"


@pytest.mark.parametrize("reverse", [False, True])
def test_scores_on_paper(reverse):
    batch = draw_sums(50, reverse, seed=1)
    assert score_sums(Oracle(reverse=reverse), batch, reverse)["exact"] == 1
    found = score_sums(Oracle(wrong=("tens",), reverse=reverse), batch, reverse)
    assert (found["exact"], found["digits"], found["tens"], found["units"]) == (0, 0.75, 0, 1)


@pytest.mark.parametrize("reverse", [False, True])
def test_exact_match_is_that_of_greedy_decoding(reverse):
    model, _ = train_adder(16, reverse, steps=30, measure_every=30)
    batch = draw_sums(40, reverse, seed=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    few = {
        name: rows[:20] for name, rows in batch.items()
    }  # learnt by heart, so that the model is right on some
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
    assert show_sum(encode_sums(first, first)["input_ids"][0]) == "100+100=0200"
    assert show_sum(encode_sums([100], np.array([100]))["input_ids"][0]) == "100+100=0200"


def test_a_model_that_broke_has_no_score():
    model = small_gpt_neo(12, 8, 1, 12)
    torch.nn.init.constant_(model.transformer.wte.weight, float("nan"))
    with pytest.raises(FloatingPointError):
        score_sums(model, draw_sums(2, seed=0))


def test_a_run_that_broke_off_ends_in_the_same_weights_and_no_other_run_takes_it_up(tmp_path):
    settings = {"steps": 6, "measure_every": 2}
    whole, run = train_adder(8, **settings)

    def stop(record):
        seen.append(record["step"])
        if len(seen) == 2:
            raise KeyboardInterrupt

    seen, kept = [], {"checkpoint": tmp_path / "run.pt"}
    with pytest.raises(KeyboardInterrupt):
        train_adder(8, on_measure=stop, **kept, **settings)
    assert seen == [0, 2]
    for changed in ({"reverse": True}, {"lr": 1e-3}, {"seed": 1}):
        with pytest.raises(ValueError, match="checkpoint"):
            train_adder(8, **changed, **kept, **settings)
    with pytest.raises(ValueError, match="checkpoint"):
        train_adder(12, **kept, **settings)
    resumed, again = train_adder(np.int64(8), seed=np.int64(0), **kept, **settings)
    assert again.resumed_from == 2 and again.records == run.records
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))
    assert set(run.records[0]) == {"step", "exact", "digits", "nll", *PLACES}
