"""Imports run downwards only, importing costs nothing, and what is public is documented."""

from __future__ import annotations

import ast
import graphlib
import os
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fmcourse"
HEAVY = {"torch", "transformers", "datasets", "matplotlib", "pandas", "scipy", "sklearn"}
FOREIGN = {
    "recipes",
    "tests",
    "notebooks",
    "tools",
    "benchmarks",
}  # the package knows nothing of these
IMPORT_SECONDS = 0.2

# From the ground up. A module may import those of any row before its own; no two of one row know each other.
LAYERS = {
    "ground": [
        {"arguments"},
        {"progress", "bundle"},
        {"environment", "uncertainty"},
        {"plotting", "health"},
    ],
    "workshop": [
        {"download", "smollm2", "batches", "checkpoints"},
        {"hub", "training", "evidence"},
    ],
    "topics": [
        {"emergence", "homogenization", "clip", "generation", "embeddings", "safeguards", "breadth"}
    ],
    "classroom": [{"quiz", "widgets"}],
}
ROW = {module: row for row, modules in enumerate(sum(LAYERS.values(), [])) for module in modules}


def test_every_folder_of_the_package_is_installed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]["packages"]
    folders = {
        ".".join(file.parent.relative_to(ROOT).parts) for file in PACKAGE.rglob("__init__.py")
    }
    assert set(listed) == folders | {"fmcourse.images"}


def sources() -> dict[str, str]:
    """Return the package's modules, by their names below fmcourse ("" is its doorway), with their texts."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {_name(file.relative_to(PACKAGE)): file.read_text(encoding="utf-8") for file in files}


def _name(file: Path) -> str:
    return ".".join(file.with_suffix("").parts).removesuffix("__init__").rstrip(".")


def imports(name: str, source: str, is_package: bool = False) -> Iterator[str]:
    """Yield the full name of all that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(name, node, is_package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _base(name: str, node: ast.ImportFrom, is_package: bool) -> str:
    """Return what stands after ``from``, with the dots of a relative import resolved."""
    if not node.level:
        return node.module or ""
    here = ["fmcourse", *name.split(".")] if name else ["fmcourse"]
    up = here[: len(here) - node.level + (is_package or not name)]
    return ".".join([*up, *([node.module] if node.module else [])])


def violations(modules: dict[str, str]) -> list[str]:
    """Return the imports that run upward, sideways, in a circle, or out of the package into the repository."""
    found = [
        f"{name} has no place in the layers"
        for name in modules
        if name and name.split(".")[0] not in ROW
    ]
    edges: dict[str, set[str]] = {}
    for name, source in modules.items():
        targets = set(imports(name, source, any(other.startswith(f"{name}.") for other in modules)))
        found += [
            f"{name} imports {target}"
            for target in sorted(targets)
            if target.split(".")[0] in FOREIGN
        ]
        inner = {
            target.removeprefix("fmcourse").lstrip(".")
            for target in targets
            if target.split(".")[0] == "fmcourse"
        }
        edges[name] = {_module(target, modules) for target in inner} - {name, ""}
        if name:
            found += [problem for target in sorted(inner) for problem in _judge(name, target)]
    return found + _circles(edges)


def _module(target: str, modules: Iterable[str]) -> str:
    """Return the module that an import asks: of those whose name the target begins with the longest, "" for the doorway."""
    return max(
        (name for name in modules if f"{target}.".startswith(f"{name}.")), key=len, default=""
    )


def _judge(name: str, target: str) -> Iterator[str]:
    own, other = name.split(".")[0], target.split(".")[0]
    if other not in ROW:
        yield f"{name} goes through the doorway for {target or 'fmcourse'}"
    elif own in ROW and own != other and ROW[own] <= ROW[other]:
        yield f"{name} imports {'upward' if ROW[own] < ROW[other] else 'sideways'}: {other}"


def _circles(edges: dict[str, set[str]]) -> list[str]:
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return [f"circle: {' -> '.join(error.args[1])}"]
    return []


def heavy_imports(source: str) -> set[str]:
    """Return the heavy libraries that importing a module would load: those outside functions and TYPE_CHECKING."""
    waiting, found = list(ast.parse(source).body), set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return found & HEAVY


def undocumented(source: str) -> list[str]:
    """Return the functions and classes of ``__all__``, and their public methods, that have no docstring."""
    tree = ast.parse(source)
    public = [ast.literal_eval(node.value) for node in tree.body if _assigns_all(node)]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    named = [
        node for node in tree.body if isinstance(node, kinds) and public and node.name in public[0]
    ]
    inner = [
        part
        for node in named
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, kinds)
    ]
    return [
        node.name
        for node in [*named, *inner]
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]


