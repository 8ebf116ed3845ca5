"""What holds for every test: no network, here or in what a test starts; a state folder of its own; one thread."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NO_NETWORK = ROOT / "tests" / "no_network"
STATE = tempfile.TemporaryDirectory()  # for doctests; each test has one of its own

collect_ignore = ["no_network"]  # sitecustomize is no module of tests


def _prepare() -> None:
    """Set the environment that this process and all its children see; before torch is imported."""
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(NO_NETWORK), str(ROOT), *inherited]))
    os.environ.update(OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1", FMCOURSE_PROFILE="tiny", FMCOURSE_STATE=STATE.name)
    sys.path.insert(0, str(ROOT))
    spec = importlib.util.spec_from_file_location("no_network", NO_NETWORK / "sitecustomize.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


_prepare()


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a state folder of its own, and return it."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("FMCOURSE_STATE", str(folder))
    return folder


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT
