"""Figures say in words what they show."""

from __future__ import annotations

import torch

from fmcourse import stats
from fmcourse.emergence import attention_map, beside_diagonal, small_panels


def test_figures_say_what_they_show():
    drawn = beside_diagonal({"width 8": ([0.2, 0.5], [0.2, 0.6])}, "Shares", "product", "exact")
    assert "width 8, 2 points, at most 0.10 away" in drawn.alt
    drawn = attention_map({"head 1.0": torch.eye(3), "head 1.1": torch.eye(3)}, "aba")
    assert (
        "3 tokens" in drawn.alt and "head 1.1, the last token looks most at number 3" in drawn.alt
    )
    line = ([1, 2], [stats.wilson(0, 20), stats.wilson(10, 20)])
    drawn = small_panels({"A": {"tested": line, "again": ([1, 2], [0.1, 0.4])}, "B": {"one": line}})
    assert "A, tested: 0.00 at 1 to 0.50 at 2" in drawn.alt and "B, one" in drawn.alt