def _assigns_all(node: ast.stmt) -> bool:
    literal = isinstance(node, ast.Assign) and isinstance(node.value, (ast.List, ast.Tuple))
    return literal and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
    )


def test_imports_run_downwards():
    assert violations(sources()) == []


@pytest.mark.parametrize(
    "modules, problem",
    [
        ({"arguments": "from fmcourse.plotting import show"}, "arguments imports upward: plotting"),
        ({"hub": "def f():\n    from fmcourse import clip"}, "hub imports upward: clip"),
        ({"training": "import fmcourse.evidence"}, "training imports sideways: evidence"),
        ({"clip": "from .generation import Greedy"}, "clip imports sideways: generation"),
        ({"quiz.clip": "from .. import widgets"}, "quiz.clip imports sideways: widgets"),
        ({"hub": "from fmcourse import setup"}, "hub goes through the doorway for setup"),
        ({"hub": "import fmcourse"}, "hub goes through the doorway for fmcourse"),
        ({"helpers": ""}, "helpers has no place in the layers"),
        ({"hub": "from recipes.common import register"}, "hub imports recipes.common.register"),
        ({"": "import tests"}, " imports tests"),
        (
            {
                "quiz": "",
                "quiz.a": "from fmcourse.quiz import b",
                "quiz.b": "from .a import x",
            },
            "circle: quiz.",
        ),
        (
            {"clip": "from fmcourse.clip.a import x", "clip.a": "from fmcourse.clip import x"},
            "circle: clip",
        ),
    ],
)
def test_a_wrong_import_is_found(modules, problem):
    found = violations(modules)
    assert any(sentence.startswith(problem) for sentence in found), found


def test_right_imports_pass():
    assert (
        violations(
            {
                "": "from fmcourse import clip",
                "arguments": "import math",
                "environment": "from fmcourse.arguments import require",
                "hub": "from fmcourse import environment",
                "clip": "from .hub import load",
                "quiz": "from . import arguments",
                "quiz.clip": "from fmcourse import clip\nfrom . import Exercise",
            }
        )
        == []
    )


def test_a_package_may_offer_what_its_modules_offer():
    assert (
        violations(
            {
                "clip": "from fmcourse.clip.a import x\nfrom fmcourse.clip.b import y",
                "clip.a": "",
                "clip.b": "from fmcourse.clip.a import x",
            }
        )
        == []
    )


@pytest.mark.parametrize("name", sources())
def test_heavy_libraries_are_loaded_when_first_used(name):
    assert heavy_imports(sources()[name]) == set()


@pytest.mark.parametrize(
    "source, loaded",
    [
        ("import torch.nn as nn", {"torch"}),
        ("from scipy.stats import norm", {"scipy"}),
        ("try:\n    import pandas\nexcept ImportError:\n    pass", {"pandas"}),
        ("class A:\n    import sklearn", {"sklearn"}),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import datasets", {"datasets"}),
        ("if typing.TYPE_CHECKING:\n    import torch", set()),
        ("def f():\n    import matplotlib", set()),
        ("import json, numpy", set()),
    ],
)
def test_a_heavy_import_is_found_where_it_is_one(source, loaded):
    assert heavy_imports(source) == loaded


@pytest.mark.parametrize("name", sources())
def test_what_is_public_is_documented(name):
    assert undocumented(sources()[name]) == []


def test_a_missing_docstring_is_found():
    source = "__all__ = ['f', 'A']\ndef f(): 0\ndef g(): 0\nclass A:\n    '''An a.'''\n    def h(self): 0\n    def _i(self): 0"
    assert undocumented(source) == ["f", "h"]


def loaded_by(module: str) -> set[str]:
    """Return the heavy libraries that a fresh Python has loaded after importing a module."""
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return HEAVY & {name.split(".")[0] for name in done.stdout.split()}


def added_seconds(module: str, folder: Path = ROOT) -> float:
    """Return what importing a module adds to the start of Python: the median of five, each beside an empty program."""
    env = {**os.environ, "PYTHONPATH": str(folder)}

    def seconds(program: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], env=env, check=True)
        return time.perf_counter() - started

    return statistics.median(seconds(f"import {module}") - seconds("pass") for _ in range(5))


def test_importing_the_package_is_instant():
    assert loaded_by("fmcourse") == set()
    assert added_seconds("fmcourse") < IMPORT_SECONDS


def test_a_slow_and_heavy_package_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "scipy.py").write_text("")  # a stand-in by its name
    (tmp_path / "slow.py").write_text("import time, scipy\ntime.sleep(0.4)")
    assert added_seconds("slow", tmp_path) > IMPORT_SECONDS
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert loaded_by("slow") == {"scipy"}


def test_doctests_are_part_of_the_tests(pytestconfig):
    assert pytestconfig.getoption("doctestmodules")
    assert "fmcourse" in pytestconfig.getini("testpaths")
