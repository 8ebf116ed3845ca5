"""The contrastive loss is transformers' own where captions differ, right where they repeat."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import CLIPS, drawings
from torch.nn import functional

from fmcourse.clip import contrastive_loss, embed_images, embed_texts, embedding, soft_targets

ROUNDING = 1e-6  # fp32: losses below 10, sums of a few terms
TEXTS = ["red square", "a green circle", "dog", "an emoji of a blue cat", "white"]


def unit_rows(count=6, width=4, seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, width, generator=draw, dtype=torch.float64)
    return functional.normalize(rows, dim=1).to(dtype)


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


def about(value):
    return pytest.approx(value, rel=ROUNDING, abs=ROUNDING)


def test_a_repeated_caption_on_paper():
    # Pairs 1 and 3 mean the same, but the third text lies at the second's place. With a scale of
    # log 2 the odds are 2 for rows at one place and 1 for others. From pictures: (2, 1, 1),
    # (1, 2, 2), (2, 1, 1); from texts: (2, 1, 2), (1, 2, 1) twice.
    image, text = torch.eye(2)[[0, 1, 0]], torch.eye(2)[[0, 1, 1]]
    pictures = [1.5 * math.log(2), math.log(5 / 2), 1.5 * math.log(2)]
    texts = [math.log(5 / 2), math.log(2), math.log(4)]
    found = contrastive_loss(image, text, math.log(2), ids=[3, 5, 3])
    assert found.shape == () and found.item() == about(sum(pictures + texts) / 6)


def test_at_its_endpoints():
    rows, places = unit_rows(6), torch.eye(3)[[0, 0, 1, 2]]
    # One pair: there is nothing to confuse it with. Scale 0: all are alike.
    assert contrastive_loss(rows[:1], rows[1:2], 5.0).item() == 0
    assert contrastive_loss(rows, rows, 0.0).item() == about(math.log(6))
    assert contrastive_loss(torch.eye(6), torch.eye(6), 100.0).item() == about(0)
    # The least loss is that of the targets themselves.
    assert contrastive_loss(places, places, 100.0, [0, 0, 1, 2]).item() == about(math.log(2) / 2)


@pytest.mark.parametrize("double", CLIPS.values(), ids=CLIPS)
def test_equals_transformers_where_captions_differ(double):
    model, processor = double()
    images = drawings(len(TEXTS))
    inputs = processor(text=TEXTS, images=images, return_tensors="pt", padding=True)
    with torch.inference_mode():
        theirs = model(**inputs, return_loss=True).loss.item()
    rows = embed_images(model, processor, images), embed_texts(model, processor, TEXTS)
    for ids in (None, range(len(TEXTS))):
        assert contrastive_loss(*rows, model.logit_scale.exp(), ids).item() == about(theirs)


@pytest.mark.parametrize(
    "ids", [[5, 4, 3, 2, 1, 0], [0, 0, 1, 1, 2, 2], [7, 7, 7, 7, 7, -1], [0] * 6], ids=str
)
def test_equals_the_definition_term_by_term(ids):
    image, text = unit_rows(seed=1), unit_rows(seed=2)
    wanted = textbook(image, text, 5.0, ids)
    column = pd.Series(ids, index=range(10, 16))
    for given in (ids, np.array(ids), torch.tensor(ids), column):
        assert contrastive_loss(image, text, 5.0, given).item() == about(wanted)


def test_targets_do_not_matter_while_equal_ids_have_equal_texts():
    """The one case in which the diagonal costs nothing: the same row for each text of an id."""
    ids = torch.tensor([0, 1, 0, 2, 1, 0])
    image, text = unit_rows(seed=1).requires_grad_(), unit_rows(3, seed=2)[ids]
    losses = contrastive_loss(image, text, 9.0), contrastive_loss(image, text, 9.0, ids)
    assert losses[0].item() == about(losses[1].item())
    slopes = [torch.autograd.grad(loss, image)[0] for loss in losses]
    assert torch.allclose(*slopes, atol=10 * ROUNDING)  # gradients are up to the scale times larger


@pytest.mark.parametrize("ids", [None, [0, 1, 0, 2, 1, 0]], ids=str)
def test_the_gradient_is_that_of_finite_differences(ids):
    image, text = (unit_rows(seed=seed, dtype=torch.float64).requires_grad_() for seed in (1, 2))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)

    def loss(*given):
        return contrastive_loss(*given, ids)

    assert torch.autograd.gradcheck(loss, (image, text, scale))


def test_soft_targets_on_paper():
    wanted = [[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 3, 0], [1, 1, 0, 1]]
    assert soft_targets([1, 1, 2, 1], 4).mul(3).tolist() == wanted
    assert torch.equal(soft_targets([4, 2, 9], 3), torch.eye(3))


ROWS = unit_rows(3)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("image: expected shape", (ROWS[0], ROWS[0], 1.0)),
        ("text: expected", (ROWS, ROWS[:2], 1.0)),
        ("text: expected", (ROWS, ROWS[:, None], 1.0)),
        ("ids: expected one whole number", (ROWS, ROWS, 1.0, [0, 1])),
        ("ids: expected whole numbers", (ROWS, ROWS, 1.0, ["cat", "dog", "cat"])),
        ("ids: expected whole numbers", (ROWS, ROWS, 1.0, [0, 1, math.nan])),
    ],
)
def test_arguments_that_do_not_fit(words, given):
    with pytest.raises(ValueError, match=f"^{words}"):
        contrastive_loss(*given)


def test_the_old_module_name_still_leads_here():
    assert importlib.import_module("fmcourse.clip.contrast") is embedding
