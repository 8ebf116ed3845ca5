"""A run that broke off ends in the same weights; no other run takes up its checkpoint."""

import functools

import pytest
from doubles import refused, same, stop_at

from fmcourse.emergence import train_adder, train_induction, train_modular, train_parity

SHORT = {"steps": 4, "measure_every": 2}
ADDER = functools.partial(train_adder, width=8)
COPIER = functools.partial(train_induction, tokens=8)


@pytest.mark.parametrize("train", [ADDER, COPIER, train_parity, train_modular])
def test_a_run_that_broke_off_ends_in_the_same_weights(train, checkpoint, monkeypatch):
    whole, run = train(**SHORT)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, 3)
        train(**SHORT, checkpoint=checkpoint)
    resumed, again = train(**SHORT, checkpoint=checkpoint)
    assert 0 < again.resumed_from < 4 and again.records == run.records
    assert same(whole, resumed)


@pytest.mark.parametrize(
    "train, changes",
    [
        (ADDER, [{"reverse": True}, {"lr": 1e-3}, {"seed": 1}, {"width": 12}]),
        (COPIER, [{"bursty": 0.5}, {"tokens": 9}]),
    ],
)
def test_no_other_run_takes_up_a_checkpoint(train, changes, checkpoint):
    settings = {"steps": 1, "checkpoint": checkpoint}
    train(**settings)
    for changed in changes:
        with refused("checkpoint", "different run"):
            train(**changed, **settings)
