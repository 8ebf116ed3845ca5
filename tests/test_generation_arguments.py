"""Arguments are checked before torch complains, and a broken model never decides."""

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import CONTEXT, Letters, refusals, refused, theirs, tiny_gpt_neo
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
    [1.0],
    [True],
    [[1], [2]],
    [[1, 2], [3]],
    5,
    [17],
    [-1],
    [2**70],
]
MODEL = tiny_gpt_neo()


def test_what_are_no_token_ids_is_refused_by_name():
    for ids in NOT_IDS:
        with refused("ids"):
            g.generate(MODEL, ids, g.Greedy(), 1)
        with refused("ids"):
            g.generate_batch(MODEL, [PROMPT, ids], g.Greedy(), 1)
        with refused("rows"):
            g.mean_surprise(MODEL, [PROMPT, ids], 1)


def test_a_prompt_may_come_in_any_of_these_forms():
    wanted = g.generate(MODEL, PROMPT, g.Greedy(), 3)
    scalars = [torch.tensor(i) for i in PROMPT]
    for ids in (torch.tensor([PROMPT]).int(), pd.Series(PROMPT), np.uint8([PROMPT]), scalars):
        assert torch.equal(g.generate(MODEL, ids, g.Greedy(), np.int64(3)), wanted)


test_an_argument_that_cannot_be_meant_is_refused_by_name = refusals(
    ("max_new_tokens", g.generate, MODEL, PROMPT, g.Greedy(), 7.5),
    ("max_new_tokens", g.stream, MODEL, PROMPT, g.Greedy(), CONTEXT - 4),
    ("num_samples", g.generate, MODEL, PROMPT, g.Beam(2), 3, 3),
    ("seed", g.generate, MODEL, PROMPT, g.Sample(), 3, 1, -1),
    ("strategy", g.generate, MODEL, PROMPT, g.Greedy, 3),
    ("strategy", g.stream, MODEL, PROMPT, g.Beam(2), 3),
    ("ids", g.generate, MODEL, [1] * (CONTEXT + 1), g.Greedy(), 1),
    *(("temperature", g.Sample, value) for value in (0, "0.7", True, NAN, 1.5j)),
    ("top_k", g.Sample, 1.0, 0),
    *(("top_p", lambda p=p: g.Sample(top_p=p)) for p in (0, 1.5, NAN)),
    ("width", g.Beam, 1),
    ("length_penalty", g.Beam, 2, NAN),
    ("n", g.mark_repeats, "a rose", 0),
    ("texts", g.distinct_n, ["one"], 2),
    ("texts", g.self_bleu, ["a rose"]),
    ("texts", g.cut_excerpts, Letters(), ["abc"]),
    ("secrets", g.audit, MODEL, Letters(), [g.Secret("a" * CONTEXT, "b")]),
    *(("copies", g.plant, ["text"], g.draw_secrets(1), copies) for copies in (0.5, [1, 2], -1)),
    ("rates", g.planted_corpus, {"a": NAN}, 3),
    ("differences", g.compare, {"a": [1.0]}),
)


def test_padding_is_never_read_as_text():
    right, left = [PROMPT, [9, 2, 0, 0, 0]], [PROMPT, [0, 0, 0, 2, 9]]
    for padded in (left, torch.tensor(right), BatchEncoding({"input_ids": right})):
        with refused("prompts"):
            g.generate_batch(MODEL, padded, g.Greedy(), 5)
    g.generate_batch(MODEL, [[0, 1, 2], [0, 3, 4]], g.Greedy(), 5)  # a mark at the start of each


BROKEN = [
    (g.generate, PROMPT, g.Greedy(), 3),
    (g.generate, PROMPT, g.Beam(2), 3),
    (g.generate, PROMPT, g.Sample(top_k=2), 3),
    (g.next_logits, Letters(), "abc"),
    (g.bits_per_byte, Letters(), "abc"),
    (g.audit, Letters(), [g.Secret("a", "b")]),
]


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_a_model_that_is_not_finite_decides_nothing(value):
    model = tiny_gpt_neo()
    model.transformer.h[0].attn.attention.q_proj.weight.data.fill_(value)
    for decide, *given in BROKEN:
        with pytest.raises(FloatingPointError, match="not finite"):
            decide(model, *given)


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
