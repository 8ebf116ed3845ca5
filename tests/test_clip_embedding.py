"""Rows are those of transformers, whatever the batch, the mode of the picture or of the model; maps and ranks are exact."""

from __future__ import annotations

import re
import types

import pytest
import torch
from doubles import CLIPS, SIDE, TOKENS, WIDTH, drawings, says, tiny_clip, tiny_vit_clip
from PIL import Image
from torch.nn import functional

from fmcourse import clip
from fmcourse.clip import (
    TEMPLATES,
    embed_images,
    embed_texts,
    embedding,
    occlusion,
    pixels_of,
    retrieval_ranks,
    zero_shot_head,
)

ROUNDING = 1e-6  # fp32: unit rows of a few numbers, sums in another order
LEVEL = 2 / 255  # one step of a colour, in pixels that reach from -1 to 1
TEXTS = [
    "red",
    "a green circle",
    "an emoji of a blue cat",
    "dog dog dog dog",
    "a picture of a white square",
]


@pytest.fixture(scope="module", params=CLIPS.values(), ids=CLIPS)
def double(request):
    """Return a model and its processor; no test changes them."""
    return request.param()


@pytest.fixture(scope="module")
def processor():
    return tiny_clip()[1]


def pasted(image):
    """Lay a picture on white as a drawing program does."""
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


# Pixels.


def test_pixels_on_paper(processor):
    colours = [(255, 255, 255), (0, 0, 0), (255, 51, 0)]
    pixels = pixels_of(processor, [Image.new("RGB", (9, 30), colour) for colour in colours])
    assert pixels.shape == (3, 3, SIDE, SIDE) and pixels.dtype == torch.float32
    levels = [
        [1.0, 1.0, 1.0],
        [-1.0, -1.0, -1.0],
        [1.0, -0.6, -1.0],
    ]  # 51 of 255 is a fifth, and 0 ... 1 becomes -1 ... 1
    for picture, wanted in zip(pixels, levels):
        assert torch.allclose(
            picture, torch.tensor(wanted)[:, None, None].expand_as(picture), atol=ROUNDING
        )


