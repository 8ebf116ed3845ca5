"""Arguments are checked before torch, NumPy or SciPy complain: a message begins with the name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fmcourse import emergence as e

NAN = math.nan
UP, SCORE = [1, 2, 3], [0.0, 0.5, 1.0]
SIZES, TURNING = [8, 8, 16, 16], [9.0, 8.0, 4.0, 5.0]


def attention(queries=4, keys=4):
    return torch.ones(1, 2, queries, keys) / keys


def silenced(layer, head):
    with e.ablated(e.small_gpt_neo(4, 4, 1, 4), layer, head):
        pass


CURVES = [
    (([], []), "scale"),
    ((UP, [0.0, 1.0]), "score"),
    (([1, 3, 2], SCORE), "scale"),
    ((UP, [0.0, NAN, 1.0]), "score"),
    ((UP, ["low", "mid", "high"]), "score"),
    ((UP, torch.tensor(SCORE, requires_grad=True)), "score"),
    (([1, 2, math.inf], SCORE), "scale"),
]


@pytest.mark.parametrize(
    "function", [e.linearity, e.breakthroughness, e.turning_point, e.permutation_p]
)
@pytest.mark.parametrize(("curve", "argument"), CURVES)
def test_a_curve_is_checked(function, curve, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        function(*curve)


CALLS = [
    (lambda: e.breakthroughness(UP, SCORE, resolution=NAN), "resolution"),
    (lambda: e.breakthroughness(UP, SCORE, resolution="0.1"), "resolution"),
    (lambda: e.permutation_p(UP, SCORE, seed=0.5), "seed"),
    (lambda: e.sharpness(UP, [SCORE]), "runs"),
    (lambda: e.sharpness(UP, SCORE), "runs"),
    (lambda: e.sharpness(UP, [SCORE, [0.5] * 3]), "runs"),
    (lambda: e.sharpness(UP, [SCORE, [0.0, NAN, 1.0]]), "runs"),
    (lambda: e.sharpness(range(4), [[0.0, 0.0, 0.0, 1.0]] * 2, e.breakthroughness), "runs"),
    (lambda: e.independent_exact([0.5, 1.1]), "places"),
    (lambda: e.independent_exact([NAN, 0.5]), "places"),
    (lambda: e.fit_law([8, 16], [1.0], 10), "turning"),
    (lambda: e.fit_law([8, 0, 16, 16], TURNING, 10), "scale"),
    (lambda: e.fit_law(SIZES, [1.0, 20.0, 3.0, 2.0], 10), "turning"),
    (lambda: e.fit_law(SIZES, [1.0, -math.inf, 3.0, 2.0], 10), "turning"),
    (lambda: e.fit_law(SIZES, ["9", "x", "4", "5"], 10), "turning"),
    (lambda: e.fit_law(SIZES, [1.0, NAN, 3.0, NAN], 10), "turning"),
    (lambda: e.fit_law(SIZES, TURNING, NAN), "limit"),
    (lambda: e.forecast(SIZES, TURNING, 10, target=math.inf), "target"),
    (lambda: e.forecast(SIZES, TURNING, 10, target=32, level=NAN), "level"),
    (lambda: e.encode_sums([1, 2], [1]), "second"),
    (lambda: e.encode_sums([1000], [1]), "first"),
    (lambda: e.encode_sums([1.5], [1]), "first"),
    (lambda: e.encode_sums(torch.tensor([True]), [1]), "first"),
    (lambda: e.draw_sums(2.0), "count"),
    (lambda: e.draw_sums(2, seed="one"), "seed"),
    (lambda: e.train_adder(8, steps=2.5), "steps"),
    (lambda: e.train_adder(8, steps=1, lr=NAN), "lr"),
    (lambda: e.train_induction(2, bursty="often", steps=1), "bursty"),
    (lambda: e.train_modular(NAN, steps=1), "weight_decay"),
    (lambda: e.train_parity(seed=0.5, steps=1), "seed"),
    (lambda: e.small_gpt_neo(12.5, 8, 1, 12), "vocabulary"),
    (lambda: e.small_gpt_neo(12, 8, 1, 12, kinds=["locl"]), "kinds"),
    (lambda: e.prefix_matching_score(torch.ones(4, 4), 2), "attention"),
    (lambda: e.prefix_matching_score(attention(4, 5), 2), "attention"),
    (lambda: e.prefix_matching_score(attention() * NAN, 2), "attention"),
    (lambda: e.prefix_matching_score(attention(), 4), "period"),
    (lambda: e.prefix_matching_score(attention(), 1.5), "period"),
    (lambda: e.prefix_matching_score(attention(), torch.tensor([1, 2])), "period"),
    (lambda: e.in_context_score(torch.full((1, 47), NAN)), "losses"),
    (lambda: e.in_context_score(torch.ones(1, 47), edge=0), "edge"),
    (lambda: e.draw_strings(1, bursty=NAN), "bursty"),
    (lambda: e.draw_strings(1, length=47), "length"),
    (lambda: silenced(0, -1), "head"),
    (lambda: e.task_shares(2, NAN), "exponent"),
    (lambda: e.draw_parity(e.Parity(), 1.5), "count"),
    (lambda: e.Watch({}, "a title", "nats"), "names"),
    (lambda: e.Watch({"loss": "loss"}, "a title", "nats")({"step": 0, "nll": 1.0}), "names"),
]


@pytest.mark.parametrize(("call", "argument"), CALLS)
def test_a_message_begins_with_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        call()


def test_numbers_of_numpy_are_numbers():
    two, half = np.int64(2), np.float32(0.5)
    assert e.small_gpt_neo(np.int32(12), np.int64(8), two, 12).config.num_layers == 2
    assert len(e.draw_strings(two, bursty=half, seed=two).ids) == 2
    assert e.turning_point(np.array(UP), np.array(SCORE), half) == 2
    assert e.forecast(np.array(SIZES), np.array(TURNING), np.int64(10), two).estimate > 0
