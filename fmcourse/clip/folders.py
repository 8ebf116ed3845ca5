"""The files of a folder or a zip: their paths, the same for both, and a way to open each.

Used by :mod:`fmcourse.clip.pictures` (notebook 03). A zip is read where it lies, nothing is
unpacked.
"""

import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from fmcourse.arguments import require

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
# How zips without that flag write names; where two fit equally well, the first counts.
PAGES = "utf-8 cp932 gb2312 cp437 cp850 cp852 cp866 cp1251 cp1252 big5 cp949 gbk".split()
EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC")


class LeftOut(Exception):
    """A file gives no picture; the message says why."""


@dataclass
class Entry:
    """A file or a folder below the source.

    Attributes:
        parts: of its path below the source, printable.
        open: opens the file, or raises :class:`LeftOut`; None for a folder.
        label: of the first folder, blanks for underscores and hyphens; :func:`visible` sets it.
    """

    parts: tuple[str, ...]
    open: Callable[[], IO[Any]] | None = None
    label: str = ""

    @property
    def path(self) -> str:
        """The path below the source, with forward slashes."""
        return "/".join(self.parts)

    @property
    def in_a_label_folder(self) -> bool:
        """Whether a folder of the source holds it, or it is one."""
        return len(self.parts) > 1 or self.open is None


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
        parts = (*above, _printable(item.name))
        try:
            kind = item.stat().st_mode
            if stat.S_ISREG(kind):
                entries.append(Entry(parts, partial(item.open, "rb")))
            elif not stat.S_ISDIR(kind):
                # Reading a pipe would wait for ever.
                entries.append(_refused(parts, "it is a pipe, a socket or a device, not a file"))
            elif item.is_symlink():
                # A circle of links would never end.
                entries.append(
                    _refused(parts, "links to folders are not followed; copy the folder")
                )
            else:
                entries += [Entry(parts), *in_folder(item, parts)]
        except OSError as error:
            entries.append(_refused(parts, f"it cannot be opened: {error.strerror}"))
    return entries


def _refused(parts: tuple[str, ...], reason: str) -> Entry:
    def refuse() -> IO[Any]:
        raise LeftOut(reason)

    return Entry(parts, refuse)


def _printable(name: str) -> str:
    """Return a name that can be printed, an accent with its letter: a Mac writes them apart."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return unicodedata.normalize("NFC", text)


def open_zip(place: Path) -> zipfile.ZipFile:
    """Return an open zip, its names decoded; close it when its entries were read.

    Raises:
        ValueError: no zip, a damaged one, or one with a password.
        PermissionError: it may not be opened.
    """
    try:
        with zipfile.ZipFile(place) as raw:
            page = _code_page(raw.infolist())
        archive = zipfile.ZipFile(place, metadata_encoding=page)
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
    """Return all that a zip holds, and a sentence if the encoding of its names is a guess."""
    entries = []
    for member in archive.infolist():
        path = member.orig_filename.replace("\\", "/")
        parts = tuple(_printable(part) for part in path.split("/") if part not in ("", "."))
        if ".." in parts:
            entries.append(_refused(("/".join(parts),), "its path leads out of the zip"))
        elif stat.S_ISLNK(member.external_attr >> 16):
            entries.append(_refused(parts, "it is a link; a zip of the files themselves has none"))
        elif parts:
            opens = None if path.endswith("/") else partial(archive.open, member)
            entries.append(Entry(parts, opens))
    page = archive.metadata_encoding  # type: ignore[attr-defined]
    if page == "utf-8":
        return entries, []
    return entries, [
        f"The names in the zip are doubtful: it does not say how they are written, and {page} fits "
        "best; where they are wrong, unpack the zip and give the folder"
    ]


def _code_page(members: list[zipfile.ZipInfo]) -> str:
    """Return the encoding in which names without the flag for UTF-8 look most like names."""
    bare = [member.orig_filename for member in members if not member.flag_bits & UTF8]
    # zipfile has read them as code page 437, in which every byte is a character.
    names = "/".join(bare).encode("cp437")
    oddness = {}
    for page in PAGES:
        try:
            oddness[page] = _oddness(names.decode(page))
        except UnicodeDecodeError:
            continue
    # No other encoding looks like UTF-8.
    return "utf-8" if "utf-8" in oddness else min(oddness, key=oddness.__getitem__)


def _oddness(text: str) -> int:
    """Return how much in a text is rare in names: signs, words of two scripts, capitals inside."""
    # Half-width katakana are what other encodings look like when they are read as Japanese.
    odd = sum(not char.isascii() and _script(char) in ("", "HALFWIDTH") for char in text)
    for char, after in pairwise(text):
        scripts = {_script(char), _script(after)}
        capital = char.islower() and after.isupper()
        odd += "" not in scripts and (capital or len(scripts) > 1)
    return odd


def _script(char: str) -> str:
    """Return the first word of a letter's Unicode name, CJK for all of East Asia; "" for a sign."""
    name = unicodedata.name(char, "") if char.isalpha() else ""
    return "CJK" if name.startswith(EAST_ASIAN) else name.split(" ")[0]


def visible(entries: list[Entry]) -> list[Entry]:
    """Return what is not hidden, labelled, as seen from the lone folder around the label folders.

    Folders whose names differ in case only have the label of the first: models read them alike.
    """
    shown = _unwrapped([entry for entry in entries if not any(map(_hidden, entry.parts))])
    labels: dict[str, str] = {}
    for entry in sorted(shown, key=lambda entry: entry.parts):
        if entry.in_a_label_folder:
            # A label of blanks alone would be no label.
            own = re.sub(r"[\s_-]+", " ", entry.parts[0]).strip() or entry.parts[0]
            entry.label = labels.setdefault(own.casefold(), own)
    return sorted(shown, key=lambda entry: (entry.label, entry.parts))


def _hidden(part: str) -> bool:
    return part.lower() in SYSTEM_NAMES or (part.startswith(".") and not part.startswith(".."))


def _unwrapped(entries: list[Entry]) -> list[Entry]:
    """Return the entries as seen from the lone folder around the label folders, if there is one."""
    tops = {entry.parts[0] for entry in entries if entry.in_a_label_folder}
    below = [replace(entry, parts=entry.parts[1:]) for entry in entries if len(entry.parts) > 1]
    if len(tops) != 1 or not any(entry.in_a_label_folder for entry in below):
        return entries
    return _unwrapped(below + [entry for entry in entries if not entry.in_a_label_folder])
