"""The files of a folder or a zip: their paths, the same for both, and a way to open each.

Used by :mod:`fmcourse.clip.pictures` (notebook 03). A zip is read where it lies, nothing is unpacked.
"""

from __future__ import annotations

import stat
import struct
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from fmcourse.arguments import require

__all__ = ["Entry", "in_folder", "in_zip", "open_zip", "visible"]

# What Windows, macOS, Linux and network drives leave behind beside the names that begin with a dot.
SYSTEM_NAMES = {
    "#recycle",
    "$recycle.bin",
    "@eadir",
    "@recycle",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "icon\r",
    "lost+found",
    "recycled",
    "recycler",
    "system volume information",
    "thumbs.db",
}
UTF8 = 0x800  # the flag of a member whose name is UTF-8
UNICODE_PATH = 0x7075  # the extra field that repeats a name as UTF-8
# How zips without that flag write names; where two fit equally well, the first counts.
PAGES = "cp932 gb2312 cp437 cp850 cp852 cp866 cp1251 cp1252 big5 cp949 gbk".split()
EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC")


@dataclass(frozen=True)
class Entry:
    """A file or a folder below the source.

    Attributes:
        parts: of its path below the source, as they are stored.
        open: opens the file; None for a folder, and for what cannot be opened.
        problem: why it cannot be opened.
        label: of the first folder, blanks for underscores and hyphens; :func:`visible` sets it.
    """

    parts: tuple[str, ...]
    open: Callable[[], BinaryIO] | None = None
    problem: str = ""
    label: str = ""

    @property
    def shown(self) -> tuple[str, ...]:
        """The parts as they can be printed, in the composed form: a Mac writes an accent apart from its letter."""
        texts = [
            part.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            for part in self.parts
        ]
        return tuple(unicodedata.normalize("NFC", text) for text in texts)

    @property
    def path(self) -> str:
        """The path below the source, with forward slashes."""
        return "/".join(self.shown)

    @property
    def in_a_label_folder(self) -> bool:
        """Whether a folder of the source holds it, or it is one."""
        return len(self.parts) > 1 or not (self.open or self.problem)


def in_folder(folder: Path, above: tuple[str, ...] = ()) -> list[Entry]:
    """Return all that lies below a folder; links to folders are not followed.

    Args:
        folder: an existing folder.
        above: the parts of its path below the source.

    Raises:
        OSError: the folder itself may not be opened.
    """
    entries = []
    for item in folder.iterdir():
        parts = (*above, item.name)
        try:
            entries += _found(item, parts)
        except FileNotFoundError:
            entries.append(Entry(parts, problem="it is a link that leads nowhere"))
        except OSError as error:
            entries.append(Entry(parts, problem=f"it cannot be opened: {error.strerror}"))
    return entries


def _found(item: Path, parts: tuple[str, ...]) -> list[Entry]:
    kind = item.stat().st_mode
    if stat.S_ISREG(kind):
        return [Entry(parts, partial(open, item, "rb"))]
    if not stat.S_ISDIR(kind):
        # Reading a pipe would wait for ever.
        return [Entry(parts, problem="it is a pipe, a socket or a device, not a file")]
    if item.is_symlink():
        # A circle of links would never end.
        return [Entry(parts, problem="links to folders are not followed; copy the folder")]
    return [Entry(parts), *in_folder(item, parts)]


def open_zip(place: Path) -> zipfile.ZipFile:
    """Return an open zip; close it when its entries were read.

    Raises:
        ValueError: no zip, a damaged one, or one with a password.
        PermissionError: it may not be opened.
    """
    try:
        archive = zipfile.ZipFile(place)
    except PermissionError:
        raise
    except Exception:
        # BadZipFile as a rule; a damaged directory also gives ValueError, struct.error and others.
        raise ValueError(
            f"source: expected a folder, or a zip file that is whole, got {str(place)!r}"
        ) from None
    locked = any(info.flag_bits & 1 for info in archive.infolist())
    require(not locked, "source", "a zip file without a password", str(place))
    return archive


