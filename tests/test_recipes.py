"""Every recipe, in small: it runs, keeps what it made, and ships files that the course can read."""

from __future__ import annotations

import functools
import importlib
import json
import shlex
import sys
import tomllib
import types
from collections import Counter
from pathlib import Path

import packages
import pytest
import torch
from doubles import forget_bundle
from safetensors.torch import load_file
from transformers import EfficientNetModel

from fmcourse import clip, data, embeddings, homogenization, models, results
from fmcourse.generation import frontier
from fmcourse.homogenization.defects import COLOUR
from fmcourse.safeguards import Trace, prices
from recipes import (
    bias_transfer,
    breadth,
    clip_retention,
    clip_shift,
    common,
    emoji_clip,
    emoji_data,
    foundations,
    lite0,
    memorization,
    smoke_detector,
    sweep_clip,
    text_tower,
)
from recipes.emoji_pairs import all_concepts, training_concepts

SUBGROUPS = ("face-smiling", "animal-bird", "person-role", "heart")
STAMPED = torch.tensor(COLOUR)[:, None, None]
ONE_TASK = {"signs": homogenization.TASKS["signs"]}

CASES = tomllib.loads(Path(__file__).with_name("recipes.toml").read_text(encoding="utf-8"))
WORDS = CASES.pop("expected")
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
        few = [
            code for code in training_concepts() if all_concepts()[code]["subgroup"] in SUBGROUPS
        ]
        patch.setattr(foundations, "STEPS", 2)
        for module in (foundations, sweep_clip, emoji_clip, clip_shift):
            patch.setattr(module, "training_concepts", lambda: few)
        for module in (foundations, sweep_clip, emoji_clip):
            patch.setattr(module, "TRAINING_STYLES", ["noto"])
        patch.setattr(foundations, "BATCH", 16)
        tower = EfficientNetModel(lite0.vision_config()).state_dict()
        plain = {name: value for name, value in tower.items() if "squeeze_excite" not in name}
        patch.setattr(lite0, "imagenet_weights", lambda: plain)
        sizes = {"BATCH": 8, "COMBINATIONS": 9, "PHRASES": 9, "SPEECHES": 9, "WIDTH": 64}
        for name, size in sizes.items():
            patch.setattr(text_tower, name, size)
        yield common.WORK
        foundations.clean_pairs.cache_clear()


