"""The doctor says in plain words what is wrong and how to repair it, and never fails itself."""

import hashlib
import importlib
import importlib.metadata
import io
import os
import platform
import shutil
import subprocess
import sys
import types
from pathlib import Path

import doubles
import psutil
import pytest
import torch
from doubles import CASES
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
    memory(monkeypatch, 12)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=50 * GIB))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(runtime, "_temporary", {})
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(health, "NOTEBOOKS", tmp_path / "notebooks")
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    return monkeypatch


# One trouble each, by name in the table of cases.


def python(patch, number):
    version = types.SimpleNamespace(**{**vars(sys), "version_info": tuple(number)})
    patch.setattr(health, "sys", version)
    patch.setattr(platform, "python_version", lambda: ".".join(map(str, number)))


def version(patch, name, number):
    """Pretend that a version of a package is installed, or that it is not."""

    def lookup(asked):
        if asked == name and not number:
            raise importlib.metadata.PackageNotFoundError(name)
        return number if asked == name else installed(asked)

    patch.setattr(importlib.metadata, "version", lookup)


def needs(patch, *lines):
    patch.setattr(importlib.metadata, "requires", lambda name: list(lines))


def loaded(patch, name, number):
    patch.setattr(sys.modules[name], "__version__", number)


def broken_import(patch):
    def load(name, *rest):
        if name == "pyarrow":
            raise ValueError("numpy.dtype size changed")
        return import_module(name, *rest)

    patch.setattr(importlib, "import_module", load)


def bundle(patch, content):
    """Pretend that one file ships, with this content in place of two lines that end as on Linux."""
    Path("a.json").write_text(content, newline="")
    checksum = hashlib.sha256(b"1\n2\n").hexdigest()
    patch.setattr(data, "BUNDLED", Path.cwd())
    patch.setattr(data, "_files", lambda: {"a.json": {"sha256": checksum}})


def no_manifest(patch):
    patch.setattr(data, "_files", lambda: {}["files"])


def memory(patch, free):
    found = types.SimpleNamespace(available=free * GIB, total=16 * GIB)
    patch.setattr(psutil, "virtual_memory", lambda: found)


def little_disk(patch, name):
    cache = Path(name).absolute()
    cache.mkdir()
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    plenty = shutil.disk_usage(cache)
    usage = {cache: types.SimpleNamespace(free=0.25 * GIB)}
    patch.setattr(shutil, "disk_usage", lambda folder: usage.get(folder, plenty))


def blocked(patch, variable):
    Path("file").touch()
    path = str(Path("file").absolute() / "folder")
    patch.setenv(variable, path)
    if variable == "HF_HOME":
        patch.setattr(constants, "HF_HUB_CACHE", path)


def no_home(patch):
    for name in ("HOME", "USERPROFILE", "FMCOURSE_STATE", "XDG_DATA_HOME"):
        patch.delenv(name, raising=False)
    patch.setenv("XDG_CACHE_HOME", str(Path.cwd()))
    if os.name == "posix":
        patch.setattr("pwd.getpwuid", lambda uid: {}[uid])


def notebook(patch, content, encoding="utf-8"):
    Path("notebooks", "04_x.ipynb").write_text(content, encoding=encoding)


def kept(patch, content):
    (runtime.state_folder() / "whole.json").write_text("{}")
    (runtime.state_folder() / "ladder-bits.json").write_text(content)


def env(patch, name, value):
    patch.setenv(name, value)


def no_gpu(patch):
    env(patch, "FMCOURSE_PROFILE", "full")
    patch.setattr(torch.cuda, "is_available", lambda: False)


def no_hub(patch):
    env(patch, "FMCOURSE_PROFILE", "full")
    patch.setattr(constants, "HF_HUB_OFFLINE", True)


def colab(patch):
    env(patch, "FMCOURSE_PROFILE", "full")
    patch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))


def console(patch):
    patch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))


def kernel(patch):
    spec = types.SimpleNamespace(argv=[os.path.abspath("gone/python")])
    patch.setattr(kernelspec, "get_kernel_spec", lambda name: spec)


def stopping(patch):
    patch.setattr(health, "_memory", lambda: 1 / 0)


@pytest.mark.parametrize("trouble, given, problem, remedy", CASES["health"]["troubles"])
def test_each_trouble_is_the_only_finding(healthy, trouble, given, problem, remedy):
    globals()[trouble](healthy, *given)
    (found,) = doctor()
    assert problem in found.problem and remedy in found.remedy


@pytest.mark.parametrize("change, given", CASES["health"]["fine"])
def test_what_is_fine_is_no_finding(healthy, change, given):
    globals()[change](healthy, *given)
    assert doctor() == []


def test_a_full_disk_is_found_everywhere_and_two_troubles_are_two_findings(healthy):
    def refuse(**how):
        raise OSError(28, "No space left on device")

    healthy.setattr(health.tempfile, "TemporaryFile", refuse)
    needs(healthy, "left-socks>=1.2")
    found = [finding.problem for finding in doctor()]
    assert len(found) == 5 and sum("No space left" in problem for problem in found) == 4


def test_the_doctor_works_where_a_package_of_the_course_is_gone():
    program = """import sys, fmcourse; sys.modules["datasets"] = None
print(*fmcourse.doctor(), sep="\\n")"""
    said = doubles.python("-c", program)
    assert "The course does not load here" in said and "datasets" in said


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
    me = "-c user.name=ada -c user.email=ada@example.org".split()
    git(*me, "commit", "-qm", "bundle: one file", folder=origin)
    git("clone", "-q", "-c", "core.autocrlf=true", origin, clone, folder=tmp_path)
    file = clone / bundled / "a.json"
    assert file.read_bytes() == (b"{\n}\n" if attributes else b"{\r\n}\r\n")
    for command in data.REMEDY.partition("in a clone: ")[2].split("; "):
        subprocess.run(command.split(), cwd=clone, check=True)
    assert file.read_bytes() == b"{\n}\n"
    assert subprocess.check_output(["git", "status", "--short"], cwd=clone) == b""
