"""Embeddings are those of transformers, whatever the batch and mode; maps, ranks are exact."""

from __future__ import annotations

import io
import types

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import CLIPS, SIDE, TOKENS, WIDTH, drawings, tiny_clip
from PIL import Image

import fmcourse
from fmcourse import clip
from fmcourse.clip import (
    TEMPLATES,
    embed_images,
    embed_texts,
    occlusion,
    pixels_of,
    retrieval_ranks,
    zero_shot_head,
)

ROUNDING = 1e-6  # fp32: a few numbers of length 1, sums in a different order
TEXTS = ["red", "a green circle", "an emoji of a blue cat", "dog dog dog", "a picture of a square"]


@pytest.fixture(scope="module", params=CLIPS.values(), ids=CLIPS)
def double(request):
    """Return a model and its processor; no test changes them."""
    return request.param()


@pytest.fixture(scope="module")
def processor():
    return tiny_clip()[1]


def close(found, wanted, atol=ROUNDING):
    return found.shape == wanted.shape and torch.allclose(found, wanted, atol=atol)


# Pixels.


def test_pixels_on_paper(processor):
    colours = [(255, 255, 255), (0, 0, 0), (255, 51, 0)]
    pixels = pixels_of(processor, [Image.new("RGB", (9, 30), colour) for colour in colours])
    # 51 of 255 is a fifth, and 0 ... 1 becomes -1 ... 1.
    wanted = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0], [1.0, -0.6, -1.0]])
    assert close(pixels, wanted[:, :, None, None].expand(3, 3, SIDE, SIDE))


def test_the_processor_is_given_what_a_viewer_shows(processor):
    given = []

    def keep(images, return_tensors):
        given.extend(images)
        return {"pixel_values": None}

    images = [image.convert(mode) for mode in ("RGBA", "LA", "P", "I;16") for image in drawings(2)]
    images[0].getexif()[0x0112] = 6
    pixels_of(types.SimpleNamespace(image_processor=keep), images)
    assert [image.mode for image in given] == ["RGB"] * 8
    shown = [np.asarray(clip.pictures.as_seen(image)) for image in images]
    assert all(map(np.array_equal, given, shown))
    assert np.array_equal(given[0], np.rot90(np.asarray(drawings(1)[0]), -1))


# Embeddings.


