"""Where does a row come from, and under which licence? Lineage through the manifest of what ships.

Source: Orr, Goel & Ré 2022, who ask for provenance with the integration of data, as a summary tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fmcourse import bundle
from fmcourse.arguments import choose, require

__all__ = ["licences", "lineage"]


def lineage(file: str, manifest: Mapping[str, Mapping] | None = None) -> list[str]:
    """Return where a bundled file comes from, nearest first, down to what was not made here.

    Args:
        file: a file of the manifest.
        manifest: file to entry with key ``source``; None means :func:`fmcourse.bundle.manifest`.

    Returns:
        The file, the bundled files that its source names, and theirs; the sources that name none close the list.

    Raises:
        ValueError: a file that the manifest does not know.

    >>> lineage("ladder-small/model.safetensors")[:2]
    ['ladder-small/model.safetensors', 'addresses.parquet']
    """
    manifest = bundle.manifest() if manifest is None else manifest
    waiting, files, origins = [choose("file", file, manifest)], [], []
    while waiting:
        current = waiting.pop(0)
        files.append(current)
        source = manifest[current]["source"]
        parents = [other for other in manifest if other in source and other != current]
        waiting += [parent for parent in parents if parent not in [*files, *waiting]]
        origins += [] if parents or source in origins else [source]
    return files + origins


def licences(files: Sequence[str], manifest: Mapping[str, Mapping] | None = None) -> dict[str, str]:
    """Return the licence of each bundled file behind some files: what a row that is joined from them has to respect.

    Args:
        files: files of the manifest.
        manifest: file to entry with keys ``source`` and ``licence``; None means :func:`fmcourse.bundle.manifest`.

    Returns:
        Each file of their lineage, the files themselves first, to its licence.

    Raises:
        ValueError: a file that the manifest does not know, or one without a licence: such a row must not be joined.

    >>> licences(["emoji-noto.parquet"])
    {'emoji-noto.parquet': 'Apache-2.0'}
    """
    manifest = bundle.manifest() if manifest is None else manifest
    behind = dict.fromkeys(
        [*files, *(step for file in files for step in lineage(file, manifest) if step in manifest)]
    )
    for file in behind:
        require(bool(manifest[file].get("licence")), "files", "files with a licence", file)
    return {file: manifest[file]["licence"] for file in behind}
