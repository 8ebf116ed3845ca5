"""What holds for every test: no network, a state folder of its own, one thread."""

import os
import runpy
import shutil
import sys
import tempfile
import time
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NO_NETWORK = ROOT / "tests" / "no_network"
STATE = tempfile.TemporaryDirectory()  # for doctests; each test has one of its own

collect_ignore = ["no_network"]  # sitecustomize is no module of tests


def _prepare():
    """Set the environment that this process and all its children see; before torch is imported."""
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = dict.fromkeys([str(NO_NETWORK), str(ROOT), *inherited])
    os.environ.update(
        PYTHONPATH=os.pathsep.join(paths),
        OMP_NUM_THREADS="1",
        PYTHONDONTWRITEBYTECODE="1",
        FMCOURSE_PROFILE="tiny",
        FMCOURSE_STATE=STATE.name,
    )
    sys.path.insert(0, str(ROOT))
    runpy.run_path(str(NO_NETWORK / "sitecustomize.py"))


_prepare()

# These import torch and the hub's client, which read the environment that was just set.
import numpy as np  # noqa: E402
import torch  # noqa: E402
from doubles import tiny_clip, tiny_gpt_neo, tiny_vit_clip, word_tokenizer  # noqa: E402
from hub_server import NAME, HubServer  # noqa: E402
from huggingface_hub import file_download  # noqa: E402
from huggingface_hub.utils import _http  # noqa: E402

from fmcourse import models  # noqa: E402


@pytest.fixture(autouse=True)
def state(tmp_path_factory, monkeypatch):
    """Give each test a state folder of its own, and return it."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("FMCOURSE_STATE", str(folder))
    return folder


@pytest.fixture
def home(monkeypatch, tmp_path):
    """Give the user an empty home folder, which is the working folder too, and return it."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def draw():
    """A generator of random numbers, the same in each test."""
    return np.random.default_rng(0)


@pytest.fixture
def checkpoint(tmp_path):
    """Where a run may be kept."""
    return tmp_path / "run.pt"


@pytest.fixture
def printed(capsys):
    """Return a function that returns what was printed since its last call."""
    return lambda: capsys.readouterr().out


@pytest.fixture(scope="module", params=[tiny_clip, tiny_vit_clip])
def make(request):
    """The function that makes a tiny CLIP of either kind and its processor."""
    return request.param


@pytest.fixture(scope="module")
def double(make):
    """A tiny CLIP of either kind and its processor; no test changes them."""
    return make()


@pytest.fixture(scope="session")
def root():
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def layouts(tmp_path_factory):
    """A folder with one tiny GPT-Neo in every layout that publishers use."""
    root, model = tmp_path_factory.mktemp("layouts"), tiny_gpt_neo()
    for layout, most in {"single": "1GB", "sharded": "10KB"}.items():
        model.save_pretrained(root / layout, max_shard_size=most)
        word_tokenizer().save_pretrained(root / layout)
    shutil.copytree(root / "single", root / "torch")
    (root / "torch" / "model.safetensors").unlink()
    torch.save(model.state_dict(), root / "torch" / "pytorch_model.bin")
    shutil.copytree(root / "torch", root / "both")
    shutil.copy(root / "single" / "model.safetensors", root / "both")
    for name in ("flax_model.msgpack", "modeling_neo.py", "README.md"):
        (root / "both" / name).write_bytes(b"not asked for")
    return root


@pytest.fixture
def server(layouts, monkeypatch, tmp_path):
    """A hub with one model, an empty cache, and a client that hardly waits before a retry."""
    hasty = types.SimpleNamespace(**vars(time))
    hasty.sleep = lambda seconds: time.sleep(min(seconds, 0.01))
    for module in (file_download, _http):
        monkeypatch.setattr(module, "time", hasty)
    monkeypatch.setattr(models, "_found_whole", set())
    with HubServer() as hub:
        hub.add(NAME, layouts / "single")
        hub.connect(monkeypatch, tmp_path / "cache")
        yield hub
