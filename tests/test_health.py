"""The doctor says in plain words what is wrong and how to repair it, and never fails itself."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from huggingface_hub import constants
from jupyter_client import kernelspec

from fmcourse import data, health, runtime
from fmcourse.health import doctor
from fmcourse.runtime import GIB

installed = importlib.metadata.version
import_module = importlib.import_module


@pytest.fixture
def healthy(monkeypatch, server, tmp_path):
    """A machine with memory and disk to spare, a home, and a hub that answers."""
    memory = types.SimpleNamespace(available=12 * GIB, total=16 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=50 * GIB))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(runtime, "_temporary", {})
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(health, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    return monkeypatch


# One trouble each: what makes it, a word of the problem, a word of the remedy.


def python(number):
    def change(patch):
        version = types.SimpleNamespace(**{**vars(sys), "version_info": number})
        patch.setattr(health, "sys", version)
        patch.setattr(platform, "python_version", lambda: ".".join(map(str, number)))

    return change


def version(name, number):
    """Pretend that a version of a package is installed, or with None that it is not."""

    def lookup(asked):
        if asked == name and number is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return number if asked == name else installed(asked)

    return lambda patch: patch.setattr(importlib.metadata, "version", lookup)


def needs(*lines):
    return lambda patch: patch.setattr(importlib.metadata, "requires", lambda name: list(lines))


def broken_import(patch):
    def load(name, *rest):
        if name == "pyarrow":
            raise ValueError("numpy.dtype size changed")
        return import_module(name, *rest)

    patch.setattr(importlib, "import_module", load)


def bundle(content, manifest=None):
    """Pretend that one file ships, with this content in place of two lines that end as on Linux."""

    def change(patch):
        files = {"a.json": {"sha256": hashlib.sha256(b"1\n2\n").hexdigest()}}
        folder = Path("bundled")
        folder.mkdir()
        (folder / "a.json").write_bytes(content)
        patch.setattr(data, "BUNDLED", folder)
        patch.setattr(data, "_files", manifest or (lambda: files))

    return change


def memory(free):
    found = types.SimpleNamespace(available=free * GIB, total=16 * GIB)
    return lambda patch: patch.setattr(psutil, "virtual_memory", lambda: found)


def little_disk(name):
    def change(patch):
        cache = Path(name).absolute()
        cache.mkdir()
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        usage = {cache: types.SimpleNamespace(free=0.25 * GIB)}
        plenty = types.SimpleNamespace(free=50 * GIB)
        patch.setattr(shutil, "disk_usage", lambda folder: usage.get(folder, plenty))

    return change


def blocked(variable):
    def change(patch):
        Path("file").touch()
        path = str(Path("file").absolute() / "folder")
        if variable == "HF_HOME":
            patch.setattr(constants, "HF_HUB_CACHE", path)
        patch.setenv(variable, path)

    return change


def no_home(patch):
    for name in ("HOME", "USERPROFILE", "FMCOURSE_STATE", "XDG_DATA_HOME"):
        patch.delenv(name, raising=False)
    patch.setenv("XDG_CACHE_HOME", str(Path.cwd()))
    if os.name == "posix":
        patch.setattr("pwd.getpwuid", lambda uid: {}[uid])


def notebook(content):
    return lambda patch: Path("notebooks", "04_x.ipynb").write_bytes(content)


def env(**values):
    return lambda patch: [patch.setenv(name, value) for name, value in values.items()]


def no_gpu(patch):
    env(FMCOURSE_PROFILE="full")(patch)
    patch.setattr(torch.cuda, "is_available", lambda: False)


def no_hub(patch):
    env(FMCOURSE_PROFILE="full")(patch)
    patch.setattr(constants, "HF_HUB_OFFLINE", True)


def colab(patch):
    env(FMCOURSE_PROFILE="full")(patch)
    patch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))


def console(patch):
    patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))


def kernel(patch):
    spec = types.SimpleNamespace(argv=[os.path.abspath("gone/python")])
    patch.setattr(kernelspec, "get_kernel_spec", lambda name: spec)


def stopping(patch):
    patch.setattr(health, "_memory", lambda: 1 / 0)


WIDGETS = json.dumps({"metadata": {"widgets": {"state": {}}}, "cells": []}).encode()
MERGE = b'<<<<<<< HEAD\n{"cells": []}\n=======\n{}\n>>>>>>> theirs\n'
TROUBLES = {
    "old python": (python((3, 10, 4)), "Python 3.10.4", "python3.13"),
    "not installed": (version("fmcourse", None), "not installed", "--editable"),
    "missing": (needs("left-socks>=1.2"), "left-socks is missing", '"left-socks>=1.2"'),
    "too old": (needs("numpy>=999"), "needs >=999", '"numpy>=999"'),
    "too new": (version("ipywidgets", "9.1"), "tested up to 8", '"ipywidgets<9"'),
    "stale": (lambda p: p.setattr(np, "__version__", "1.26.4"), "1.26.4 is loaded", "Restart"),
    "broken": (broken_import, "pyarrow does not load", "reinstall"),
    "altered": (bundle(b"1\n3\n"), "missing or altered", "git checkout HEAD"),
    "line endings": (bundle(b"1\r\n2\r\n"), "line endings", "core.autocrlf false"),
    "manifest": (bundle(b"", lambda: {}["files"]), "cannot be read", "reinstall"),
    "memory": (memory(1.25), "1.2 GiB of memory", "Close"),
    "disk": (little_disk("hub"), "0.2 GiB of disk", "HF_HOME"),
    "state": (blocked("FMCOURSE_STATE"), "Predictions", "FMCOURSE_STATE"),
    "hub's cache": (blocked("HF_HOME"), "Models of the hub", "HF_HOME"),
    "no home": (no_home, "no home", "FMCOURSE_STATE"),
    "no Drive": (env(FMCOURSE_STATE="/content/drive/MyDrive/x"), "not mounted", "FMCOURSE_STATE"),
    "profile": (env(FMCOURSE_PROFILE="ful"), "did you mean 'full'?", "tiny or full"),
    "no GPU": (no_gpu, "40 minutes", "T4 GPU"),
    "no hub": (no_hub, "does not answer", "bundled models"),
    "conflict": (notebook(MERGE), "04_x.ipynb is damaged", "git checkout HEAD -- notebooks/04_x"),
    "empty notebook": (notebook(b""), "04_x.ipynb is damaged", "git checkout"),
    "wrong encoding": (notebook(b'{"a": "\xe9"}'), "UnicodeDecodeError", "git checkout"),
    "cut notebook": (notebook(b'{"metadata": {}}'), "'cells'", "git checkout"),
    "folder": (lambda p: os.mkdir("notebooks/a.ipynb"), "a.ipynb is damaged", "git checkout"),
    "widgets": (notebook(WIDGETS), "widget state", "--fix"),
    "Colab": (colab, "Colab takes this machine back", "Mount Drive"),
    "console": (console, "cp1252", "PYTHONUTF8"),
    "kernel": (kernel, "gone/python", "ipykernel install"),
    "a check": (stopping, "ZeroDivisionError", "maintainers"),
}


@pytest.mark.parametrize("trouble, problem, remedy", TROUBLES.values(), ids=TROUBLES)
def test_each_trouble_is_the_only_finding(healthy, trouble, problem, remedy):
    trouble(healthy)
    (found,) = doctor()
    assert problem in found.problem and remedy in found.remedy


@pytest.mark.parametrize(
    "fine",
    [
        id,
        python((3, 11, 0)),
        needs('left-socks>=1; extra == "test"', 'left-socks>=1; python_version < "3"'),
        lambda patch: patch.setattr(torch, "__version__", torch.__version__ + "+elsewhere"),
        notebook(b'{"metadata": {}, "cells": []}'),
        env(FMCOURSE_STATE="~/state"),
    ],
)
def test_what_is_fine_is_no_finding(healthy, fine):
    fine(healthy)
    assert doctor() == []


def test_a_full_disk_is_found_everywhere_and_two_troubles_are_two_findings(healthy):
    def refuse(**how):
        raise OSError(28, "No space left on device")

    healthy.setattr(health.tempfile, "TemporaryFile", refuse)
    needs("left-socks>=1.2")(healthy)
    found = [finding.problem for finding in doctor()]
    assert len(found) == 5 and sum("No space left" in problem for problem in found) == 4


@pytest.mark.parametrize("package", ["psutil", "datasets"])
def test_the_doctor_works_where_a_package_of_the_course_is_gone(package):
    program = f"""import sys, fmcourse; sys.modules[{package!r}] = None
