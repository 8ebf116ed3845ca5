"""What runs or is read elsewhere names things that are here: workflows, containers, the guide."""

import importlib.util
import re

import pytest
import yaml

import fmcourse
from tools import ROOT

NAMING = [
    "CONTRIBUTING.md",
    ".github/pull_request_template.md",
    ".devcontainer/devcontainer.json",
    ".devcontainer/install.sh",
    "docs/environments.md",
    "docs/speed.md",
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
FOLDERS = r"fmcourse|tests|tools|recipes|benchmarks|docs|notebooks|images|\.devcontainer"


@pytest.mark.parametrize("name", [*NAMING, *ROOT.glob(".github/workflows/*.yml")])
def test_each_named_target_module_and_file_is_there(name):
    path = ROOT / name
    text = path.read_text("utf-8")
    targets = re.findall(r'(?:^|[`"]|run: )make ([a-z-]+)', text, re.MULTILINE)
    assert set(targets) <= TARGETS
    modules = re.findall(r"-m ((?:tools|benchmarks|fmcourse|recipes)\.[\w.]*\w)", text)
    for module in modules:
        if "NAME" not in module:
            assert importlib.util.find_spec(module), module
    files = re.findall(rf"(?<![\w./-])((?:{FOLDERS})/[\w./-]*\w|[\w-]+\.(?:txt|toml|cff))\b", text)
    files += re.findall(r"\]\(([\w./-]+)\)", text)
    for file in files:
        if "NN" not in file and file not in ("pip-freeze.txt", "texts.toml"):
            assert (path.parent / file).exists() or (ROOT / file).exists(), file


def test_one_version_is_named_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    named = {str(citation["version"]), re.search(r"^## (\S+)", changes, re.MULTILINE)[1]}
    assert named == {fmcourse.__version__}
