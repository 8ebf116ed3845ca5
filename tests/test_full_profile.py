"""The full profile against a server on loopback, with checkpoints as large as the real ones and random weights.

What a trained model would say is not shown here, only that every cell runs and that memory suffices.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer

from fmcourse import bundle
from fmcourse.environment import PROFILES
from tools import course

ROOT = Path(__file__).resolve().parent.parent
PEAK = 1.3  # of the weights: 6.9 GB for 1.3 billion parameters in fp32, of the 12.7 GB that a free Colab machine has
LOAD = """import resource, torch, transformers, fmcourse.hub
resident = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
from transformers import GPTNeoForCausalLM, AutoTokenizer
before = resident()
model, _ = fmcourse.load_gpt_neo({name!r})
with torch.inference_mode():
    model(torch.zeros(1, 8, dtype=torch.long))  # weights that are mapped from their file count when they are read
print("bytes", resident() - before, model.num_parameters())
"""


@pytest.fixture(scope="module")
def publisher(tmp_path_factory):
    """A server with the three models of the full profile at the commits that the manifest names, and its environment."""
    from full_size import clip_checkpoint, gpt_neo_checkpoint

    full, root = PROFILES["full"], tmp_path_factory.mktemp("publisher")
    with HubServer() as server:
        makers = {
            full.gpt_neo: lambda folder: gpt_neo_checkpoint(folder, "125m"),
            full.clip: clip_checkpoint,
        }
        makers[full.judge] = lambda folder: gpt_neo_checkpoint(folder, "1.3B", sharded=True)
        sizes = {}
        for name, make in makers.items():
            folder = root / name.replace("/", "--")
            folder.mkdir()
            sizes[name] = make(folder)
            server.add(name, folder, bundle.pinned()[name]["revision"])
        home = {
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(root / "home"),
            "FMCOURSE_PROFILE": "full",
        }
        yield sizes, {**os.environ, **home, "FMCOURSE_STATE": str(root / "state")}


@pytest.mark.slow
def test_the_checkpoints_have_the_size_of_the_real_ones(publisher):
    sizes, _ = publisher
    assert sizes["EleutherAI/gpt-neo-1.3B"] == pytest.approx(5.3e9, rel=0.02)
    assert sizes["EleutherAI/gpt-neo-125m"] == pytest.approx(5.0e8, rel=0.02)
    assert sizes["openai/clip-vit-base-patch32"] == pytest.approx(6.05e8, rel=0.02)


@pytest.mark.slow
def test_the_largest_model_loads_and_reads_within_the_memory_of_a_free_machine(publisher):
    sizes, env = publisher
    name = PROFILES["full"].judge
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(name=name)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    fetched, *_, measured = done.stdout.splitlines()
    assert (
        fetched
        == f"{name}: fetching 5.3 GB from the hub, commit {bundle.pinned()[name]['revision']}."
    )
    peak, parameters = map(int, measured.split()[1:])
    assert 4 * parameters == sizes[name]
    assert peak <= PEAK * sizes[name], f"{peak / sizes[name]:.2f} times the weights"


@pytest.mark.slow
@pytest.mark.parametrize(
    "notebook", ["03_clip_fine_tuning", "04_gpt_neo_generation", "05_data_management"]
)
def test_the_notebook_runs_through_in_the_full_profile(publisher, notebook):
    _, env = publisher
    executed = course.run(ROOT / "notebooks" / f"{notebook}.ipynb", env)
    printed = "".join(
        output.get("text", "") for cell in executed.cells for output in cell.get("outputs", [])
    )
    assert "profile full on" in printed and "fetching" in printed
    assert "could not be loaded from the hub" not in printed
