"""Every bundled file is in the manifest with its checksum, size, licence, attribution, source and recipe."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from fmcourse.bundle import pinned
from fmcourse.environment import PROFILES

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "fmcourse" / "bundled"
MOST_BYTES = 60 * 10**6
FIELDS = {
    "file",
    "sha256",
    "bytes",
    "licence",
    "attribution",
    "sources",
    "recipe",
    "settings",
    "seconds",
    "made",
}


def problems(bundled: Path, root: Path) -> list[str]:
    """Return what is wrong with a folder of bundled files and its manifest, one sentence each."""
    entries = json.loads((bundled / "manifest.json").read_text(encoding="utf-8"))["files"]
    listed = [entry["file"] for entry in entries]
    present = {
        path.relative_to(bundled).as_posix() for path in bundled.rglob("*") if path.is_file()
    } - {"manifest.json"}
    found = [f"{file} is not in the manifest" for file in sorted(present - set(listed))]
    found += [f"{file} is not there" for file in sorted(set(listed) - present)]
    found += [
        f"{file} is listed twice"
        for file in sorted({file for file in listed if listed.count(file) > 1})
    ]
    found += [problem for entry in entries for problem in _wrong_entry(entry, bundled, root)]
    total = sum((bundled / file).stat().st_size for file in present)
    return found + (
        [f"{total:,} bytes in all, more than {MOST_BYTES:,}"] if total > MOST_BYTES else []
    )


def _wrong_entry(entry: dict, bundled: Path, root: Path) -> list[str]:
    file, path = entry["file"], bundled / entry["file"]
    found = [
        f"{file}: no {field}" for field in sorted(FIELDS) if entry.get(field) in (None, "", {}, [])
    ]
    if not (root / str(entry.get("recipe"))).is_file():
        found.append(f"{file}: there is no {entry.get('recipe')}")
    if path.is_file() and entry.get("bytes") != path.stat().st_size:
        found.append(f"{file}: {path.stat().st_size} bytes, the manifest says {entry.get('bytes')}")
    if path.is_file() and entry.get("sha256") != hashlib.sha256(path.read_bytes()).hexdigest():
        found.append(f"{file}: another checksum than the manifest says")
    return found


def test_the_manifest_is_true():
    assert problems(BUNDLED, ROOT) == []


def test_the_manifest_is_in_order():
    files = [
        entry["file"]
        for entry in json.loads((BUNDLED / "manifest.json").read_text(encoding="utf-8"))["files"]
    ]
    assert files == sorted(files)


@pytest.fixture
def bundle(tmp_path):
    """A bundle of one file with a true manifest, and a function that writes the manifest anew."""
    folder = tmp_path / "bundled"
    (folder / "model").mkdir(parents=True)
    (tmp_path / "recipe.py").touch()
    (folder / "model" / "a.bin").write_bytes(b"a")
    entry = dict.fromkeys(FIELDS, "x") | {
        "file": "model/a.bin",
        "bytes": 1,
        "recipe": "recipe.py",
        "seconds": 0.0,
    }
    entry["sha256"] = hashlib.sha256(b"a").hexdigest()

    def wrong(*entries):
        (folder / "manifest.json").write_text(json.dumps({"files": entries}))
        return problems(folder, tmp_path)

    return folder, entry, wrong


def test_a_true_manifest_passes(bundle):
    _, entry, wrong = bundle
    assert wrong(entry) == []


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"sha256": "0"}, "model/a.bin: another checksum than the manifest says"),
        ({"bytes": 2}, "model/a.bin: 1 bytes, the manifest says 2"),
        ({"licence": ""}, "model/a.bin: no licence"),
        ({"settings": {}}, "model/a.bin: no settings"),
        ({"recipe": "recipes/none.py"}, "model/a.bin: there is no recipes/none.py"),
    ],
)
def test_a_wrong_entry_is_found(bundle, change, problem):
    _, entry, wrong = bundle
    assert wrong(entry | change) == [problem]


def test_missing_unlisted_and_repeated_files_are_found(bundle):
    folder, entry, wrong = bundle
    assert wrong() == ["model/a.bin is not in the manifest"]
    assert wrong(entry, entry) == ["model/a.bin is listed twice"]
    assert wrong(entry, entry | {"file": "b.bin"}) == ["b.bin is not there"]


def test_too_many_bytes_are_found(bundle, monkeypatch):
    _, entry, wrong = bundle
    monkeypatch.setattr(f"{__name__}.MOST_BYTES", 0)
    assert wrong(entry) == ["1 bytes in all, more than 0"]


STATUSES = {"unverified", "compared with the hub"}


def test_the_pinned_models_of_the_hub_say_where_their_commit_is_stated():
    entries = json.loads((BUNDLED / "manifest.json").read_text(encoding="utf-8"))["hub"]
    assert [entry["name"] for entry in entries] == sorted(
        {entry["name"] for entry in entries}, key=str.lower
    )
    for entry in entries:
        assert (
            re.fullmatch("[0-9a-f]{40}", entry["revision"])
            and entry["stated_in"]
            and entry["status"] in STATUSES
        )


def test_the_full_profile_asks_for_pinned_models_only():
    full = PROFILES["full"]
    assert {full.gpt_neo, full.judge, full.clip} == set(pinned())
