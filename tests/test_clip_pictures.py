"""Your own pictures come in whole, upright and labelled; what is wrong with a file is said."""

from __future__ import annotations

import io
import os
import random
import socket
import stat
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageCms, PngImagePlugin

from fmcourse.clip.pictures import Pictures, as_seen, read_pictures

LOSSY = 3  # of 255: what JPEG and WebP may change in a picture of one colour


def noise(seed, width=40, height=30):
    """Return a picture that no other seed gives."""
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))


def plain(mode, colour, **info):
    """Return a picture of one colour, with what Pillow keeps beside the pixels."""
    image = Image.new(mode, (20, 20), colour)
    image.info.update(info)
    return image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def contents(files):
    """Return path and bytes of files given as path: bytes, or path: seed of a noise picture."""
    for path, content in files.items():
        yield path, encoded(noise(content)) if isinstance(content, int) else content


def write(folder, files):
    """Write files; None as a content makes a folder."""
    for path, content in contents(files):
        place = folder / path
        (place if content is None else place.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            place.write_bytes(content)
    return folder


def zipped(place, files):
    with zipfile.ZipFile(place, "w") as archive:
        for path, content in contents(files):
            archive.writestr(path, content or b"")
    return place


def same(ours, theirs):
    told = [(each.labels, each.names, each.problems) for each in (ours, theirs)]
    return told[0] == told[1] and all(map(np.array_equal, ours.images, theirs.images))


PETS = {"cat/a.png": 1, "cat/b.png": 2, "dog/a.png": 3, "dog/b.png": 4}


@pytest.fixture
def pets(tmp_path):
    """Two labels with two pictures each, with which nothing is wrong."""
    return write(tmp_path / "pets", PETS)


def both_ways(pets, content):
    """Return a picture of a folder, after checking that a list of PIL pictures gives the same."""
    found = read_pictures(write(pets, {"cat/c": content}))
    assert found.problems == []
    assert np.array_equal(found.images[2], as_seen(Image.open(io.BytesIO(content))))
    return found.images[2]


# Pictures, whichever way they come in.

FADED = plain("RGBA", (0, 0, 0, 0))
FADED.putpixel((0, 0), (200, 0, 0, 102))  # two fifths of red 200, three fifths of white
PALETTE = plain("P", 3)
PALETTE.putpalette([0, 0, 0] * 3 + [10, 20, 30])
SWAPPED = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# A profile whose red is sRGB's green, and the other way round.
SWAPPED = SWAPPED.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


RED, WHITE = (255, 0, 0), (255, 255, 255)
KINDS = {
    "black and white": (encoded(plain("1", 1)), WHITE),
    # A little more than half of 257.
    "16 bits": (encoded(plain("I;16", 129)), (1, 1, 1)),
    "palette, transparent": (encoded(PALETTE, transparency=3), WHITE),
    "animated GIF": (encoded(PALETTE, "GIF", save_all=True, append_images=[PALETTE]), (10, 20, 30)),
    "CMYK": (encoded(plain("CMYK", (0, 255, 255, 0)), "TIFF"), RED),
    "alpha": (encoded(FADED), (233, 153, 153)),
    "transparent colour": (encoded(plain("RGB", "red"), transparency=RED), WHITE),
    "transparent 16 bits": (encoded(plain("I;16", 1000), transparency=1000), WHITE),
    "profile": (encoded(plain("RGB", "red"), icc_profile=SWAPPED), (0, 255, 0)),
    "profile of colours for grey": (encoded(plain("L", 9), icc_profile=SWAPPED), (9, 9, 9)),
    "JPEG, CMYK": (encoded(plain("RGB", "red").convert("CMYK"), "JPEG"), RED),
    "WEBP": (encoded(plain("RGB", "red"), "WEBP"), RED),
    "MPO": (encoded(plain("RGB", "red"), "MPO"), RED),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_becomes_rgb_on_white(pets, kind):
    content, colour = KINDS[kind]
    found = both_ways(pets, content)
    lossy = LOSSY if kind.startswith(("JPEG", "WEBP", "MPO")) else 0
    assert np.abs(np.subtract(found.getpixel((0, 0)), colour)).max() <= lossy


def test_grey_keeps_its_steps_whatever_its_depth():
    ramp = np.linspace(0, 1, 400).reshape(20, 20)
    for white, kind in ((1, np.float32), (255, np.float32), (65535, np.int32), (65535, ">u2")):
        grey = as_seen(Image.fromarray((white * ramp).astype(kind)))
        assert np.abs(np.asarray(grey)[..., 0] - 255 * ramp).max() <= 1.5
    # No file has this mode.
    clear = plain("RGBA", (9, 9, 9, 0)).convert("LA").convert("La")
    assert as_seen(clear).getpixel((0, 0)) == WHITE
    with pytest.raises(ValueError, match="finite"):
        as_seen(Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)))


