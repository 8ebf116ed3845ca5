"""Two processes that train together end in the weights of one, and one of them writes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import torch

from fmcourse import clip, hub

STEPS, BATCH, LR, SEED = 3, 7, 1e-3, 3  # seven pictures: the two shares of a batch differ
SETTINGS = {"--steps": STEPS, "--batch-size": BATCH, "--lr": LR, "--seed": SEED, "--accumulate": 2}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(pictures, output, processes, timeout=300):
    """Run the README's command with this number of processes and return what it printed."""
    options = [
        "--cpu",
        "--num_processes",
        processes,
        "--num_machines",
        1,
        "--num_cpu_threads_per_process",
        1,
    ]
    options += [
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        free_port(),
    ]
    settings = [word for pair in SETTINGS.items() for word in pair]
    command = [
        "-m",
        "accelerate.commands.launch",
        *options,
        "-m",
        "fmcourse.clip.launch",
        pictures,
        output,
        *settings,
    ]
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return clip.sample_folder(tmp_path_factory.mktemp("launch") / "pictures")


def test_two_processes_end_in_the_weights_of_one(pictures, tmp_path):
    printed = launch(pictures, tmp_path / "out", processes=2)
    assert printed.count("held-out pictures right") == 1
    assert printed.count(" pictures of 4 labels: ") == 1
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "classifier.json",
        "classifier.safetensors",
        "run.pt",
    ]

    model, processor = hub.load_clip()
    found, names = clip.load_classifier(model, tmp_path / "out")
    read = clip.read_pictures(pictures)
    train, _ = read.split()
    head = clip.zero_shot_head(model, processor, read.names)
    settings = {"steps": STEPS, "batch_size": BATCH, "lr": LR, "seed": SEED, "progress": False}
    alone, run = clip.fine_tune(model, processor, train.images, train.labels, head, **settings)
    assert names == read.names
    losses = torch.load(tmp_path / "out" / "run.pt", weights_only=True)["losses"]
    assert losses == pytest.approx(run.losses, rel=1e-4)
    start = clip.build_classifier(model, head).state_dict()
    moved = torch.cat(
        [(value - start[name]).flatten() for name, value in alone.state_dict().items()]
    )
    apart = torch.cat(
        [(value - found.state_dict()[name]).flatten() for name, value in alone.state_dict().items()]
    )
    # Sums in another order round otherwise, by 1e-7 each; Adam divides by a gradient's own size and so makes more of it where
    # a gradient is small. A thousandth of the way that the weights went may lie between the two ends.
    assert apart.norm() < 0.001 * moved.norm()
    assert moved.norm() > 0.1
