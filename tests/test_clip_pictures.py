"""Your own pictures come in whole, upright and labelled; whatever is wrong with a file is said, and stops nothing."""

from __future__ import annotations

import io
import os
import random
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from doubles import says
from PIL import EpsImagePlugin, Image

from fmcourse.clip.pictures import Pictures, read_pictures

LOSSY = 3  # of 255: what JPEG and WebP may change in a picture of one colour
UNREADABLE = "damaged, or no picture of a known kind (JPEG and PNG are)"


def noise(seed, width=40, height=30):
    """Return a picture that no other seed gives."""
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def plain(mode, colour, **info):
    """Return a picture of one colour, with what Pillow keeps beside the pixels."""
    image = Image.new(mode, (20, 20), colour)
    image.info.update(info)
    return image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write(folder, files):
    """Write files given as path: bytes, or path: seed of a noise picture, or path ending in a slash: None."""
    for path, content in files.items():
        place = folder / path
        (place if content is None else place.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            place.write_bytes(encoded(noise(content)) if isinstance(content, int) else content)
    return folder


def zipped(place, files):
    """Write a zip of the same kind of description, folders in it as entries of their own."""
    with zipfile.ZipFile(place, "w") as archive:
        for path, content in files.items():
            archive.writestr(
                path, encoded(noise(content)) if isinstance(content, int) else content or b""
            )
    return place


def pixels(pictures):
    return [np.asarray(image).tolist() for image in pictures.images]


def same(ours, theirs):
    alike = (ours.labels, ours.names, ours.problems) == (
        theirs.labels,
        theirs.names,
        theirs.problems,
    )
    return alike and pixels(ours) == pixels(theirs)


PETS = {"cat/a.png": 1, "cat/b.png": 2, "dog/a.png": 3, "dog/b.png": 4}


@pytest.fixture
def pets(tmp_path):
    """Two labels with two pictures each, with which nothing is wrong."""
    return write(tmp_path / "pets", PETS)


def test_a_folder_on_paper(tmp_path):
    colours = {
        "hen/x.png": "red",
        "big_dog/2.png": "lime",
        "big_dog/1.png": "blue",
        "hen/a.png": "black",
    }
    found = read_pictures(
        write(tmp_path, {path: encoded(plain("RGB", colour)) for path, colour in colours.items()})
    )
    assert (
        found.names == ["big dog", "hen"] and found.labels == [0, 0, 1, 1] and found.problems == []
    )
    assert [image.getpixel((0, 0)) for image in found.images] == [
        (0, 0, 255),
        (0, 255, 0),
        (0, 0, 0),
        (255, 0, 0),
    ]
    assert [(image.mode, image.size) for image in found.images] == [("RGB", (20, 20))] * 4
    assert (
        len(found) == 4 and str(found) == repr(found) == "4 pictures of 2 labels: big dog 2, hen 2"
    )


def numbered(*counts):
    """Return pictures without an image among them: each is its number, so that a test can say which went where."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return Pictures(
        list(range(len(labels))),
        labels,
        [f"label {name}" for name in range(len(counts))],
        ["an old problem"],
    )


def test_a_split_on_paper():
    train, test = numbered(4, 10, 2).split(
        0.25
    )  # 1 of 4; 2.5 of 10, rounded up; 0.5 of 2, rounded up
    assert (len(train), len(test)) == (11, 5) and train.names == test.names == [
        "label 0",
        "label 1",
        "label 2",
    ]
    assert str(train) == "11 pictures of 3 labels: label 0 3, label 1 7, label 2 1"
    assert str(test) == "5 pictures of 3 labels: label 0 1, label 1 3, label 2 1"


@pytest.mark.parametrize(
    "source, problem",
    [
        ((16, 16), None),
        ((15, 40), "cat/c.png is doubtful: 15x40 pixels show little"),
        ((40, 4), "cat/c.png is doubtful: 40x4 pixels show little"),
        ((40, 3), "cat/c.png was left out: 40x3 pixels show too little"),
        ((1, 1), "cat/c.png was left out: 1x1 pixels show too little"),
        ((2048, 40), "cat/c.png is doubtful: 2048x40 pixels show little"),  # 512x10 when shrunk
        ((5120, 20), "cat/c.png was left out: 5120x20 pixels show too little"),  # 512x2
    ],
)
def test_the_smallest_pictures(pets, source, problem):
    found = read_pictures(write(pets, {"cat/c.png": encoded(noise(5, *source))}))
    assert found.problems == ([problem] if problem else [])
    assert len(found) == (4 if problem and "left out" in problem else 5)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "size, shrunk",
    [
        ((512, 300), (512, 300)),
        ((514, 257), (512, 256)),
        ((1024, 2048), (256, 512)),
        ((3000, 1500), (512, 256)),
    ],
)
def test_the_largest_pictures(pets, kind, size, shrunk):
    found = read_pictures(
        write(pets, {"cat/c": encoded(Image.new("RGB", size, "teal"), kind)})
    ).images[2]
    assert found.size == shrunk
    assert np.abs(np.asarray(found).astype(int) - [0, 128, 128]).max() <= LOSSY


def test_shrinking_keeps_the_picture(pets):
    wide = noise(5, 40, 20).resize((2000, 1000), Image.Resampling.BICUBIC)
    found = read_pictures(write(pets, {"cat/c.jpg": encoded(wide, "JPEG", quality=95)})).images[2]
    gap = np.abs(
        np.asarray(found).astype(int) - np.asarray(wide.resize((512, 256), Image.Resampling.BOX))
    )
    assert (
        gap.mean() <= LOSSY < np.abs(np.asarray(found).astype(int) - np.asarray(found)[::-1]).mean()
    )


def test_a_share_at_either_end_leaves_one_of_each_label():
    for share, sizes in [(0.001, (18, 2)), (0.999, (2, 18))]:
        assert tuple(map(len, numbered(10, 10).split(share))) == sizes


def test_the_parts_share_out_the_whole():
    whole = numbered(30, 80, 50)
    train, test = whole.split(0.05, seed=7)
    assert sorted(train.images + test.images) == whole.images
    for part in (train, test):
        assert part.images == sorted(part.images) and part.labels == [
            whole.labels[image] for image in part.images
        ]


def test_a_split_names_lone_pictures_and_repeats_nothing():
    train, test = numbered(1, 4).split()
    assert train.labels == [0, 1, 1, 1] and test.labels == [1]
    assert (
        train.problems
        == test.problems
        == ["label 0 is doubtful: one picture only, which a split keeps for training"]
    )
    assert str(test).startswith("1 picture of 2 labels: label 0 0, label 1 1\n")


FADED = plain("RGBA", (0, 0, 0, 0))
FADED.putpixel((0, 0), (200, 0, 0, 102))  # two fifths of red 200, three fifths of white
PALETTE = plain("P", 3)
PALETTE.putpalette([0, 0, 0] * 3 + [10, 20, 30])


@pytest.mark.parametrize(
    "content, colour",
    [
        (encoded(plain("L", 100)), (100, 100, 100)),
        (encoded(plain("1", 1)), (255, 255, 255)),
        (encoded(plain("I;16", 100 * 257)), (100, 100, 100)),
        (encoded(plain("I;16", 65535)), (255, 255, 255)),
        (encoded(plain("I;16", 128)), (0, 0, 0)),  # half of 257: just below, and just above
        (encoded(plain("I;16", 129)), (1, 1, 1)),
        (encoded(plain("I;16", 100 * 257), "TIFF"), (100, 100, 100)),
        (encoded(plain("I", 100 * 257), "PPM"), (100, 100, 100)),
        (encoded(PALETTE), (10, 20, 30)),
        (encoded(PALETTE, transparency=3), (255, 255, 255)),
        (encoded(PALETTE, "GIF"), (10, 20, 30)),
        (encoded(PALETTE, "GIF", save_all=True, append_images=[plain("P", 0)]), (10, 20, 30)),
        (
            encoded(plain("RGB", "red"), save_all=True, append_images=[plain("RGB", "blue")]),
            (255, 0, 0),
        ),
        (encoded(plain("CMYK", (0, 255, 255, 0)), "TIFF"), (255, 0, 0)),
        (encoded(FADED), (233, 153, 153)),
        (encoded(plain("LA", (0, 0))), (255, 255, 255)),
        (encoded(plain("RGB", "red"), transparency=(255, 0, 0)), (255, 255, 255)),
        (encoded(plain("I;16", 1000), transparency=1000), (255, 255, 255)),
        (encoded(plain("RGB", (9, 99, 199)), "BMP"), (9, 99, 199)),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else "-".join(map(str, value)),
)
def test_every_kind_of_picture_becomes_rgb_on_white(pets, content, colour):
    found = read_pictures(write(pets, {"cat/c": content}))
    assert found.problems == [] and found.images[2].mode == "RGB"
    assert found.images[2].getpixel((0, 0)) == colour


def test_a_colour_that_cannot_be_seen_does_not_come_in_by_shrinking(pets):
    checked = np.zeros((1024, 1024, 4), dtype=np.uint8)
    checked[::2, ::2] = checked[1::2, 1::2] = [255, 0, 0, 255]
    checked[1::2, ::2] = checked[::2, 1::2] = [0, 255, 0, 0]  # a green that cannot be seen
    found = np.asarray(
        read_pictures(write(pets, {"cat/c": encoded(Image.fromarray(checked))})).images[2]
    ).astype(int)
    inner = found[10:-10, 10:-10]  # at the rim the kernel of the shrinking is cut
    assert np.abs(inner - [255, 127.5, 127.5]).max() <= 1  # half red, half white, up to rounding


@pytest.mark.parametrize(
    "image, kind",
    [
        (plain("CMYK", (0, 255, 255, 0)), "JPEG"),
        (plain("RGB", "red"), "JPEG"),
        (plain("RGB", "red"), "WEBP"),
        (plain("RGB", "red"), "MPO"),
        (plain("RGB", "red"), "JPEG2000"),
    ],
)
def test_lossy_kinds_are_read(pets, image, kind):
    found = read_pictures(write(pets, {"cat/c": encoded(image, kind)}))
    assert np.abs(np.asarray(found.images[2]).astype(int) - [255, 0, 0]).max() <= LOSSY


UPRIGHT = {  # orientation tag: what turns the stored pixels upright, by the EXIF standard 2.3, section 4.6.4
    1: lambda rows: rows,
    2: lambda rows: rows[:, ::-1],
    3: lambda rows: rows[::-1, ::-1],
    4: lambda rows: rows[::-1],
    5: lambda rows: rows.swapaxes(0, 1),
    6: lambda rows: np.rot90(rows, -1),
    7: lambda rows: rows[::-1, ::-1].swapaxes(0, 1),
    8: lambda rows: np.rot90(rows),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_picture_on_its_side_is_put_upright(pets, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_pictures(write(pets, {"cat/c": encoded(noise(5), kind, exif=exif)}))
    assert np.array_equal(found.images[2], UPRIGHT[orientation](np.asarray(noise(5))))


def test_a_zip_is_read_like_its_folder(pets, tmp_path):
    folder = read_pictures(pets)
    assert len(folder) == 4 and folder.problems == []
    assert same(read_pictures(zipped(tmp_path / "bare.zip", PETS)), folder)
    assert same(
        read_pictures(
            str(zipped(tmp_path / "wrapped.zip", {f"pets/{path}": PETS[path] for path in PETS}))
        ),
        folder,
    )


@pytest.mark.parametrize("prefix", ["pets/", "a/b/pets/", "./pets/", "/pets/", "pets\\"])
def test_a_lone_folder_around_the_labels_is_looked_through(tmp_path, prefix):
    files = {
        prefix: None,
        **{prefix + path: seed for path, seed in PETS.items()},
        "read me.txt": b"my pets",
    }
    found = read_pictures(zipped(tmp_path / "pets.zip", files))
    assert found.names == ["cat", "dog"] and found.labels == [0, 0, 1, 1]
    assert found.problems == ["read me.txt was left out: it lies in no label folder"]


def test_a_lone_folder_is_looked_through_on_disk_too(pets):
    assert same(read_pictures(pets.parent), read_pictures(pets))


def test_deeper_folders_have_the_label_of_the_first(pets):
    found = read_pictures(write(pets, {"cat/indoors/sofa/c.png": 5, "dog/cat/c.png": 6}))
    assert found.labels == [0, 0, 0, 1, 1, 1] and found.problems == []


@pytest.mark.parametrize(
    "path",
    [
        ".DS_Store",
        "cat/.DS_Store",
        "cat/._a.png",
        "Thumbs.db",
        "cat/thumbs.db",
        "cat/desktop.ini",
        "__MACOSX/cat/._a.png",
        ".ipynb_checkpoints/a.png",
        "cat/.hidden/c.png",
    ],
)
def test_what_systems_leave_behind_is_skipped(pets, tmp_path, path):
    plain_pets = read_pictures(pets)
    assert same(read_pictures(write(pets, {path: b"\x00\x05\x16\x07"})), plain_pets)
    files = {f"pets/{place}": seed for place, seed in PETS.items()}
    assert same(
        read_pictures(zipped(tmp_path / "pets.zip", {**files, path: b"\x00\x05\x16\x07"})),
        plain_pets,
    )


@pytest.mark.parametrize(
    "path, content, reason",
    [
        ("cat/c.png", b"", "the file is empty"),
        ("cat/notes.txt", b"the cat sat on the mat", UNREADABLE),
        ("cat/c.png", b"\x00" * 1000, UNREADABLE),
        ("cat/c.png", encoded(noise(5))[:-700], UNREADABLE),
        ("cat/c.jpg", encoded(noise(5), "JPEG")[:-300], UNREADABLE),
        ("cat/c.gif", encoded(noise(5), "GIF")[:-300], UNREADABLE),
        ("cat/c.tif", encoded(Image.new("F", (20, 20), 0.5), "TIFF"), UNREADABLE),
        ("cat/c.heic", b"\x00\x00\x00\x18ftypheic" + b"\x00" * 100, UNREADABLE),
        ("cat/c.zip", b"PK\x05\x06" + b"\x00" * 18, UNREADABLE),
        ("c.png", encoded(noise(5)), "it lies in no label folder"),
        ("read me.txt", b"my pets", "it lies in no label folder"),
    ],
)
def test_a_file_that_gives_no_picture_is_named(pets, tmp_path, path, content, reason):
    expected = Pictures(
        read_pictures(pets).images, [0, 0, 1, 1], ["cat", "dog"], [f"{path} was left out: {reason}"]
    )
    assert same(read_pictures(zipped(tmp_path / "pets.zip", {**PETS, path: content})), expected)
    assert same(read_pictures(write(pets, {path: content})), expected)
    assert str(expected) == f"4 pictures of 2 labels: cat 2, dog 2\n{path} was left out: {reason}"


def test_no_other_program_is_started(pets, monkeypatch):
    started = []
    monkeypatch.setattr(
        EpsImagePlugin, "Ghostscript", lambda *settings, **more: started.append(settings)
    )
    found = read_pictures(write(pets, {"cat/c.eps": encoded(noise(5), "EPS")}))
    assert found.problems == [f"cat/c.eps was left out: {UNREADABLE}"] and started == []


@pytest.mark.parametrize("width", [110, 300])  # where Pillow warns, and where it refuses
def test_a_picture_with_too_many_pixels_is_named_and_nothing_else_is_said(
    pets, monkeypatch, recwarn, capfd, width
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * 100)
    found = read_pictures(
        write(
            pets,
            {"cat/c.png": encoded(noise(5, width, 100)), "cat/d.png": encoded(noise(6, 100, 100))},
        )
    )
    assert (
        found.problems == ["cat/c.png was left out: it has more pixels than are safe to open"]
        and len(found) == 5
    )
    assert list(recwarn) == [] and capfd.readouterr() == ("", "")


def test_a_bomb_of_many_pixels_in_few_bytes(pets):
    bomb = encoded(Image.new("1", (9_500, 9_500)))  # 90 million pixels
    assert len(bomb) < 50_000
    assert read_pictures(write(pets, {"cat/c.png": bomb})).problems == [
        "cat/c.png was left out: it has more pixels than are safe to open"
    ]


def test_pillows_other_warnings_are_not_shown(pets, recwarn, capfd):
    broken = encoded(noise(5), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    Image.open(io.BytesIO(broken)).getexif()
    assert len(recwarn) == 1  # else there would be nothing to keep back
    recwarn.clear()
    assert read_pictures(write(pets, {"cat/c.png": broken})).problems == []
    assert list(recwarn) == [] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("more, reason", [(0, UNREADABLE), (1, "it has more than 100 MB")])
def test_a_file_that_is_too_large_is_named(pets, more, reason):
    with open(pets / "cat" / "c.png", "wb") as file:
        file.truncate(100 * 2**20 + more)  # zeros that take no room on the disk
    assert read_pictures(pets).problems == [f"cat/c.png was left out: {reason}"]


def test_what_cannot_be_opened_is_named(pets, monkeypatch):
    iterdir = Path.iterdir

    def guarded(folder):
        if folder.name == "private":
            raise PermissionError(13, "Permission denied", str(folder))
        return iterdir(folder)

    (pets / "dog" / "gone.png").symlink_to(pets / "nowhere.png")
    (pets / "dog" / "circle").symlink_to(pets)
    monkeypatch.setattr(Path, "iterdir", guarded)
    found = read_pictures(write(pets, {"cat/private/c.png": 5}))
    names = ["cat/private", "dog/circle", "dog/gone.png"]
    assert (
        found.problems == [f"{name} was left out: it cannot be opened" for name in names]
        and len(found) == 4
    )


def test_a_link_to_a_picture_is_followed(pets, tmp_path):
    (pets / "cat" / "c.png").symlink_to(write(tmp_path, {"elsewhere.png": 5}) / "elsewhere.png")
    assert len(read_pictures(pets)) == 5


def test_a_damaged_member_of_a_zip_is_named(tmp_path):
    place = zipped(tmp_path / "pets.zip", PETS)
    content, stored = place.read_bytes(), encoded(noise(2))
    place.write_bytes(content.replace(stored[-40:], bytes(40)))
    found = read_pictures(place)
    assert found.problems == [
        "cat/b.png was left out: it cannot be opened",
        "cat is doubtful: one picture only, which a split keeps for training",
    ]


@pytest.mark.parametrize("path", ["../c.png", "cat/../../c.png", "..\\cat\\c.png"])
def test_a_path_out_of_the_zip_leads_nowhere(tmp_path, path):
    found = read_pictures(zipped(tmp_path / "pets.zip", {**PETS, path: 5}))
    shown = path.replace("\\", "/")
    assert (
        found.problems == [f"{shown} was left out: it lies in no label folder"] and len(found) == 4
    )


def test_the_same_file_twice_is_doubtful(pets):
    found = read_pictures(write(pets, {"dog/c.png": 1, "cat/c.png": 2}))
    assert len(found) == 6 and found.problems == [
        "cat/a.png, dog/c.png are doubtful: the same file under different labels",
        "cat/b.png, cat/c.png are doubtful: the same file, which a split may put into both parts",
    ]


def test_many_copies_are_counted(pets):
    found = read_pictures(write(pets, {f"cat/{copy}.png": 9 for copy in range(5)}))
    assert found.problems == [
        "cat/0.png, cat/1.png, cat/2.png, and 2 more are doubtful: the same file, which a split may put into both parts"
    ]


def test_folders_without_a_picture_are_named(pets, tmp_path):
    more = {"hen/": None, "sheep/notes.txt": b"woolly", "snow_owl/deeper/": None}
    problems = [
        f"sheep/notes.txt was left out: {UNREADABLE}",
        "hen was left out: no picture could be read from its folder",
        "sheep was left out: no picture could be read from its folder",
        "snow owl was left out: no picture could be read from its folder",
    ]
    for found in (
        read_pictures(zipped(tmp_path / "pets.zip", {**PETS, **more})),
        read_pictures(write(pets, more)),
    ):
        assert found.problems == problems and found.names == ["cat", "dog"]


def test_a_label_with_one_picture_is_named(pets):
    found = read_pictures(write(pets, {"hen/a.png": 5}))
    assert found.names == ["cat", "dog", "hen"]
    assert found.problems == ["hen is doubtful: one picture only, which a split keeps for training"]


def test_folders_that_differ_in_underscores_only_are_one_label(pets):
    found = read_pictures(
        write(pets, {"snow-owl/b.png": 5, "snow_owl/a.png": 6, "snowX/a.png": 7, "snowX/b.png": 8})
    )
    assert found.names == [
        "cat",
        "dog",
        "snow owl",
        "snowX",
    ]  # by path, snowX would come between the two spellings
    assert found.labels == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found.problems == ["snow-owl, snow_owl are doubtful: folders of one label, snow owl"]


def test_a_label_is_never_empty(pets):
    assert read_pictures(write(pets, {"__/a.png": 5, " big__dog-/a.png": 6})).names == [
        "__",
        "big dog",
        "cat",
        "dog",
    ]


def test_parts_of_a_data_set_are_hardly_labels(tmp_path):
    files = {
        f"{part}/{path}": seed + 9 * (part == "Test")
        for part in ("train", "Test")
        for path, seed in PETS.items()
    }
    found = read_pictures(write(tmp_path / "parts", files))
    assert found.names == ["Test", "train"]
    assert found.problems == [
        "Test, train are doubtful: they sound like parts of a data set, not like labels"
    ]


def test_a_long_list_of_problems_is_cut_short(pets):
    found = read_pictures(
        write(pets, {f"cat/{number:02}.txt": b"no picture" for number in range(12)})
    )
    lines = str(found).splitlines()
    assert len(found.problems) == 12 and lines[1:] == [*found.problems[:10], "and 2 more"]
    assert str(Pictures([], [], [], found.problems[:10])).splitlines()[1:] == found.problems[:10]


def test_names_in_any_script(tmp_path):
    files = {
        "кошка/кот.png": 1,
        "cafe\u0301/a.png": 2,
        "犬/空.png": b"",
        "犬/a.png": 3,
        "קיפוד/a.png": 4,
        "🐔/a.png": 5,
    }
    on_disk, in_zip = (
        read_pictures(write(tmp_path / "names", files)),
        read_pictures(zipped(tmp_path / "names.zip", files)),
    )
    assert on_disk.names == [
        "caf\u00e9",
        "кошка",
        "קיפוד",
        "犬",
        "🐔",
    ]  # an accent becomes part of its letter
    assert on_disk.problems[0] == "犬/空.png was left out: the file is empty"
    assert same(on_disk, in_zip)


def test_a_zip_that_does_not_say_it_is_utf8(tmp_path):
    place = zipped(tmp_path / "mac.zip", {**PETS, "caf__/a.png": 5, "caf__/b.png": 6})
    place.write_bytes(place.read_bytes().replace(b"caf__", "café".encode()))
    assert read_pictures(place).names == ["café", "cat", "dog"]
    place.write_bytes(
        place.read_bytes().replace("café".encode(), b"caf\x82s")
    )  # code page 437, as DOS wrote it
    assert read_pictures(place).names == ["cafés", "cat", "dog"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such name")
def test_a_name_that_is_no_text_can_be_printed(pets):
    os.mkdir(os.fsencode(pets) + b"/hen\xff")
    assert (
        str(read_pictures(pets))
        .encode()
        .endswith("hen\ufffd was left out: no picture could be read from its folder".encode())
    )


def test_the_order_does_not_depend_on_the_system(pets, monkeypatch):
    write(
        pets,
        {
            "Dog/A.png": 5,
            "Dog/b.png": 6,
            "a_b/c.txt": b"",
            "a b/c.txt": b"",
            "a-b/2.png": 7,
            "a-b/10.png": 8,
        },
    )
    found, iterdir = read_pictures(pets), Path.iterdir
    assert found.names == ["Dog", "a b", "cat", "dog"]  # capitals first, as their code points are
    for seed in range(5):
        shuffled = random.Random(seed)
        monkeypatch.setattr(
            Path,
            "iterdir",
            lambda folder: shuffled.sample(items := sorted(iterdir(folder)), len(items)),
        )
        assert same(read_pictures(pets), found)


def test_the_source_is_only_read(pets, tmp_path):
    place = zipped(tmp_path / "pets.zip", {**PETS, "../c.png": 5})
    files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    before = [path.read_bytes() for path in files]
    read_pictures(place), read_pictures(pets)
    assert [
        path for path in sorted(tmp_path.rglob("*")) if path.is_file()
    ] == files and place in files
    assert [path.read_bytes() for path in files] == before
    assert not (tmp_path.parent / "c.png").exists()


def test_seeds_reproduce_and_the_whole_stays():
    whole = numbered(20, 20)
    assert (
        whole.split(seed=3)
        == whole.split(seed=3)
        == whole.split(seed=np.int64(3))
        != whole.split(seed=4)
    )
    assert whole == numbered(20, 20)


def test_a_part_has_lists_of_its_own():
    whole = numbered(4, 4)
    train, test = whole.split()
    train.names.append("more")
    train.problems.append("more")
    assert whole.names == test.names == ["label 0", "label 1"]
    assert whole.problems == ["an old problem"] and test.problems == []


def test_pythons_global_generator_is_untouched():
    before = random.getstate()
    numbered(20, 20).split()
    assert random.getstate() == before


def test_a_home_folder_is_understood(pets, monkeypatch):
    monkeypatch.setenv("HOME", str(pets.parent))
    monkeypatch.setenv("USERPROFILE", str(pets.parent))
    assert len(read_pictures("~/pets")) == 4


@pytest.mark.parametrize("share", [0, 1, -0.5, 25])
def test_a_share_out_of_range(share):
    with says(
        ValueError, f"test_share: expected a share between 0 and 1, such as 0.25, got {share}"
    ):
        numbered(4, 4).split(share)


def test_a_source_that_does_not_exist():
    with says(ValueError, "source: expected the path of a folder or of a zip file, got 'nowhere'"):
        read_pictures("nowhere")


def test_a_source_that_may_not_be_opened(pets, tmp_path, monkeypatch):
    def refuse(*settings):
        raise PermissionError("not yours")

    place = zipped(tmp_path / "pets.zip", PETS)
    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr(zipfile, "ZipFile", refuse)
    for source in (pets, place):
        with says(PermissionError, "not yours"):
            read_pictures(source)


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[:-30],
        lambda content: content[:100],
        lambda content: b"",
        lambda content: b"Rar!" + content[4:-22],
    ],
    ids=["cut", "cut short", "empty", "another kind"],
)
def test_a_source_that_is_no_whole_zip(tmp_path, monkeypatch, harm):
    monkeypatch.chdir(tmp_path)
    place = zipped(Path("pets.zip"), PETS)
    place.write_bytes(harm(place.read_bytes()))
    with says(ValueError, "source: expected a folder, or a zip file that is whole, got 'pets.zip'"):
        read_pictures(place)


def test_a_zip_with_a_password(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = zipped(Path("pets.zip"), PETS)
    content = bytearray(place.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= (
        1  # the flag of an encrypted member, in the directory's first entry
    )
    place.write_bytes(content)
    with says(ValueError, "source: expected a zip file without a password, got 'pets.zip'"):
        read_pictures(place)


FEW = "source: expected pictures in at least two folders, one per label, got "


@pytest.mark.parametrize(
    "files, words",
    [
        ({".hidden": b""}, FEW + "none"),
        ({"a.png": 1}, FEW + "none\na.png was left out: it lies in no label folder"),
        ({"cat/a.png": 1, "cat/b.png": 2}, FEW + "cat"),
        ({"cat/in/a.png": 1, "cat/in/b.png": 2}, FEW + "in"),
        (
            {"cat/a.png": 1, "cat/b.png": 2, "dog/a.heic": b"?", "hen/": None},
            FEW + f"cat\ndog/a.heic was left out: {UNREADABLE}\n"
            "dog was left out: no picture could be read from its folder\n"
            "hen was left out: no picture could be read from its folder",
        ),
        (
            {f"{number}.png": 1 for number in range(10, 21)},
            FEW
            + "none\n"
            + "".join(f"{n}.png was left out: it lies in no label folder\n" for n in range(10, 20))
            + "and 1 more",
        ),
    ],
    ids=[
        "nothing",
        "no folder",
        "one label",
        "one label, deeper",
        "unreadable labels",
        "many problems",
    ],
)
def test_fewer_than_two_labels(tmp_path, files, words):
    for source in (zipped(tmp_path / "few.zip", files), write(tmp_path / "few", files)):
        with says(ValueError, words):
            read_pictures(source)
