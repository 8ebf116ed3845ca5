"""Arguments are checked before torch complains, and a broken model never decides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import CONTEXT, Letters, theirs, tiny_gpt_neo
from transformers import BatchEncoding

from fmcourse import generation as g

NAN = float("nan")
PROMPT = [3, 1, 4, 1, 5]
NOT_IDS = [
    "The state",
    ["The", "state"],
    b"ids",
    None,
    [],
    BatchEncoding({"input_ids": [PROMPT]}),
    [1.0, 2.0],
    [True, False],
    [[1], [2]],
    [[1, 2], [3]],
    5,
    [1, 17],
    [-1, 4],
    [2**70],
]
READERS = {
    "ids": lambda m, ids: g.generate(m, ids, g.Greedy(), 1),
    "ids ": lambda m, ids: g.generate_batch(m, [PROMPT, ids], g.Greedy(), 1),
    "rows": lambda m, ids: g.mean_surprise(m, [PROMPT, ids], 1),
}


@pytest.fixture(scope="module")
def model():
    return tiny_gpt_neo()


@pytest.mark.parametrize("name", READERS)
def test_what_are_no_token_ids_is_refused_by_name(model, name):
    for ids in NOT_IDS:
        with pytest.raises(ValueError, match=f"^{name.strip()}: expected"):
            READERS[name](model, ids)


def test_a_prompt_may_come_in_any_of_these_forms(model):
    wanted = g.generate(model, PROMPT, g.Greedy(), 3)
    scalars = [torch.tensor(i) for i in PROMPT]
    for ids in (torch.tensor([PROMPT]).int(), pd.Series(PROMPT), np.uint8([PROMPT]), scalars):
        assert torch.equal(g.generate(model, ids, g.Greedy(), np.int64(3)), wanted)


REFUSED = {
    "max_new_tokens": [
        lambda m: g.generate(m, PROMPT, g.Greedy(), 7.5),
        lambda m: g.stream(m, PROMPT, g.Greedy(), CONTEXT - 4),
    ],
    "num_samples": [
        lambda m: g.generate(m, PROMPT, g.Beam(2), 3, 3),
    ],
    "seed": [lambda m: g.generate(m, PROMPT, g.Sample(), 3, seed=-1)],
    "strategy": [
        lambda m: g.generate(m, PROMPT, g.Greedy, 3),
        lambda m: g.stream(m, PROMPT, g.Beam(2), 3),
    ],
    "ids": [lambda m: g.generate(m, [1] * (CONTEXT + 1), g.Greedy(), 1)],
    "temperature": [*(lambda m, t=t: g.Sample(t) for t in (0, "0.7", True, NAN, 1.5j))],
    "top_k": [lambda m: g.Sample(top_k=0)],
    "top_p": [*(lambda m, p=p: g.Sample(top_p=p) for p in (0, 1.5, NAN))],
    "width": [lambda m: g.Beam(1)],
    "length_penalty": [lambda m: g.Beam(2, NAN)],
    "n": [lambda m: g.mark_repeats("a rose", 0)],
    "texts": [
        lambda m: g.distinct_n(["one"], 2),
        lambda m: g.self_bleu(["a rose"]),
        lambda m: g.cut_excerpts(Letters(), ["abc"]),
    ],
    "secrets": [lambda m: g.audit(m, Letters(), [g.Secret("a" * CONTEXT, "b")])],
    "copies": [
        *(lambda m, c=c: g.plant(["text"], g.draw_secrets(1), c) for c in (0.5, [1, 2], -1))
    ],
    "rates": [lambda m: g.planted_corpus({"a": NAN}, 3)],
    "differences": [lambda m: g.compare({"a": [1.0]})],
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_argument_that_cannot_be_meant_is_refused_by_name(model, name):
    for ask in REFUSED[name]:
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            ask(model)


@pytest.mark.parametrize("side", [1, -1], ids=["right", "left"])
def test_padding_is_never_read_as_text(model, side):
    table = [row[::side] for row in ([3, 1, 4, 1, 5], [9, 2, 0, 0, 0])]
    for padded in (table, torch.tensor(table), BatchEncoding({"input_ids": table})):
        with pytest.raises(ValueError, match=r"^prompts: expected"):
            g.generate_batch(model, padded, g.Greedy(), 5)
    g.generate_batch(model, [[0, 1, 2], [0, 3, 4]], g.Greedy(), 5)  # a mark at the start of each


BROKEN = {
    "greedy": lambda m: g.generate(m, PROMPT, g.Greedy(), 3),
    "beam": lambda m: g.generate(m, PROMPT, g.Beam(2), 3),
    "sample": lambda m: g.generate(m, PROMPT, g.Sample(top_k=2), 3, seed=0),
    "next": lambda m: g.next_logits(m, Letters(), "abc"),
    "losses": lambda m: g.bits_per_byte(m, Letters(), "abc"),
    "audit": lambda m: g.audit(m, Letters(), [g.Secret("a", "b")]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_is_not_finite_decides_nothing(name):
    for value in (NAN, float("inf")):
        model = tiny_gpt_neo()
        model.transformer.h[0].attn.attention.q_proj.weight.data.fill_(value)
        with pytest.raises(FloatingPointError, match="not finite"):
            BROKEN[name](model)


def test_a_model_that_breaks_on_the_way_stops_there():
    model = tiny_gpt_neo(end=None)
    model.transformer.wpe.weight.data[len(PROMPT) + 2] = NAN
    written = g.stream(model, PROMPT, g.Greedy(), 9)
    assert len([next(written) for _ in range(3)]) == 3
    with pytest.raises(FloatingPointError):
        next(written)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_read(kind):
    model = tiny_gpt_neo().to(kind)
    wanted = theirs(model, PROMPT, max_new_tokens=9)
    assert torch.equal(g.generate(model, PROMPT, g.Greedy(), 9), wanted)
    exact = g.perplexity(tiny_gpt_neo(), PROMPT)
    assert g.perplexity(model, PROMPT) == pytest.approx(exact, rel=0.1)