def test_what_is_transparent_is_white(processor):
    image = Image.new("RGBA", (SIDE, SIDE), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, SIDE, SIDE // 2))  # blue above, nothing below
    pixels = pixels_of(processor, [image])[0]
    assert torch.equal(pixels[:, 0, 0], torch.tensor([-1.0, -1.0, 1.0]))
    assert torch.equal(pixels[:, -1, 0], torch.tensor([1.0, 1.0, 1.0]))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_an_opaque_picture_of_any_mode(processor, mode):
    images = [image.convert(mode) for image in drawings(3)]
    assert torch.equal(
        pixels_of(processor, images),
        pixels_of(processor, [image.convert("RGB") for image in images]),
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_a_transparent_picture_of_any_mode(processor, mode):
    images = [image.convert(mode) for image in drawings(3, mode="RGBA")]
    assert min(image.getchannel("A").getextrema()[0] for image in images) < 100
    found, wanted = (
        pixels_of(processor, images),
        pixels_of(processor, [pasted(image) for image in images]),
    )
    assert torch.allclose(
        found, wanted, atol=1.01 * LEVEL
    )  # blending rounds to a colour's next step, down or up


@pytest.mark.parametrize(("mode", "colour"), [("RGB", (9, 9, 9)), ("L", 9), ("P", 9)])
def test_a_colour_may_stand_for_transparency(mode, colour):
    image = Image.new(mode, (SIDE, SIDE), colour)
    image.info["transparency"] = colour
    given = given_to_the_processor([image])
    assert given[0].getextrema() == ((255, 255),) * 3


def given_to_the_processor(images):
    """Return what a processor is given: not all versions of transformers lay pictures on white themselves."""
    given = []

    def keep(images, return_tensors):
        given.extend(images)
        return {"pixel_values": None}

    pixels_of(types.SimpleNamespace(image_processor=keep), images)
    return given


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_the_processor_is_given_pictures_on_white(mode):
    images = [image.convert(mode) for image in drawings(3, mode="RGBA")]
    kept = [image.tobytes() for image in images]
    for found, image in zip(given_to_the_processor(images), images):
        assert found.mode == "RGB" and found.size == image.size
        levels = zip(found.tobytes(), pasted(image).tobytes())
        assert all(
            abs(a - b) <= 1 for a, b in levels
        )  # blending rounds to a colour's next step, down or up
    assert [image.tobytes() for image in images] == kept


def test_transparent_drawings_lie_where_those_on_white_lie(double):
    images = drawings(4, mode="RGBA")
    for image in images:
        image.putalpha(
            image.getchannel("A").point(lambda value: 255 * (value > 127))
        )  # all or nothing: no rounding
    assert torch.equal(
        embed_images(*double, images), embed_images(*double, [pasted(image) for image in images])
    )


# Rows.


def features(output):
    """Return the rows of transformers 5, which lie in an output object, or of 4, which come as they are."""
    return functional.normalize(getattr(output, "pooler_output", output), dim=-1)


def test_pictures_lie_where_transformers_lays_them(double):
    model, processor = double
    images = drawings(5)
    pixels = processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        wanted = features(model.get_image_features(pixel_values=pixels))
    rows = embed_images(model, processor, images)
    assert rows.shape == (5, WIDTH)
    assert torch.allclose(rows, wanted, atol=ROUNDING)
    assert (
        rows @ rows.T
    ).min() < 0.9  # the double tells pictures apart, so that this says something


def test_texts_lie_where_transformers_lays_them(double):
    model, processor = double
    inputs = processor.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        wanted = features(
            model.get_text_features(inputs["input_ids"], attention_mask=inputs["attention_mask"])
        )
    rows = embed_texts(model, processor, TEXTS)
    assert rows.shape == (len(TEXTS), WIDTH)
    assert torch.allclose(rows, wanted, atol=ROUNDING)
    assert (rows @ rows.T).min() < 0.98


EMBEDDINGS = {
    "pictures": lambda double: embed_images(*double, drawings(5)),
    "texts": lambda double: embed_texts(*double, TEXTS),
}


@pytest.mark.parametrize("rows", EMBEDDINGS.values(), ids=EMBEDDINGS)
def test_rows_have_length_one_and_no_history(double, rows):
    rows = rows(double)
    assert torch.allclose(rows.norm(dim=1), torch.ones(5), atol=ROUNDING)
    assert rows.dtype == torch.float32 and rows.device.type == "cpu" and not rows.requires_grad
    weight = torch.ones(WIDTH, requires_grad=True)
    (rows @ weight).sum().backward()  # and they may be used in a loss
    assert torch.allclose(weight.grad, rows.sum(0), atol=10 * ROUNDING)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_how_many_are_embedded_at_once_does_not_matter(double, size):
    images = drawings(5)
    assert torch.allclose(
        embed_images(*double, images, batch_size=size), embed_images(*double, images), atol=ROUNDING
    )
    assert torch.allclose(
        embed_texts(*double, TEXTS, batch_size=size), embed_texts(*double, TEXTS), atol=ROUNDING
    )


def test_each_row_depends_on_its_own_input_alone(double):
    order, images = [3, 0, 4, 1, 2], drawings(5)
    shuffled = (
        embed_images(*double, [images[place] for place in order]),
        embed_texts(*double, [TEXTS[place] for place in order]),
    )
    assert torch.allclose(shuffled[0], embed_images(*double, images)[order], atol=ROUNDING)
    assert torch.allclose(shuffled[1], embed_texts(*double, TEXTS)[order], atol=ROUNDING)


def test_pictures_may_come_as_pixels(double):
    images = drawings(4)
    pixels = pixels_of(double[1], images)
    kept = pixels.clone()
    assert torch.equal(embed_images(*double, pixels), embed_images(*double, images))
    assert torch.equal(pixels, kept)


def test_lists_and_tuples_are_alike(double):
    assert torch.equal(
        embed_images(*double, tuple(drawings(2))), embed_images(*double, drawings(2))
    )
    assert torch.equal(embed_texts(*double, tuple(TEXTS)), embed_texts(*double, TEXTS))


def test_a_long_text_is_cut(double):
    long = ["dog"] * (TOKENS - 2) + ["cat"] * 20  # a start and an end belong to the context
    rows = embed_texts(
        *double, [" ".join(long), " ".join(long[: TOKENS - 2]), " ".join(long[: TOKENS - 3])]
    )
    assert torch.equal(rows[0], rows[1]) and not torch.allclose(rows[0], rows[2], atol=1e-3)


@pytest.mark.parametrize("frozen", [None, "vision_model", "text_model"])
@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_a_model_in_training_is_left_as_it_was(make, frozen):
    images = drawings(4)
    evaluated, processor = make(dropout=0.5)
    wanted = embed_images(evaluated, processor, images), embed_texts(evaluated, processor, TEXTS)
    model, _ = make(dropout=0.5)
    model.train()
    if frozen:
        getattr(model, frozen).eval()
    modes = {name: part.training for name, part in model.named_modules()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = embed_images(model, processor, images), embed_texts(model, processor, TEXTS)
    assert all(map(torch.equal, found, wanted))  # no dropout, and the statistics of the foundation
    assert {name: part.training for name, part in model.named_modules()} == modes and model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_statistics_of_the_double_would_have_moved():
    model, processor = tiny_clip()
    before = model.vision_model.embeddings.batchnorm.running_mean.clone()
    with torch.no_grad():
        model.train().vision_model(pixels_of(processor, drawings(4)))
    assert not torch.allclose(
        model.vision_model.embeddings.batchnorm.running_mean, before, atol=1e-3
    )


@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_a_model_in_half_precision(make):
    model, processor = make()
    wanted = embed_images(model, processor, drawings(4)), embed_texts(model, processor, TEXTS)
    model.half()
    found = embed_images(model, processor, drawings(4)), embed_texts(model, processor, TEXTS)
    for rows, reference in zip(found, wanted):
        assert torch.allclose(
            rows.float(), reference, atol=0.02
        )  # fp16: 11 bits, a dozen roundings


# Zero-shot heads.


def test_a_head_on_paper(monkeypatch):
    rows = {"a cat": [1.0, 0.0], "the cat": [0.0, 1.0], "a dog": [0.0, 1.0], "the dog": [0.0, 1.0]}
    monkeypatch.setattr(
        embedding,
        "embed_texts",
        lambda model, processor, texts: torch.tensor([rows[text] for text in texts]),
    )
    head = zero_shot_head(None, None, ["cat", "dog"], ["a {}", "the {}"])
    assert torch.allclose(head, torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, 1.0]]), atol=ROUNDING)


