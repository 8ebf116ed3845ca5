"""The doctor says in plain words what is wrong and how to mend it; an empty list is good news."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import platform
import shutil
import sys
import tempfile
import types

import numpy as np
import psutil
import pytest
import torch
from doubles import forget_bundle
from hub_server import Fault
from huggingface_hub import constants

from fmcourse import bundle, health
from fmcourse.environment import GIB, PROFILES
from fmcourse.health import Finding, doctor

CHOICES = "FMCOURSE_PROFILE: expected one of 'tiny', 'full', got "


@pytest.fixture
def healthy(monkeypatch, server):
    """A machine with memory and disk to spare and a hub that answers, whatever the one is that runs the tests."""
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: types.SimpleNamespace(available=12 * GIB, total=16 * GIB)
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=50 * GIB))
    return monkeypatch


def test_a_healthy_environment_has_no_findings(healthy):
    assert doctor() == []


def test_a_finding_shows_itself():
    assert str(Finding("It rains", "Take an umbrella")) == "It rains. Take an umbrella."


def the_only_finding():
    findings = doctor()
    assert len(findings) == 1, "\n".join(map(str, findings))
    return findings[0]


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0)])
def test_another_python(healthy, version):
    text = ".".join(map(str, version))
    healthy.setattr(health, "sys", types.SimpleNamespace(version_info=version, modules=sys.modules))
    healthy.setattr(platform, "python_version", lambda: text)
    assert the_only_finding() == Finding(
        f"This is Python {text}; the course is tested on 3.11 to 3.13",
        "Make an environment with one of these, for example: make PYTHON=python3.13 course",
    )


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 13, 9)])
def test_the_oldest_and_newest_python(healthy, version):
    healthy.setattr(health, "sys", types.SimpleNamespace(version_info=version, modules=sys.modules))
    assert doctor() == []


def needs(patch, *lines):
    patch.setattr(importlib.metadata, "requires", lambda name: list(lines))


def uninstall(patch, missing):
    installed = importlib.metadata.version

    def version(name):
        if name == missing:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    patch.setattr(importlib.metadata, "version", version)


def test_a_missing_package(healthy):
    needs(healthy, "numpy>=1", "left-socks>=1.2")
    assert the_only_finding() == Finding(
        "The package left-socks is missing", 'Install it: pip install "left-socks>=1.2"'
    )


def test_a_package_that_is_too_old(healthy):
    needs(healthy, "numpy>=999")
    version = importlib.metadata.version("numpy")
    assert the_only_finding() == Finding(
        f"numpy is {version}, but the course needs >=999",
        'Upgrade it and restart the kernel: pip install "numpy>=999"',
    )


def test_what_is_optional_or_for_other_machines_may_be_missing(healthy):
    needs(healthy, 'left-socks>=1; extra == "test"', 'left-socks>=1; python_version < "3"')
    assert doctor() == []


def test_a_preview_of_a_package_will_do(healthy):
    needs(healthy, "numpy>=2")
    installed = importlib.metadata.version
    healthy.setattr(
        importlib.metadata,
        "version",
        lambda name: "2.9.0rc1" if name == "numpy" else installed(name),
    )
    healthy.setattr(np, "__version__", "2.9.0rc1")
    assert doctor() == []


def test_the_course_itself_is_not_installed(healthy):
    uninstall(healthy, "fmcourse")
    assert the_only_finding() == Finding(
        "fmcourse is not installed in this environment", "From a clone: pip install --editable ."
    )


def test_numpy_was_installed_anew_under_a_running_kernel(healthy):
    healthy.setattr(np, "__version__", "1.26.4")
    installed = importlib.metadata.version("numpy")
    assert the_only_finding() == Finding(
        f"numpy 1.26.4 is loaded, but {installed} is installed by now",
        "Restart the kernel (in Colab: Runtime, Restart session), then run the cells from the top",
    )


def test_a_build_tag_is_no_other_version(healthy):
    healthy.setattr(torch, "__version__", torch.__version__.split("+")[0] + "+elsewhere")
    assert doctor() == []


def fail_to_import(patch, name, error):
    original = importlib.import_module

    def import_module(wanted, *rest):
        if wanted == name:
            raise error
        return original(wanted, *rest)

    patch.setattr(importlib, "import_module", import_module)


def test_a_compiled_package_that_does_not_load(healthy):
    fail_to_import(healthy, "pyarrow", ValueError("numpy.dtype size changed"))
    assert the_only_finding() == Finding(
        "The package pyarrow does not load (ValueError: numpy.dtype size changed)",
        "It was probably built for another NumPy: reinstall both in a fresh environment",
    )


def test_a_missing_compiled_package_is_one_finding(healthy):
    needs(healthy, "pandas>=1")
    uninstall(healthy, "pandas")
    fail_to_import(
        healthy, "pandas", ModuleNotFoundError("No module named 'pandas'", name="pandas")
    )
    assert the_only_finding() == Finding(
        "The package pandas is missing", 'Install it: pip install "pandas>=1"'
    )


@pytest.mark.parametrize("tool", ["psutil", "packaging"])
def test_the_doctor_works_without_its_tools(healthy, tool):
    uninstall(healthy, tool)
    for name in [name for name in sys.modules if name == tool or name.startswith(tool + ".")]:
        healthy.delitem(sys.modules, name)
    healthy.setitem(sys.modules, tool, None)
    problems = [finding.problem for finding in doctor()]
    assert f"The package {tool} is missing" in problems


@pytest.fixture
def bundled(tmp_path, healthy):
    """Put a bundle of two files, one altered and one missing, in the place of the real one, and return its folder."""
    entries = [{"file": name, "sha256": "0" * 64} for name in ("a.parquet", "b.parquet")]
    (tmp_path / "manifest.json").write_text(json.dumps({"files": entries}), encoding="utf-8")
    (tmp_path / "a.parquet").write_bytes(b"altered")
    healthy.setattr(bundle, "BUNDLED", tmp_path)
    forget_bundle()
    yield tmp_path
    forget_bundle()


def test_a_damaged_bundle(bundled):
    assert the_only_finding() == Finding(
        "2 bundled files are missing or altered, the first is a.parquet",
        "Reinstall fmcourse (from a clone: git checkout fmcourse/bundled)",
    )


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.unlink(),
        lambda file: file.write_text("{"),
        lambda file: file.write_text("{}"),
    ],
    ids=["missing", "cut", "empty"],
)
def test_a_damaged_manifest(bundled, harm):
    harm(bundled / "manifest.json")
    forget_bundle()
    found = the_only_finding()
    assert found.problem.startswith(
        "The bundled data cannot be read ("
    ) and found.remedy.startswith("Reinstall fmcourse")


def test_little_memory(healthy):
    healthy.setattr(
        psutil,
        "virtual_memory",
        lambda: types.SimpleNamespace(available=1.25 * GIB, total=16 * GIB),
    )
    assert the_only_finding() == Finding(
        "Only 1.2 GiB of memory are free; a notebook may need 3",
        "Close other notebooks and programs, or shut down their kernels",
    )


def test_memory_that_just_suffices(healthy):
    enough = PROFILES["tiny"].memory_gib * GIB
    healthy.setattr(
        psutil, "virtual_memory", lambda: types.SimpleNamespace(available=enough, total=16 * GIB)
    )
    assert doctor() == []


def test_little_disk(healthy):
    healthy.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=0.25 * GIB))
    assert the_only_finding() == Finding(
        f"Only 0.2 GiB of disk are free in {tempfile.gettempdir()}",
        "Delete what you no longer need; checkpoints and caches want about one",
    )


def test_a_state_folder_that_cannot_be_written(healthy, tmp_path):
    (tmp_path / "file").write_text("in the way")
    healthy.setenv("FMCOURSE_STATE", str(tmp_path / "file" / "state"))
    found = the_only_finding()
    assert found.problem.startswith("Predictions and evidence cannot be kept (")
    assert found.remedy == "Set FMCOURSE_STATE to a folder that you can write to"


def test_an_unknown_profile_is_found(healthy):
    healthy.setenv("FMCOURSE_PROFILE", "ful")
    assert the_only_finding() == Finding(
        f"{CHOICES}'ful'; did you mean 'full'?", "Set FMCOURSE_PROFILE to tiny or full, or unset it"
    )


def test_the_full_profile_without_a_gpu(healthy):
    healthy.setenv("FMCOURSE_PROFILE", "full")
    healthy.setattr(torch.cuda, "is_available", lambda: False)
    assert the_only_finding() == Finding(
        "The full profile runs here without a GPU; a notebook may take 40 minutes",
        "In Colab choose Runtime, Change runtime type, T4 GPU; elsewhere unset FMCOURSE_PROFILE",
    )


def test_the_full_profile_with_a_gpu_is_healthy(healthy):
    healthy.setenv("FMCOURSE_PROFILE", "full")
    healthy.setattr(torch.cuda, "is_available", lambda: True)
    assert doctor() == []


def full(patch):
    """The full profile on a GPU."""
    patch.setenv("FMCOURSE_PROFILE", "full")
    patch.setattr(torch.cuda, "is_available", lambda: True)


def test_the_full_profile_needs_more_memory(healthy):
    full(healthy)
    healthy.setattr(
        psutil, "virtual_memory", lambda: types.SimpleNamespace(available=5 * GIB, total=12.7 * GIB)
    )
    assert the_only_finding().problem == "Only 5.0 GiB of memory are free; a notebook may need 8.5"


def test_a_major_version_that_came_after_the_course(healthy):
    installed = importlib.metadata.version
    healthy.setattr(
        importlib.metadata,
        "version",
        lambda name: "6.1.0" if name == "transformers" else installed(name),
    )
    healthy.delitem(sys.modules, "transformers", raising=False)
    assert the_only_finding() == Finding(
        "transformers is 6.1.0; the course is tested up to 5, and a major version renames things",
        'If a cell fails on a name that is gone, restart the kernel after: pip install "transformers<6"',
    )


@pytest.mark.parametrize(
    "off, word", [(False, "ReadTimeout"), (True, "OfflineModeIsEnabled")], ids=["slow", "off"]
)
def test_a_hub_that_does_not_answer(healthy, server, off, word):
    full(healthy)
    healthy.setattr(constants, "HF_HUB_OFFLINE", off)
    healthy.setattr(health, "HUB_SECONDS", 0.2)
    server.faults = [Fault("", stall=1.0)]
    assert the_only_finding() == Finding(
        f"The Hugging Face hub does not answer ({word})",
        "Go on if you like: what it does not give, bundled models replace; or check the connection and try again",
    )


def test_the_tiny_profile_asks_no_hub(healthy, server):
    server.faults = [Fault("", status=503)]
    assert doctor() == [] and server.asked == []


def test_stored_widget_state(healthy, tmp_path):
    (tmp_path / "04_stale.ipynb").write_text(
        json.dumps({"metadata": {"widgets": {"state": {}}}, "cells": []})
    )
    (tmp_path / "05_plain.ipynb").write_text(json.dumps({"metadata": {}, "cells": []}))
    healthy.setattr(health, "NOTEBOOKS", tmp_path)
    assert the_only_finding() == Finding(
        "The notebook 04_stale.ipynb holds widget state, and GitHub refuses to show such a page",
        "From the clone: python -m tools.notebooks --fix",
    )


def test_work_that_a_disconnect_would_lose(healthy):
    full(healthy)
    healthy.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert the_only_finding() == Finding(
        "Colab takes this machine back after a while, with all that it holds",
        "Mount Drive, set FMCOURSE_STATE to a folder under /content/drive, and give checkpoint= a file there when you train",
    )
    healthy.setattr(health, "DRIVE", str(health.environment.state_folder()))
    assert doctor() == []
    healthy.setenv("FMCOURSE_PROFILE", "tiny")
    healthy.setattr(health, "DRIVE", "elsewhere")
    assert doctor() == []


def test_two_troubles_are_two_findings(healthy):
    healthy.setenv("FMCOURSE_PROFILE", "ful")
    needs(healthy, "left-socks>=1.2")
    assert [finding.problem.split(" ")[0] for finding in doctor()] == ["The", "FMCOURSE_PROFILE:"]
