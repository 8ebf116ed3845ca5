"""Embeddings and loss are those of transformers, whatever the batch and mode; ranks are exact."""

from __future__ import annotations

import copy
import io
import math
import types

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import CLIPS, SIDE, TOKENS, WIDTH, drawings, same, tiny_clip
from PIL import Image
from torch.nn import functional

import fmcourse
from fmcourse import clip
from fmcourse.clip import (
    TEMPLATES,
    contrastive_loss,
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


def about(value):
    return pytest.approx(float(value), rel=ROUNDING, abs=ROUNDING)


# Pixels.


def test_the_processor_is_given_what_a_viewer_shows(processor):
    images = [image.convert(mode) for mode in ("RGBA", "LA", "P", "I;16") for image in drawings(2)]
    images[0].getexif()[0x0112] = 6
    shown = [clip.pictures.as_seen(image) for image in images]
    assert torch.equal(pixels_of(processor, images), pixels_of(processor, shown))
    assert np.array_equal(shown[0], np.rot90(np.asarray(drawings(1)[0]), -1))


# Embeddings.


def test_both_encoders_and_the_loss_are_those_of_transformers(double):
    model, processor = double
    inputs = processor(images=drawings(5), text=TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        theirs = model(**inputs, return_loss=True)
    found = embed_images(model, processor, drawings(5)), embed_texts(model, processor, TEXTS)
    for ours, wanted in zip(found, (theirs.image_embeds, theirs.text_embeds)):
        assert close(ours, wanted) and ours.shape == (5, WIDTH)
        # The double tells inputs apart, so that this says something.
        assert (ours @ ours.T).min() < 0.98
        weight = torch.ones(WIDTH, requires_grad=True)
        (ours @ weight).sum().backward()  # and they may be used in a loss
        assert close(weight.grad, ours.sum(0), 10 * ROUNDING) and not ours.requires_grad
    for ids in (None, range(5)):
        assert contrastive_loss(*found, model.logit_scale.exp(), ids).item() == about(theirs.loss)


@pytest.mark.parametrize("size", [1, 3, np.int64(100)])
def test_neither_batch_nor_order_matters(double, size):
    images, order = drawings(5), [3, 0, 4, 1, 2]
    given = pd.Series([images[index] for index in order], index=order)
    found = embed_images(*double, given, batch_size=size)
    assert close(found, embed_images(*double, pixels_of(double[1], images))[order])
    texts = np.array(TEXTS)[order]
    found = embed_texts(*double, pd.Series(texts, index=[9, 7, 5, 3, 1]), batch_size=size)
    assert close(found, embed_texts(*double, tuple(TEXTS))[order])


@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_a_model_in_training_is_left_as_it_was(make):
    images = drawings(4)
    evaluated, processor = make(dropout=0.5)
    wanted = embed_images(evaluated, processor, images), embed_texts(evaluated, processor, TEXTS)
    model, _ = make(dropout=0.5)
    model.train().text_model.eval()
    modes = [part.training for part in model.modules()]
    before = copy.deepcopy(model)
    found = embed_images(model, processor, images), embed_texts(model, processor, TEXTS)
    assert all(map(torch.equal, found, wanted))  # no dropout, and the statistics of the foundation
    assert [part.training for part in model.modules()] == modes
    assert same(model, before)


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
    ["кот", "cat"],
    ["🐱", "dog"],
    ["red 猫", "red 狗"],
    ["red", "red 猫 猫"],
    ["Cat", "cat"],
    ["red  cat", "red cat"],
    ["  ", "cat"],
    ["[PAD]", "cat"],
    [f"{LONG} red", f"{LONG} blue"],
]


def test_names_that_the_model_cannot_tell_apart(double):
    for names in ALIKE:
        with pytest.raises(ValueError, match=r"^names: expected .*clip\.random_head"):
            zero_shot_head(*double, ["white", *names])


@pytest.mark.parametrize("model", ["emoji-clip", "sweep-clip"])
def test_what_the_bundled_models_cannot_read(model):
    model, processor = fmcourse.load_clip(model)
    for names in (["猫", "狗"], ["ё", "ж"], ["🐱", "🐶"], ["C", "c"]):
        with pytest.raises(ValueError, match=r"^names: .*clip\.random_head"):
            zero_shot_head(model, processor, names)
    with pytest.raises(ValueError, match=r"^texts: .*clip\.random_head"):
        embed_texts(model, processor, ["犬"])
    head = zero_shot_head(model, processor, ["C", "C++", "piñata", "8", "a red 猫"])
    assert (head @ head.T - torch.eye(5)).max() < 0.99


def test_texts_that_differ_in_unknown_words_only(double):
    for texts in (["a red 猫", "a red 狗"], ["a red", "a red 狗"]):
        with pytest.raises(ValueError, match="^texts: expected"):
            embed_texts(*double, texts)
    embed_texts(*double, ["a red 猫", "a red 猫", "Cat", "cat", "a blue 狗"])


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
    # Ties and NaN count against the query.
    assert retrieval_ranks(torch.eye(3)[:2], torch.eye(3)[[0, 0, 1]], [0, 2]).tolist() == [1, 0]
    for value in (0.5, torch.nan):
        rows = torch.full((50, 4), value)
        assert retrieval_ranks(rows, rows, range(50)).tolist() == [49] * 50


# The contrastive loss.


def unit_rows(count=6, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, 4, generator=draw, dtype=torch.float64), dim=1)