def test_a_head_of_one_template_is_its_rows(double):
    names = ["cat", "dog"]
    wanted = embed_texts(*double, ["a drawing of cat", "a drawing of dog"])
    assert torch.allclose(
        zero_shot_head(*double, names, ["a drawing of {}"]), wanted, atol=ROUNDING
    )


def test_a_head_by_hand(double):
    names = ["cat", "blue dog", "red"]
    each = [
        embed_texts(*double, [template.replace("{}", name) for template in TEMPLATES]).mean(0)
        for name in names
    ]
    wanted = torch.stack([row / row.norm() for row in each])
    head = zero_shot_head(*double, names)
    assert head.shape == (3, WIDTH)
    assert torch.allclose(head, wanted, atol=ROUNDING)
    assert torch.allclose(
        zero_shot_head(*double, names[::-1], TEMPLATES[::-1]), wanted.flip(0), atol=ROUNDING
    )


# Ranks.


def test_ranks_on_paper():
    gallery = functional.normalize(
        torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]]), dim=1
    )
    assert retrieval_ranks(gallery[:1].expand(4, -1), gallery, [0, 1, 2, 3]).tolist() == [
        0,
        1,
        2,
        3,
    ]
    assert retrieval_ranks(gallery, gallery, torch.arange(4)).tolist() == [0, 0, 0, 0]


def test_ranks_equal_places_in_a_sorted_list():
    draw = torch.Generator().manual_seed(0)
    queries, gallery = (
        functional.normalize(torch.randn(count, 5, generator=draw), dim=1) for count in (30, 20)
    )
    right = torch.randint(20, (30,), generator=draw)
    order = (queries @ gallery.T).argsort(dim=1, descending=True).tolist()
    assert retrieval_ranks(queries, gallery, right).tolist() == [
        row.index(place) for row, place in zip(order, right.tolist())
    ]


def test_ties_count_against():
    gallery = torch.eye(3)[[0, 0, 1]]
    assert retrieval_ranks(torch.eye(3)[:2], gallery, [0, 2]).tolist() == [1, 0]


@pytest.mark.parametrize("value", [0.5, 0.0, torch.nan])
def test_a_collapsed_model_finds_nothing(value):
    rows = torch.full((50, 4), value)
    assert retrieval_ranks(rows, rows, range(50)).tolist() == [49] * 50


