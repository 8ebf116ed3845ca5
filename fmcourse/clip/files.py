"""Which files does a folder or a zip hold? Their paths, the same for both, and a way to open each.

Serves :mod:`fmcourse.clip.pictures`. A zip is read where it lies, nothing is unpacked; whatever a system leaves behind is skipped.
"""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from fmcourse.arguments import require

__all__ = ["Entry", "in_folder", "in_zip", "open_zip", "visible"]

SYSTEM_FILES = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Entry:
    """A file, or a folder when `open` is None, by the parts of its path below the source."""

    parts: tuple[str, ...]
    open: Callable[[], BinaryIO] | None = None

    @property
    def path(self) -> str:
        """The path below the source, with forward slashes."""
        return "/".join(self.parts)

    @property
    def label(self) -> str:
        """The first folder's name, with blanks for underscores and hyphens."""
        return " ".join(self.parts[0].replace("_", " ").replace("-", " ").split()) or self.parts[0]

    @property
    def in_a_label_folder(self) -> bool:
        """Whether a folder of the source holds it, or it is one."""
        return len(self.parts) > 1 or self.open is None


def in_folder(folder: Path, above: tuple[str, ...] = ()) -> list[Entry]:
    """Return all that lies below a folder; what cannot be entered counts as a file.

    Args:
        folder: an existing folder; links to folders below it are not followed.
        above: the parts of its path below the source.

    Raises:
        OSError: the folder itself may not be opened.
    """
    if above and folder.is_symlink():
        raise NotADirectoryError(folder)  # a circle of links would never end
    entries = []
    for item in folder.iterdir():
        parts = (*above, _printable(item.name))
        try:
            entries += [Entry(parts), *in_folder(item, parts)]
        except OSError:
            entries.append(Entry(parts, partial(open, item, "rb")))
    return entries


def _printable(name: str) -> str:
    """Return a name that can be printed, in the composed form: a Mac writes an accent apart from its letter."""
    return unicodedata.normalize(
        "NFC", name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )


def open_zip(place: Path) -> zipfile.ZipFile:
    """Return an open zip; close it when its entries were read.

    Raises:
        ValueError: no zip, or a damaged one.
        PermissionError: it may not be opened.
    """
    try:
        return zipfile.ZipFile(place)
    except PermissionError:
        raise
    except (
        Exception
    ):  # BadZipFile as a rule; a damaged directory also gives ValueError, struct.error and others
        raise ValueError(
            f"source: expected a folder, or a zip file that is whole, got {str(place)!r}"
        ) from None


def in_zip(archive: zipfile.ZipFile) -> list[Entry]:
    """Return all that a zip holds; a path that leads upwards counts as a file outside every folder.

    Raises:
        ValueError: a zip with a password.
    """
    locked = any(info.flag_bits & 1 for info in archive.infolist())
    require(not locked, "source", "a zip file without a password", archive.filename)
    entries = []
    for info in archive.infolist():
        name = _zip_name(info)
        parts = tuple(_printable(part) for part in name.split("/") if part not in ("", "."))
        parts = ("/".join(parts),) if ".." in parts else parts
        entries.append(Entry(parts, None if name.endswith("/") else partial(archive.open, info)))
    return [entry for entry in entries if entry.parts]


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return a member's path with forward slashes; a Mac writes UTF-8 without the flag that says so."""
    name = info.filename.replace("\\", "/")
    try:
        return name if info.flag_bits & 0x800 else name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def visible(entries: list[Entry]) -> list[Entry]:
    """Return what is not hidden, as seen from the lone folder around the label folders, by label and then by path."""
    shown = _unwrapped([entry for entry in entries if not any(map(_hidden, entry.parts))])
    return sorted(shown, key=lambda entry: (entry.label, entry.parts))


def _hidden(part: str) -> bool:
    return part.lower() in SYSTEM_FILES or (part.startswith(".") and not part.startswith(".."))


def _unwrapped(entries: list[Entry]) -> list[Entry]:
    """Return the entries as seen from the lone folder around the label folders, however deep it lies."""
    while True:
        tops = {entry.parts[0] for entry in entries if entry.in_a_label_folder}
        below = [replace(entry, parts=entry.parts[1:]) for entry in entries if len(entry.parts) > 1]
        if len(tops) != 1 or not any(entry.in_a_label_folder for entry in below):
            return entries
        entries = below + [entry for entry in entries if not entry.in_a_label_folder]
