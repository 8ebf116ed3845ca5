"""The benchmark of the two training loops, run small."""

import re

from benchmarks import training


def test_both_loops_end_with_the_same_loss(monkeypatch, printed):
    monkeypatch.setattr(training, "STEPS", 2)
    monkeypatch.setattr(training, "ROUNDS", 1)
    training.main()
    losses = re.findall(r"(\d+\.\d{4}) (\d+\.\d{4})$", printed(), re.MULTILINE)
    assert len(losses) == 2 and all(ours == theirs for ours, theirs in losses)
