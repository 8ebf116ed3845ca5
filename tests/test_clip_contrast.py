"""The contrastive loss is transformers' own where captions differ, and right on paper where they repeat."""

from __future__ import annotations

import math

import pytest
import torch
from doubles import CLIPS, drawings, says
from torch.nn import functional

from fmcourse.clip import contrastive_loss, embed_images, embed_texts, soft_targets

ROUNDING = 1e-6  # fp32: losses below 10, sums of a few terms
TEXTS = ["red square", "a green circle", "dog", "an emoji of a blue cat", "white"]


def unit_rows(count=6, width=4, seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    return functional.normalize(
        torch.randn(count, width, generator=draw, dtype=torch.float64), dim=1
    ).to(dtype)


def textbook(image, text, scale, ids):
    """Return the loss term by term: of each row over all others, and the mean over those that mean the same."""

    def one_way(own, others):
        total = 0.0
        for row, meaning in zip(own, ids):
            odds = [math.exp(scale * sum(a * b for a, b in zip(row, other))) for other in others]
            wanted = [odd for odd, other in zip(odds, ids) if other == meaning]
            total -= sum(math.log(odd / sum(odds)) for odd in wanted) / len(wanted)
        return total / len(own)

    image, text = image.tolist(), text.tolist()
    return (one_way(image, text) + one_way(text, image)) / 2


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0])
def test_two_pairs_on_paper(scale):
    rows = torch.eye(2)
    assert contrastive_loss(rows, rows, scale).item() == pytest.approx(
        math.log(1 + math.exp(-scale)), abs=ROUNDING
    )


def test_a_repeated_caption_on_paper():
    # Pairs 1 and 3 mean the same, but the third text lies at the second's place. With a scale of log 2 the odds are 2 for
    # rows at one place and 1 for others. From pictures: (2, 1, 1), (1, 2, 2), (2, 1, 1); from texts: (2, 1, 2), (1, 2, 1) twice.
    image = torch.eye(2)[[0, 1, 0]]
    text = torch.eye(2)[[0, 1, 1]]
    pictures = [1.5 * math.log(2), math.log(5 / 2), 1.5 * math.log(2)]
    texts = [math.log(5 / 2), math.log(2), math.log(4)]
    found = contrastive_loss(image, text, math.log(2), ids=[3, 5, 3])
    assert found.shape == () and found.item() == pytest.approx(
        sum(pictures + texts) / 6, abs=ROUNDING
    )


def test_at_its_endpoints():
    rows = unit_rows(6)
    assert (
        contrastive_loss(rows[:1], rows[1:2], 5.0).item() == 0
    )  # one pair: there is nothing to confuse it with
    assert contrastive_loss(rows, rows, 0.0).item() == pytest.approx(
        math.log(6), abs=ROUNDING
    )  # scale 0: all are alike
    assert contrastive_loss(torch.eye(6), torch.eye(6), 100.0).item() == pytest.approx(
        0, abs=ROUNDING
    )


def test_the_least_loss_is_that_of_the_targets_themselves():
    places = torch.eye(3)[[0, 0, 1, 2]]
    assert contrastive_loss(places, places, 100.0, ids=[0, 0, 1, 2]).item() == pytest.approx(
        math.log(2) / 2, abs=ROUNDING
    )


@pytest.mark.parametrize("double", CLIPS.values(), ids=CLIPS)
def test_equals_transformers_where_captions_differ(double):
    model, processor = double()
    images = drawings(len(TEXTS))
    inputs = processor(text=TEXTS, images=images, return_tensors="pt", padding=True)
    with torch.inference_mode():
        theirs = model(**inputs, return_loss=True).loss
    rows = embed_images(model, processor, images), embed_texts(model, processor, TEXTS)
    scale = model.logit_scale.exp()
    assert contrastive_loss(*rows, scale).item() == pytest.approx(theirs.item(), rel=ROUNDING)
    assert contrastive_loss(*rows, scale, ids=range(len(TEXTS))).item() == pytest.approx(
        theirs.item(), rel=ROUNDING
    )


@pytest.mark.parametrize(
    "ids", [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2], [7, 7, 7, 7, 7, -1], [0] * 6], ids=str
)
def test_equals_the_definition_term_by_term(ids):
    image, text = unit_rows(seed=1), unit_rows(seed=2)
    assert contrastive_loss(image, text, 5.0, ids).item() == pytest.approx(
        textbook(image, text, 5.0, ids), rel=ROUNDING
    )


