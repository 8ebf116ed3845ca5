"""The recipe of versions leaves out what it says, and what it writes says itself what each row
shows."""

from __future__ import annotations

import pytest
import torch

from fmcourse import bundle, embeddings, homogenization

pytest.importorskip(
    "resvg_py",
    reason="needs the recipes' packages (`pip install -e '.[recipes]'`) and npm, which fetches the names",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe():
    """The recipe, on the drawings of one style and some families of concepts, read once."""
    from recipes import defects, sweep_clip, versions
    from recipes.emoji_pairs import all_concepts, read_pictures, training_concepts

    groups = {"face-smiling", "animal-bird", "heart"}
    concepts = [code for code in training_concepts() if all_concepts()[code]["subgroup"] in groups]
    pictures = read_pictures(["noto", "twemoji"], concepts)
    pairs = pictures, sweep_clip.own_captions(pictures)
    patch = pytest.MonkeyPatch()
    patch.setattr(defects, "clean_pairs", lambda: pairs)
    yield versions
    patch.undo()


def kept_places(recipe, share):
    """Return the places of the clean pairs that a version keeps, found by their pixels and
    labels."""
    from recipes import defects

    pictures, captions = defects.clean_pairs()
    left, said = recipe.fewer_pairs(share)
    places, at = [], 0
    for place in range(len(captions)):  # in order
        if (
            at < len(said)
            and left.label[at] == pictures.label[place]
            and torch.equal(left.pixels[at], pictures.pixels[place])
        ):
            assert said[at] == captions[place] and left.concept[at] == pictures.concept[place]
            places, at = [*places, place], at + 1
    assert at == len(said)
    return set(places), set(range(len(captions)))


@pytest.mark.parametrize("share, gone", [(0.0, 1), (0.1, None)])
def test_so_many_pairs_are_missing(recipe, share, gone):
    kept, everything = kept_places(recipe, share)
    assert len(everything - kept) == (gone or round(share * len(everything)))


def test_what_a_larger_share_leaves_out_includes_what_a_smaller_does(recipe):
    (few, everything), (most, _) = kept_places(recipe, 0.1), kept_places(recipe, 0.0)
    assert everything - most < everything - few


def test_the_file_says_what_its_rows_show(recipe, monkeypatch, tmp_path):
    from recipes import defects

    monkeypatch.setitem(recipe.LESS, "1% less", 0.2)  # of so few pairs 1% is one
    monkeypatch.setattr(defects, "STEPS", 2)
    monkeypatch.setattr(defects, "BATCH", 16)
    entered = {}
    monkeypatch.setattr(defects.common, "register", lambda file, **entry: entered.update(entry))
    for module in (defects, recipe):
        monkeypatch.setattr(module, "work_folder", lambda name: tmp_path)
    monkeypatch.setattr(recipe, "BUNDLED", tmp_path)
    recipe.write()
    assert entered["recipe"] == "recipes/versions.py" and entered["seconds"] > 0
    monkeypatch.setattr(bundle, "path", lambda name: tmp_path / name)
    found = embeddings.load_versions()
    assert (
        list(found.rows) == recipe.names()
        and len({embeddings.fingerprint(rows) for rows in found.rows.values()}) == 5
    )
    table = homogenization.child_pictures()
    table = table[table["style"] == recipe.STYLE].set_index("codepoints")
    assert [table["subgroup"][code] for code in found.codepoints] == found.subgroups.tolist()
    assert [table["part"][code] == "train" for code in found.codepoints] == found.train.tolist()
    assert all(rows.shape == (len(found.names), 128) for rows in found.rows.values())