# Occlusion.


class Retina(torch.nn.Module):
    """A model whose picture row is the red of the pixels, whose text row is what it is given; it counts its pictures."""

    def __init__(self, text):
        super().__init__()
        self.text, self.pictures = torch.nn.Parameter(text), 0
        self.visual_projection = self.text_projection = torch.nn.Identity()
        self.config = types.SimpleNamespace(vision_config=types.SimpleNamespace(image_size=SIDE))

    def vision_model(self, pixel_values):
        self.pictures += len(pixel_values)
        return types.SimpleNamespace(pooler_output=pixel_values[:, 0])

    def text_model(self, input_ids, attention_mask):
        return types.SimpleNamespace(pooler_output=self.text.expand(len(input_ids), -1))


def one_square(top, left, side):
    """Return a black picture with a white square, and a text row that points at the square's pixels."""
    image = Image.new("RGB", (SIDE, SIDE), "black")
    image.paste("white", (left, top, left + side, top + side))
    text = torch.zeros(SIDE, SIDE)
    text[top : top + side, left : left + side] = 1
    return image, text.flatten()


def test_the_square_that_was_looked_at_is_found(processor):
    image, text = one_square(top=8, left=4, side=4)
    model = Retina(text)
    lost = occlusion(model, processor, image, "dog", patch=4)
    assert lost.shape == (7, 7)
    assert model.pictures == 1 + 7 * 7
    assert divmod(int(lost.argmax()), 7) == (
        4,
        2,
    )  # squares move by two pixels: down four, right two
    # On paper: 240 pixels are -1 and 16 are 1, the mean is -7/8. The text's row is 1/4 at the 16 pixels.
    seen, hidden = 4 / 16, -4 * 7 / 8 / (240 + 16 * 49 / 64) ** 0.5
    assert lost.max().item() == pytest.approx(seen - hidden, abs=ROUNDING)
    elsewhere = 4 / (16 + 224 + 16 * 49 / 64) ** 0.5
    assert lost[0, 0].item() == pytest.approx(seen - elsewhere, abs=ROUNDING)


def test_a_map_by_hand(double):
    image = drawings(1)[0]
    pixels, text = pixels_of(double[1], [image]), embed_texts(*double, ["a red dog"])[0]
    lost = occlusion(*double, image, "a red dog", patch=2)
    for row in range(3):
        for column in range(3):
            covered = pixels.clone()
            covered[0, :, 4 * row : 4 * row + 8, 4 * column : 4 * column + 8] = pixels.mean(
                (2, 3)
            ).view(3, 1, 1)
            wanted = (embed_images(*double, pixels) - embed_images(*double, covered))[0] @ text
            assert lost[row, column].item() == pytest.approx(wanted.item(), abs=ROUNDING)


