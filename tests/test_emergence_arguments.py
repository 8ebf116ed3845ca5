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
ATTENTION = torch.ones(1, 2, 4, 4) / 4


def silenced(layer, head):
    with e.ablated(e.small_gpt_neo(4, 4, 1, 4), [(layer, head)]):
        pass


CALLS = [
    (lambda: e.linearity([], []), "scale"),
    (lambda: e.turning_point([1, 3, 2], SCORE), "scale"),
    (lambda: e.linearity(UP, [0.0, NAN, 1.0]), "score"),
    (lambda: e.sharpness(UP, [SCORE]), "values"),
    (lambda: e.sharpness(range(4), [[0.0, 0.0, 0.0, 1.0]] * 2, e.breakthroughness), "values"),
    (lambda: e.independent_exact([0.5, 1.1]), "places"),
    (lambda: e.fit_law([8, 16], [1.0], 10), "turning"),
    (lambda: e.fit_law([8, 0, 16, 16], TURNING, 10), "scale"),
    (lambda: e.fit_law(SIZES, [1.0, NAN, 3.0, NAN], 10), "turning"),
    (lambda: e.fit_law(SIZES, TURNING, NAN), "limit"),
    (lambda: e.forecast(SIZES, TURNING, 10, target=32, level=NAN), "level"),
    (lambda: e.encode_sums([1, 2], [1]), "second"),
    (lambda: e.encode_sums([1.5], [1]), "first"),
    (lambda: e.train_adder(6, steps=1), "width"),
    (lambda: e.prefix_matching_score(ATTENTION[..., :3], 2), "attention"),
    (lambda: e.prefix_matching_score(ATTENTION, 4), "period"),
    (lambda: e.prefix_matching_score(ATTENTION, torch.tensor([1, 2])), "period"),
    (lambda: e.in_context_score(torch.full((1, 47), NAN)), "losses"),
    (lambda: silenced(0, -1), "head"),
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
