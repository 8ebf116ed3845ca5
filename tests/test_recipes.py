"""Every recipe, in small: it runs, keeps what it made, and ships files that the course can read."""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path

import packages
import pytest
import torch
from doubles import forget_bundle
from safetensors.torch import load_file
from transformers import EfficientNetModel

from fmcourse import data, embeddings, homogenization, models, results
from fmcourse.generation import frontier
from recipes import common, emoji_data, foundations, lite0, sweep_clip
from recipes.emoji_pairs import all_concepts, training_concepts

GROUPS = ("face-smiling", "animal-bird", "person-role", "heart")
ONE_TASK = {"signs": homogenization.TASKS["signs"]}
FEW = {"SECRETS": 2, "UNSEEN": 3, "PASSAGES": 30}

# Recipe: what to write on its command line, constants to make small, and what it ships.
CASES: dict[str, tuple[str, dict, list[str]]] = {
    "addresses": ("", {}, ["addresses.parquet"]),
    "adult": ("", {"ROWS": 2}, ["adult.parquet"]),
    "bias_transfer": (
        "--steps 2 --seeds 0",
        {"UPSTREAM": (0.0, 1.0), "BIASES": (1.0,), "REBALANCED": (0.0,), "DRAWS": range(2)},
        ["bias-transfer", "bias-features.safetensors"],
    ),
    "breadth": (
        "--steps 2 --seeds 0",
        {"BREADTHS": {"styles": (1,), "groups": (8,), "untrained": (0,)}, "CACHED": (1,)},
        ["breadth", "breadth-features.safetensors"],
    ),
    "cards": ("--only addresses ladder-small", {}, ["cards/addresses.md"]),
    "clip_clinic": ("--steps 1 --seeds 0 --only", {}, ["clip-clinic"]),
    "clip_forgetting": (
        "--seeds 0",
        {
            "LEARNT": 1700,
            "CHOOSING": 50,
            "NAMES": 10,
            "NAMES_CHOOSING": 10,
            "REPLAYED": 16,
            "RATES": {"1e-3": (1e-3, 1, 1), "3e-4": (3e-4, 1, 1)},
            "ALPHAS": (0.5,),
            "LORA_STEPS": 1,
        },
        ["clip-forgetting"],
    ),
    "clip_frontier": ("--steps 1 --seeds 0", {"ALPHAS": [0.5]}, ["clip-frontier"]),
    "clip_retention": ("--steps 1 --seeds 0", {"ALPHAS": (0.5,)}, ["clip-retention"]),
    "decoding_frontier": ("--only greedy", {"SAMPLES": 2}, ["decoding-frontier"]),
    "defects": (
        "--steps 2 --seeds 0",
        {"PLANTED": (0, 3)},
        ["defect-inheritance", "defect-features.safetensors"],
    ),
    "drawings": ("--only decoding", {}, ["decoding.svg", "decoding.png"]),
    "emergence_autopsy": ("--steps 2 --seeds 0", {"WIDTHS": (4,)}, ["emergence-autopsy"]),
    "emergence_dose": (
        "--steps 2 --seeds 0",
        {"BURSTY": (1.0,), "TOKENS": (8,)},
        ["emergence-dose"],
    ),
    "emergence_quanta": (
        "--steps 2",
        {"SEEDS": {"parity": [0], "grokking": [0]}},
        ["emergence-parity", "emergence-grokking"],
    ),
    "emoji": (
        "--only noto noto-v1",
        {"HELD_OUT": 2},
        ["emoji-noto.parquet", "emoji-held-out.json"],
    ),
    "emoji_clip": (
        "--steps 2",
        {"BATCH": 8, "LOCKED_STEPS": 1, "LOCKED_BATCH": 8, "DISTIL_STEPS": 2},
        ["emoji-clip/model.safetensors"],
    ),
    "ladder": (
        "--steps 3 --only small",
        {"LANDING": 2, "MEASURED": 600, "VOCABULARY": 300},
        ["ladder-small/model.safetensors"],
    ),
    "memorization": (
        "--steps 2 --seeds 0",
        {**FEW, "SIZES": ("ladder-small",), "COPIES": (0, 4), "CONTEXTS": (1,), "MEASURED": 100},
        ["memorization"],
    ),
    "recall": (
        "--steps 2 --seeds 0",
        {"PLANTED": 3, "SHOWN": 10, "SEEDS": range(2)},
        ["defect-recall"],
    ),
    "smoke_detector": (
        "--steps 3",
        {
            **FEW,
            "EVERY": 2,
            "EXTRA": 1,
            "WINDOWS": 4,
            "WIDTH": 16,
            "CALIBRATE": range(2),
            "COPIES": {"clean": 0, "planted": 3},
            "JUDGE": {"planted": [0]},
        },
        ["smoke-detector"],
    ),
    "sweep_clip": ("--steps 2", {"BATCH": 16}, ["sweep-clip/model.safetensors"]),
    "versions": (
        "--steps 2",
        {"NAMES": ["seed 0", "one pair less"]},
        ["encoder-versions.safetensors"],
    ),
}
LOADERS = {
    "addresses": data.load_addresses,
    "adult": data.load_adult,
    "emoji": lambda: data.load_emoji("noto"),
    "emoji_clip": lambda: models.load_clip("emoji-clip"),
    "ladder": lambda: models.load_gpt_neo("ladder-small"),
    "sweep_clip": lambda: models.load_clip("sweep-clip"),
    "versions": embeddings.load_versions,
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A work folder with packages, and recipes small enough for one core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "WORK", tmp_path_factory.mktemp("work"))
        packages.make_packages()
        drawer = types.ModuleType("resvg_py")
        drawer.svg_to_bytes = packages.svg_to_bytes
        patch.setitem(sys.modules, "resvg_py", drawer)
        emoji_data.read_emoji.cache_clear()
        all_concepts.cache_clear()
        few = [code for code in training_concepts() if all_concepts()[code]["subgroup"] in GROUPS]
        patch.setattr(foundations, "STEPS", 2)
        for module in (foundations, sweep_clip, importlib.import_module("recipes.emoji_clip")):
            patch.setattr(module, "training_concepts", lambda: few)
            patch.setattr(module, "TRAINING_STYLES", ["noto"])
        patch.setattr(foundations, "BATCH", 16)
        tower = EfficientNetModel(lite0.vision_config()).state_dict()
        plain = {name: value for name, value in tower.items() if "squeeze_excite" not in name}
        patch.setattr(lite0, "imagenet_weights", lambda: plain)
        text = importlib.import_module("recipes.text_tower")
        for name, size in {"BATCH": 8, "COMBINATIONS": 9, "PHRASES": 9, "SPEECHES": 9}.items():
            patch.setattr(text, name, size)
        yield common.WORK
        foundations.clean_pairs.cache_clear()