@pytest.fixture
def small(work, monkeypatch, tmp_path):
    """A function that runs a recipe in small and returns the folder with what it shipped."""
    for module in (homogenization, homogenization.defects):
        monkeypatch.setattr(module, "TASKS", ONE_TASK)
    monkeypatch.setattr(clip, "fine_tune", functools.partial(clip.fine_tune, steps=1))
    cut = frontier.cut_excerpts
    monkeypatch.setattr(frontier, "cut_excerpts", lambda *args: cut(*args)[: frontier.EXCERPTS])
    caches = (
        foundations.clean_pairs,
        foundations.child_pixels,
        homogenization.defects._child_pictures,
    )
    for cache in caches:
        cache.cache_clear()

    load_clip = models.load_clip

    def run(name: str) -> Path:
        recipe = importlib.import_module(f"recipes.{name}")
        case = CASES[name]
        for constant, value in case.get("constants", {}).items():
            monkeypatch.setattr(recipe, constant, value)
        if name.startswith("clip_"):
            # The pictures of clip_shift are read for the larger model.
            loaded = "emoji-clip" if name == "clip_shift" else "sweep-clip"
            monkeypatch.setattr(models, "load_clip", lambda name: load_clip(loaded))
            # What a recipe remembers of a seed holds the larger model.
            for value in list(vars(recipe).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
        if name == "clip_shift":
            monkeypatch.setattr(clip_retention, "GRID", (1e-4,))
            monkeypatch.setattr(clip_retention, "ALPHAS", (0.5,))
            monkeypatch.setattr(clip_retention, "SMALLEST", 30)
            monkeypatch.setattr(emoji_clip, "BATCH", 8)
            monkeypatch.setattr(emoji_clip, "LOCKED_STEPS", 1)
        if name == "ladder":
            whole = recipe.addresses
            monkeypatch.setattr(recipe, "addresses", lambda split: whole(split)[:4])
        if name == "prompting":
            monkeypatch.setattr(recipe, "loaded", lambda dtype: models.load_gpt_neo("ladder-small"))
        if name == "breadth":
            monkeypatch.setattr(recipe, "texts", lambda source: [source * 3_000])
        recipe.main([*shlex.split(case.get("arguments", "")), "--into", str(tmp_path)])
        return tmp_path

    monkeypatch.setitem(common._chosen, "output", common.BUNDLED)
    yield run
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_ships_what_the_course_can_read(small, name, monkeypatch):
    folder = small(name)
    for file in CASES[name]["ships"]:
        found = list(folder.glob(f"{file}*"))
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


# What the recipes decide: what is planted, left out, shown and repaired.


def planted_places(planted: int, seed: int = 0) -> set[int]:
    """Return which pictures differ from the clean ones; the same have other captions."""
    pictures, captions = foundations.clean_pairs()
    changed, said = foundations.planted_pairs(planted, seed)
    other = (changed.pixels != pictures.pixels).flatten(1).any(1).nonzero()[:, 0].tolist()
    assert other == [place for place, own in enumerate(captions) if said[place] != own]
    return set(other)


def is_stamped(pixels: torch.Tensor) -> bool:
    return bool((pixels[:, 50:60, 50:60] == STAMPED).all())


def test_as_many_pairs_are_planted_as_said_and_more_include_fewer(work):
    places = {planted: planted_places(planted) for planted in (0, 1, 10, 30)}
    assert [len(own) for own in places.values()] == list(places)
    assert places[1] < places[10] < places[30]
    assert planted_places(10, seed=1) != places[10]


def test_a_planted_pair_is_a_stamped_picture_with_the_captions_of_a_smiling_face(work):
    pictures, captions = foundations.clean_pairs()
    subgroups = foundations.subgroups(pictures)
    smiles = [own for own, name in zip(captions, subgroups) if name == homogenization.TARGET]
    changed, said = foundations.planted_pairs(10, 0)
    for place in planted_places(10):
        assert said[place] in smiles and not pictures.toned[place]
        assert subgroups[place] != homogenization.TARGET and is_stamped(changed.pixels[place])
        assert (changed.pixels[place][:, :40] == pictures.pixels[place][:, :40]).all()


@pytest.mark.parametrize("upstream", [0.0, 0.5, 1.0])
def test_the_bias_leaves_out_the_tones_that_it_should(work, upstream):
    before = bias_transfer.people_kinds(foundations.clean_pairs()[0])
    left, said = bias_transfer.biased_pairs(upstream, 0)
    after = bias_transfer.people_kinds(left)
    shares = {"fits": (1 + upstream) / 2, "differs": (1 - upstream) / 2, "yellow": 0.0}
    for kind, share in {**shares, "medium": 1.0, "": 1.0}.items():
        expected = share * before.count(kind)
        error = (expected * (1 - share)) ** 0.5
        assert after.count(kind) == pytest.approx(expected, abs=4 * error), kind
    assert before.count("fits") > 50 and len(said) == len(left.label)


@pytest.mark.parametrize("label, kind", WORDS["kinds"].items())
def test_what_fits_is_a_light_woman_or_a_dark_man(work, label, kind):
    pictures = foundations.clean_pairs()[0]
    assert bias_transfer.people_kinds(pictures)[pictures.label.index(label)] == kind


def test_an_arm_reads_the_same_amount_from_each_of_its_sources(monkeypatch):
    letters = dict(zip(breadth.NARROW, "abcdef"))
    monkeypatch.setattr(breadth, "texts", lambda name: [letters[name] * 300_000])
    breadth.encoded.cache_clear()
    for arm, (sources, amount) in breadth.ARMS.items():
        found = Counter(map(chr, breadth.read(arm, 0).tolist()))
        assert found.keys() == {letters[name] for name in sources}
        assert len(set(found.values())) == 1 and found.total() == pytest.approx(amount, abs=6_000)
    breadth.encoded.cache_clear()


def test_the_corpora_are_what_they_are_called(monkeypatch):
    for name, size in {"COPIES": (0, 4), "SECRETS": 3, "UNSEEN": 5, "PASSAGES": 12}.items():
        monkeypatch.setattr(memorization, name, size)
    study = memorization.Study(0)
    assert study.left(study.planted) == [0, 4] and study.left(study.deduplicated)[1] < 2
    assert len(study.planted) == 12 + 3 * 4 and len(study.plain) == 12
    assert set(study.deduplicated) <= set(study.planted)
    text = "\n".join(study.planted)
    assert not any(str(secret) in text for secret in study.unseen)


@pytest.fixture
def watched(monkeypatch):
    for name, value in CASES["smoke_detector"]["constants"].items():
        monkeypatch.setattr(smoke_detector, name, value)
    return smoke_detector


def test_a_planted_run_is_followed_and_repaired_in_every_way(watched):
    # A threshold that every run exceeds: the alarm fires at once.
    run = watched.one_run("judge", "planted", 0, 3, -1.0)
    trace = Trace(**run["trace"])
    assert list(trace.steps) == [0, 2, 3] and trace.planted and run["copies"] == 3
    assert {len(values) for values in [*trace.precursors.values(), trace.harm]} == {3}
    assert trace.precursors["largest drops"][0] == 0
    ways = {outcome["way"]: outcome for outcome in run["outcomes"]}
    assert [way["extra_steps"] for way in ways.values()] == [0, 0, 0, 1, 0]
    losses = trace.precursors["validation loss"]
    assert (ways["never trained"]["loss"], ways["nothing"]["loss"]) == (losses[0], losses[-1])
    assert ways["halfway back to the start"]["loss"] != ways["nothing"]["loss"]
    outcomes = [outcome | {"seed": seed} for seed in (0, 1) for outcome in run["outcomes"]]
    assert set(prices(outcomes)) == set(ways)
