"""Every table of the course, and the manifest of all that ships: file, checksum, licence, source.

Serves every notebook. What is shown offline comes from the folder ``bundled``; ``recipes/`` says
how each file was made. The manifest also names the commits of the hub's models that the full
profile asks for.
"""

import functools
import hashlib
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet
import sklearn.datasets
from PIL import Image

from fmcourse.arguments import choose, require

# git checkout alone changes nothing where the line endings of a whole clone were converted.
REMEDY = (
    "reinstall fmcourse, or run in a clone: git config core.autocrlf false; "
    "git rm -rq --cached fmcourse/bundled; git checkout HEAD -- fmcourse/bundled"
)
BUNDLED = Path(__file__).resolve().parent / "bundled"
STYLES = ("noto", "noto-v1", "fluent-emoji-flat", "twemoji", "emojione", "openmoji")
_found_whole: set[Path] = set()


def manifest() -> dict[str, dict]:
    """Return the manifest: file name under ``bundled`` (with forward slashes) to its entry.

    It is read anew, so that the caller may change what it gets.

    >>> manifest()["addresses.parquet"]["recipe"]
    'recipes/addresses.py'
    """
    return {entry["file"]: entry for entry in _read()["files"]}


def pinned() -> dict[str, dict]:
    """Return the models of the hub whose commit the course names: name to revision and status.

    The status is ``unverified`` where nobody compared the commit with the hub for this edition.

    >>> pinned()["EleutherAI/gpt-neo-125m"]["status"]
    'unverified'
    """
    return {entry["name"]: entry for entry in _read().get("hub", [])}


def _read() -> dict[str, list[dict]]:
    return json.loads((BUNDLED / "manifest.json").read_bytes())


_files = functools.cache(manifest)


def path(name: str) -> Path:
    """Return the path of a bundled file or model folder, its checksums compared once per session.

    Args:
        name: a file of the manifest, or a folder that holds some.

    Raises:
        ValueError: the manifest knows no such name.
        OSError: a file is missing or altered; the message says how to repair it.
    """
    known = set(_files()) | {file.split("/")[0] for file in _files()}
    choose("name", name, sorted(known))
    for file in _files():
        if (file == name or file.startswith(name + "/")) and not _intact(file):
            raise OSError(f"bundled file {file} is missing or altered; {REMEDY}")
    return BUNDLED / name


def damaged() -> list[str]:
    """Return the bundled files that are missing or do not have the checksum of the manifest.

    >>> damaged()
    []
    """
    return [file for file in _files() if not _intact(file)]


def line_endings_changed(file: str) -> bool:
    """Return whether a damaged file would be whole with the line endings of Linux."""
    location = BUNDLED / file
    if not location.is_file():
        return False
    content = location.read_bytes().replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest() == _files()[file]["sha256"]


def _intact(file: str) -> bool:
    """Compare a file's checksum; a file once found whole is not read again in this session."""
    location = BUNDLED / file
    if location not in _found_whole and location.is_file():
        if hashlib.sha256(location.read_bytes()).hexdigest() == _files()[file]["sha256"]:
            _found_whole.add(location)
    return location in _found_whole


def load_addresses() -> datasets.Dataset:
    """Return the State of the Union addresses, 1790-2026, oldest first.

    Columns: address, year, date, president, party, delivery (spoken or written), annual (False for
    the few related messages), split (train, validation or test; whole years) and text.

    >>> load_addresses()[0]["president"]
    'George Washington'
    """
    return _table("addresses.parquet")


def load_adult() -> datasets.Dataset:
    """Return the Adult census income table of 1994 (Becker & Kohavi 1996), 45,222 people."""
    return _table("adult.parquet")


def load_digits() -> datasets.Dataset:
    """Return 1,797 handwritten digits, real data that scikit-learn carries.

    Source: Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998), UCI Machine
    Learning Repository, CC BY 4.0.

    Returns:
        A dataset with columns image (PIL, mode L, 8x8) and label (0 to 9). The digits are white on
        black, as in MNIST: the bundled CLIPs see these better than black on white. A linear probe
        of 600 digits classifies 88% of 300 others correctly, against 86% (``emoji-clip``), and 85%
        against 79% (``sweep-clip``).

    >>> load_digits()[0]["image"].size, load_digits()[0]["label"]
    ((8, 8), 0)
    """
    digits = sklearn.datasets.load_digits()
    # Its grey levels go from 0, the paper, to 16, the ink.
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
    columns = {"image": [Image.fromarray(each) for each in grey], "label": digits.target}
    kinds = {"image": datasets.Image(), "label": datasets.Value("int64")}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def load_emoji(styles: str | list[str] | tuple[str, ...] | None = None) -> datasets.Dataset:
    """Return emoji drawings with their names, one table row per drawing.

    Args:
        styles: one of :data:`STYLES`, or several; None means all six.

    Returns:
        A dataset with columns image (PIL, RGBA, 64x64), name, keywords, group, subgroup, style,
        skin_tone, gender and codepoints.

    Raises:
        ValueError: an unknown style, or an empty list.
    """
    if styles is None:
        styles = STYLES
    wanted = list(styles) if isinstance(styles, (list, tuple, set)) else [styles]
    require(len(wanted) > 0, "styles", "at least one style", wanted)
    tables = [_table(f"emoji-{choose('styles', style, STYLES)}.parquet") for style in wanted]
    return datasets.concatenate_datasets(tables)


def held_out() -> tuple[frozenset[str], frozenset[str]]:
    """Return the code points of the emoji concepts that no bundled model was trained on.

    Returns:
        Those to test on, 300, and their near-twins, which are kept out of training and of testing,
        in any style or tone.
    """
    content = json.loads(path("emoji-held-out.json").read_bytes())
    concepts = frozenset(entry["codepoints"] for entry in content["concepts"])
    twins = frozenset(entry["codepoints"] for entry in content["twins"])
    return concepts, twins


def _table(file: str) -> datasets.Dataset:
    return datasets.Dataset(pyarrow.parquet.read_table(path(file)))
