"""Embeddings and loss are those of transformers, whatever the batch and mode; ranks are exact."""

import copy
import io

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import CASES, SIDE, WIDTH, drawings, refusals, refused, same, tiny_clip, unit_rows
from PIL import Image

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


def close(found, wanted, atol=ROUNDING):
    return found.shape == wanted.shape and torch.allclose(found, wanted, atol=atol)


# Pixels.


def test_the_processor_is_given_what_a_viewer_shows():
    (image,), (plain,) = drawings(1), drawings(1)
    plain.getexif()[0x0112] = 6
    turned = image.transpose(Image.Transpose.ROTATE_270)
    assert torch.equal(pixels_of(tiny_clip()[1], [plain]), pixels_of(tiny_clip()[1], [turned]))


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
        loss = contrastive_loss(*found, model.logit_scale.exp(), ids)
        assert torch.allclose(loss, theirs.loss, rtol=ROUNDING)


@pytest.mark.parametrize("size", [1, 3, np.int64(100)])
def test_neither_batch_nor_order_matters(double, size):
    images, order = drawings(5), [3, 0, 4, 1, 2]
    given = pd.Series([images[index] for index in order], index=order)
    found = embed_images(*double, given, batch_size=size)
    assert close(found, embed_images(*double, pixels_of(double[1], images))[order])
    texts = np.array(TEXTS)[order]
    found = embed_texts(*double, pd.Series(texts, index=[9, 7, 5, 3, 1]))
    assert close(found, embed_texts(*double, tuple(TEXTS))[order])


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
def test_a_model_in_half_precision(make, precision):
    def every(model, processor):
        rows, texts = (
            embed_images(model, processor, drawings(5)),
            embed_texts(model, processor, TEXTS),
        )
        return rows, texts, contrastive_loss(rows, texts, model.logit_scale.exp()) / 10

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


def test_names_and_texts_that_the_model_cannot_tell_apart(double):
    for names in CASES["clip"]["alike"]:
        with refused("names", "clip.random_head"):
            zero_shot_head(*double, ["white", *names])
    for texts in (["a red 猫", "a red 狗"], ["a red", "a red 狗"]):
        with refused("texts"):
            embed_texts(*double, texts)
    embed_texts(*double, ["a red 猫", "a red 猫", "Cat", "cat", "a blue 狗"])


@pytest.mark.parametrize("model", ["emoji-clip", "sweep-clip"])
def test_what_the_bundled_models_cannot_read(model):
    double = fmcourse.load_clip(model)
    for names in (["猫", "狗"], ["🐱", "🐶"], ["C", "c"]):
        with refused("names", "clip.random_head"):
            zero_shot_head(*double, names)
    with refused("texts", "clip.random_head"):
        embed_texts(*double, ["犬"])
    head = zero_shot_head(*double, ["C", "C++", "piñata", "8", "a red 猫"])
    assert (head @ head.T - torch.eye(5)).max() < 0.99


# Ranks.


def test_ranks_equal_places_in_a_sorted_list(draw):
    queries, gallery = unit_rows(30), unit_rows(20, seed=1)
    right = draw.integers(0, 20, 30)
    order = (queries @ gallery.T).argsort(dim=1, descending=True).tolist()
    wanted = [row.index(index) for row, index in zip(order, right)]
    for given in (torch.tensor(right), right, pd.Series(right, index=range(50, 80))):
        assert retrieval_ranks(queries, gallery, given).tolist() == wanted
    # Ties and NaN count against the query.
    for value in (0.5, torch.nan):
        rows = torch.full((50, 4), value)
        assert retrieval_ranks(rows, rows, range(50)).tolist() == [49] * 50


# The contrastive loss.


def textbook(image, text, scale, ids):
    """Return the loss row by row, over those that mean the same."""
    logits, total = scale * image @ text.T, 0.0
    for table in (logits, logits.T):
        for row, meaning in zip(table.log_softmax(1), ids):
            alike = [index for index, other in enumerate(ids) if other == meaning]
            total -= row[alike].mean().item()
    return total / (2 * len(ids))


@pytest.mark.parametrize(
    "ids", [[5, 4, 3, 2, 1, 0], [0, 0, 1, 1, 2, 2], [7, 7, 7, 7, 7, -1], [0] * 6]
)
def test_the_loss_is_the_definition_term_by_term(ids):
    image, text = (unit_rows(6, 4, seed).double().requires_grad_() for seed in (1, 2))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    wanted = textbook(image, text, 5.0, ids)
    for given in (ids, np.array(ids), torch.tensor(ids), pd.Series(ids, index=range(10, 16))):
        assert contrastive_loss(image, text, scale, given).item() == pytest.approx(wanted)

    def loss(*given):
        return contrastive_loss(*given, ids)

    assert torch.autograd.gradcheck(loss, (image, text, scale))


# Occlusion.


def test_a_square_is_hidden_by_hand(double):
    pixels, (image,) = pixels_of(double[1], drawings(1)), drawings(1)
    lost = occlusion(*double, image, "red")
    assert lost.shape == (7, 7)
    for row, column in ((0, 0), (4, 2), (6, 6)):
        hidden = pixels.clone()
        # A quarter of 16 pixels, moved by half of it.
        square = hidden[0, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
        square[:] = pixels[0].mean((1, 2))[:, None, None]
        gap = embed_images(*double, pixels) - embed_images(*double, hidden)
        assert close(lost[row, column], (gap @ embed_texts(*double, ["red"])[0])[0])


# Arguments.


def cut():
    file = io.BytesIO()
    drawings(1)[0].save(file, "PNG")
    return Image.open(io.BytesIO(file.getvalue()[:-60]))


EYE, (RED,), DOUBLE = torch.eye(3), drawings(1), tiny_clip()
REFUSED = CASES["clip"]["refused"]
test_an_error_begins_with_the_argument = refusals(
    *((named, getattr(clip, name), *DOUBLE, *given) for name, given, named in REFUSED),
    ("images", embed_images, *DOUBLE, RED),
    (r"images\[0\]", embed_images, *DOUBLE, [Image.new("RGB", (0, 5))]),
    (r"images\[1\]", embed_images, *DOUBLE, [RED, cut()]),
    ("pixels", embed_images, *DOUBLE, torch.full((1, 3, SIDE, SIDE), torch.nan)),
    *(("right", retrieval_ranks, EYE, EYE, [0, 1, last]) for last in (3, -1, 0.5)),
    ("right", retrieval_ranks, EYE, EYE, [0, 1]),
    ("ids", contrastive_loss, EYE, EYE, 1, [0, 1]),
    ("image", contrastive_loss, EYE[0], EYE, 1),
    ("text", contrastive_loss, EYE, EYE[:2], 1),
)
