"""Sums are written and scored as on paper; teacher-forced exact match is that of greedy decoding; a run resumes."""

from __future__ import annotations

import pytest
import torch
from doubles import says

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
    """Answers every sum rightly, but for the places given, which it gets wrong; it reads the prompt only."""

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


def test_the_largest_sum_has_four_digits():
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
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    assert torch.equal(draw_sums(5, seed=4)["input_ids"], draw_sums(5, seed=4)["input_ids"])
    small_gpt_neo(12, 8, 1, 12, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(draw_sums(5)["input_ids"], draw_sums(5)["input_ids"])


def test_a_run_that_broke_off_ends_in_the_same_weights(tmp_path):
    settings = {"steps": 6, "measure_every": 2}
    whole, run = train_adder(8, **settings)

    def stop(record):
        seen.append(record)
        if len(seen) == 2:
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        train_adder(8, on_measure=stop, checkpoint=tmp_path / "run.pt", **settings)
    resumed, again = train_adder(8, checkpoint=tmp_path / "run.pt", **settings)
    assert again.resumed_from == 2 and again.records == run.records
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))
    assert [set(record) for record in run.records] == [
        {"step", "exact", "digits", "nll", *PLACES}
    ] * 4


def test_training_helps():
    _, run = train_adder(16, steps=60, measure_every=60)
    assert run.records[-1]["nll"] < run.records[0]["nll"] - 0.5


ERRORS = [
    (lambda: sums([1, 2], [1]), "second: expected the shape of first, (2,), got (1,)"),
    (lambda: sums([1000], [1]), "first: expected whole numbers from 0 to 999, got [1000]"),
    (lambda: sums([1], [-1]), "second: expected whole numbers from 0 to 999, got [-1]"),
    (lambda: draw_sums(0), "count: expected at least 1, got 0"),
    (lambda: small_gpt_neo(12, 10, 1, 12), "width: expected a multiple of 4, got 10"),
    (lambda: small_gpt_neo(12, 8, 0, 12), "layers: expected at least 1, got 0"),
    (
        lambda: small_gpt_neo(12, 8, 2, 12, kinds=["local"]),
        "kinds: expected one for each of the 2 layers, got ['local']",
    ),
    (
        lambda: small_gpt_neo(12, 8, 1, 12, kinds=["locl"]),
        "kinds: expected one of 'global', 'local', got 'locl'; did you mean 'local'?",
    ),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(call, words):
    with says(ValueError, words):
        call()
