"""Bundled files are whole and described; tables are as documented; what is wrong is named."""

import hashlib
import json

import numpy as np
import pytest
import sklearn.datasets
from doubles import forget_bundle, refused

from fmcourse import data
from fmcourse.data import STYLES, held_out, load_addresses, load_adult, load_digits, load_emoji

FILES = {
    "table.csv": b"year,words\n1790,1089\n",
    "model/config.json": b"{}",
    "model/weights": b"\x00\x01\x02",
}

# What really ships.


def test_the_manifest_is_true(root):
    forget_bundle()
    assert data.damaged() == []
    entries = data.manifest()
    assert list(entries) == sorted(entries)
    present = [path for path in data.BUNDLED.rglob("*") if path.is_file()]
    names = {path.relative_to(data.BUNDLED).as_posix() for path in present}
    assert names == {*entries, "manifest.json"}
    for file, entry in entries.items():
        assert entry["bytes"] == (data.BUNDLED / file).stat().st_size
        assert (root / entry["recipe"]).is_file()
        told = ("licence", "attribution", "sources", "settings", "seconds", "made")
        assert all(entry.get(field) not in (None, "", {}) for field in told), file
    assert sum(entry["bytes"] for entry in entries.values()) <= 60 * 10**6
    entries.clear()  # a copy: what a reader changes stays his own
    assert data.damaged() == [] and data.path("adult.parquet").is_file()


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


@pytest.mark.parametrize("content", [None, b"year,words\r\n1790,1089\r\n"])
def test_a_damaged_file_is_named_until_it_is_repaired(folder, content):
    table = folder / "table.csv"
    table.unlink()
    if content:
        table.write_bytes(content)
    (folder / "model" / "weights").write_bytes(b"")
    assert data.damaged() == ["table.csv", "model/weights"]
    assert data.line_endings_changed("table.csv") is bool(content)
    with pytest.raises(OSError, match=r"bundled file table.csv is missing or altered; reinstall"):
        data.path("table.csv")
    with pytest.raises(OSError, match="bundled file model/weights"):
        data.path("model")
    table.write_bytes(FILES["table.csv"])
    assert data.damaged() == ["model/weights"] and data.path("table.csv") == table
    with refused("name", "one of 'model', 'model/config.json'"):
        data.path("../secrets")


# Tables.


def test_addresses_and_adult_as_documented():
    table = load_addresses().to_pandas()
    columns = "address year date president party delivery annual split text"
    assert list(table) == columns.split() and table["date"].is_monotonic_increasing
    assert set(table["delivery"]) == {"spoken", "written"} and table["text"].str.strip().all()
    assert (table.groupby("year")["split"].nunique() == 1).all()
    adult = load_adult().to_pandas()
    assert len(adult) == len(adult.dropna()) == 45_222


def test_digits_are_scikit_learns_white_on_black():
    table, source = load_digits(), sklearn.datasets.load_digits()
    grey = np.stack(table["image"])
    assert grey.dtype == np.uint8 and grey[:, 0, 0].mean() < 5
    assert np.abs(grey / 255 * 16 - source.images).max() < 0.05
    assert list(table["label"]) == list(source.target)


@pytest.mark.parametrize("style", STYLES)
def test_emoji_as_documented(style):
    emoji = load_emoji(style)
    columns = "image name keywords group subgroup style skin_tone gender codepoints"
    assert emoji.column_names == columns.split() and set(emoji["style"]) == {style}
    assert len(set(emoji["codepoints"])) == len(emoji) > 1000
    image = emoji[0]["image"]
    assert (image.mode, image.size) == ("RGBA", (64, 64))
    assert image.getextrema()[3] == (0, 255)


def test_styles_come_in_the_order_asked():
    assert load_emoji(("twemoji", "noto")).unique("style") == ["twemoji", "noto"]
    assert load_emoji().unique("style") == list(STYLES)
    for wrong in ([], "twemojo", [3]):
        with refused("styles"):
            load_emoji(wrong)


def test_held_out_concepts_are_in_the_table_and_none_is_its_own_twin():
    concepts, twins = held_out()
    assert len(concepts) == 300 and twins and not concepts & twins
    table = load_emoji("noto").remove_columns("image").to_pandas()
    plain = table[table["skin_tone"] == "none"]
    assert concepts | twins <= set(plain["codepoints"])
    assert not concepts & set(plain["codepoints"][plain["group"] == "flags"])
