"""Arguments are checked before torch, NumPy or SciPy complain; figures say what they show."""

import math

import torch
from doubles import refusals

from fmcourse import emergence as e
from fmcourse import stats

NAN = math.nan
ATTENTION = torch.ones(1, 2, 4, 4) / 4

test_a_message_begins_with_the_argument = refusals(
    ("scale", e.turning_point, [1, 3, 2], [0.0, 0.5, 1.0]),
    ("score", e.linearity, [1, 2, 3], [0.0, NAN, 1.0]),
    ("values", e.sharpness, range(4), [[0.0, 0.0, 0.0, 1.0]] * 2, e.breakthroughness),
    ("turning", e.fit_law, [8, 8, 16, 16], [1.0, NAN, 3.0, NAN], 10),
    ("scale", e.fit_law, [8, 8, 8, 8], [9.0, 8.0, 4.0, 5.0], 10),
    ("first", e.encode_sums, [1.5], [1]),
    ("width", e.train_adder, 6),
    ("attention", e.prefix_matching_score, ATTENTION[..., :3], 2),
    ("period", e.prefix_matching_score, ATTENTION, torch.tensor([1, 2])),
    ("losses", e.in_context_score, torch.full((1, 47), NAN)),
    ("head", e.ablated(e.small_gpt_neo(4, 4, 1, 4), [(0, -1)]).__enter__),
)


def test_figures_say_what_they_show():
    drawn = e.beside_diagonal({"width 8": ([0.2, 0.5], [0.2, 0.6])}, "Shares", "product", "exact")
    assert "width 8, 2 points, at most 0.10 away" in drawn.alt
    drawn = e.attention_map({"head 1.1": torch.eye(3)}, "aba")
    assert "head 1.1, the last token looks most at number 3" in drawn.alt
    line = ([1, 2], [stats.wilson(0, 20), stats.wilson(10, 20)])
    drawn = e.small_panels({"A": {"tested": line}, "B": {"one": line}})
    assert "A, tested: 0.00 at 1 to 0.50 at 2" in drawn.alt and "B, one" in drawn.alt
