"""Your own pictures come in whole, upright and labelled; what is wrong with a file is said."""

import io
import os
import random
import socket
import stat
import sys
import zipfile

import numpy as np
import pytest
from doubles import CASES, refused
from PIL import Image, ImageCms, PngImagePlugin

from fmcourse.clip.pictures import Pictures, as_seen, read_pictures

TABLES = CASES["pictures"]
LOSSY = 3  # of 255: what JPEG and WebP may change in a picture of one colour


def noise(seed, width=40, height=30):
    """Return a picture that no other seed gives."""
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))


def plain(mode, colour):
    return Image.new(mode, (20, 20), colour)


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
            archive.writestr(path, content)
    return place


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
LONG = "a castle, " * 200_000
PACKED = PngImagePlugin.PngInfo()
PACKED.add_itxt("parameters", LONG, zip=True)
KINDS = {
    "palette, transparent": (encoded(PALETTE, transparency=3), WHITE),
    "animated GIF": (encoded(PALETTE, "GIF", save_all=True, append_images=[PALETTE]), (10, 20, 30)),
    "alpha": (encoded(FADED), (233, 153, 153)),
    "transparent colour": (encoded(plain("RGB", "red"), transparency=RED), WHITE),
    "profile": (encoded(plain("RGB", "red"), icc_profile=SWAPPED), (0, 255, 0)),
    "profile of colours for grey": (encoded(plain("L", 9), icc_profile=SWAPPED), (9, 9, 9)),
    "long notes": (encoded(plain("L", 9), pnginfo=PACKED), (9, 9, 9)),
    "long profile": (encoded(plain("L", 9), icc_profile=LONG.encode()), (9, 9, 9)),
    "broken notes": (encoded(plain("L", 9), exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), (9, 9, 9)),
}
for mode, colour, file_format, wanted in TABLES["kinds"]:
    KINDS[f"{file_format} {mode}"] = (
        encoded(plain("RGB", colour).convert(mode), file_format),
        wanted,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_becomes_rgb_on_white(pets, kind):
    content, colour = KINDS[kind]
    found = both_ways(pets, content)
    assert np.abs(np.subtract(found.getpixel((0, 0)), colour)).max() <= LOSSY


def test_grey_keeps_its_steps_whatever_its_depth():
    ramp = np.linspace(0, 1, 400).reshape(20, 20)
    for white, kind in ((1, np.float32), (255, np.float32), (65535, np.int32), (65535, ">u2")):
        grey = as_seen(Image.fromarray((white * ramp).astype(kind)))
        assert np.abs(np.asarray(grey)[..., 0] - 255 * ramp).max() <= 1.5
    with pytest.raises(ValueError, match="finite"):
        as_seen(Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)))


# Orientation tag, and the quarter turns to the left that put the stored pixels upright.
@pytest.mark.parametrize("orientation, turns", [(1, 0), (3, 2), (6, -1), (8, 1), (9, 0)])
def test_a_picture_on_its_side_is_put_upright(pets, orientation, turns):
    exif = Image.Exif()
    exif[0x0112] = orientation
    given = noise(5)
    given.getexif()[0x0112] = orientation
    stored = [both_ways(pets, encoded(noise(5), kind, exif=exif)) for kind in ("PNG", "TIFF")]
    for found in (*stored, as_seen(given)):
        assert np.array_equal(found, np.rot90(noise(5), turns))
    assert given.getexif()[0x0112] == orientation and given.tobytes() == noise(5).tobytes()