def in_zip(archive: zipfile.ZipFile) -> tuple[list[Entry], list[str]]:
    """Return all that a zip holds, and a sentence if the encoding of its names had to be guessed."""
    stored = [_stored_name(info) for info in archive.infolist()]
    page = _code_page(b"/".join(name for name in stored if isinstance(name, bytes)))
    entries, guessed = [], []
    for info, name in zip(archive.infolist(), stored):
        if isinstance(name, bytes):
            name = name.decode(page)
            guessed += [] if name.isascii() else [name]
        name = name.replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if ".." in parts:
            entries.append(Entry(("/".join(parts),), problem="its path leads out of the zip"))
        elif stat.S_ISLNK(info.external_attr >> 16):
            entries.append(Entry(parts, problem="it is a link, which a zip cannot follow"))
        elif parts:
            entries.append(
                Entry(parts, None if name.endswith("/") else partial(archive.open, info))
            )
    if not guessed or page == "utf-8":
        return entries, []
    return entries, [
        f"The names in the zip are doubtful: they were read as {page}, such as {guessed[0]}; "
        "if this is wrong, unpack the zip and give the folder"
    ]


def _stored_name(info: zipfile.ZipInfo) -> str | bytes:
    """Return a member's path as text, or as bytes where the zip does not say how it is encoded."""
    if info.flag_bits & UTF8:
        return info.orig_filename
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == UNICODE_PATH:
            # Before the name stand a version, one byte, and a checksum, four bytes.
            return extra[9 : 4 + size].decode("utf-8", "replace")
        extra = extra[4 + size :]
    # zipfile reads such a name as code page 437, in which every byte is a character.
    return info.orig_filename.encode("cp437")


def _code_page(names: bytes) -> str:
    """Return the encoding in which names look most like names."""
    readable = {}
    for page in ["utf-8", *PAGES]:
        try:
            readable[page] = _oddness(names.decode(page))
        except UnicodeDecodeError:
            continue
    return "utf-8" if "utf-8" in readable else min(readable, key=readable.__getitem__)


def _oddness(text: str) -> int:
    """Return how much in a text is rare in names: signs, two scripts in one word, a capital inside a word."""
    odd = 0
    scripts = [_script(char) for char in text]
    for char, script in zip(text, scripts):
        # Half-width katakana are what other encodings look like when they are read as Japanese.
        odd += not char.isascii() and script in ("", "HALFWIDTH")
    for (char, script), (after, next_script) in pairwise(zip(text, scripts)):
        if script and next_script:
            two_accents = script == "LATIN" and not (char.isascii() or after.isascii())
            odd += script != next_script or two_accents or (char.islower() and after.isupper())
    return odd


def _script(char: str) -> str:
    """Return the first word of a letter's Unicode name, CJK for all Japanese and Chinese; a sign has no script."""
    if not char.isalpha():
        return ""
    name = unicodedata.name(char, "")
    return "CJK" if name.startswith(EAST_ASIAN) else name.split(" ")[0]


def visible(entries: list[Entry]) -> list[Entry]:
    """Return what is not hidden, labelled, as seen from the lone folder around the label folders.

    Names that differ in case only have the label of the first: models read them alike.
    """
    shown = _unwrapped([entry for entry in entries if not any(map(_hidden, entry.parts))])
    spellings: dict[str, str] = {}
    for entry in sorted(shown, key=lambda entry: entry.shown):
        if entry.in_a_label_folder:
            label = _label(entry)
            spellings.setdefault(label.casefold(), label)
    labelled = [
        replace(entry, label=spellings.get(_label(entry).casefold(), "")) for entry in shown
    ]
    return sorted(labelled, key=lambda entry: (entry.label, entry.shown))


def _label(entry: Entry) -> str:
    first = entry.shown[0]
    return " ".join(first.replace("_", " ").replace("-", " ").split()) or first


def _hidden(part: str) -> bool:
    return part.lower() in SYSTEM_NAMES or (part.startswith(".") and not part.startswith(".."))


def _unwrapped(entries: list[Entry]) -> list[Entry]:
    """Return the entries as seen from the lone folder around the label folders, however deep it lies."""
    while True:
        tops = {entry.parts[0] for entry in entries if entry.in_a_label_folder}
        below = [replace(entry, parts=entry.parts[1:]) for entry in entries if len(entry.parts) > 1]
        if len(tops) != 1 or not any(entry.in_a_label_folder for entry in below):
            return entries
        entries = below + [entry for entry in entries if not entry.in_a_label_folder]
