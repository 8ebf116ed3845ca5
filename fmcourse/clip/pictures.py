"""Your own pictures, from a folder or zip with one subfolder per label, as a viewer shows them.

Used by notebook 03. Whatever is left out or doubtful has a sentence of its own. Pillow opens the
files.
"""

import hashlib
import io
import random
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from fmcourse.arguments import real, require, whole
from fmcourse.clip.folders import Entry, LeftOut, in_folder, in_zip, open_zip, visible
from fmcourse.files import user_path

# Those that start no other program; HEIF where the package pillow-heif has added it.
FORMATS = "JPEG PNG GIF WEBP BMP TIFF AVIF PPM JPEG2000 HEIF".split()
LONGEST = 512  # pixels on the longer side; CLIP itself looks at 224 or 336
DOUBTFUL = 16  # pixels on the shorter side: with fewer a picture is doubtful,
TOO_SMALL = 4  # and with fewer than these it is left out
LARGEST_FILE = 100 * 2**20  # bytes
SENTENCES, COPIES = 10, 3  # problems, and copies of one file, that are listed; the rest are counted
# Of a data set: no labels, as a rule.
PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}
ORIENTATION = 0x0112  # the EXIF tag
# Pillow refuses a whole PNG for a long text or profile. A file's size is limited here already.
PngImagePlugin.MAX_TEXT_CHUNK = LARGEST_FILE


