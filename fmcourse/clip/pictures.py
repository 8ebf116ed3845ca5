"""How do your own pictures get in? As a folder with one subfolder per label, or as a zip of such a folder.

Serves the notebook on CLIP. A bad file stops nothing and is never passed over in silence: whatever was left out or
is doubtful has a sentence of its own. The files are opened by Pillow; a zip is read where it lies, nothing is unpacked.
"""

from __future__ import annotations

import hashlib
import io
import random
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmcourse.arguments import require
from fmcourse.clip.files import Entry, in_folder, in_zip, open_zip, visible

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Pictures", "read_pictures"]

FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "WEBP",
    "BMP",
    "TIFF",
    "AVIF",
    "PPM",
    "JPEG2000",
)  # those that start no other program
LONGEST = 512  # pixels on the longer side; CLIP itself looks at 224 or 336
DOUBTFUL, TOO_SMALL = (
    16,
    4,
)  # pixels on the shorter side: below the first a warning, below the second left out
LARGEST_FILE = 100 * 2**20  # bytes
SENTENCES, COPIES = 10, 3  # problems, and copies of one file, that are listed; the rest are counted
PARTS = {
    "train",
    "training",
    "test",
    "testing",
    "val",
    "valid",
    "validation",
}  # of a data set: no labels, as a rule
ORIENTATION = 0x0112  # the EXIF tag


@dataclass(frozen=True, repr=False)
class Pictures:
    """Labelled pictures, ready for CLIP; as the last line of a cell they show how many there are and what is doubtful.

    Attributes:
        images: PIL pictures, RGB on white, upright, at most 512 pixels on the longer side (0.8 MB of memory each).
        labels: for each picture, the place of its label in `names`.
        names: the labels, in the order of their code points.
        problems: one sentence for each file or label that was left out or is doubtful.

    >>> from PIL import Image
    >>> Pictures([Image.new("RGB", (32, 32))] * 3, [0, 1, 1], ["cat", "dog"], ["cat is doubtful: one picture"])
    3 pictures of 2 labels: cat 1, dog 2
    cat is doubtful: one picture
    """

    images: list[Image.Image]
    labels: list[int]
    names: list[str]
    problems: list[str]

    def __len__(self) -> int:
        return len(self.images)

    def __str__(self) -> str:
        count = Counter(self.labels)
        shares = ", ".join(f"{name} {count[label]}" for label, name in enumerate(self.names))
        head = f"{_counted(len(self), 'picture')} of {_counted(len(self.names), 'label')}: {shares}"
        return "\n".join([head, *_shortened(self.problems)])

    __repr__ = __str__

    def split(self, test_share: float = 0.25, seed: int = 0) -> tuple[Pictures, Pictures]:
        """Return a training part and a test part, drawn within each label; order, names and the images are shared.

        Args:
            test_share: share of each label's pictures in the test part, between 0 and 1, rounded to whole pictures
                such that a label with two pictures or more has at least one in either part.
            seed: the seed of the draw; the same seed gives the same parts.

        Returns:
            The two parts. A label with one picture keeps it in the training part; the problems of both parts name it,
            and repeat nothing else.

        Raises:
            ValueError: a share that is not between 0 and 1.
        """
        require(
            0 < test_share < 1, "test_share", "a share between 0 and 1, such as 0.25", test_share
        )
        draw, held = random.Random(int(seed)), set()
        for label in range(len(self.names)):
            places = [place for place, other in enumerate(self.labels) if other == label]
            held.update(draw.sample(places, _held_out(len(places), test_share)))
        return self._part(place for place in range(len(self)) if place not in held), self._part(
            sorted(held)
        )

    def _part(self, places: Iterable[int]) -> Pictures:
        chosen = list(places)
        images, labels = (
            [self.images[place] for place in chosen],
            [self.labels[place] for place in chosen],
        )
        return Pictures(images, labels, list(self.names), _lone(self.names, self.labels))


def read_pictures(source: str | Path) -> Pictures:
    """Read labelled pictures from a folder with one subfolder per label, or from a zip of such a folder.

    The label is the name of the subfolder, with blanks for underscores and hyphens; pictures in deeper folders have
    the label of the first. A lone folder around the label folders is looked through. Of an animation the first
    picture counts. Transparent pixels turn white, 16-bit grey becomes 8-bit, and what a camera marked as lying on its
    side is put upright. A picture whose shorter side, after shrinking, is under 16 pixels is kept and called
    doubtful; under 4 it is left out. So is a file of more than 100 MB, and one with more pixels than Pillow opens
    without a warning (89 million). Hidden files and those that systems leave behind (``__MACOSX``, ``Thumbs.db``)
    are skipped, and links to folders are not followed.

    Args:
        source: the folder or the zip file; ``~`` is your home.

    Returns:
        The pictures, by label and then by path, in the order of code points: the same on every system.

    Raises:
        ValueError: no such folder or file, a damaged zip or one with a password, or pictures in fewer than two
            label folders; the message then says what was left out.
        OSError: the source itself may not be opened.

    >>> read_pictures("nowhere")
    Traceback (most recent call last):
    ValueError: source: expected the path of a folder or of a zip file, got 'nowhere'
    """
    place = Path(source).expanduser()
    require(place.exists(), "source", "the path of a folder or of a zip file", str(source))
    if place.is_dir():
        return _pictures(in_folder(place))
    with open_zip(place) as archive:
        return _pictures(in_zip(archive))


class _LeftOut(Exception):
    """A file gives no picture; the message says why."""