def test_both_encoders_agree_with_transformers(double):
    model, processor = double
    inputs = processor(images=drawings(5), text=TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        theirs = model(**inputs)
    found = embed_images(model, processor, drawings(5)), embed_texts(model, processor, TEXTS)
    for ours, wanted in zip(found, (theirs.image_embeds, theirs.text_embeds)):
        assert close(ours, wanted) and ours.shape == (5, WIDTH)
        assert (
            ours @ ours.T
        ).min() < 0.98  # the double tells inputs apart, so that this says something
        weight = torch.ones(WIDTH, requires_grad=True)
        (ours @ weight).sum().backward()  # and they may be used in a loss
        assert close(weight.grad, ours.sum(0), 10 * ROUNDING) and not ours.requires_grad


@pytest.mark.parametrize("size", [1, 3, np.int64(100)])
def test_neither_batch_nor_order_matters(double, size):
    images, order = drawings(5), [3, 0, 4, 1, 2]
    found = embed_images(*double, [images[index] for index in order], batch_size=size)
    assert close(found, embed_images(*double, pixels_of(double[1], images))[order])
    texts = np.array(TEXTS)[order]
    found = embed_texts(*double, pd.Series(texts, index=[9, 7, 5, 3, 1]), batch_size=size)
    assert close(found, embed_texts(*double, tuple(TEXTS))[order])


def test_a_long_text_is_cut(double):
    long = ["dog"] * (TOKENS - 2) + ["cat"] * 20  # a start and an end belong to the context
    cuts = [long, long[: TOKENS - 2], long[: TOKENS - 3]]
    rows = embed_texts(*double, [" ".join(cut) for cut in cuts])
    assert torch.equal(rows[0], rows[1]) and not close(rows[0], rows[2], 1e-3)


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
    with torch.no_grad():
        model.train().vision_model(pixels_of(processor, images))
    if make is tiny_clip:  # the statistics would have moved
        assert not torch.equal(model.state_dict()[STATISTIC], before[STATISTIC])


STATISTIC = "vision_model.embeddings.batchnorm.running_mean"


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_a_model_in_half_precision(make, precision):
    images, labels, names = drawings(4), [0, 1, 0, 1], ["cat", "dog"]

    def every(model, processor):
        rows = embed_images(model, processor, images)
        head = zero_shot_head(model, processor, names)
        loss = clip.contrastive_loss(rows[:2], head, model.logit_scale.exp())
        lost = occlusion(model, processor, images[0], "cat", patch=2)
        classifier = clip.build_classifier(model, clip.linear_probe(rows, labels))
        answers = classifier.predict(pixels_of(processor, images)).softmax(1)
        return rows, head, embed_texts(model, processor, TEXTS), lost, answers, loss / 10

    model, processor = make()
    wanted = every(model, processor)
    for found, reference in zip(every(model.to(precision), processor), wanted):
        # bfloat16 has 8 bits: a dozen roundings.
        assert close(found.float(), reference, 0.02 if precision == torch.float16 else 0.15)


# Zero-shot heads.


def test_a_head_by_hand(double):
    names = ["cat", "blue dog", "red"]
    each = [
        embed_texts(*double, [template.replace("{}", name) for template in TEMPLATES]).mean(0)
        for name in names
    ]
    head = zero_shot_head(*double, names)
    assert close(head, torch.stack([row / row.norm() for row in each]))
    assert close(zero_shot_head(*double, pd.Series(names)[::-1], TEMPLATES[::-1]), head.flip(0))
    drawing = embed_texts(*double, ["a drawing of cat", "a drawing of red"])
    assert close(zero_shot_head(*double, ["cat", "red"], ["a drawing of {}"]), drawing)


LONG = " ".join(["dog"] * TOKENS)
ALIKE = [
    ["猫", "狗"],
    ["кот", "cat"],
    ["🐱", "dog"],
    ["red 猫", "red 狗"],
    ["red 猫", "red"],
    ["red", "red 猫 猫"],
    ["cat", "cat"],
    ["Cat", "cat"],
    ["red  cat", "red cat"],
    ["", "cat"],
    ["  ", "cat"],
    ["[PAD]", "cat"],
    [f"{LONG} red", f"{LONG} blue"],
]


@pytest.mark.parametrize("names", ALIKE, ids=str)
def test_names_that_the_model_cannot_tell_apart(double, names):
    with pytest.raises(ValueError, match=r"^names: expected .*linear_probe or clip\.random_head"):
        zero_shot_head(*double, ["white", *names])


@pytest.mark.parametrize("names", ["猫狗", "ёж", "🐱🐶", ["C", "c"]], ids=str)
@pytest.mark.parametrize("model", ["emoji-clip", "sweep-clip"])
def test_what_the_bundled_models_cannot_read(model, names):
    model, processor = fmcourse.load_clip(model)
    with pytest.raises(ValueError, match=r"^names: .*clip\.random_head"):
        zero_shot_head(model, processor, list(names))
    with pytest.raises(ValueError, match=r"^texts: .*clip\.random_head"):
        embed_texts(model, processor, ["犬"])
    head = zero_shot_head(model, processor, ["C", "C++", "piñata", "8", "a red 猫"])
    assert (head @ head.T - torch.eye(5)).max() < 0.99


def test_texts_that_differ_in_unknown_words_only(double):
    for texts in (["a red 猫", "a red 狗"], ["a red", "a red 狗"], ["a red 狗", "a red"]):
        with pytest.raises(ValueError, match=r"^texts: expected texts that the model reads diff"):
            embed_texts(*double, texts)
    rows = embed_texts(*double, ["a red 猫", "a red 猫", "Cat", "cat", "a blue 狗"])
    assert torch.equal(rows[0], rows[1]) and torch.equal(rows[2], rows[3])


# Ranks.


def test_ranks_equal_places_in_a_sorted_list():
    draw = torch.Generator().manual_seed(0)
    queries, gallery = (torch.randn(count, 5, generator=draw) for count in (30, 20))
    right = torch.randint(20, (30,), generator=draw)
    order = (queries @ gallery.T).argsort(dim=1, descending=True).tolist()
    wanted = [row.index(index) for row, index in zip(order, right.tolist())]
    for given in (right, right.numpy(), pd.Series(right.numpy(), index=range(50, 80))):
        assert retrieval_ranks(queries, gallery, given).tolist() == wanted
    assert retrieval_ranks(queries.half(), gallery, right).shape == (30,)


def test_ties_and_nan_count_against():
    gallery = torch.eye(3)[[0, 0, 1]]
    assert retrieval_ranks(torch.eye(3)[:2], gallery, [0, 2]).tolist() == [1, 0]
    for value in (0.5, 0.0, torch.nan):
        rows = torch.full((50, 4), value)
        assert retrieval_ranks(rows, rows, range(50)).tolist() == [49] * 50


# Occlusion.


class Retina(torch.nn.Module):
    """A model whose image embedding is the red of the pixels, whose text embedding is given."""

    def __init__(self, text):
        super().__init__()
        self.text = torch.nn.Parameter(text)
        self.visual_projection = self.text_projection = torch.nn.Identity()
        self.config = types.SimpleNamespace(vision_config=types.SimpleNamespace(image_size=SIDE))

    def vision_model(self, pixel_values):
        return types.SimpleNamespace(pooler_output=pixel_values[:, 0])

    def text_model(self, input_ids, attention_mask):
        return types.SimpleNamespace(pooler_output=self.text.expand(len(input_ids), -1))


def one_square(top, left, side):
    """Return a black picture with a white square, and a text embedding that points at it."""
    image = Image.new("RGB", (SIDE, SIDE), "black")
    image.paste("white", (left, top, left + side, top + side))
    text = torch.zeros(SIDE, SIDE)
    text[top : top + side, left : left + side] = 1
    return image, text.flatten()


def test_the_square_that_was_looked_at_is_found(processor):
    image, text = one_square(top=8, left=4, side=4)
    lost = occlusion(Retina(text), processor, image, "dog", patch=4)
    assert lost.shape == (7, 7)
    # Squares move by two pixels: down four, right two.
    assert divmod(int(lost.argmax()), 7) == (4, 2)
    # On paper: 240 pixels are -1 and 16 are 1, the mean is -7/8. The text is 1/4 at the 16 pixels.
    seen, hidden = 4 / 16, -4 * 7 / 8 / (240 + 16 * 49 / 64) ** 0.5
    assert lost.max().item() == pytest.approx(seen - hidden, abs=ROUNDING)
    elsewhere = 4 / (16 + 224 + 16 * 49 / 64) ** 0.5
    assert lost[0, 0].item() == pytest.approx(seen - elsewhere, abs=ROUNDING)


def test_a_map_by_hand(double):
    image = drawings(1)[0]
    pixels, text = pixels_of(double[1], [image]), embed_texts(*double, ["a red dog"])[0]
    lost = occlusion(*double, image, "a red dog", patch=np.int64(2))
    for row in range(3):
        for column in range(3):
            covered = pixels.clone()
            mean = pixels.mean((2, 3)).view(3, 1, 1)
            covered[0, :, 4 * row : 4 * row + 8, 4 * column : 4 * column + 8] = mean
            wanted = (embed_images(*double, pixels) - embed_images(*double, covered))[0] @ text
            assert lost[row, column].item() == pytest.approx(wanted.item(), abs=ROUNDING)


@pytest.mark.parametrize("patch", [2, 3, 5, SIDE // 2])
def test_no_pixel_stays_in_view(processor, patch):
    for corner in (0, SIDE - 1):
        image, text = one_square(corner, corner, 1)
        lost = occlusion(Retina(text), processor, image, "dog", patch)
        assert lost.shape == (2 * patch - 1, 2 * patch - 1)
        assert lost[0, 0] > 0.1 if corner == 0 else lost[-1, -1] > 0.1  # else it would be 0 or less


# Arguments.


def red(mode="RGB", size=(SIDE, SIDE)):
    return Image.new(mode, size)


def spoilt(value):
    pixels = torch.zeros(2, 3, SIDE, SIDE)
    pixels[1, 2, 3, 4] = value
    return pixels


def cut():
    file = io.BytesIO()
    drawings(1)[0].save(file, "PNG")
    return Image.open(io.BytesIO(file.getvalue()[:-60]))


EYE = torch.eye(3)
ERRORS = [
    *(("images:", embed_images, (images,)) for images in ([], "cat.png", None, {}, red())),
    ("images[1]:", embed_images, ([red(), "cat.png"],)),
    ("images[0]:", embed_images, ([red(size=(0, 5))],)),
    ("images[1]: expected a picture that can be read whole", embed_images, ([red(), cut()],)),
    ("pixels:", embed_images, (torch.zeros(2, 3, 8, 8),)),
    ("pixels:", embed_images, (torch.zeros(0, 3, SIDE, SIDE),)),
    ("pixels:", embed_images, (torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8),)),
    ("pixels:", embed_images, (spoilt(torch.nan),)),
    *(("batch_size:", embed_images, ([red()], size)) for size in (0, 1.5, "2", None)),
    *(("texts:", embed_texts, (texts,)) for texts in ([], "a cat", ["a cat", 7], None, [""])),
    *(("names:", zero_shot_head, (names,)) for names in ([], "cat", ["cat", None], [0, 1])),
    *(
        ("templates:", zero_shot_head, (["cat"], templates))
        for templates in ([], "a {}", ["a {}", "a cat"], ["{} {}"], ["{label}"], ["{0}"], ["{} }"])
    ),
    *(("patch:", occlusion, (red(), "dog", patch)) for patch in (1, 9, 2.5, "4")),
]


@pytest.mark.parametrize(("words", "call", "given"), ERRORS, ids=map(str, range(len(ERRORS))))
def test_an_error_begins_with_the_argument(double, words, call, given):
    with pytest.raises(ValueError) as error:
        call(*double, *given)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize(
    "right", [[0, 1], ["a", "b", "c"], None, [0, 1, 3], [0, 1, -1], [0.5, 1, 2]]
)
def test_right_ones_that_are_not_in_the_gallery(right):
    with pytest.raises(ValueError, match=r"^right: expected"):
        retrieval_ranks(EYE, EYE, right)
