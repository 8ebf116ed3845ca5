"""Sums are written and scored as on paper; exact match is that of greedy decoding."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fmcourse.emergence import draw_sums, encode_sums, score_sums, show_sum, small_gpt_neo
from fmcourse.emergence.addition import CHARACTERS, PROMPT


def test_a_sum_on_paper():
    batch = encode_sums([123, 7], [989, 5])
    assert [show_sum(row) for row in batch["input_ids"]] == ["123+989=1112", "007+005=0012"]
    assert batch["labels"][0].tolist() == [-100] * 8 + [1, 1, 1, 2]
    # Small integers must not overflow.
    first = torch.tensor([100], dtype=torch.int8)
    reverse = encode_sums(first, np.array([100]), reverse=True)
    assert show_sum(reverse["input_ids"][0]) == "100+100=0020"


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


def test_exact_match_is_that_of_greedy_decoding():
    model, batch = small_gpt_neo(12, 16, 2, 12), draw_sums(40, seed=2)
    prompt = batch["input_ids"][:, :PROMPT]
    settings = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 11, "eos_token_id": None}
    written = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)
    # Half of the answers are what the model writes.
    batch["input_ids"][:20] = written[:20]
    batch["labels"][:20, PROMPT:] = written[:20, PROMPT:]
    assert score_sums(model, batch)["exact"] == 0.5


def test_seeds_reproduce_and_the_global_generator_is_used_only_when_asked():
    before = torch.random.get_rng_state()
    one, again = (draw_sums(5, seed=seed)["input_ids"] for seed in (4, np.int8(4)))
    small_gpt_neo(12, 8, 1, 12, seed=1)
    assert torch.equal(one, again) and torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(draw_sums(5)["input_ids"], draw_sums(5)["input_ids"])


def test_a_model_that_broke_has_no_score():
    model = small_gpt_neo(12, 8, 1, 12)
    torch.nn.init.constant_(model.transformer.wte.weight, float("nan"))
    with pytest.raises(FloatingPointError):
        score_sums(model, draw_sums(2, seed=0))
