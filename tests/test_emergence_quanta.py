"""Parities and task shares on paper; no sum is trained and tested on; each run resumes."""

from __future__ import annotations

import pytest
import torch

from fmcourse.emergence import quanta as module
from fmcourse.emergence import task_shares, train_modular, train_parity


def test_task_shares_on_paper():
    assert torch.allclose(task_shares(3, 1.0), torch.tensor([6.0, 3.0, 2.0]) / 11)
    assert torch.equal(task_shares(4, 0.0), torch.full((4,), 0.25))
    assert abs(task_shares().sum().item() - 1) < 1e-6


def test_a_label_is_the_parity_of_the_tasks_own_bits():
    bits, chosen = torch.randint(2, (60, module.BITS)), torch.arange(60) % module.PARITY_TASKS
    subsets = torch.arange(3 * module.PARITY_TASKS).view(-1, 3) % module.BITS
    inputs, labels = module.parity_examples(subsets, chosen, bits)
    assert inputs.shape == (60, module.PARITY_TASKS + module.BITS)
    assert torch.equal(inputs[:, : module.PARITY_TASKS].argmax(1), chosen)
    for task, row, label in zip(chosen, bits, labels):
        assert label == row[subsets[task]].sum() % 2


@pytest.mark.parametrize("train", [train_parity, train_modular])
def test_a_run_that_broke_off_ends_in_the_same_weights(train, tmp_path, monkeypatch):
    whole, run = train(seed=1, steps=4, measure_every=2)
    calls, cross_entropy = [], module.cross_entropy

    def stopping(*given, **more):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return cross_entropy(*given, **more)

    monkeypatch.setattr(module, "cross_entropy", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(seed=1, steps=4, measure_every=2, checkpoint=tmp_path / "run.pt")
    resumed, again = train(seed=1, steps=4, measure_every=2, checkpoint=tmp_path / "run.pt")
    assert again.resumed_from == 2 and again.records == run.records
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))


def test_the_mixtures_loss_is_the_sum_of_the_tasks():
    _, run = train_parity(steps=2, measure_every=1)
    for record in run.records:
        losses = [record[f"task {task}"] for task in range(module.PARITY_TASKS)]
        by_hand = (torch.tensor(losses) * task_shares()).sum()
        assert abs(record["loss"] - by_hand) < 1e-5
    assert 0.9 < run.records[0]["loss"] < 1.1  # one bit is a coin


def test_no_sum_is_tested_that_was_trained_on_in_another_order():
    _, run = train_modular(steps=1, measure_every=1)
    assert run.records[0]["train"] < 0.2 and run.records[0]["test"] < 0.2  # chance is 1 in 31
    assert set(run.records[0]) == {"step", "train", "test", "test_loss", "norm"}