@pytest.fixture
def small(work, monkeypatch, tmp_path):
    """A function that runs a recipe in small and returns the folder with what it shipped."""
    for module in (homogenization, homogenization.defects):
        monkeypatch.setattr(module, "TASKS", ONE_TASK)
    cut = frontier.cut_excerpts
    monkeypatch.setattr(frontier, "cut_excerpts", lambda *args: cut(*args)[: frontier.EXCERPTS])
    caches = (foundations.clean_pairs, foundations.child_pixels, homogenization.child_pictures)
    for cache in caches:
        cache.cache_clear()

    def run(name: str, *more: str) -> Path:
        recipe = importlib.import_module(f"recipes.{name}")
        arguments, constants, _ = CASES[name]
        for constant, value in constants.items():
            monkeypatch.setattr(recipe, constant, value)
        if name == "clip_clinic":
            more = ("done right", *more)
        recipe.main([*arguments.split(), *more, "--into", str(tmp_path)])
        return tmp_path

    monkeypatch.setitem(common._chosen, "output", common.BUNDLED)
    yield run
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_ships_what_the_course_can_read(small, name, monkeypatch):
    folder = small(name)
    for file in CASES[name][2]:
        found = [
            path for path in folder.rglob("*") if path.as_posix().startswith(f"{folder}/{file}")
        ]
        assert found, file
        if found[0].suffix == ".json":
            assert json.loads(found[0].read_text(encoding="utf-8"))
        if found[0].suffix == ".safetensors":
            assert all(torch.isfinite(value).all() for value in load_file(found[0]).values())
    if name == "drawings":
        return
    monkeypatch.setattr(data, "BUNDLED", folder)
    forget_bundle()
    assert data.damaged() == []
    entries = data.manifest().values()
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert present == {*(entry["file"] for entry in entries), "manifest.json"}
    told = ("licence", "attribution", "sources", "settings", "recipe", "made")
    assert all(entry[field] for field in told for entry in entries)
    for path in folder.glob("*.parquet"):
        assert len(results.load(path.stem))
    if name in LOADERS:
        assert LOADERS[name]()
    monkeypatch.undo()
    forget_bundle()
