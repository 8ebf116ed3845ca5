"""A run that broke off ends in the same weights; no other run takes up its checkpoint."""

import functools

import pytest
import torch

from fmcourse.emergence import train_adder, train_induction, train_modular, train_parity

SHORT = {"steps": 4, "measure_every": 2}
ADDER = functools.partial(train_adder, width=8)
COPIER = functools.partial(train_induction, tokens=8)


@pytest.mark.parametrize("train", [ADDER, COPIER, train_parity, train_modular])
def test_a_run_that_broke_off_ends_in_the_same_weights(train, tmp_path, monkeypatch):
    whole, run = train(**SHORT)
    clip, calls = torch.nn.utils.clip_grad_norm_, []

    def stopping(*given, **more):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return clip(*given, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch.nn.utils, "clip_grad_norm_", stopping)
        train(**SHORT, checkpoint=tmp_path / "run.pt")
    resumed, again = train(**SHORT, checkpoint=tmp_path / "run.pt")
    assert 0 < again.resumed_from < 4 and again.records == run.records
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))


@pytest.mark.parametrize(
    "train, changes",
    [
        (ADDER, [{"reverse": True}, {"lr": 1e-3}, {"seed": 1}, {"width": 12}]),
        (COPIER, [{"bursty": 0.5}, {"tokens": 9}]),
    ],
)
def test_no_other_run_takes_up_a_checkpoint(train, changes, tmp_path):
    settings = {"steps": 1, "checkpoint": tmp_path / "run.pt"}
    train(**settings)
    for changed in changes:
        with pytest.raises(ValueError, match="checkpoint"):
            train(**changed, **settings)
