"""Lineage and licences through the manifest of bundled files. Used by notebook 05.

Source: Orr, Goel & Ré 2022, who ask for provenance with the integration of data, as a summary says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fmcourse import data
from fmcourse.arguments import choose, require

__all__ = ["licences", "lineage"]


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
        Each file of their lineage, the files themselves first, to its licence.

    Raises:
        ValueError: a file that the manifest does not know, or one without a licence.

    >>> licences(["emoji-noto.parquet"])
    {'emoji-noto.parquet': 'Apache-2.0'}
    """
    manifest = data.manifest() if manifest is None else manifest
    behind = list(files)
    for file in files:
        behind += [step for step in lineage(file, manifest) if step in manifest]
    found = {file: manifest[file].get("licence") or "" for file in behind}
    for file, licence in found.items():
        require(bool(licence), "files", "files with a licence", file)
    return found
