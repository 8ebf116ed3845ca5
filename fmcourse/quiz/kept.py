"""What a reader answered, one small file for each answer, so that two notebooks at work at once
lose nothing.

Used by predictions and exercises; the files lie in the state folder.
"""

import json
from pathlib import Path

from fmcourse.files import read_json, write_atomic
from fmcourse.runtime import state_folder

# Answers that could not be written, for as long as this kernel lives.
_unwritten: dict[Path, dict] = {}


def read(kind: str) -> dict[str, dict]:
    """Return the records of a kind by their names; damaged ones are set aside with a sentence."""
    found = {path: read_json(path, None) for path in sorted(_folder(kind).glob("*.json"))}
    found |= {path: record for path, record in _unwritten.items() if path.parent == _folder(kind)}
    return {path.stem: record for path, record in found.items() if isinstance(record, dict)}


def write(kind: str, name: str, record: dict) -> None:
    """Keep a record; where the disk refuses it, a sentence says so and this kernel remembers it."""
    path = _folder(kind) / f"{name}.json"
    try:
        write_atomic(path, json.dumps(record))
        _unwritten.pop(path, None)
    except OSError as error:
        _unwritten[path] = record
        print(
            f"This cannot be written to {path.parent} ({error}); it is kept until the kernel ends."
        )


def clear(kind: str, name: str) -> None:
    """Forget a record."""
    path = _folder(kind) / f"{name}.json"
    _unwritten.pop(path, None)
    path.unlink(missing_ok=True)


def _folder(kind: str) -> Path:
    return state_folder() / kind