print(*fmcourse.doctor(), sep="\\n")"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert "The course does not load here" in said and package in said


# Git for Windows.


def git(*words, folder):
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)


@pytest.mark.parametrize("attributes", [True, False])
def test_a_clone_with_changed_line_endings_is_whole_or_repaired_by_the_remedy(
    root, tmp_path, attributes
):
    """Made on Linux with the setting that Git for Windows has by default."""
    bundled = Path("fmcourse", "bundled")
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    (origin / bundled).mkdir(parents=True)
    (origin / bundled / "a.json").write_bytes(b"{\n}\n")
    if attributes:
        shutil.copy(root / ".gitattributes", origin)
    git("init", "-q", folder=origin)
    git("add", "-A", folder=origin)
    me = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    git(*me, "commit", "-qm", "bundle: one file", folder=origin)
    git("clone", "-q", "-c", "core.autocrlf=true", origin, clone, folder=tmp_path)
    file = clone / bundled / "a.json"
    assert file.read_bytes() == (b"{\n}\n" if attributes else b"{\r\n}\r\n")
    for command in data.REMEDY.partition("in a clone: ")[2].split("; "):
        subprocess.run(command.split(), cwd=clone, check=True)
    assert file.read_bytes() == b"{\n}\n"
    assert subprocess.check_output(["git", "status", "--short"], cwd=clone) == b""


@pytest.mark.parametrize(
    "name", ["predictions.json", "evidence/ladder-bits.json", "exercises/a.json"]
)
@pytest.mark.parametrize("content", ["", "{", "\x00"])
def test_a_kept_file_that_cannot_be_read_is_found(state, name, content):
    (state / name).parent.mkdir(exist_ok=True)
    (state / name).write_text(content)
    (state / "whole.json").write_text("{}")
    found = [str(finding) for finding in health.doctor() if "damaged" in str(finding)]
    assert len(found) == 1 and Path(name).name in found[0]
