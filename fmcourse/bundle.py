"""What ships with the course? The folder ``bundled`` and its manifest: file, checksum, licence, source, recipe.

The manifest also names the commits of the hub's models that the full profile asks for.

Everything that a notebook shows offline comes from here; ``recipes/`` says how each file was made.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

from fmcourse.arguments import choose

__all__ = ["BUNDLED", "REMEDY", "damaged", "manifest", "path", "pinned"]

REMEDY = "reinstall fmcourse (from a clone: git checkout fmcourse/bundled)"
BUNDLED = Path(__file__).resolve().parent / "bundled"
_found_whole: set[Path] = set()


@functools.cache
def manifest() -> dict[str, dict]:
    """Return the manifest: file name under ``bundled`` (with forward slashes) to its entry.

    >>> manifest()["addresses.parquet"]["recipe"]
    'recipes/addresses.py'
    """
    return {entry["file"]: entry for entry in _read()["files"]}


@functools.cache
def pinned() -> dict[str, dict]:
    """Return the models of the hub whose commit the course names: name to revision, where that is stated, and status.

    The status is ``unverified`` where nobody compared the commit with the hub for this edition.

    >>> pinned()["EleutherAI/gpt-neo-125m"]["status"]
    'unverified'
    """
    return {entry["name"]: entry for entry in _read().get("hub", [])}


def _read() -> dict[str, list[dict]]:
    return json.loads((BUNDLED / "manifest.json").read_text(encoding="utf-8"))


def path(name: str) -> Path:
    """Return the path of a bundled file or model folder, its checksums compared once per session.

    Args:
        name: a file of the manifest, or a folder that holds some.

    Raises:
        ValueError: the manifest knows no such name.
        OSError: a file is missing or altered; the message says how to mend it.
    """
    known = set(manifest()) | {file.split("/")[0] for file in manifest()}
    broken = [file for file in _files(choose("name", name, sorted(known))) if not _intact(file)]
    if broken:
        raise OSError(f"bundled file {broken[0]} is missing or altered; {REMEDY}")
    return BUNDLED / name


def damaged() -> list[str]:
    """Return the bundled files that are missing or do not have the checksum of the manifest.

    >>> damaged()
    []
    """
    return [file for file in manifest() if not _intact(file)]


def _files(name: str) -> list[str]:
    return [file for file in manifest() if file == name or file.startswith(name + "/")]


def _intact(file: str) -> bool:
    """Compare a file's checksum; a file once found whole is not read again in this session."""
    location = BUNDLED / file
    if location not in _found_whole and location.is_file():
        if hashlib.sha256(location.read_bytes()).hexdigest() == manifest()[file]["sha256"]:
            _found_whole.add(location)
    return location in _found_whole