def test_without_ids_all_differ():
    image, text = unit_rows(seed=1), unit_rows(seed=2)
    assert torch.equal(
        contrastive_loss(image, text, 9.0),
        contrastive_loss(image, text, 9.0, ids=[5, 4, 3, 2, 1, 0]),
    )


def test_only_the_diagonal_pushes_equal_captions_apart():
    together, apart = torch.eye(3)[[0, 0, 1]], torch.eye(3)
    ids = [0, 0, 1]
    assert contrastive_loss(apart, apart, 9.0) < contrastive_loss(together, together, 9.0)
    assert contrastive_loss(together, together, 9.0, ids) < contrastive_loss(apart, apart, 9.0, ids)


def test_targets_do_not_matter_while_equal_ids_have_equal_texts():
    """Hold the one case in which the diagonal costs nothing: one and the same row for each text of an id."""
    ids = torch.tensor([0, 1, 0, 2, 1, 0])
    image, text = unit_rows(seed=1).requires_grad_(), unit_rows(3, seed=2)[ids]
    losses = contrastive_loss(image, text, 9.0), contrastive_loss(image, text, 9.0, ids)
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=ROUNDING)
    slopes = [torch.autograd.grad(loss, image)[0] for loss in losses]
    assert torch.allclose(*slopes, atol=10 * ROUNDING)  # gradients are up to the scale times larger


@pytest.mark.parametrize("ids", [None, [0, 1, 0, 2, 1, 0]], ids=str)
def test_the_order_of_pairs_does_not_matter(ids):
    image, text = unit_rows(seed=1), unit_rows(seed=2)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    moved = contrastive_loss(
        image[order], text[order], 5.0, None if ids is None else torch.tensor(ids)[order]
    )
    assert moved.item() == pytest.approx(
        contrastive_loss(image, text, 5.0, ids).item(), rel=ROUNDING
    )


def test_pictures_and_texts_may_change_sides_and_ids_their_names():
    image, text, ids = unit_rows(seed=1), unit_rows(seed=2), [0, 1, 0, 2, 1, 0]
    loss = contrastive_loss(image, text, 5.0, ids).item()
    assert contrastive_loss(text, image, 5.0, ids).item() == pytest.approx(loss, rel=ROUNDING)
    assert contrastive_loss(image, text, 5.0, torch.tensor([40, -3, 40, 8, -3, 40])).item() == loss


@pytest.mark.parametrize("ids", [None, [0, 1, 0, 2, 1, 0]], ids=str)
def test_the_gradient_is_that_of_finite_differences(ids):
    image, text = (unit_rows(seed=seed, dtype=torch.float64).requires_grad_() for seed in (1, 2))
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda *given: contrastive_loss(*given, ids), (image, text, scale)
    )


def test_inputs_stay_as_they_are():
    image, text, ids = unit_rows(seed=1), unit_rows(seed=2), torch.tensor([0, 1, 0, 2, 1, 0])
    kept = [value.clone() for value in (image, text, ids)]
    contrastive_loss(image, text, 5.0, ids)
    assert all(map(torch.equal, (image, text, ids), kept))


def test_soft_targets_on_paper():
    assert soft_targets([1, 1, 2, 1], 4).mul(3).tolist() == [
        [1, 1, 0, 1],
        [1, 1, 0, 1],
        [0, 0, 3, 0],
        [1, 1, 0, 1],
    ]
    assert torch.equal(soft_targets([4, 2, 9], 3), torch.eye(3))


ROWS = unit_rows(3)
ERRORS = [
    (
        lambda: contrastive_loss(ROWS[0], ROWS[0], 1.0),
        "image: expected rows of shape (n, d), n at least 1, got (4,)",
    ),
    (
        lambda: contrastive_loss(ROWS[:0], ROWS[:0], 1.0),
        "image: expected rows of shape (n, d), n at least 1, got (0, 4)",
    ),
    (
        lambda: contrastive_loss(ROWS, ROWS[:2], 1.0),
        "text: expected rows of the same shape (3, 4), got (2, 4)",
    ),
    (
        lambda: contrastive_loss(ROWS, ROWS[:, None], 1.0),
        "text: expected rows of the same shape (3, 4), got (3, 1, 4)",
    ),
    (
        lambda: contrastive_loss(ROWS, ROWS, 1.0, [0, 1]),
        "ids: expected one for each of the 3 pairs, got 'shape (2,)'",
    ),
    (
        lambda: soft_targets([[0, 1]], 2),
        "ids: expected one for each of the 2 pairs, got 'shape (1, 2)'",
    ),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(call, words):
    with says(ValueError, words):
        call()
