"""Each of the seven switches does one thing wrong, and a test would have caught it."""

import copy
import dataclasses
import math

import pandas as pd
import pytest
import torch
from doubles import WIDTH, drawings, refused, same, tiny_clip, tiny_vit_clip
from torch.nn import functional

from fmcourse.clip import (
    MISTAKES,
    Habits,
    contrastive_loss,
    embed_images,
    embed_texts,
    fine_tune_pairs,
    mistakes,
    pixels_of,
)

ROUNDING = 1e-5  # fp32: losses of a few units, a dozen layers
CAPTIONS = ["red", "a green circle", "red", "dog", "a green circle", "red"]
MEANINGS = [0, 1, 0, 2, 1, 0]
PIXELS = pixels_of(tiny_clip()[1], drawings(6))
STEPS = 6


FAST = Habits(lr=1e-2)


def tune(double, habits=FAST, images=PIXELS, captions=CAPTIONS, **changes):
    settings = {"steps": STEPS, "batch_size": 6, "progress": False} | changes
    return fine_tune_pairs(*double, images, captions, habits, **settings)


@pytest.fixture
def seen(monkeypatch):
    """Remember what the loss is given, once a step: embeddings of both kinds, scale and ids."""
    given = []

    def spy(*arguments):
        given.append(arguments)
        return contrastive_loss(*arguments)

    monkeypatch.setattr(mistakes, "contrastive_loss", spy)
    return given


# Done right.


def test_pairs_are_learned_and_both_encoders_move_and_nothing_else(double):
    before = copy.deepcopy((double[0], PIXELS, torch.get_rng_state()))
    tuned, run = tune(double, steps=60)
    rows = embed_images(*double, PIXELS), embed_texts(*double, CAPTIONS)
    first = contrastive_loss(*rows, double[0].logit_scale.exp(), MEANINGS).item()
    assert run.losses[0] == pytest.approx(first, abs=10 * ROUNDING)  # the scale is 14
    # Three pictures of one caption, two of a second, one of a third.
    least = (3 * math.log(3) + 2 * math.log(2)) / 6
    assert run.losses[-1] == pytest.approx(least, abs=1e-3) and run.losses[0] > least + 1
    texts = embed_texts(tuned, double[1], ["red", "a green circle", "dog"])
    assert (embed_images(tuned, double[1], PIXELS) @ texts.T).argmax(1).tolist() == MEANINGS
    assert same(double[0], before[0]) and not double[0].training and not tuned.training
    assert torch.equal(PIXELS, before[1]) and torch.equal(torch.get_rng_state(), before[2])
    state = before[0].state_dict()
    moved = {n for n, value in tuned.state_dict().items() if not torch.equal(value, state[n])}
    # Embeddings of tokens that do not occur stay, and so do statistics.
    weights = {name for name, _ in tuned.named_parameters() if "embedding" not in name}
    assert weights <= moved <= {name for name, _ in tuned.named_parameters()}


def test_different_habits_never_share_a_result(checkpoint):
    how = {"double": tiny_vit_clip(), "habits": Habits(), "checkpoint": checkpoint}
    tuned, _ = tune(**how)
    again, run = tune(**how)
    assert run.resumed_from == STEPS and same(again, tuned)
    changes = [{"habits": habits} for habits in MISTAKES.values() if not habits.half]
    changes += [{"batch_size": 3}, {"captions": CAPTIONS[::-1]}, {"ids": range(6)}, {"seed": 1}]
    for change in changes:
        with refused("checkpoint", "different run"):
            tune(**(how | change))


# Seven mistakes.


def wrong(switch):
    """Return the habits whose one mistake is in this switch."""
    right = {switch: getattr(Habits(), switch)}
    (found,) = [
        habits for habits in MISTAKES.values() if dataclasses.replace(habits, **right) == Habits()
    ]
    return found


def test_captions_that_mean_the_same(double):
    # By default those that are equal; pixels are pictures.
    captions = pd.Series(CAPTIONS, index=range(3, 9))
    found = tune(double, images=drawings(6), captions=captions)[0]
    assert same(tune(double, ids=pd.Series(MEANINGS, index=range(5, 11)))[0], found)


def test_the_diagonal_costs_where_words_differ_only(double):
    def first_losses(ids):
        both = (Habits(), wrong("diagonal"))
        return [tune(double, habits, steps=1, ids=ids)[1].losses[0] for habits in both]

    spread, diagonal = first_losses(MEANINGS)
    # Equal words have equal embeddings, and both losses agree.
    assert spread == pytest.approx(diagonal, abs=10 * ROUNDING)
    spread, diagonal = first_losses([0, 0, 0, 1, 1, 1])
    assert abs(spread - diagonal) > 0.01


def test_fp16_is_lost_after_one_step_and_fp32_is_not(double):
    finite = []

    def measure(model):
        finite.append(embed_images(model, double[1], PIXELS).isfinite().all().item())
        return {"finite": finite[-1]}

    with pytest.raises(FloatingPointError, match="nan at step 1"):
        tune(double, wrong("half"), measure=measure, measure_every=1)
    assert finite == [True, False]
    half = copy.deepcopy(double[0]).half(), double[1]
    for tuned, _ in (tune(half), tune(double, precision="bf16")):
        assert all(p.isfinite().all() and p.dtype == torch.float32 for p in tuned.parameters())


def test_the_scale_is_kept_at_or_below_100(double, monkeypatch):
    # A loss that rewards nothing but a larger scale.
    monkeypatch.setattr(mistakes, "contrastive_loss", lambda image, text, scale, ids: -scale)
    near = copy.deepcopy(double[0])
    near.logit_scale.data.fill_(math.log(99.9))
    for habits, least in ((wrong("clamped"), 101), (Habits(), 99.99)):
        tuned, run = tune((near, double[1]), dataclasses.replace(habits, lr=1e-2), steps=12)
        assert tuned.logit_scale.exp().item() > least
        assert (min(run.losses) < -100.01) == (not habits.clamped)


def test_embeddings_have_length_1_or_not(double, seen):
    for habits in (Habits(), wrong("normalized"), wrong("stray_dimension")):
        tune(double, habits, steps=1)
    (image, text, *_), (long_image, long_text, *_), (same_image, signs, *_) = seen
    for rows, long_rows in ((image, long_image), (text, long_text)):
        assert torch.allclose(rows.norm(dim=1), torch.ones(6), atol=ROUNDING)
        assert (long_rows.norm(dim=1) - 1).abs().max() > 0.1
        assert torch.allclose(functional.normalize(long_rows, dim=1), rows, atol=ROUNDING)
    # A stray dimension leaves nothing but signs; a check of the length would have told.
    assert torch.equal(image, same_image) and torch.equal(signs, text.sign())
    assert torch.allclose(signs.norm(dim=1), torch.full((6,), WIDTH**0.5))


def test_arguments_that_do_not_fit():
    for name, value in {"ids": [0, 1], "captions": "abcdef", "batch_size": 0}.items():
        with refused(name):
            tune(tiny_vit_clip(), **{name: value})
    with refused("precision"):
        tune(tiny_vit_clip(), Habits(half=True), precision="fp16")
    with pytest.raises(TypeError, match="accumulate"):
        tune(tiny_vit_clip(), accumulate=2)
