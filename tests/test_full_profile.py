"""The full profile with checkpoints as large as the real ones, random weights, a hub on loopback.

What a trained model would say is not shown here, only that every cell runs and that memory
suffices. The same way with tiny models is tested in test_models.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from full_size import clip_checkpoint, gpt_neo_checkpoint
from hub_server import HubServer

from fmcourse import data
from fmcourse.runtime import FULL
from tools import course

# Of the weights: 6.9 GB for 1.3 billion parameters in fp32; a free Colab machine has 12.7 GB.
PEAK = 1.3
LOAD = f"""import resource, torch, fmcourse.models
resident = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = resident()
model, _ = fmcourse.load_gpt_neo({FULL.judge!r})
with torch.inference_mode():
    model(torch.zeros(1, 8, dtype=torch.long))  # mapped weights count when they are read
print(resident() - before)
"""
BYTES = {FULL.judge: 5.3e9, FULL.gpt_neo: 5.0e8, FULL.clip: 6.05e8}


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    """The environment of a class whose hub has the full profile's models at their commits."""
    root = tmp_path_factory.mktemp("publisher")
    folders = {name: root / name for name in BYTES}
    for folder in folders.values():
        folder.mkdir(parents=True)
    sizes = {
        FULL.gpt_neo: gpt_neo_checkpoint(folders[FULL.gpt_neo], "125m"),
        FULL.clip: clip_checkpoint(folders[FULL.clip]),
        FULL.judge: gpt_neo_checkpoint(folders[FULL.judge], "1.3B", sharded=True),
    }
    assert sizes == pytest.approx(BYTES, rel=0.02)
    with HubServer() as server:
        for name, folder in folders.items():
            server.add(name, folder, data.pinned()[name]["revision"])
        ours = {"HF_ENDPOINT": server.url, "HF_HOME": str(root / "home")}
        ours |= {"FMCOURSE_PROFILE": "full", "FMCOURSE_STATE": str(root / "state")}
        yield {**os.environ, **ours}


@pytest.mark.slow
def test_the_largest_model_reads_within_the_memory_of_a_free_machine(env):
    said = subprocess.check_output([sys.executable, "-c", LOAD], env=env, text=True)
    assert int(said.split()[-1]) <= PEAK * BYTES[FULL.judge]


@pytest.mark.slow
@pytest.mark.parametrize(
    "notebook",
    ["00_the_report", "03_clip_fine_tuning", "04_gpt_neo_generation", "05_data_management"],
)
def test_the_notebook_runs_through_in_the_full_profile(env, root, notebook):
    executed = course.run(root / "notebooks" / f"{notebook}.ipynb", env)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "profile full on" in printed and "fetching" in printed
    assert "could not be loaded from the hub" not in printed
