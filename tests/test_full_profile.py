"""The full profile with checkpoints as large as the real ones, random weights, a hub on loopback.

What a trained model would say is not shown here, only that every cell runs and that memory
suffices. The same way with tiny models is tested in test_models.
"""

import os

import pytest
from doubles import python
from hub_server import HubServer
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    GPTNeoConfig,
    GPTNeoForCausalLM,
)

from fmcourse import data, models
from fmcourse.runtime import FULL
from tools import course

LOAD = f"""import resource, torch, fmcourse.models
resident = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = resident()
model, _ = fmcourse.load_gpt_neo({FULL.judge!r})
with torch.inference_mode():
    model(torch.zeros(1, 8, dtype=torch.long))  # mapped weights count when they are read
print(resident() - before, 4 * model.num_parameters())
"""
# The judge has the shape that a configuration has by default.
LAYERS = [[["global", "local"], 6]]
SMALL = {"hidden_size": 768, "num_layers": 12, "num_heads": 12, "attention_types": LAYERS}
GPT_NEO = {FULL.gpt_neo: SMALL, FULL.judge: {}}


def publish(root):
    """Write models of the published shapes, but for the vocabulary of bundled tokenizers."""
    tokenizer = models.load_gpt_neo("ladder-large")[1]
    for name, shape in GPT_NEO.items():
        config = GPTNeoConfig(**shape, vocab_size=len(tokenizer))
        GPTNeoForCausalLM(config).save_pretrained(root / name, max_shard_size="1GB")
        tokenizer.save_pretrained(root / name)
    words = models.load_clip("emoji-clip")[1].tokenizer
    text = {"eos_token_id": words.sep_token_id}
    CLIPModel(CLIPConfig(text_config=text)).save_pretrained(root / FULL.clip)
    CLIPProcessor(CLIPImageProcessor(), words).save_pretrained(root / FULL.clip)


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    """The environment of a class whose hub has the full profile's models at their commits."""
    root = tmp_path_factory.mktemp("publisher")
    publish(root)
    with HubServer() as server:
        for name, pin in data.pinned().items():
            server.add(name, root / name, pin["revision"])
        ours = {"HF_ENDPOINT": server.url, "HF_HOME": str(root / "home")}
        ours |= {"FMCOURSE_PROFILE": "full", "FMCOURSE_STATE": str(root / "state")}
        yield {**os.environ, **ours}


@pytest.mark.slow
def test_the_largest_model_reads_within_the_memory_of_a_free_machine(env):
    resident, weights = map(int, python("-c", LOAD, **env).split()[-2:])
    # 4.9 GB for the judge in fp32; a free Colab machine has 12.7 GB.
    assert weights > 4.5e9 and resident <= 1.3 * weights


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