@dataclass(frozen=True, repr=False)
class Pictures:
    """Labelled pictures; printed, they say how many there are and what is doubtful.

    Attributes:
        images: PIL pictures, RGB on white, upright, at most 512 pixels on the longer side (0.8 MB
            of memory each).
        labels: for each picture, the index of its label in `names`.
        names: the labels, in the order of their code points.
        problems: one sentence for each file or label that was left out or is doubtful.

    >>> from PIL import Image
    >>> images = [Image.new("RGB", (32, 32))] * 3
    >>> Pictures(images, [0, 1, 1], ["cat", "dog"], ["cat is doubtful: one picture"])
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
        shares = [f"{name} {self.labels.count(at)}" for at, name in enumerate(self.names)]
        plural = "" if len(self) == 1 else "s"
        head = f"{len(self)} picture{plural} of {len(shares)} labels: {', '.join(shares)}"
        return "\n".join([head, *_shortened(self.problems)])

    __repr__ = __str__

    def split(self, test_share: float = 0.25, seed: int = 0) -> tuple["Pictures", "Pictures"]:
        """Return a training part and a test part, sampled within each label, in the same order.

        Args:
            test_share: share of each label's pictures in the test part, between 0 and 1, rounded to
                whole pictures such that a label with two pictures or more has at least one in
                either part.
            seed: of the sample; the same seed gives the same parts.

        Returns:
            The two parts. A label with one picture keeps it in the training part; the problems of
            both parts name it, and repeat nothing else.

        Raises:
            ValueError: a share that is not between 0 and 1, or a seed that is no whole number.
        """
        fits = real(test_share) and 0 < test_share < 1
        require(fits, "test_share", "a share between 0 and 1, such as 0.25", test_share)
        sampler, held = random.Random(whole("seed", seed)), set()
        for label in range(len(self.names)):
            own = [index for index, other in enumerate(self.labels) if other == label]
            # Halves are rounded up.
            tested = max(1, int(len(own) * test_share + 0.5))
            held.update(sampler.sample(own, max(0, min(tested, len(own) - 1))))
        kept = [index for index in range(len(self)) if index not in held]
        return self._part(kept), self._part(sorted(held))

    def _part(self, chosen: list[int]) -> "Pictures":
        images = [self.images[index] for index in chosen]
        labels = [self.labels[index] for index in chosen]
        return Pictures(images, labels, list(self.names), _lone(self.names, self.labels))


def read_pictures(source: str | Path) -> Pictures:
    """Read labelled pictures from a folder with one subfolder per label, or from a zip of it.

    The label is the name of the subfolder, with blanks for underscores and hyphens; folders that
    differ in case only have one label, since models read them alike. Pictures in deeper folders
    have the label of the first. A lone folder around the label folders is looked through. Each
    picture is what :func:`as_seen` shows, of an animation the first. A picture whose shorter side,
    after shrinking, is under 16 pixels is kept and called doubtful; under 4 it is left out. So is a
    file of more than 100 MB, and one with more pixels than Pillow opens without a warning (89
    million). Hidden files and those that systems leave behind (``__MACOSX``, ``$RECYCLE.BIN``) are
    skipped. Links to folders are not followed.

    Args:
        source: the folder or the zip file; ``~`` is your home.

    Returns:
        The pictures, by label and then by path, in the order of code points: the same on every
            system.

    Raises:
        ValueError: no such folder or file, a damaged zip or one with a password, or pictures in
            fewer than two label folders; the message then says what was left out.
        OSError: the source itself may not be opened.

    >>> read_pictures("nowhere")
    Traceback (most recent call last):
    ValueError: source: expected the path of a folder or of a zip file, got 'nowhere'
    """
    given = isinstance(source, (str, Path)) and source != ""
    path = user_path(source) if given else Path()
    fits = given and (path.is_dir() or path.is_file())
    require(fits, "source", "the path of a folder or of a zip file", source)
    if path.is_dir():
        return _pictures(in_folder(path), [])
    with open_zip(path) as archive:
        return _pictures(*in_zip(archive))


def as_seen(image: Image.Image) -> Image.Image:
    """Return a picture as a viewer shows it: upright, on white, RGB in the colours of sRGB.

    Grey of more than 8 bits becomes 8-bit: white is 65535 in mode I;16. In modes I and F, which do
    not tell, it is the first of 1, 255 and 65535 that no pixel exceeds, and else the brightest
    pixel.

    Args:
        image: a PIL image of any mode, which stays as it is; of an animation the frame that it
            stands at.

    Raises:
        Exception: the image's file is damaged; Pillow raises OSError, SyntaxError, struct.error and
            others.
    """
    image.load()  # some notes beside the pixels are known only then
    profile, orientation = image.info.get("icc_profile"), _orientation(image)
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("L", "CMYK"):
        image = image.convert("RGB")
    if profile:
        image = _in_srgb(image, profile)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    upright = image.convert("RGB")
    upright.info = {}
    upright.getexif()[ORIENTATION] = orientation
    return ImageOps.exif_transpose(upright)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:
        # Notes that cannot be read say nothing against the pixels.
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return grey of 16 or 32 bits, or of fractions, as 8-bit grey."""
    values = np.asarray(image).astype(np.float64)
    require(np.isfinite(values).all(), "image", "finite pixels", "NaN or infinity")
    top = values.max()
    # Modes I and F do not tell: it may be a share, or a value of 8 or 16 bits.
    whites = [65535] if image.mode.startswith("I;") else [1, 255, 65535]
    white = next((white for white in whites if top <= white), top)
    return Image.fromarray((values * (255 / white)).round().clip(0, 255).astype(np.uint8))


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return a picture in the colours of sRGB; a profile that does not fit is ignored."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, own, srgb, outputMode=mode) or image
    except (ImageCms.PyCMSError, ImportError, OSError):
        return image


def _pictures(entries: list[Entry], problems: list[str]) -> Pictures:
    entries = visible(entries)
    images, shown = [], []
    copies = defaultdict(list)
    for entry in entries:
        if not entry.open:
            continue
        try:
            content = _content(entry)
            image, size = _decoded(content)
        except LeftOut as reason:
            problems.append(f"{entry.path} was left out: {reason}")
            continue
        if min(image.size) < DOUBTFUL:
            problems.append(f"{entry.path} is doubtful: {size} pixels show little")
        images.append(image)
        shown.append(entry.label)
        copies[hashlib.sha256(content).digest()].append(entry)
    names = sorted(set(shown))
    labels = [names.index(label) for label in shown]
    problems += [*_copies(copies), *_folders(entries, names), *_lone(names, labels)]
    if len(names) < 2:
        expected = "source: expected pictures in at least two folders, one per label"
        found = f"{expected}, got {', '.join(names) or 'none'}"
        raise ValueError("\n".join([found, *_shortened(problems)]))
    return Pictures(images, labels, names, problems)


