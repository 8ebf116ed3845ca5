"""Which version is it, whom did the last one serve better, and where does it come from? Flips
between versions, rows that know what they are, lineage and licences.

Sources: Yan et al. 2021 (negative flips), Milani Fard et al. 2016 (churn), Leszczynski et al. 2020
(embeddings retrained on 1% more data), Orr, Goel & Ré 2022 (who ask for provenance with the
integration of data, as a summary says). The bundled versions were made by ``recipes/versions.py``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from safetensors import safe_open

from fmcourse import data, stats
from fmcourse.arguments import choose, require
from fmcourse.embeddings.rows import as_rows
from fmcourse.stats import Interval

FILE = "encoder-versions.safetensors"
# Of a fingerprint: 48 bits, so that a chance match among millions of versions is unlikely.
LETTERS = 12


@dataclass(frozen=True)
class Flips:
    """What happened to single items between two versions, each as a share of all items.

    Attributes:
        changed: the prediction is another one.
        lost: right before and wrong now, a negative flip.
        gained: wrong before and right now.
    """

    changed: Interval
    lost: Interval
    gained: Interval


def flips(
    old: ArrayLike, new: ArrayLike, labels: ArrayLike, where: ArrayLike | None = None
) -> Flips:
    """Compare two versions item by item; their accuracies differ by gained minus lost only.

    Args:
        old, new: predicted classes, shape (n,).
        labels: right classes, shape (n,).
        where: which items count, shape (n,), True or False; None means all. A patch is judged by
            two calls: on the slice, and on everything else.

    Raises:
        ValueError: another shape than that of `labels`, or no item that counts.

    >>> found = flips([0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 1, 1])
    >>> found.changed.estimate, found.lost.estimate, found.gained.estimate
    (0.5, 0.25, 0.25)
    """
    old, new, labels = np.asarray(old), np.asarray(new), np.asarray(labels)
    counted = np.ones(len(labels), bool) if where is None else np.asarray(where, bool)
    shapes = [values.shape for values in (labels, old, new, counted)]
    alike = len(set(shapes)) == 1
    require(alike, "labels, old, new, where", "arrays of one shape", shapes)
    require(counted.any(), "where", "at least one item that counts", "none")
    kinds = (old != new, (old == labels) & (new != labels), (old != labels) & (new == labels))
    return Flips(*(stats.wilson(int(kind[counted].sum()), int(counted.sum())) for kind in kinds))


@dataclass(frozen=True)
class Versions:
    """Some drawings as several versions of one encoder embed them; the file says itself what each
    row shows.

    Attributes:
        rows: version to unit rows, shape (n, 128): *seed 0*, *seed 1* and *seed 2* differ in first
            weights and batches alone; *1% less* and *one pair less* have seed 0's and went without
            that much of its pre-training pairs.
        codepoints, names: what each row shows, n each.
        subgroups: the Unicode subgroup of each row, shape (n,).
        train: whether a row is for learning, shape (n,); the others are for testing, and no concept
            is in both.
    """

    rows: dict[str, np.ndarray]
    codepoints: list[str]
    names: list[str]
    subgroups: np.ndarray
    train: np.ndarray


def load_versions() -> Versions:
    """Return the bundled versions, in float32, in the order in which they are described above."""
    with safe_open(data.path(FILE), "np") as file:
        about = {column: json.loads(text) for column, text in file.metadata().items()}
        rows = {name: file.get_tensor(name).astype(np.float32) for name in about["versions"]}
    learnt = np.array([part == "train" for part in about["part"]])
    return Versions(rows, about["codepoints"], about["name"], np.array(about["subgroup"]), learnt)


def fingerprint(rows: ArrayLike) -> str:
    """Return 12 letters that stand for a table of embeddings, as stored: its shape and its numbers
    in half precision.

    Embedding anew on another machine may round otherwise and give other letters; reading the stored
    file does not.

    >>> fingerprint([[1.0, 0.0]]) == fingerprint([[1.0, 0.0]]) != fingerprint([[0.0, 1.0]])
    True
    """
    rows = as_rows(rows)
    stored = repr(rows.shape).encode() + rows.astype("<f2").tobytes()
    return hashlib.sha256(stored).hexdigest()[:LETTERS]


def check_version(rows: ArrayLike, expected: str) -> None:
    """Do nothing when rows are of the version that something was fitted on.

    Args:
        rows: embeddings, shape (n, d).
        expected: the :func:`fingerprint` that was written down when it was fitted.

    Raises:
        ValueError: they are of another.
    """
    found = fingerprint(rows)
    fitted_on = f"version {expected}, on which this was fitted (fit anew for another)"
    require(found == expected, "rows", fitted_on, found)


def lineage(file: str, manifest: Mapping[str, Mapping] | None = None) -> list[str]:
    """Return where a bundled file comes from, nearest first, down to what was not made here.

    Args:
        file: a file of the manifest.
        manifest: file to entry with key ``sources``, a list of bundled files and of outside
            sources; None means :func:`fmcourse.data.manifest`.

    Returns:
        The file, the bundled files among its sources, and theirs; the outside sources of all close
        the list.

    Raises:
        ValueError: a file that the manifest does not know.

    >>> lineage("ladder-small/model.safetensors")[:2]
    ['ladder-small/model.safetensors', 'addresses.parquet']
    """
    manifest = data.manifest() if manifest is None else manifest
    files = [choose("file", file, manifest)]
    outside: list[str] = []
    # The list grows while it is read: each file adds its own sources behind.
    for current in files:
        for source in manifest[current]["sources"]:
            known = files if source in manifest else outside
            if source not in known:
                known.append(source)
    return files + outside


def licences(files: Sequence[str], manifest: Mapping[str, Mapping] | None = None) -> dict[str, str]:
    """Return the licence of each bundled file behind some files, which a join of them must respect.

    Args:
        files: files of the manifest.
        manifest: file to entry with keys ``sources`` and ``licence``; None means
            :func:`fmcourse.data.manifest`.

    Returns:
        Each bundled file of their lineage to its licence.

    Raises:
        ValueError: a file that the manifest does not know, or one without a licence.

    >>> licences(["emoji-noto.parquet"])
    {'emoji-noto.parquet': 'Apache-2.0'}
    """
    manifest = data.manifest() if manifest is None else manifest
    found = {}
    for file in files:
        for step in lineage(file, manifest):
            if step in manifest:
                found[step] = manifest[step].get("licence") or ""
                require(found[step] != "", "files", "files with a licence", step)
    return found
