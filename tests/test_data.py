"""Bundled files are found by name and compared with their checksums; what is wrong is said with its cure."""

from __future__ import annotations

import hashlib
import json

import pytest
from doubles import forget_bundle, says

from fmcourse import bundle

FILES = {
    "table.csv": b"year,words\n1790,1089\n",
    "model/config.json": b"{}",
    "model/weights": b"\x00\x01\x02",
}
CURE = "reinstall fmcourse (from a clone: git checkout fmcourse/bundled)"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Put a small bundle in the place of the real one, and return its folder."""
    entries = []
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        entries.append({"file": name, "sha256": hashlib.sha256(content).hexdigest()})
    (tmp_path / "manifest.json").write_text(json.dumps({"files": entries}), encoding="utf-8")
    monkeypatch.setattr(bundle, "BUNDLED", tmp_path)
    forget_bundle()
    yield tmp_path
    forget_bundle()


def test_the_manifest_by_file_name(folder):
    assert set(bundle.manifest()) == set(FILES)
    digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # sha256 of two braces, by sha256sum
    assert bundle.manifest()["model/config.json"]["sha256"] == digest


def test_a_file_and_a_folder_have_paths(folder):
    assert bundle.path("table.csv").read_bytes() == FILES["table.csv"]
    assert bundle.path("model") == folder / "model"
    assert bundle.path("model/weights") == folder / "model" / "weights"


def test_what_is_whole_is_not_damaged(folder):
    assert bundle.damaged() == []


def alter(file):
    file.write_bytes(file.read_bytes()[:-1] + b"!")


def test_one_altered_byte_is_seen(folder):
    alter(folder / "table.csv")
    assert bundle.damaged() == ["table.csv"]


def test_a_missing_file_is_seen(folder):
    (folder / "model" / "weights").unlink()
    assert bundle.damaged() == ["model/weights"]


@pytest.mark.parametrize("harm", [alter, lambda file: file.unlink()], ids=["altered", "missing"])
@pytest.mark.parametrize("name", ["model", "model/weights"])
def test_what_a_damaged_file_says(folder, harm, name):
    harm(folder / "model" / "weights")
    with says(OSError, f"bundled file model/weights is missing or altered; {CURE}"):
        bundle.path(name)


def test_a_damaged_file_does_not_stand_in_the_way_of_others(folder):
    alter(folder / "table.csv")
    assert bundle.path("model").is_dir()


def test_a_mended_file_is_seen_without_a_restart(folder):
    alter(folder / "table.csv")
    assert bundle.damaged() == ["table.csv"]
    (folder / "table.csv").write_bytes(FILES["table.csv"])
    assert bundle.damaged() == []


def test_an_unknown_name_lists_what_there_is(folder):
    known = "'model', 'model/config.json', 'model/weights', 'table.csv'"
    with says(
        ValueError, f"name: expected one of {known}, got 'tabel.csv'; did you mean 'table.csv'?"
    ):
        bundle.path("tabel.csv")


@pytest.mark.parametrize("name", ["../secrets", "manifest.json", "", "mod"])
def test_nothing_outside_the_manifest_has_a_path(folder, name):
    with pytest.raises(ValueError, match="^name: expected one of "):
        bundle.path(name)


def test_what_really_ships_is_whole():
    forget_bundle()
    assert bundle.damaged() == []
    assert len(bundle.manifest()) > 0
