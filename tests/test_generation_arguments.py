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

PROMPT = [3, 1, 4, 1, 5]


BATCH = BatchEncoding({"input_ids": [PROMPT]})
NOT_IDS = [
    "The state",
    ["The", "state"],
    b"ids",
    None,
    [],
    {"input_ids": PROMPT},
    BATCH,
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
    "perplexity": g.perplexity,
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
        assert torch.equal(g.generate(model, ids, g.Greedy(), 3), wanted)


COUNTS = {
    "max_new_tokens": lambda m, n: g.generate(m, PROMPT, g.Greedy(), n),
    "max_new_tokens ": lambda m, n: g.stream(m, PROMPT, g.Sample(), n),
    "num_samples": lambda m, n: g.generate(m, PROMPT, g.Sample(), 3, n),
    "seed": lambda m, n: g.generate(m, PROMPT, g.Sample(), 3, seed=n),
    "top_k": lambda m, n: g.Sample(top_k=n),
    "width": lambda m, n: g.Beam(n),
    "stride": lambda m, n: g.token_losses(m, PROMPT, n),
    "start": lambda m, n: g.mean_surprise(m, torch.tensor([PROMPT]), n),
    "count": lambda m, n: g.next_tokens(m, Letters(), "abc", n),
    "n": lambda m, n: g.distinct_n(["a rose"], n),
    "sentences": lambda m, n: g.planted_corpus({"a": 0.5}, n),
    "copies": lambda m, n: g.plant(["text"], g.draw_secrets(1), n),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_a_whole_number_of_any_library(model, name):
    for wrong in (2.5, 2.0, "2", True, np.bool_(True), None, -1, float("nan"), torch.tensor(2.5)):
        if not (name in ("seed", "top_k", "stride") and wrong is None):
            with pytest.raises(ValueError, match=f"^{name.strip()}: expected"):
                COUNTS[name](model, wrong)
    for right in (2, np.int64(2), np.uint8(2), torch.tensor(2)):
        COUNTS[name](model, right)


def test_temperatures_and_shares_are_numbers():
    for wrong in (0, -1, "0.7", True, float("nan"), float("inf"), 1.5j, None):
        for name in ("temperature", "top_p", "typical_p", "min_p"):
            if wrong is not None or name == "temperature":
                with pytest.raises(ValueError, match=f"^{name}: expected"):
                    g.Sample(**{name: wrong})
    g.Sample(np.float32(0.7), top_p=np.float64(0.9))


def test_what_is_no_strategy_is_refused(model):
    for call in (g.generate, g.stream):
        for strategy in ("greedy", None, g.Greedy):
            with pytest.raises(ValueError, match=r"^strategy: expected"):
                call(model, PROMPT, strategy, 3)
    with pytest.raises(ValueError, match=r"^strategy: expected"):
        g.stream(model, PROMPT, g.Beam(2), 3)


def test_what_does_not_fit_the_context_is_refused(model):
    text = [1] * (CONTEXT + 1)
    for read in (READERS["generate"], READERS["stream"]):
        with pytest.raises(ValueError, match=f"^ids: expected at most {CONTEXT} tokens"):
            read(model, text)
    with pytest.raises(ValueError, match=r"^max_new_tokens: expected at most 4 "):
        g.generate(model, text[:60], g.Greedy(), 5)
    with pytest.raises(ValueError, match=r"^context: expected at most"):
        g.log_odds(model, Letters(), "a", "b" * CONTEXT, ("c", "d"), ["{}a"])
    with pytest.raises(ValueError, match=r"^secrets: expected at most"):
        g.audit(model, Letters(), [g.Secret("a" * CONTEXT, "b")])


PADDED = [[3, 1, 4, 1, 5], [9, 2, 0, 0, 0]]


@pytest.mark.parametrize("side", [1, -1], ids=["right", "left"])
def test_padding_is_never_read_as_text(model, side):
    table = [row[::side] for row in PADDED]
    for padded in (
        table,
        torch.tensor(table),
        np.array(table),
        BatchEncoding({"input_ids": table}),
    ):
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
    "next": lambda m: g.next_tokens(m, Letters(), "abc"),
    "perplexity": lambda m: g.perplexity(m, PROMPT),
    "bits": lambda m: g.bits_per_byte(m, Letters(), "abc"),
    "mean": lambda m: g.mean_surprise(m, torch.tensor([PROMPT]), 2),
    "odds": lambda m: g.log_odds(m, Letters(), "a", "", ("c", "d"), ["{}a"]),
    "audit": lambda m: g.audit(m, Letters(), [g.Secret("a", "b")]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_that_is_not_finite_decides_nothing(name):
    for value in (float("nan"), float("inf")):
        model = tiny_gpt_neo()
        model.transformer.h[0].attn.attention.q_proj.weight.data.fill_(value)
        with pytest.raises(FloatingPointError, match="not finite"):
            BROKEN[name](model)


def test_a_model_that_breaks_on_the_way_stops_there():
    model = tiny_gpt_neo(end=None)
    model.transformer.wpe.weight.data[len(PROMPT) + 2] = float("nan")
    written = g.stream(model, PROMPT, g.Greedy(), 9)
    assert len([next(written) for _ in range(3)]) == 3
    with pytest.raises(FloatingPointError):
        next(written)


def test_no_token_is_chosen_among_logits_that_are_no_numbers():
    for strategy in (g.Greedy(), g.Sample()):
        with pytest.raises(FloatingPointError):
            strategy.choose(torch.tensor([[0.0, float("nan")]]))
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


TOO_FEW = {
    "texts": [
        lambda: g.distinct_n([], 2),
        lambda: g.distinct_n(["one"], 2),
        lambda: g.repetition_n("a rose", 2),
        lambda: g.self_bleu(["a rose"]),
        lambda: g.self_bleu([1, 2]),
        lambda: g.cut_excerpts(Letters(), ["abc"]),
    ],
    "secrets": [lambda: g.audit(None, None, [])],
    "effects": [lambda: g.compare({})],
    "frames": [lambda: g.log_odds(None, Letters(), "a", "", ("c", "d"), [])],
    "rates": [lambda: g.planted_corpus({"a": float("nan")}, 3)],
    "count": [lambda: g.draw_secrets(0)],
    "passages": [lambda: g.deduplicate("text")],
    "threshold": [lambda: g.deduplicate(["text"], float("nan"))],
    "text": [lambda: g.bits_per_byte(None, Letters(), "")],
    # The statistics' own names.
    "": [
        lambda: g.compare({"a": [1.0]}),
    ],
}


@pytest.mark.parametrize("name", TOO_FEW)
def test_nothing_is_decided_on_too_little(name):
    for decide in TOO_FEW[name]:
        with pytest.raises(ValueError, match=f"^{name}.*: expected"):
            decide()
