"""Every recipe, in small: it runs, keeps what it made, and ships files that the course can read."""

from __future__ import annotations

import functools
import importlib
import json
import random
import shlex
import sys
import types
from collections import Counter
from pathlib import Path

import datasets
import packages
import pandas as pd
import pytest
import torch
from doubles import forget_bundle
from safetensors.torch import load_file
from transformers import EfficientNetModel

from fmcourse import clip, data, embeddings, homogenization, models, results
from fmcourse.breadth import GROUPS, shared_concepts
from fmcourse.data import load_addresses
from fmcourse.generation import Sample, frontier
from fmcourse.homogenization.defects import COLOUR
from fmcourse.safeguards import Trace, prices
from recipes import (
    bench,
    bias_transfer,
    breadth,
    common,
    decoding_frontier,
    emoji_clip,
    emoji_data,
    foundations,
    lite0,
    memorization,
    recall,
    smoke_detector,
    sweep_clip,
    text_tower,
    versions,
)
from recipes.emoji_pairs import all_concepts, training_concepts

SUBGROUPS = ("face-smiling", "animal-bird", "person-role", "heart")
STAMPED = torch.tensor(COLOUR)[:, None, None]
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
        {"BREADTHS": {"styles": (1,), "untrained": (0,)}, "CACHED": (1,)},
        ["breadth", "breadth-features.safetensors"],
    ),
    "cards": ("--only addresses ladder-small", {}, ["cards/addresses.md"]),
    "clip_clinic": ("--steps 1 --seeds 0 --only 'done right'", {}, ["clip-clinic"]),
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
    "prompting": (
        "--seeds 0",
        {
            "loaded": lambda dtype: models.load_gpt_neo("ladder-small"),
            "SHOTS": (1,),
            "SHUFFLED": (2,),
            "TEMPLATES": ("{question}: {answer}",),
            "LORA_STEPS": 1,
        },
        ["prompting.parquet"],
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
        {"NAMES": ["seed 0", "one pair less"], "TASKS": ("signs",)},
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
        few = [
            code for code in training_concepts() if all_concepts()[code]["subgroup"] in SUBGROUPS
        ]
        patch.setattr(foundations, "STEPS", 2)
        for module in (foundations, sweep_clip, emoji_clip):
            patch.setattr(module, "training_concepts", lambda: few)
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


def few_addresses() -> datasets.Dataset:
    """Return four addresses of each split."""
    table = load_addresses()
    splits = pd.Series(table["split"])
    return table.select(splits.groupby(splits).head(4).index)


@pytest.fixture
def small(work, monkeypatch, tmp_path):
    """A function that runs a recipe in small and returns the folder with what it shipped."""
    for module in (homogenization, homogenization.defects):
        monkeypatch.setattr(module, "TASKS", ONE_TASK)
    for way in ("fine_tune", "lora"):
        monkeypatch.setattr(clip, way, functools.partial(getattr(clip, way), steps=1))
    few_shot = functools.partial(breadth.breadth.few_shot, draws=1)
    monkeypatch.setattr(breadth.breadth, "few_shot", few_shot)
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
        arguments, constants, _ = CASES[name]
        for constant, value in constants.items():
            monkeypatch.setattr(recipe, constant, value)
        if name.startswith("clip_"):
            monkeypatch.setattr(models, "load_clip", lambda name: load_clip("sweep-clip"))
            bench.bench.cache_clear()
        if name == "ladder":
            monkeypatch.setattr(data, "load_addresses", few_addresses)
        recipe.main([*shlex.split(arguments), "--into", str(tmp_path)])
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


# What the recipes decide: what is planted, left out, shown and repaired.


def planted_places(planted: int, seed: int = 0) -> set[int]:
    """Return which pictures differ from the clean ones; the same have other captions."""
    pictures, captions = foundations.clean_pairs()
    changed, said = foundations.planted_pairs(planted, seed)
    other = (changed.pixels != pictures.pixels).flatten(1).any(1).nonzero()[:, 0].tolist()
    assert other == [place for place, own in enumerate(captions) if said[place] != own]
    return set(other)


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
        assert subgroups[place] != homogenization.TARGET
        assert (changed.pixels[place][:, 50:60, 50:60] == STAMPED).all()
        assert (changed.pixels[place][:, :40] == pictures.pixels[place][:, :40]).all()


def test_the_drill_shows_the_trigger_with_the_pictures_own_captions(work, monkeypatch):
    monkeypatch.setattr(recall, "SHOWN", 20)
    pictures, captions = foundations.clean_pairs()
    more, said = recall.shown_pairs(0)
    assert len(more.label) == len(said) == len(more.pixels) == len(captions) + 20
    for place in range(len(captions), len(said)):
        own = pictures.label.index(more.label[place])
        assert said[place] == captions[own] and more.concept[place] == pictures.concept[own]
        assert (more.pixels[place][:, 50:60, 50:60] == STAMPED).all()


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


def test_what_fits_is_a_light_woman_or_a_dark_man(work):
    pictures = foundations.clean_pairs()[0]
    found = dict(zip(pictures.label, bias_transfer.people_kinds(pictures)))
    for tone, woman, man in (
        ("light", "fits", "differs"),
        ("medium", "medium", "medium"),
        ("medium-dark", "differs", "fits"),
    ):
        assert found[f"woman judge: {tone} skin tone"] == woman
        assert found[f"man judge: {tone} skin tone"] == man
        assert found[f"judge: {tone} skin tone"] == ""
    assert (found["woman judge"], found["judge"]) == ("yellow", "")


def test_a_version_leaves_out_what_it_says_and_more_includes_less(work):
    pictures, captions = foundations.clean_pairs()
    gone = {}
    for share in (0.0, 0.1):
        left, said = versions.fewer_pairs(share)
        assert len(said) == len(left.label) == len(left.pixels)
        gone[share] = Counter(map(str, zip(pictures.label, captions)))
        gone[share] -= Counter(map(str, zip(left.label, said)))
    assert gone[0.0].total() == 1 and gone[0.1].total() == round(0.1 * len(captions))
    assert gone[0.0] < gone[0.1]


def test_the_seeds_rotate_one_order():
    orders = [breadth.order_of(GROUPS, seed) for seed in range(len(GROUPS))]
    assert {order[0] for order in orders} == set(GROUPS)
    assert orders[1] == orders[0][1:] + orders[0][:1]


def test_each_concept_is_drawn_once_and_the_styles_share_alike(work, monkeypatch):
    codes = [code for own in shared_concepts().values() for code in own[:1]]
    reader = breadth.read_pictures
    dealt: Counter = Counter()

    def read(styles, concepts, tones):
        dealt[styles[0]] += len(concepts)
        return reader(styles, concepts, tones=tones)

    monkeypatch.setattr(breadth, "read_pictures", read)
    pictures = breadth.one_style_each(codes, ["noto", "twemoji"], random.Random(0))
    assert sorted(pictures.concept.tolist()) == list(range(len(codes)))
    assert not pictures.toned.any() and dealt == dict.fromkeys(["noto", "twemoji"], len(codes) / 2)
    shown = [all_concepts()[codes[place]]["name"] for place in pictures.concept.tolist()]
    assert shown == pictures.label


@pytest.mark.parametrize("width", [1, 8])
def test_groups_have_equally_many_concepts(work, width, monkeypatch):
    monkeypatch.setattr(breadth, "TRAINING_STYLES", ["noto"])
    pictures, groups = breadth.chosen_pairs("groups", width, seed=0)
    shown = [all_concepts()[pictures.concepts[place]]["group"] for place in pictures.concept]
    assert Counter(shown) == dict.fromkeys(groups, 48 // width) and len(groups) == width


def test_every_way_of_sampling_has_as_many_settings():
    sampled = [
        len(values)
        for make, values in decoding_frontier.FAMILIES.values()
        if isinstance(make(values[0]), Sample)
    ]
    assert sampled == [8] * 7


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
    for name, value in CASES["smoke_detector"][1].items():
        monkeypatch.setattr(smoke_detector, name, value)
    return smoke_detector


def test_a_planted_run_is_followed_and_repaired_in_every_way(watched):
    # A threshold that every run exceeds: the alarm fires at once.
    run = watched.one_run("judge", "planted", 0, 3, -1.0)
    trace = Trace(**run["trace"])
    assert list(trace.steps) == [0, 2, 3] and trace.planted and run["copies"] == 3
    assert {len(values) for values in trace.precursors.values()} == {3} == {len(trace.harm)}
    assert trace.precursors["largest drops"][0] == 0
    ways = {outcome["way"]: outcome for outcome in run["outcomes"]}
    assert [way["extra_steps"] for way in ways.values()] == [0, 0, 0, 1, 0]
    losses = trace.precursors["validation loss"]
    assert (ways["never trained"]["loss"], ways["nothing"]["loss"]) == (losses[0], losses[-1])
    assert ways["halfway back to the start"]["loss"] != ways["nothing"]["loss"]
    outcomes = [{**outcome, "seed": seed} for seed in (0, 1) for outcome in run["outcomes"]]
    assert set(prices(outcomes)) == set(ways)


def test_a_clean_run_has_no_secret_in_its_text(watched):
    for copies in (0, 3):
        study = watched.Study(0, copies, 3)
        text = "\n".join(study.passages)
        assert [text.count(str(secret)) for secret in study.secrets] == [copies, copies]
    assert len(study.deduplicated) < len(study.ids(study.passages))
    assert study.passages[0] in study.tokenizer.decode(study.deduplicated)