@dataclass(frozen=True)
class _Read:
    """A picture that was read, with its width and height in the file and the digest of the file's bytes."""

    entry: Entry
    image: Image.Image
    size: tuple[int, int]
    digest: bytes


def _pictures(entries: list[Entry]) -> Pictures:
    entries = visible(entries)
    read, problems = _read_all([entry for entry in entries if entry.open])
    names = sorted({one.entry.label for one in read})
    labels = [names.index(one.entry.label) for one in read]
    problems += [*_small(read), *_copies(read), *_folders(entries, names), *_lone(names, labels)]
    if len(names) < 2:
        expected = "source: expected pictures in at least two folders, one per label"
        raise ValueError(
            "\n".join([f"{expected}, got {', '.join(names) or 'none'}", *_shortened(problems)])
        )
    return Pictures([one.image for one in read], labels, names, problems)


def _read_all(entries: list[Entry]) -> tuple[list[_Read], list[str]]:
    read, problems = [], []
    for entry in entries:
        try:
            read.append(_read(entry))
        except _LeftOut as reason:
            problems.append(f"{entry.path} was left out: {reason}")
    return read, problems


def _read(entry: Entry) -> _Read:
    if not entry.in_a_label_folder:
        raise _LeftOut("it lies in no label folder")
    content = _content(entry)
    image, size = _decoded(content)
    if min(image.size) < TOO_SMALL:
        raise _LeftOut(f"{size[0]}x{size[1]} pixels show too little")
    return _Read(entry, image, size, hashlib.sha256(content).digest())


def _content(entry: Entry) -> bytes:
    try:
        with entry.open() as file:
            content = file.read(LARGEST_FILE + 1)
    except Exception:  # OSError from a folder; a damaged zip also gives BadZipFile, zlib.error, NotImplementedError
        raise _LeftOut("it cannot be opened") from None
    if not content:
        raise _LeftOut("the file is empty")
    if len(content) > LARGEST_FILE:
        raise _LeftOut(f"it has more than {LARGEST_FILE // 2**20} MB")
    return content


def _decoded(content: bytes) -> tuple[Image.Image, tuple[int, int]]:
    """Return a picture in the form that :class:`Pictures` promises, and its width and height in the file."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _normalized(content)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _LeftOut("it has more pixels than are safe to open") from None
    except (
        Exception
    ):  # on a damaged file Pillow raises OSError, SyntaxError, struct.error and others
        raise _LeftOut("damaged, or no picture of a known kind (JPEG and PNG are)") from None


def _normalized(content: bytes) -> tuple[Image.Image, tuple[int, int]]:
    from PIL import Image, ImageOps

    Image.init()
    with Image.open(
        io.BytesIO(content), formats=[name for name in FORMATS if name in Image.OPEN]
    ) as image:
        size = image.size
        image.draft(
            None, (LONGEST, LONGEST)
        )  # a JPEG is decoded at half its size or less where that is enough
        image.load()  # some notes beside the pixels are known only then
        flat = _eight_bits(image)
        flat = flat.convert("RGBA" if flat.has_transparency_data else "RGB")
        flat.thumbnail((LONGEST, LONGEST))
        upright = Image.new("RGB", flat.size, "white")
        upright.paste(flat, mask=flat if flat.mode == "RGBA" else None)
        upright.getexif()[ORIENTATION] = image.getexif().get(ORIENTATION, 1)
    return ImageOps.exif_transpose(upright), size


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit grey as 8-bit, 65535 as 255; any other picture as it is."""
    if image.mode == "F":
        raise ValueError("fractions have no known white")
    if not image.mode.startswith("I"):
        return image
    grey = image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if "transparency" in grey.info:
        grey.info["transparency"] = round(grey.info["transparency"] / 257)
    return grey


def _small(read: list[_Read]) -> Iterator[str]:
    for one in read:
        if min(one.image.size) < DOUBTFUL:
            yield f"{one.entry.path} is doubtful: {one.size[0]}x{one.size[1]} pixels show little"


def _copies(read: list[_Read]) -> Iterator[str]:
    groups = defaultdict(list)
    for one in read:
        groups[one.digest].append(one.entry)
    for same in groups.values():
        if len(same) > 1:
            alike = len({entry.label for entry in same}) == 1
            why = (
                "the same file, which a split may put into both parts"
                if alike
                else "the same file under different labels"
            )
            yield f"{', '.join(_shortened([entry.path for entry in same], COPIES))} are doubtful: {why}"


def _folders(entries: list[Entry], names: list[str]) -> Iterator[str]:
    """Yield what is wrong with whole folders: those without a picture, those of one label, those that are no labels."""
    folders = defaultdict(dict)
    for entry in entries:
        if entry.in_a_label_folder:
            folders[entry.label][entry.parts[0]] = None
    for label, spellings in folders.items():
        if label not in names:
            yield f"{label} was left out: no picture could be read from its folder"
        elif len(spellings) > 1:
            yield f"{', '.join(spellings)} are doubtful: folders of one label, {label}"
    if len(names) > 1 and PARTS.issuperset(name.lower() for name in names):
        yield f"{', '.join(names)} are doubtful: they sound like parts of a data set, not like labels"


def _lone(names: list[str], labels: list[int]) -> list[str]:
    count = Counter(labels)
    reason = "one picture only, which a split keeps for training"
    return [
        f"{name} is doubtful: {reason}" for label, name in enumerate(names) if count[label] == 1
    ]


def _held_out(count: int, share: float) -> int:
    """Return how many of a label's pictures go to the test part: halves up, and at least one on either side."""
    return max(1, min(count - 1, int(count * share + 0.5))) if count > 1 else 0


def _shortened(lines: list[str], most: int = SENTENCES) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