def textbook(image, text, scale, ids):
    """Return the loss term by term, over those that mean the same."""

    def one_way(own, others):
        total = 0.0
        for row, meaning in zip(own, ids):
            odds = [math.exp(scale * sum(a * b for a, b in zip(row, other))) for other in others]
            wanted = [odd for odd, other in zip(odds, ids) if other == meaning]
            total -= sum(math.log(odd / sum(odds)) for odd in wanted) / len(wanted)
        return total / len(own)

    image, text = image.tolist(), text.tolist()
    return (one_way(image, text) + one_way(text, image)) / 2


@pytest.mark.parametrize(
    "ids", [[5, 4, 3, 2, 1, 0], [0, 0, 1, 1, 2, 2], [7, 7, 7, 7, 7, -1], [0] * 6], ids=str
)
def test_the_loss_is_the_definition_term_by_term(ids):
    image, text = unit_rows(seed=1).requires_grad_(), unit_rows(seed=2)
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    wanted = textbook(image, text, 5.0, ids)
    for given in (ids, np.array(ids), torch.tensor(ids), pd.Series(ids, index=range(10, 16))):
        assert contrastive_loss(image, text, scale, given).item() == about(wanted)

    def loss(*given):
        return contrastive_loss(*given, ids)

    assert torch.autograd.gradcheck(loss, (image, text, scale))


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


# Arguments.


def red(mode="RGB", size=(SIDE, SIDE)):
    return Image.new(mode, size)


def cut():
    file = io.BytesIO()
    drawings(1)[0].save(file, "PNG")
    return Image.open(io.BytesIO(file.getvalue()[:-60]))


EYE = torch.eye(3)
NAN = torch.full((1, 3, SIDE, SIDE), torch.nan)
WRONG = {
    "images": [[], "cat.png", None, {}, red()],
    "images[0]": [[red(size=(0, 5))]],
    "images[1]": [[red(), "cat.png"], [red(), cut()]],
    "pixels": [torch.zeros(2, 3, 8, 8), torch.zeros(0, 3, SIDE, SIDE), NAN],
    "texts": ["a cat", [""]],
    "names": ["cat", [0, 1]],
    "templates": ["a {}", ["a {}", "a cat"], ["{} {}"], ["{label}"]],
    "batch_size": [0],
    "patch": [1, 9],
    "right": [[0, 1], [0, 1, 3], [0, 1, -1], [0.5, 1, 2]],
    "ids": [[0, 1], [0, 1, math.nan]],
    "image": [EYE[0]],
    "text": [EYE[:2], EYE[:, None]],
}
CALLS = {
    "texts": embed_texts,
    "names": zero_shot_head,
    "templates": lambda model, processor, value: zero_shot_head(model, processor, ["cat"], value),
    "batch_size": lambda model, processor, value: embed_images(model, processor, [red()], value),
    "patch": lambda model, processor, value: occlusion(model, processor, red(), "dog", value),
    "right": lambda model, processor, value: retrieval_ranks(EYE, EYE, value),
    "ids": lambda model, processor, value: contrastive_loss(EYE, EYE, 1.0, value),
    "image": lambda model, processor, value: contrastive_loss(value, EYE, 1.0),
    "text": lambda model, processor, value: contrastive_loss(EYE, value, 1.0),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_error_begins_with_the_argument(double, name):
    for value in WRONG[name]:
        with pytest.raises(ValueError) as error:
            CALLS.get(name, embed_images)(*double, value)
        assert str(error.value).startswith(f"{name}: expected")