@pytest.mark.parametrize("size, shrunk, problem", TABLES["sizes"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_small_and_large_pictures(pets, kind, size, shrunk, problem):
    wide = noise(5, 4, 2).resize(size, Image.Resampling.BICUBIC)
    found = read_pictures(
        write(pets, {"cat/c.png": encoded(wide, kind, quality=95, subsampling=0)})
    )
    assert found.problems == ([f"cat/c.png {problem}"] if problem else [])
    if shrunk:
        gap = np.asarray(found.images[2]).astype(int) - np.asarray(wide.resize(shrunk))
        assert found.images[2].size == tuple(shrunk) and np.abs(gap).mean() <= LOSSY


# Folders and zips.


def test_a_folder_on_paper(tmp_path):
    found = read_pictures(write(tmp_path, {"hen/x": 4, "big_dog/2": 2, "big_dog/1": 1, "hen/a": 3}))
    assert (found.names, found.labels, found.problems) == (["big dog", "hen"], [0, 0, 1, 1], [])
    assert all(np.array_equal(image, noise(seed + 1)) for seed, image in enumerate(found.images))
    assert str(found) == repr(found) == "4 pictures of 2 labels: big dog 2, hen 2"
    found = read_pictures(write(tmp_path, {"hen/big dog/c.png": 6, "__/a.png": 7}))
    # Deeper folders have the label of the first, and a label is never empty.
    assert found.names == ["__", "big dog", "hen"] and found.labels == [0, 1, 1, 2, 2, 2]


def test_a_zip_is_read_like_its_folder_without_what_systems_leave_behind(pets, tmp_path):
    folder, left = read_pictures(pets.parent), dict.fromkeys(TABLES["skipped"], 5)
    for prefix in ("", "a/b/pets/", "./pets/", "/pets/", "pets\\"):
        files = {prefix + path: seed for path, seed in PETS.items()}
        assert read_pictures(str(zipped(tmp_path / "pets.zip", files | left))) == folder
    assert read_pictures(write(pets, left)) == folder


BROKEN = {
    "empty": b"",
    "text": b"the cat sat on the mat",
    "cut": encoded(noise(5))[:-700],
    "HEIC": b"\x00\x00\x00\x18ftypheic" + b"\x00" * 100,
    "zip": b"PK\x03\x04" + b"\x00" * 18,
    "picture": encoded(noise(5)),
    "90 million pixels": encoded(Image.new("1", (9_500, 9_500))),
    "100 MB": bytes(100 * 2**20 + 1),
}


@pytest.mark.parametrize("path, kind, reason", TABLES["broken"])
def test_a_file_that_gives_no_picture_is_named(pets, tmp_path, recwarn, capfd, path, kind, reason):
    whole, more = read_pictures(pets), {path: BROKEN[kind]}
    found = read_pictures(zipped(tmp_path / "pets.zip", PETS | more))
    assert found == read_pictures(write(pets, more))
    problem = found.problems.pop()
    assert problem.startswith(f"{path} was left out: ") and reason in problem
    assert found == whole and list(recwarn) == [] and capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_links_pipes_sockets_and_closed_folders(pets, tmp_path, monkeypatch):
    kept, iterdir = write(tmp_path / "kept", {"bird.png": 5, "bird/a.png": 6}), type(pets).iterdir

    def guarded(folder):
        if folder.name == "private":
            raise PermissionError(13, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(type(pets), "iterdir", guarded)
    monkeypatch.chdir(write(pets, {"cat/private/c.png": 5}))
    os.mkfifo("cat/pipe")
    links = {"cat/c": kept / "bird.png", "cat/null": "/dev/null", "dog/gone": "nowhere"}
    links |= {"dog/self": "self", "dog/circle": pets, "bird": kept / "bird"}
    for link, target in links.items():
        os.symlink(target, link)
    with socket.socket(socket.AF_UNIX) as held:
        held.bind("dog/socket")
        found = read_pictures(pets)
    assert found.names == ["cat", "dog"] and len(found) == 5  # a link to a file is followed
    told = dict(problem.split(" was left out: ") for problem in found.problems)
    assert told.keys() == TABLES["unread"].keys()
    assert all(reason in told[path] for path, reason in TABLES["unread"].items())


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


@pytest.mark.parametrize("page, labels", TABLES["pages"])
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
    assert found.problems[1:] == TABLES["doubts"]
    parts = write(pets.parent / "parts", {"train/a": 1, "train/b": 2, "Test/a": 3, "Test/b": 4})
    assert "parts of a data set" in read_pictures(parts).problems[0]


# What cannot be used at all.


def locked(content):
    """Set the flag of an encrypted member in the directory's first entry."""
    at = content.index(b"PK\x01\x02") + 8
    return content[:at] + bytes([content[at] | 1]) + content[at + 1 :]


def test_a_source_that_cannot_be_used(tmp_path):
    place = zipped(tmp_path / "pets.zip", PETS)
    content = place.read_bytes()
    for harmed in (content[:-30], b"", b"Rar!" + content[4:-22], locked(content)):
        place.write_bytes(harmed)
        words = "password" if harmed == locked(content) else "whole"
        with refused("source", words):
            read_pictures(place)
    for source in ("nowhere", "", None, 7, "/dev/null", "~/nowhere"):
        with refused("source", "the path"):
            read_pictures(source)


def test_fewer_than_two_labels(tmp_path):
    cat = {"cat/a.png": 1, "dog/a.heic": b"?"} | {f"{number}.png": 1 for number in range(11)}
    for files, words in (({".hidden": b""}, "got none"), (cat, "got cat\n0.png was")):
        for source in (zipped(tmp_path / "few.zip", files), write(tmp_path / "few", files)):
            with pytest.raises(ValueError, match=f"two folders, one per label, {words}"):
                read_pictures(source)


# Splits.


def numbered(*counts):
    """Return pictures in which each image is its number, so that a test can say which is where."""
    labels = np.repeat(range(len(counts)), counts).tolist()
    return Pictures(
        list(range(len(labels))), labels, list("abcd"[: len(counts)]), ["an old problem"]
    )


def test_a_split_on_paper():
    # 1 of 4; 2.5 of 10, rounded up; 0.5 of 2, rounded up; 1 stays.
    train, test = numbered(4, 10, 2, 1).split(0.25)
    lone = "d is doubtful: one picture only, which a split keeps for training"
    assert str(train) == f"12 pictures of 4 labels: a 3, b 7, c 1, d 1\n{lone}"
    assert str(test) == f"5 pictures of 4 labels: a 1, b 3, c 1, d 0\n{lone}"
    assert len(test.split(0.5)[1]) == 2  # of 3


def test_the_parts_share_out_the_whole():
    whole, before = numbered(30, 80, 50), random.getstate()
    parts = whole.split(0.05, seed=np.int64(7))
    assert parts == whole.split(0.05, seed=7) != whole.split(0.05, seed=8)
    assert sorted(parts[0].images + parts[1].images) == whole.images
    for part in parts:
        assert part.labels == [whole.labels[image] for image in sorted(part.images)]
    assert random.getstate() == before
    for share in (0, 1, 25, "0.5", np.nan):
        with refused("test_share"):
            whole.split(share)
    with refused("seed"):
        whole.split(seed=1.5)
