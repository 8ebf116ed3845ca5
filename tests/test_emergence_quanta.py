"""Parities on paper; no sum is trained and tested on."""

import torch

from fmcourse.emergence import quanta as module
from fmcourse.emergence import task_shares, train_modular, train_parity


def test_a_label_is_the_parity_of_the_tasks_own_bits():
    bits, chosen = torch.randint(2, (60, module.BITS)), torch.arange(60) % module.PARITY_TASKS
    subsets = torch.arange(3 * module.PARITY_TASKS).view(-1, 3) % module.BITS
    inputs, labels = module.parity_examples(subsets, chosen, bits)
    assert torch.equal(inputs[:, : module.PARITY_TASKS].argmax(1), chosen)
    for task, row, label in zip(chosen, bits, labels):
        assert label == row[subsets[task]].sum() % 2


def test_the_mixtures_loss_is_the_sum_of_the_tasks():
    _, run = train_parity(steps=2, measure_every=1)
    for record in run.records:
        losses = [record[f"task {task}"] for task in range(module.PARITY_TASKS)]
        by_hand = (torch.tensor(losses) * task_shares()).sum()
        assert abs(record["loss"] - by_hand) < 1e-5


def test_no_sum_is_tested_that_was_trained_on_in_another_order():
    _, run = train_modular(steps=1, measure_every=1)
    assert run.records[0]["train"] < 0.2 and run.records[0]["test"] < 0.2  # chance is 1 in 31