# Orientation tag: what turns the stored pixels upright, by the EXIF standard 2.3, section 4.6.4.
UPRIGHT = {
    1: np.asarray,
    2: lambda rows: rows[:, ::-1],
    3: lambda rows: rows[::-1, ::-1],
    4: lambda rows: rows[::-1],
    5: lambda rows: rows.swapaxes(0, 1),
    6: lambda rows: np.rot90(rows, -1),
    7: lambda rows: rows[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
    9: np.asarray,  # no orientation
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_picture_on_its_side_is_put_upright(pets, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    given = noise(5)
    given.getexif()[0x0112] = orientation
    for found in (both_ways(pets, encoded(noise(5), kind, exif=exif)), as_seen(given)):
        assert np.array_equal(found, UPRIGHT[orientation](np.asarray(noise(5))))
    assert given.getexif()[0x0112] == orientation and given.tobytes() == noise(5).tobytes()


def test_notes_that_cannot_be_read_say_nothing_against_a_picture(pets, recwarn, capfd):
    broken = encoded(noise(5), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    rubbish = noise(6)
    rubbish.info["exif"] = b"rubbish"
    assert np.array_equal(read_pictures(write(pets, {"cat/c.png": broken})).images[2], noise(5))
    assert np.array_equal(as_seen(rubbish), noise(6))
    assert list(recwarn) == [] and capfd.readouterr() == ("", "")


def test_long_notes_do_not_cost_a_picture(pets):
    words = "a castle, " * 200_000
    long, packed = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
    long.add_text("parameters", words)
    packed.add_itxt("parameters", words, zip=True)
    for notes in ({"pnginfo": long}, {"pnginfo": packed}, {"icc_profile": words.encode()}):
        found = read_pictures(write(pets, {"cat/c.png": encoded(noise(5), **notes)}))
        assert found.problems == [] and np.array_equal(found.images[2], noise(5))


@pytest.mark.parametrize(
    "size, problem",
    [
        ((16, 16), None),
        ((15, 40), "is doubtful: 15x40 pixels show little"),
        ((40, 3), "was left out: 40x3 pixels show too little"),
        ((2048, 40), "is doubtful: 2048x40 pixels show little"),  # 512x10 when shrunk
        ((5120, 20), "was left out: 5120x20 pixels show too little"),  # 512x2
    ],
)
def test_the_smallest_pictures(pets, size, problem):
    found = read_pictures(write(pets, {"cat/c.png": encoded(noise(5, *size))}))
    assert found.problems == ([f"cat/c.png {problem}"] if problem else [])
    assert len(found) == (4 if problem and "left out" in problem else 5)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_largest_pictures(pets, kind):
    for size, shrunk in [((514, 257), (512, 256)), ((1024, 2048), (256, 512))]:
        wide = noise(5, 40, 20).resize(size, Image.Resampling.BICUBIC)
        found = read_pictures(write(pets, {"cat/c": encoded(wide, kind, quality=95)})).images[2]
        gap = np.asarray(found).astype(int) - np.asarray(wide.resize(shrunk, Image.Resampling.BOX))
        assert found.size == shrunk and np.abs(gap).mean() <= LOSSY


# Folders and zips.


def test_a_folder_on_paper(tmp_path):
    colours = {"hen/x": "red", "big_dog/2": "lime", "big_dog/1": "blue", "hen/a": "black"}
    files = {path: encoded(plain("RGB", colour)) for path, colour in colours.items()}
    found = read_pictures(write(tmp_path, files))
    assert (found.names, found.labels, found.problems) == (["big dog", "hen"], [0, 0, 1, 1], [])
    wanted = [(0, 0, 255), (0, 255, 0), (0, 0, 0), (255, 0, 0)]
    assert [image.getpixel((0, 0)) for image in found.images] == wanted
    assert str(found) == repr(found) == "4 pictures of 2 labels: big dog 2, hen 2"
    found = read_pictures(write(tmp_path, {"hen/big dog/c.png": 6, "__/a.png": 7}))
    # Deeper folders have the label of the first, and a label is never empty.
    assert found.names == ["__", "big dog", "hen"] and found.labels == [0, 1, 1, 2, 2, 2]


def test_a_zip_is_read_like_its_folder(pets, tmp_path):
    folder = read_pictures(pets.parent)
    assert same(folder, read_pictures(pets))
    for prefix in ("", "a/b/pets/", "./pets/", "/pets/", "pets\\"):
        files = {prefix + path: seed for path, seed in PETS.items()}
        assert same(read_pictures(str(zipped(tmp_path / "pets.zip", files))), folder)


SKIPPED = [
    ".DS_Store",
    "cat/._a.png",
    "cat/.thumbnails/a.png",
    "cat/thumbs.db",
    "cat/desktop.ini",
    "__MACOSX/cat/._a.png",
    "$RECYCLE.BIN/S-1-5/a.png",
    ".Trash-1000/files/a.png",
    "cat/@eaDir/a.png/SYNOPHOTO_THUMB_M.png",
    "System Volume Information/a.png",
    "lost+found/a.png",
]


def test_what_systems_leave_behind_is_skipped(pets, tmp_path):
    plain_pets = read_pictures(pets)
    more = dict.fromkeys(SKIPPED, 5)
    files = {f"pets/{path}": seed for path, seed in PETS.items()}
    assert same(read_pictures(zipped(tmp_path / "pets.zip", {**files, **more})), plain_pets)
    assert same(read_pictures(write(pets, more)), plain_pets)


UNKNOWN = "known kind"


@pytest.mark.parametrize(
    "path, content, reason",
    [
        ("cat/c.png", b"", "the file is empty"),
        ("cat/notes.txt", b"the cat sat on the mat", UNKNOWN),
        ("cat/c.png", encoded(noise(5))[:-700], "cannot be read whole"),
        ("cat/c.heic", b"\x00\x00\x00\x18ftypheic" + b"\x00" * 100, "HEIC"),
        ("cat/c.zip", b"PK\x03\x04" + b"\x00" * 18, "unpack it"),
        ("c.png", encoded(noise(5)), "no label folder"),
        ("cat/c.png", encoded(Image.new("1", (9_500, 9_500))), "more pixels"),  # 90 million
        ("cat/c.png", bytes(100 * 2**20 + 1), "more than 100 MB"),
    ],
)
def test_a_file_that_gives_no_picture_is_named(
    pets, tmp_path, monkeypatch, recwarn, capfd, path, content, reason
):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", None)  # no other program is started
    whole = read_pictures(pets)
    found = read_pictures(zipped(tmp_path / "pets.zip", {**PETS, path: content}))
    assert same(found, read_pictures(write(pets, {path: content})))
    problem = found.problems.pop()
    assert problem.startswith(f"{path} was left out: ") and reason in problem
    assert same(found, whole) and list(recwarn) == [] and capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_links_pipes_sockets_and_closed_folders(pets, tmp_path, monkeypatch):
    kept, iterdir = write(tmp_path / "kept", {"bird.png": 5, "bird/a.png": 6}), Path.iterdir

    def guarded(folder):
        if folder.name == "private":
            raise PermissionError(13, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", guarded)
    monkeypatch.chdir(write(pets, {"cat/private/c.png": 5}))
    os.mkfifo("cat/pipe")
    links = {"cat/c": kept / "bird.png", "cat/null": "/dev/null", "dog/gone": "nowhere"}
    links |= {"dog/self": "self", "dog/circle": pets, "bird": kept / "bird"}
    for link, target in links.items():
        Path(link).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as held:
        held.bind("dog/socket")
        found = read_pictures(pets)
    assert found.names == ["cat", "dog"] and len(found) == 5  # a link to a file is followed
    told = dict(problem.split(" was left out: ") for problem in found.problems)
    reasons = {
        "bird": "links to folders",
        "cat/null": "a pipe, a socket or a device",
        "cat/pipe": "a pipe, a socket or a device",
        "cat/private": "Permission denied",
        "dog/circle": "links to folders",
        "dog/gone": "No such file",
        "dog/self": "symbolic links",
        "dog/socket": "a pipe, a socket or a device",
    }
    assert told.keys() == reasons.keys()
    assert all(reason in told[path] for path, reason in reasons.items())


def test_what_only_a_zip_can_hold(tmp_path):
    link = zipfile.ZipInfo("dog/c.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    outside = dict.fromkeys(["../c.png", "cat/../../c.png", "..\\cat\\c.png"], 5)
    place = zipped(tmp_path / "pets.zip", PETS | outside)
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr(link, "a.png")
    content, stored = place.read_bytes(), encoded(noise(2))
    place.write_bytes(content.replace(stored[-40:], bytes(40)))
    found = read_pictures(place)
    reasons = ["out of the zip"] * 3 + ["CRC", "it is a link", "one picture only"]
    told = [reason for problem in found.problems for reason in set(reasons) if reason in problem]
    assert sorted(told) == sorted(reasons) and len(found.problems) == len(reasons)
    assert len(found) == 3 and [place.name for place in tmp_path.rglob("*")] == ["pets.zip"]


class OldName(zipfile.ZipInfo):
    """A member whose name is written in an old encoding, without the flag for UTF-8."""

    def _encodeFilenameFlags(self):
        return self.filename.encode(self.comment.decode()), 0


@pytest.mark.parametrize(
    "page, labels",
    [
        ("utf-8", ["café", "猫", "кот"]),
        ("cp932", ["表示", "表情", "犬"]),  # the second byte of the first is a backslash
        ("gb2312", ["猫", "狗", "鹦鹉"]),
        ("cp437", ["cafés", "Höhe", "Käfer"]),
        ("cp1251", ["Кошка", "собака", "птица"]),
        ("big5", ["貓", "狗", "鳥"]),
    ],
)
def test_names_of_old_zips(tmp_path, page, labels):
    place = tmp_path / "old.zip"
    with zipfile.ZipFile(place, "w") as archive:
        for seed, label in enumerate(labels + labels):
            member = OldName(f"{label}/{seed}.png")
            member.comment = page.encode()
            archive.writestr(member, encoded(noise(seed)))
    found = read_pictures(place)
    assert found.names == sorted(labels) and found.labels == [0, 0, 1, 1, 2, 2]
    doubts = [problem for problem in found.problems if page in problem]
    assert doubts == found.problems and len(doubts) == (page != "utf-8")


def test_names_in_any_script(tmp_path):
    names = ["кошка", "cafe\u0301", "犬", "קיפוד", "🐔"]
    files = {f"{name}/a.png": seed for seed, name in enumerate(names)} | {"犬/空.png": b""}
    on_disk = read_pictures(write(tmp_path / "names", files))
    # An accent becomes part of its letter.
    assert on_disk.names == ["caf\u00e9", "кошка", "קיפוד", "犬", "🐔"]
    assert on_disk.problems[0] == "犬/空.png was left out: the file is empty"
    assert same(on_disk, read_pictures(zipped(tmp_path / "names.zip", files)))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such name")
def test_a_name_that_is_no_text_can_be_printed(pets):
    os.mkdir(os.fsencode(pets) + b"/hen\xff")
    assert "hen\ufffd was left out: " in str(read_pictures(pets))


def test_folders_that_a_model_reads_alike_are_one_label(tmp_path):
    # An accent becomes part of its letter, so that the last two are one folder.
    folders = ["Hen", "hen", "STRASSE", "Straße", "snow-owl", "snow_owl", "caf\u00e9", "cafe\u0301"]
    files = {f"{name}/{seed}.png": seed for seed, name in enumerate(folders)}
    found = read_pictures(zipped(tmp_path / "alike.zip", files))
    assert found.names == ["Hen", "STRASSE", "caf\u00e9", "snow owl"]
    assert sorted(found.labels) == [0, 0, 1, 1, 2, 2, 3, 3]
    doubts = [problem.rpartition(", ")[2] for problem in found.problems]
    assert doubts == ["Hen", "STRASSE", "snow owl"]


def test_what_is_doubtful_is_said(pets):
    more = {"dog/c.png": 1, "hen/": None, "sheep/notes.txt": b"woolly", "snow_owl/deeper/": None}
    found = read_pictures(write(pets, more | {f"ox/{copy}.png": 9 for copy in range(5)}))
    no_picture = "was left out: no picture could be read from its folder"
    assert found.problems[1:] == [
        "cat/a.png, dog/c.png are doubtful: the same file under different labels",
        "ox/0.png, ox/1.png, ox/2.png, and 2 more are doubtful: the same file, which a split may "
        "put into both parts",
        f"hen {no_picture}",
        f"sheep {no_picture}",
        f"snow owl {no_picture}",
    ]
    parts = write(pets.parent / "parts", {"train/a": 1, "train/b": 2, "Test/a": 3, "Test/b": 4})
    assert "parts of a data set" in read_pictures(parts).problems[0]
    found = read_pictures(write(pets, {"read me.txt": b"my pets"}))
    assert "read me.txt was left out: it lies in no label folder" in found.problems


# What cannot be used at all.


def test_a_source_that_is_no_folder_and_no_file():
    for source in ("nowhere", "", None, 7, "/dev/null", "~/nowhere"):
        with pytest.raises(ValueError, match=r"^source: expected the path"):
            read_pictures(source)


def locked(content):
    """Set the flag of an encrypted member in the directory's first entry."""
    at = content.index(b"PK\x01\x02") + 8
    return content[:at] + bytes([content[at] | 1]) + content[at + 1 :]


def test_a_source_that_is_no_usable_zip(tmp_path):
    place = zipped(tmp_path / "pets.zip", PETS)
    content = place.read_bytes()
    for harmed in (content[:-30], b"", b"Rar!" + content[4:-22], locked(content)):
        place.write_bytes(harmed)
        words = "password" if harmed == locked(content) else "whole"
        with pytest.raises(ValueError, match=f"^source: expected .*{words}"):
            read_pictures(place)


@pytest.mark.parametrize(
    "files, words",
    [
        ({".hidden": b""}, "got none"),
        ({"cat/a.png": 1, "cat/b.png": 2, "dog/a.heic": b"?", "hen/": None}, "got cat\ndog/a.heic"),
        ({f"{number}.png": 1 for number in range(11)}, "and 1 more"),
    ],
)
def test_fewer_than_two_labels(tmp_path, files, words):
    for source in (zipped(tmp_path / "few.zip", files), write(tmp_path / "few", files)):
        with pytest.raises(ValueError, match="two folders, one per label") as error:
            read_pictures(source)
        assert words in str(error.value)


# Splits.


def numbered(*counts):
    """Return pictures in which each image is its number, so that a test can say which is where."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    names = [f"label {name}" for name in range(len(counts))]
    return Pictures(list(range(len(labels))), labels, names, ["an old problem"])


def test_a_split_on_paper():
    # 1 of 4; 2.5 of 10, rounded up; 0.5 of 2, rounded up; 1 stays.
    train, test = numbered(4, 10, 2, 1).split(0.25)
    lone = "label 3 is doubtful: one picture only, which a split keeps for training"
    head = "12 pictures of 4 labels: label 0 3, label 1 7, label 2 1, label 3 1"
    assert str(train) == f"{head}\n{lone}"
    head = "5 pictures of 4 labels: label 0 1, label 1 3, label 2 1, label 3 0"
    assert str(test) == f"{head}\n{lone}"


def test_the_parts_share_out_the_whole():
    whole, before = numbered(30, 80, 50), random.getstate()
    parts = whole.split(0.05, seed=np.int64(7))
    assert parts == whole.split(0.05, seed=7) != whole.split(0.05, seed=8)
    assert sorted(parts[0].images + parts[1].images) == whole.images
    for part in parts:
        assert part.labels == [whole.labels[image] for image in sorted(part.images)]
    assert random.getstate() == before


def test_settings_of_a_split_that_make_no_sense():
    shares = [{"test_share": share} for share in (0, 1, 25, "0.5", np.nan)]
    for settings in (*shares, {"seed": 1.5}):
        with pytest.raises(ValueError, match=f"^{next(iter(settings))}: expected"):
            numbered(4, 4).split(**settings)
