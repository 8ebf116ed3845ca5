"""What runs or is read elsewhere names things that are here: workflows, containers, the guide."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib

import pytest
import yaml

import fmcourse
from tools import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("?-*.yml"))
NAMING = [
    *WORKFLOWS,
    ROOT / "CONTRIBUTING.md",
    ROOT / ".github/pull_request_template.md",
    ROOT / ".devcontainer/devcontainer.json",
    ROOT / ".devcontainer/install.sh",
    ROOT / "docs/environments.md",
    ROOT / "docs/speed.md",
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
FOLDERS = r"fmcourse|tests|tools|recipes|benchmarks|docs|notebooks|images|\.devcontainer"


@pytest.mark.parametrize("path", NAMING, ids=lambda path: path.name)
def test_each_named_target_module_and_file_is_there(path):
    text = path.read_text(encoding="utf-8")
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


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_little_and_ends(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert "group" in workflow["concurrency"]
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v0"))


def test_the_supported_pythons_and_three_systems_are_tested():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    # The same as the Makefile's.
    assert jobs["linux"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    systems = {job["runs-on"] for job in jobs.values()}
    assert systems == {"ubuntu-latest", "macos-latest", "windows-latest"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_an_issue_form_asks_for_something(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    names = [field["id"] for field in form["body"]]
    assert len(names) == len(set(names))
    assert any(field.get("validations", {}).get("required") for field in form["body"])
    assert all(field["attributes"]["label"] for field in form["body"])


def test_the_form_for_errors_lists_every_notebook():
    form = yaml.safe_load(FORMS[0].read_text(encoding="utf-8"))
    numbers = [option[:2] for option in form["body"][0]["attributes"]["options"][:-1]]
    assert numbers == [path.name[:2] for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


def test_the_container_is_a_python_that_the_course_takes():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    binder = (ROOT / ".binder/runtime.txt").read_text(encoding="utf-8").strip()
    assert container["image"].rpartition(":")[2] == binder.removeprefix("python-") == "3.12"


def test_one_version_is_named_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (
        str(citation["version"])
        == fmcourse.__version__
        == re.findall(r"^## (\S+)", changes, re.M)[0]
    )
    assert project["dynamic"] == ["version"]
