"""Bundled files are whole and described; tables are as documented; what is wrong is named."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import sklearn.datasets
from doubles import forget_bundle

from fmcourse import data
from fmcourse.data import STYLES, held_out, load_addresses, load_adult, load_digits, load_emoji
from fmcourse.runtime import FULL

MOST_BYTES = 60 * 10**6
FILES = {
    "table.csv": b"year,words\n1790,1089\n",
    "model/config.json": b"{}",
    "model/weights": b"\x00\x01\x02",
}

# What really ships.


def test_the_manifest_is_true(root):
    forget_bundle()
    assert data.damaged() == []
    entries = list(data.manifest().values())
    files = [entry["file"] for entry in entries]
    present = [path for path in data.BUNDLED.rglob("*") if path.is_file()]
    names = {path.relative_to(data.BUNDLED).as_posix() for path in present}
    assert names == {*files, "manifest.json"} and files == sorted(files)
    for entry in entries:
        assert entry["bytes"] == (data.BUNDLED / entry["file"]).stat().st_size
        assert (root / entry["recipe"]).is_file()
        told = ("licence", "attribution", "sources", "settings", "seconds", "made")
        assert all(entry.get(field) not in (None, "", {}) for field in told), entry["file"]
    assert sum(entry["bytes"] for entry in entries) <= MOST_BYTES


def test_what_a_reader_changes_is_a_copy():
    data.manifest()["adult.parquet"]["sha256"] = "0"
    data.manifest().clear()
    data.pinned()[FULL.clip]["revision"] = "main"
    assert data.path("adult.parquet").is_file() and data.pinned()[FULL.clip]["revision"] != "main"
    assert held_out() == held_out() and isinstance(held_out()[0], frozenset)


# A small bundle in the place of the real one.


@pytest.fixture
def folder(tmp_path, monkeypatch):
    entries = []
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        entries.append({"file": name, "sha256": hashlib.sha256(content).hexdigest()})
    (tmp_path / "manifest.json").write_text(json.dumps({"files": entries}), encoding="utf-8")
    monkeypatch.setattr(data, "BUNDLED", tmp_path)
    forget_bundle()
    yield tmp_path
    forget_bundle()


@pytest.mark.parametrize("content", [None, b"year,words\n", b"year,words\r\n1790,1089\r\n"])
def test_a_damaged_file_is_named_until_it_is_repaired(folder, content):
    (folder / "table.csv").unlink()
    if content:
        (folder / "table.csv").write_bytes(content)
    assert data.damaged() == ["table.csv"] and data.path("model").is_dir()
    assert data.line_endings_changed("table.csv") is (b"\r" in (content or b""))
    with pytest.raises(OSError, match=r"bundled file table.csv is missing or altered; reinstall"):
        data.path("table.csv")
    (folder / "table.csv").write_bytes(FILES["table.csv"])
    assert data.damaged() == [] and data.path("table.csv") == folder / "table.csv"


def test_a_model_with_a_damaged_file_has_no_path(folder):
    (folder / "model" / "weights").write_bytes(b"")
    with pytest.raises(OSError, match="bundled file model/weights"):
        data.path("model")


@pytest.mark.parametrize("name", ["../secrets", "manifest.json"])
def test_nothing_outside_the_manifest_has_a_path(folder, name):
    with pytest.raises(ValueError, match=r"^name: expected one of 'model', 'model/config.json'"):
        data.path(name)


# Tables.


def test_addresses_and_adult_as_documented():
    table = load_addresses().to_pandas()
    columns = "address year date president party delivery annual split text"
    assert list(table) == columns.split() and table["date"].is_monotonic_increasing
    assert (table["president"].iloc[0], table["year"].iloc[-1]) == ("George Washington", 2026)
    assert set(table["delivery"]) == {"spoken", "written"} and set(table["annual"]) == {True, False}
    assert table["text"].str.strip().all()
    assert (table.groupby("year")["split"].nunique() == 1).all()
    adult = load_adult().to_pandas()
    assert len(adult) == 45_222 and not adult.isna().any().any()


def test_digits_are_scikit_learns_white_on_black():
    table, source = load_digits(), sklearn.datasets.load_digits()
    grey = np.stack([np.asarray(image) for image in table["image"]])
    assert grey.dtype == np.uint8 and grey[:, 0, 0].mean() < 5
    assert np.abs(grey / 255 * 16 - source.images).max() < 0.05
    assert list(table["label"]) == list(source.target)


@pytest.mark.parametrize("style", STYLES)
def test_emoji_as_documented(style):
    emoji = load_emoji(style)
    columns = "image name keywords group subgroup style skin_tone gender codepoints"
    assert emoji.column_names == columns.split() and set(emoji["style"]) == {style}
    assert len(emoji) > 1000 and len(set(emoji["codepoints"])) == len(emoji)
    image = emoji[0]["image"]
    assert (image.mode, image.size) == ("RGBA", (64, 64))
    assert image.getbbox() is not None and image.getextrema()[3] != (255, 255)


def test_styles_come_in_the_order_asked():
    assert load_emoji(("twemoji", "noto")).unique("style") == ["twemoji", "noto"]
    assert load_emoji().unique("style") == list(STYLES)


@pytest.mark.parametrize("styles", [[], "twemojo", [3]])
def test_a_wrong_style_lists_the_choices(styles):
    with pytest.raises(ValueError, match=r"^styles: expected"):
        load_emoji(styles)


def test_held_out_concepts_are_in_the_table_and_none_is_its_own_twin():
    concepts, twins = held_out()
    assert len(concepts) == 300 and twins and not concepts & twins
    table = load_emoji("noto").remove_columns("image").to_pandas()
    plain = table[table["skin_tone"] == "none"]
    assert concepts | twins <= set(plain["codepoints"])
    assert not concepts & set(plain["codepoints"][plain["group"] == "flags"])
