"""A probe is exact on a model whose odds are known."""

from __future__ import annotations

import math
import types
from typing import ClassVar

import numpy as np
import pytest
import torch

import fmcourse
from fmcourse import stats
from fmcourse.generation.probes import (
    compare,
    log_odds,
    paired_effects,
    planted_corpus,
    share,
)

ROUNDING = 2e-5  # fp32: logits below 100, sums of a few dozen terms in another order
RATES = {"miller": 0.9, "baker": 0.7, "weaver": 0.5, "mason": 0.3, "sailor": 0.1}


class Fixed:
    """A model that gives every token the same odds, wherever it stands."""

    device = torch.device("cpu")

    def __init__(self, logits):
        self.logits = torch.tensor(logits)
        self.config = types.SimpleNamespace(vocab_size=len(logits), max_position_embeddings=99)

    def __call__(self, ids, **options):
        return types.SimpleNamespace(logits=self.logits.expand(*ids.shape, -1))


class Words:
    """A tokenizer with one token a word; unknown words are token 1, and the end is 0."""

    eos_token_id = 0
    known: ClassVar = {"she": 2, "he": 3, "they": 4}

    def __call__(self, text, **options):
        return {"input_ids": [self.known.get(word, 1) for word in text.split()]}


@pytest.fixture(scope="module")
def ladder():
    return fmcourse.load_gpt_neo("ladder-small")


def test_log_odds_on_paper():
    model = Fixed([0.0, 0.0, math.log(3), 0.0, math.log(2)])
    assert log_odds(model, Words(), "baker") == pytest.approx(math.log(3), abs=ROUNDING)
    assert share(model, Words(), "baker") == pytest.approx(0.75, abs=ROUNDING)
    assert log_odds(model, Words(), "baker", targets=(" she", " they")) == pytest.approx(
        math.log(3 / 2), abs=ROUNDING
    )
    two = log_odds(
        model, Words(), "baker", targets=(" she she", " he")
    )  # targets of several tokens are scored whole
    assert two == pytest.approx(2 * math.log(3 / 8) - math.log(1 / 8), abs=ROUNDING)


def test_a_pair_differs_in_its_word_only(ladder):
    assert paired_effects(*ladder, ("baker", "baker"), ["", "In 1850, "]).tolist() == [0, 0]
    there, back = (
        paired_effects(*ladder, words, [""]) for words in (("man", "woman"), ("woman", "man"))
    )
    assert there == pytest.approx(-back)
    by_hand = log_odds(*ladder, "man") - log_odds(*ladder, "woman")
    assert there[0] == pytest.approx(by_hand, abs=ROUNDING)


def test_the_planted_rates_are_exact():
    written, again, other = (planted_corpus(RATES, 20, seed=seed) for seed in (3, 3, 4))
    assert len(written) == 100 and written == again != other
    for word, rate in RATES.items():
        own = [sentence for sentence in written if word in sentence]
        assert sum(" she " in sentence for sentence in own) == round(20 * rate) and len(own) == 20


# Several tests at once.


def test_effects_come_with_their_size_and_a_corrected_p():
    draw = np.random.default_rng(0)
    effects = {f"nothing {i}": draw.normal(0, 1, 12) for i in range(5)}
    effects["strong"] = draw.normal(2, 1, 12)
    found = compare(effects)
    p_values = [stats.sign_flip(values) for values in effects.values()]
    assert found["p"].tolist() == p_values
    assert found["corrected"].tolist() == stats.holm(p_values)
    strong = effects["strong"]
    assert found.loc["strong", "d"] == pytest.approx(strong.mean() / strong.std(ddof=1))
    assert found.loc["strong", "effect"] == stats.bootstrap(strong)