@pytest.mark.parametrize("patch", range(2, SIDE // 2 + 1))
def test_no_pixel_stays_in_view(processor, patch):
    for corner in (0, SIDE - 1):
        image, text = one_square(corner, corner, 1)
        lost = occlusion(Retina(text), processor, image, "dog", patch)
        assert lost.shape == (2 * patch - 1, 2 * patch - 1)
        assert lost[0, 0] > 0.1 if corner == 0 else lost[-1, -1] > 0.1  # else it would be 0 or less


def test_an_even_picture_loses_nothing(double):
    lost = occlusion(*double, Image.new("RGB", (30, 30), "gray"), "dog", patch=2)
    assert torch.allclose(lost, torch.zeros(3, 3), atol=ROUNDING)


# The wording of each error.

MODES = "an image of mode 1, L, LA, P, PA, RGB, RGBA, CMYK"
SHAPE = f"shape (n, 3, {SIDE}, {SIDE}), n at least 1"
IMAGES, TEXTS_WANTED = (
    "images: expected a list of PIL images, at least one",
    "texts: expected a list of strings, at least one",
)


def red(mode="RGB", size=(SIDE, SIDE)):
    return Image.new(mode, size)


def spoilt(value):
    pixels = torch.zeros(2, 3, SIDE, SIDE)
    pixels[1, 2, 3, 4] = value
    return pixels


ERRORS = [
    (lambda d: embed_images(*d, []), f"{IMAGES}, got []"),
    (lambda d: embed_images(*d, "cat.png"), f"{IMAGES}, got 'cat.png'"),
    (lambda d: embed_images(*d, None), f"{IMAGES}, got None"),
    (lambda d: pixels_of(d[1], {}), f"{IMAGES}, got {{}}"),
    (
        lambda d: embed_images(*d, [red(), "cat.png"]),
        "images[1]: expected a PIL image, got 'cat.png'",
    ),
    (lambda d: embed_images(*d, [red("F")]), f"images[0]: expected {MODES}, got 'mode F'"),
    (
        lambda d: embed_images(*d, [red(), red("I;16")]),
        f"images[1]: expected {MODES}, got 'mode I;16'",
    ),
    (lambda d: pixels_of(d[1], [red("HSV")]), f"images[0]: expected {MODES}, got 'mode HSV'"),
    (
        lambda d: embed_images(*d, [red(size=(0, 5))]),
        "images[0]: expected at least one pixel on each side, got 'size (0, 5)'",
    ),
    (
        lambda d: embed_images(*d, torch.zeros(2, 3, 8, 8)),
        f"pixels: expected {SHAPE}, got (2, 3, 8, 8)",
    ),
    (
        lambda d: embed_images(*d, torch.zeros(3, SIDE, SIDE)),
        f"pixels: expected {SHAPE}, got (3, 16, 16)",
    ),
    (
        lambda d: embed_images(*d, torch.zeros(0, 3, SIDE, SIDE)),
        f"pixels: expected {SHAPE}, got (0, 3, 16, 16)",
    ),
    (
        lambda d: embed_images(*d, spoilt(torch.nan)),
        "pixels: expected finite numbers, got 'NaN or infinity'",
    ),
    (
        lambda d: embed_images(*d, spoilt(torch.inf)),
        "pixels: expected finite numbers, got 'NaN or infinity'",
    ),
    (lambda d: embed_texts(*d, []), f"{TEXTS_WANTED}, got []"),
    (lambda d: embed_texts(*d, "a cat"), f"{TEXTS_WANTED}, got 'a cat'"),
    (lambda d: embed_texts(*d, ["a cat", 7]), f"{TEXTS_WANTED}, got ['a cat', 7]"),
    (lambda d: embed_texts(*d, None), f"{TEXTS_WANTED}, got None"),
    (
        lambda d: zero_shot_head(*d, []),
        "names: expected a list of class names, at least one, got []",
    ),
    (
        lambda d: zero_shot_head(*d, "cat"),
        "names: expected a list of class names, at least one, got 'cat'",
    ),
    (
        lambda d: zero_shot_head(*d, ["cat"], []),
        "templates: expected a list of templates, at least one, got []",
    ),
    (
        lambda d: zero_shot_head(*d, ["cat"], "a {}"),
        "templates: expected a list of templates, at least one, got 'a {}'",
    ),
    (
        lambda d: zero_shot_head(*d, ["cat"], ["a {}", "a cat"]),
        "templates: expected one slot {} in each template, got 'a cat'",
    ),
    (
        lambda d: zero_shot_head(*d, ["cat"], ["{} {}"]),
        "templates: expected one slot {} in each template, got '{} {}'",
    ),
    (
        lambda d: retrieval_ranks(torch.eye(3), torch.eye(3), [0, 1]),
        "right: expected one place for each of the 3 queries, got (2,)",
    ),
    (lambda d: occlusion(*d, red(), "dog", 1), "patch: expected a whole number from 2 to 8, got 1"),
    (lambda d: occlusion(*d, red(), "dog", 9), "patch: expected a whole number from 2 to 8, got 9"),
    (
        lambda d: occlusion(*d, red(), "dog", 2.5),
        "patch: expected a whole number from 2 to 8, got 2.5",
    ),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(double, call, words):
    with says(ValueError, words):
        call(double)


def test_one_picture_is_no_list(double):
    with pytest.raises(ValueError, match=f"^{re.escape(IMAGES)}, got <PIL"):
        embed_images(*double, red())


def test_what_the_doubles_are():
    assert (
        type(tiny_clip()[0]).__name__ == "VisionTextDualEncoderModel"
        and type(tiny_vit_clip()[0]).__name__ == "CLIPModel"
    )
    assert clip.TEMPLATES is TEMPLATES and all(template.count("{}") == 1 for template in TEMPLATES)
