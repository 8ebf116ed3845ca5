"""Arguments are checked before torch complains, and a broken model never decides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import CONTEXT, Letters, tiny_gpt_neo
from tokenizers import Tokenizer, models
from transformers import BatchEncoding

from fmcourse import generation as g

NAN = float("nan")
PROMPT = [3, 1, 4, 1, 5]
LONG = [1] * (CONTEXT + 1)
NOT_IDS = [
    "The state",
    ["The", "state"],
    b"ids",
    None,
    [],
    {"input_ids": PROMPT},
    BatchEncoding({"input_ids": [PROMPT]}),
    Tokenizer(models.WordLevel({"a": 1}, "a")).encode("a"),
    [1.0, 2.0],
    torch.tensor([1.5]),
    [True, False],
    np.array([True]),
    [[1], [2]],
    [[1, 2], [3]],
    5,
    [1, 17],
    [-1, 4],
    [2**70],
]
READERS = {
    "generate": lambda m, ids: g.generate(m, ids, g.Greedy(), 1),
    "generate_batch": lambda m, ids: g.generate_batch(m, [PROMPT, ids], g.Greedy(), 1),
    "stream": lambda m, ids: g.stream(m, ids, g.Greedy(), 1),
    "token_losses": g.token_losses,
    "mean_surprise": lambda m, ids: g.mean_surprise(m, [PROMPT, ids], 1),
}


@pytest.fixture(scope="module")
def model():
    return tiny_gpt_neo()


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_are_no_token_ids_is_refused_by_name(model, read):
    for ids in NOT_IDS:
        with pytest.raises(ValueError, match=r"^(ids|rows): expected"):
            read(model, ids)


def test_a_prompt_may_come_in_any_of_these_forms(model):
    wanted = g.generate(model, PROMPT, g.Greedy(), 3)
    forms = [tuple(PROMPT), torch.tensor([PROMPT], dtype=torch.int32), pd.Series(PROMPT)]
    forms += [np.array([PROMPT], dtype=np.uint8), [torch.tensor(i) for i in PROMPT]]
    for ids in forms:
        assert torch.equal(g.generate(model, ids, g.Greedy(), np.int64(3)), wanted)


REFUSED = {
    "max_new_tokens": [
        lambda m: g.generate(m, PROMPT, g.Greedy(), 7.5),
        lambda m: g.generate(m, PROMPT, g.Greedy(), CONTEXT - 4),
        lambda m: g.stream(m, PROMPT, g.Greedy(), True),
    ],
    "num_samples": [
        lambda m: g.generate(m, PROMPT, g.Sample(), 3, 2.0),
        lambda m: g.generate(m, PROMPT, g.Beam(2), 3, 3),
    ],
    "seed": [lambda m: g.generate(m, PROMPT, g.Sample(), 3, seed=-1)],
    "strategy": [
        lambda m: g.generate(m, PROMPT, "greedy", 3),
        lambda m: g.generate(m, PROMPT, g.Greedy, 3),
        lambda m: g.stream(m, PROMPT, None, 3),
        lambda m: g.stream(m, PROMPT, g.Beam(2), 3),
    ],
    "ids": [
        lambda m: g.generate(m, LONG, g.Greedy(), 1),
        lambda m: g.stream(m, LONG, g.Greedy(), 1),
    ],
    "temperature": [
        *(lambda m, t=t: g.Sample(t) for t in (0, -1, "0.7", True, NAN, float("inf"), 1.5j, None))
    ],
    "top_k": [lambda m: g.Sample(top_k=0)],
    "top_p": [*(lambda m, p=p: g.Sample(top_p=p) for p in (0, 1.5, "0.7", NAN))],
    "min_p": [lambda m: g.Sample(min_p=True)],
    "typical_p": [lambda m: g.Sample(typical_p=-1)],
    "width": [lambda m: g.Beam(1)],
    "length_penalty": [lambda m: g.Beam(2, NAN)],
    "stride": [lambda m: g.token_losses(m, PROMPT, 0)],
    "start": [lambda m: g.mean_surprise(m, torch.tensor([PROMPT]), 5)],
    "count": [lambda m: g.draw_secrets(0)],
    "n": [lambda m: g.distinct_n(["a rose"], 0), lambda m: g.mark_repeats("a rose", 0)],
    "texts": [
        lambda m: g.distinct_n([], 2),
        lambda m: g.distinct_n(["one"], 2),
        lambda m: g.repetition_n("a rose", 2),
        lambda m: g.self_bleu(["a rose"]),
        lambda m: g.self_bleu([1, 2]),
        lambda m: g.cut_excerpts(Letters(), ["abc"]),
    ],
    "text": [lambda m: g.bits_per_byte(None, Letters(), "")],
    "secrets": [
        lambda m: g.audit(None, None, []),
        lambda m: g.audit(m, Letters(), [g.Secret("a" * CONTEXT, "b")]),
    ],
    "copies": [lambda m: g.plant(["text"], g.draw_secrets(1), 0.5)],
    "passages": [lambda m: g.deduplicate("text")],
    "threshold": [lambda m: g.deduplicate(["text"], NAN)],
    "context": [lambda m: g.log_odds(m, Letters(), "a", "b" * CONTEXT, ("c", "d"), ["{}a"])],
    "frames": [lambda m: g.log_odds(None, Letters(), "a", "", ("c", "d"), [])],
    "rates": [lambda m: g.planted_corpus({"a": NAN}, 3)],
    "sentences": [lambda m: g.planted_corpus({"a": 0.5}, 2.5)],
    "effects": [lambda m: g.compare({})],
    "differences": [lambda m: g.compare({"a": [1.0]})],
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_argument_that_cannot_be_meant_is_refused_by_name(model, name):
    for ask in REFUSED[name]:
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            ask(model)


PADDED = [[3, 1, 4, 1, 5], [9, 2, 0, 0, 0]]


@pytest.mark.parametrize("side", [1, -1], ids=["right", "left"])
def test_padding_is_never_read_as_text(model, side):
    table = [row[::side] for row in PADDED]
    forms = [table, torch.tensor(table), np.array(table), BatchEncoding({"input_ids": table})]
    for padded in forms:
        with pytest.raises(ValueError, match=r"^prompts: expected"):
            g.generate_batch(model, padded, g.Greedy(), 5)
    alone = [g.generate(model, [i for i in row if i], g.Greedy(), 5) for row in table]
    mask = [[int(i > 0) for i in row] for row in table]
    for padded, kept in ((table, mask), (torch.tensor(table), torch.tensor(mask))):
        found = g.generate_batch(model, padded, g.Greedy(), 5, attention_mask=kept)
        assert all(map(torch.equal, found, alone))
    g.generate_batch(model, [[0, 1, 2], [0, 3, 4]], g.Greedy(), 5)  # a mark at the start of each


BROKEN = {
    "greedy": lambda m: g.generate(m, PROMPT, g.Greedy(), 3),
    "beam": lambda m: g.generate(m, PROMPT, g.Beam(2), 3),
    "sample": lambda m: g.generate(m, PROMPT, g.Sample(top_k=2), 3, seed=0),
    "batch": lambda m: g.generate_batch(m, [PROMPT, [1]], g.Greedy(), 3),
    "stream": lambda m: next(g.stream(m, PROMPT, g.Greedy(), 3)),
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


def test_no_token_is_chosen_among_logits_that_are_no_numbers():
    for strategy in (g.Greedy(), g.Sample()):
        with pytest.raises(FloatingPointError):
            strategy.choose(torch.tensor([[0.0, NAN]]))
        assert strategy.choose(torch.tensor([[float("-inf"), 1.0]])).tolist() == [1]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_read(kind):
    model = tiny_gpt_neo().to(kind)
    ids = torch.tensor([PROMPT])
    options = {"do_sample": False, "pad_token_id": 0, "max_new_tokens": 9}
    theirs = model.generate(ids, attention_mask=torch.ones_like(ids), **options)
    assert torch.equal(g.generate(model, ids, g.Greedy(), 9), theirs)
    exact = g.perplexity(tiny_gpt_neo(), PROMPT)
    assert g.perplexity(model, PROMPT) == pytest.approx(exact, rel=0.1)
