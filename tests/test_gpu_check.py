"""The GPU check without a GPU: its steps run small, and one that fails is reported."""

import pytest
import torch

from benchmarks import gpu_check


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setenv("FMCOURSE_PROFILE", "tiny")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_every_step_is_right_on_small_models(printed):
    assert gpu_check.main() == 0
    shown = printed()
    assert torch.__version__ in shown and "no GPU" in shown
    assert f"{len(gpu_check.STEPS)} of {len(gpu_check.STEPS)} steps are right" in shown


def test_a_wrong_step_is_reported_and_the_next_one_runs(monkeypatch, capsys):
    steps = {"breaks": lambda job: 1 / 0, "works": lambda job: "seen"}
    monkeypatch.setattr(gpu_check, "STEPS", steps)
    assert gpu_check.main() == 1
    shown = capsys.readouterr()
    assert "WRONG" in shown.out and "seen" in shown.out and "1 of 2" in shown.out
    assert "ZeroDivisionError" in shown.err


def test_weights_of_a_different_run_are_wrong(tmp_path):
    job = gpu_check.Job("cpu", tmp_path)
    torch.set_num_threads(1)
    weights, run, calls = job.trained
    job.trained = (weights + 0.01, run, calls)
    with pytest.raises(AssertionError, match="weights differ"):
        gpu_check.filled(job)
