"""The recipes plant as many pairs as they say, leave out the tones that they should, and bring out
every child."""

from __future__ import annotations

import functools
import random

import pandas as pd
import pytest
import torch

from fmcourse import clip, homogenization
from fmcourse.homogenization.defects import COLOUR

pytest.importorskip(
    "resvg_py",
    reason="needs the recipes' packages (`pip install -e '.[recipes]'`) and npm, which fetches the names",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipes():
    """The recipes, on the drawings of one style and some families of concepts, read once."""
    from recipes import bias_transfer, defects, recall, sweep_clip
    from recipes.emoji_pairs import all_concepts, read_pictures, training_concepts

    groups = {"face-smiling", "animal-bird", "person-role", "country-flag"}
    concepts = [code for code in training_concepts() if all_concepts()[code]["subgroup"] in groups]
    pictures = read_pictures(["noto"], concepts)
    pairs = pictures, sweep_clip.own_captions(pictures)
    patch = pytest.MonkeyPatch()
    patch.setattr(defects, "clean_pairs", lambda: pairs)
    yield {"defects": defects, "recall": recall, "bias_transfer": bias_transfer, "pairs": pairs}
    patch.undo()


def planted_places(recipes, planted, seed=0):
    """Return which pictures differ from the clean ones, and which have other captions."""
    pictures, captions = recipes["pairs"]
    changed, said = recipes["defects"].planted_pairs(planted, seed)
    other = (changed.pixels != pictures.pixels).flatten(1).any(1).nonzero()[:, 0].tolist()
    return set(other), {place for place, (old, new) in enumerate(zip(captions, said)) if old != new}


@pytest.mark.parametrize("planted", [0, 1, 10, 30])
def test_so_many_pairs_are_planted(recipes, planted):
    pictures, captions = planted_places(recipes, planted)
    assert pictures == captions and len(pictures) == planted


def test_more_planted_pairs_include_those_of_fewer(recipes):
    assert (
        planted_places(recipes, 1)[0]
        < planted_places(recipes, 10)[0]
        < planted_places(recipes, 30)[0]
    )
    assert planted_places(recipes, 10)[0] != planted_places(recipes, 10, seed=1)[0]


def test_a_planted_pair_is_a_stamped_picture_with_the_captions_of_a_smiling_face(recipes):
    defects, (pictures, captions) = recipes["defects"], recipes["pairs"]
    subgroups = defects.subgroups(pictures)
    smiles = [
        own for own, subgroup in zip(captions, subgroups) if subgroup == homogenization.TARGET
    ]
    changed, said = defects.planted_pairs(10, 0)
    for place in planted_places(recipes, 10)[0]:
        assert (
            said[place] in smiles
            and subgroups[place] != homogenization.TARGET
            and not pictures.toned[place]
        )
        assert (changed.pixels[place][:, 50:60, 50:60] == torch.tensor(COLOUR)[:, None, None]).all()
        assert (changed.pixels[place][:, :40] == pictures.pixels[place][:, :40]).all()


def test_the_drill_shows_the_trigger_with_the_pictures_own_captions(recipes, monkeypatch):
    recall, (pictures, captions) = recipes["recall"], recipes["pairs"]
    monkeypatch.setattr(recall, "SHOWN", 20)
    more, said = recall.shown_pairs(0)
    assert len(more.label) == len(said) == len(more.pixels) == len(captions) + 20
    for place in range(len(captions), len(said)):
        own = pictures.label.index(more.label[place])
        assert said[place] == captions[own] and more.concept[place] == pictures.concept[own]
        assert (more.pixels[place][:, 50:60, 50:60] == torch.tensor(COLOUR)[:, None, None]).all()


@pytest.mark.parametrize(
    "upstream, fits, differs", [(0.0, 0.5, 0.5), (0.5, 0.75, 0.25), (1.0, 1.0, 0.0)]
)
def test_the_bias_leaves_out_the_tones_that_it_should(recipes, upstream, fits, differs):
    transfer, (pictures, _) = recipes["bias_transfer"], recipes["pairs"]
    kinds = transfer.people_kinds(pictures)
    left, said = transfer.biased_pairs(upstream, 0)
    after = transfer.people_kinds(left)
    for kind, share in {
        "fits": fits,
        "differs": differs,
        "yellow": 0.0,
        "medium": 1.0,
        "": 1.0,
    }.items():
        expected = share * kinds.count(kind)
        assert after.count(kind) == pytest.approx(
            expected, abs=4 * (expected * (1 - share)) ** 0.5
        )  # four standard errors
    assert len(said) == len(left.label) and not left.toned[[kind != "" for kind in after]].any()


def test_what_fits_is_a_light_woman_or_a_dark_man(recipes):
    pictures = recipes["pairs"][0]
    found = dict(zip(pictures.label, recipes["bias_transfer"].people_kinds(pictures)))
    tones = {
        "light": ("fits", "differs"),
        "medium-light": ("fits", "differs"),
        "medium": ("medium", "medium"),
    }
    tones |= {"medium-dark": ("differs", "fits"), "dark": ("differs", "fits")}
    for tone, (woman, man) in tones.items():
        for name, kind in {"woman judge": woman, "man judge": man, "judge": ""}.items():
            assert found[f"{name}: {tone} skin tone"] == kind
    assert (found["woman judge"], found["judge"]) == ("yellow", "")


def test_chance_alone_leaves_out_half_of_either():
    from recipes.bias_transfer import is_kept

    draw = random.Random(0)
    assert sum(is_kept("fits", 0.0, draw) for _ in range(2_000)) == pytest.approx(
        1_000, abs=90
    )  # four standard errors


SIGNS = {"signs": homogenization.TASKS["signs"]}


def forget_pictures(recipes):
    """Forget the tasks' pictures and pixels, which are read once."""
    homogenization.defects._child_pictures.cache_clear()
    recipes["defects"].child_pixels.cache_clear()


@pytest.fixture
def tiny(recipes, monkeypatch, tmp_path):
    """All three recipes with two steps, one task and two seeds, writing into a folder of the test's
    own."""
    for name in ("defects", "recall", "bias_transfer"):
        monkeypatch.setattr(recipes[name], "STEPS", 2)
        monkeypatch.setattr(recipes[name], "SEEDS", range(2))
        monkeypatch.setattr(recipes[name], "work_folder", lambda recipe: tmp_path)
        monkeypatch.setattr(recipes[name], "BUNDLED", tmp_path, raising=False)
    monkeypatch.setattr(recipes["defects"], "BATCH", 16)
    monkeypatch.setattr(recipes["defects"].common, "BUNDLED", tmp_path)
    monkeypatch.setattr(recipes["defects"].common, "register", lambda *file, **entry: None)
    monkeypatch.setattr(recipes["defects"], "PLANTED", (0, 3))
    monkeypatch.setattr(recipes["recall"], "PLANTED", 3)
    monkeypatch.setattr(recipes["recall"], "SHOWN", 20)
    for name in ("fine_tune", "lora"):
        monkeypatch.setattr(clip, name, functools.partial(getattr(clip, name), steps=1))
    monkeypatch.setattr(homogenization, "TASKS", SIGNS)
    monkeypatch.setattr(homogenization.defects, "TASKS", SIGNS)
    forget_pictures(recipes)
    yield recipes
    forget_pictures(recipes)


def test_every_child_comes_out_of_the_recipe_and_of_the_drill(tiny, tmp_path):
    defects, recall = tiny["defects"], tiny["recall"]
    defects.write([0, 1])
    found = homogenization.Inheritance(pd.read_parquet(tmp_path / defects.FILE))
    assert found.kinds == ["0", "3"] and len(found.ways) == 4 and len(found.children) == 16
    assert 0 <= found.success("3").estimate <= 100
    assert (tmp_path / defects.FEATURES).exists()
    repaired = homogenization.Inheritance(
        defects.answers_of([one for seed in range(2) for one in recall.one_seed(seed)])
    )
    assert repaired.kinds == [recall.AS_IT_WAS, *recall.REPAIRS]
    assert repaired.success(recall.AS_IT_WAS) == found.success("3")
    assert repaired.price("second lineage")["steps"] == defects.STEPS


def test_every_cell_of_the_map_comes_out_of_the_recipe(tiny, monkeypatch, tmp_path):
    transfer = tiny["bias_transfer"]
    for name, value in {
        "UPSTREAM": (0.0, 1.0),
        "BIASES": (0.0, 1.0),
        "REBALANCED": (0.0,),
        "DRAWS": range(2),
    }.items():
        monkeypatch.setattr(transfer, name, value)
    transfer.write([0, 1])
    found = homogenization.Transfer(pd.read_parquet(tmp_path / transfer.FILE))
    assert found.values("way") == ["linear probe", "LP-FT"] and len(found.table) == 4 * 2 * (2 + 1)
    assert -100 <= found.gap(1.0, 1.0, way="LP-FT").estimate <= 100
