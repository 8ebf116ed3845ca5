"""The benchmark of the two training loops, run small."""

from __future__ import annotations

import re

from benchmarks import training


def test_both_loops_end_with_the_same_loss(monkeypatch, capsys):
    small = {"LADDER": (32, 16, 1, 2), "STEPS": 2, "ROUNDS": 1}
    for name, value in small.items():
        monkeypatch.setattr(training, name, value)
    training.main()
    losses = re.findall(r"(\d+\.\d{4}) (\d+\.\d{4})$", capsys.readouterr().out, re.MULTILINE)
    assert len(losses) == 3 and all(ours == theirs for ours, theirs in losses)