def _content(entry: Entry) -> bytes:
    """Return the bytes of a file that may be a picture; a folder is not asked for any."""
    try:
        with entry.open() as file:  # type: ignore[misc]
            content = file.read(LARGEST_FILE + 1)
    except LeftOut:
        raise
    except Exception as error:
        # OSError from a folder; a damaged zip also gives BadZipFile, zlib.error and others.
        raise LeftOut(f"it cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if not entry.in_a_label_folder:
        raise LeftOut("it lies in no label folder")
    if not content:
        raise LeftOut("the file is empty")
    if len(content) > LARGEST_FILE:
        raise LeftOut(f"it has more than {LARGEST_FILE // 2**20} MB")
    return content


def _decoded(content: bytes) -> tuple[Image.Image, str]:
    """Return a picture as :class:`Pictures` promises it, and its width and height in the file."""
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=formats) as image:
                size = "{}x{}".format(*image.size)
                # A JPEG is decoded at half its size or less where that is enough.
                image.draft(None, (LONGEST, LONGEST))
                seen = as_seen(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise LeftOut("it has more pixels than are safe to open") from None
    except UnidentifiedImageError:
        raise LeftOut(_unknown(content)) from None
    except Exception as error:
        # On a damaged file Pillow raises OSError, SyntaxError, struct.error and others.
        raise LeftOut(f"it cannot be read whole: {error}") from None
    seen.thumbnail((LONGEST, LONGEST))
    if min(seen.size) < TOO_SMALL:
        raise LeftOut(f"{size} pixels show too little")
    return seen, size


def _unknown(content: bytes) -> str:
    if content.startswith(b"PK\x03\x04"):
        return "it is a zip; unpack it first"
    if content[4:8] == b"ftyp":
        return "it is a HEIC picture or a video; save it as JPEG"
    return "no picture of a known kind (JPEG and PNG are), or damaged from its first bytes on"


def _copies(groups: dict[bytes, list[Entry]]) -> Iterator[str]:
    """Yield which files have the same content."""
    for same in groups.values():
        if len(same) > 1:
            # They come label by label.
            alike = same[0].label == same[-1].label
            why = ", which a split may put into both parts" if alike else " under different labels"
            paths = ", ".join(_shortened([entry.path for entry in same], COPIES))
            yield f"{paths} are doubtful: the same file{why}"


def _folders(entries: list[Entry], names: list[str]) -> Iterator[str]:
    """Yield what is wrong with whole folders: no picture, several for one label, no label."""
    folders = defaultdict(set)
    for entry in entries:
        if entry.in_a_label_folder:
            folders[entry.label].add(entry.parts[0])
    for label, spellings in folders.items():
        if label not in names:
            yield f"{label} was left out: no picture could be read from its folder"
        elif len(spellings) > 1:
            yield f"{', '.join(sorted(spellings))} are doubtful: folders of one label, {label}"
    if len(names) > 1 and PARTS.issuperset(name.lower() for name in names):
        yield f"{', '.join(names)} are doubtful: they sound like parts of a data set, not labels"


def _lone(names: list[str], labels: list[int]) -> list[str]:
    reason = "one picture only, which a split keeps for training"
    lone = [name for label, name in enumerate(names) if labels.count(label) == 1]
    return [f"{name} is doubtful: {reason}" for name in lone]


def _shortened(lines: list[str], most: int = SENTENCES) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]
