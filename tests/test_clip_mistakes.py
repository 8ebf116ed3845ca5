"""Each of the seven switches does one thing wrong, and a test would have caught it."""

from __future__ import annotations

import copy
import dataclasses
import math

import pandas as pd
import pytest
import torch
from doubles import CLIPS, WIDTH, drawings, same, tiny_clip, tiny_vit_clip
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


@pytest.fixture(scope="module", params=CLIPS.values(), ids=CLIPS)
def double(request):
    """Return a model and its processor; no test changes them."""
    return request.param()


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


def test_pairs_are_learned(double):
    tuned, run = tune(double, steps=60)
    rows = embed_images(*double, PIXELS), embed_texts(*double, CAPTIONS)
    first = contrastive_loss(*rows, double[0].logit_scale.exp(), MEANINGS).item()
    assert run.losses[0] == pytest.approx(first, abs=10 * ROUNDING)  # the scale is 14
    # Three pictures of one caption, two of a second, one of a third.
    least = (3 * math.log(3) + 2 * math.log(2)) / 6
    assert run.losses[-1] == pytest.approx(least, abs=1e-3) and run.losses[0] > least + 1
    texts = embed_texts(tuned, double[1], ["red", "a green circle", "dog"])
    assert (embed_images(tuned, double[1], PIXELS) @ texts.T).argmax(1).tolist() == MEANINGS


def test_both_encoders_move_and_nothing_else(double):
    torch.manual_seed(1234)  # no state that a different run has left
    before = copy.deepcopy((double[0], PIXELS, torch.get_rng_state()))
    tuned, _ = tune(double, steps=20)
    assert same(double[0], before[0]) and not double[0].training and not tuned.training
    assert torch.equal(PIXELS, before[1]) and torch.equal(torch.get_rng_state(), before[2])
    state = before[0].state_dict()
    moved = {n for n, value in tuned.state_dict().items() if not torch.equal(value, state[n])}
    # Embeddings of tokens that do not occur stay, and so do statistics.
    weights = {name for name, _ in tuned.named_parameters() if "embedding" not in name}
    assert weights <= moved <= {name for name, _ in tuned.named_parameters()}


CHANGES = [{"habits": habits} for name, habits in MISTAKES.items() if not habits.half]
CHANGES += [{"batch_size": 3}, {"captions": CAPTIONS[::-1]}, {"ids": range(6)}, {"seed": 1}]


@pytest.mark.parametrize("index", range(len(CHANGES)))
def test_different_habits_never_share_a_result(tmp_path, index):
    how = {"double": tiny_vit_clip(), "habits": Habits(), "checkpoint": tmp_path / "run.pt"}
    tuned, _ = tune(**how)
    again, run = tune(**how)
    assert run.resumed_from == STEPS and same(again, tuned)
    with pytest.raises(ValueError, match="run"):
        tune(**(how | CHANGES[index]))


# Seven mistakes.


def wrong(switch):
    """Return the habits whose one mistake is in this switch."""
    plain = Habits()
    (found,) = [
        habits
        for habits in MISTAKES.values()
        if dataclasses.replace(habits, **{switch: getattr(plain, switch)}) == plain
    ]
    return found


def test_each_mistake_is_one_switch():
    assert len({wrong(field.name) for field in dataclasses.fields(Habits)}) == len(MISTAKES)


def test_captions_that_mean_the_same(double, seen):
    ids = [4, 4, 4, 9, 9, 9]
    tune(double, steps=1, ids=pd.Series([0, *ids])[1:])
    assert sorted(seen.pop()[3].tolist()) == ids
    # By default those that are equal; pixels are pictures.
    captions = pd.Series(CAPTIONS, index=range(3, 9))
    found = tune(double, images=drawings(6), captions=captions)[0]
    assert same(tune(double, ids=MEANINGS)[0], found)


def test_the_diagonal_costs_where_words_differ_only(double, seen):
    def first_losses(ids):
        both = (Habits(), wrong("diagonal"))
        return [tune(double, habits, steps=1, ids=ids)[1].losses[0] for habits in both]

    spread, diagonal = first_losses(MEANINGS)
    # Equal words have equal embeddings, and both losses agree.
    assert spread == pytest.approx(diagonal, abs=10 * ROUNDING)
    spread, diagonal = first_losses([0, 0, 0, 1, 1, 1])
    assert abs(spread - diagonal) > 0.01
    assert [ids is None for *_, ids in seen] == [False, True] * 2


def test_fp16_is_lost_after_one_step_and_fp32_is_not(double):
    finite = []

    def measure(model):
        finite.append(embed_images(model, double[1], PIXELS).isfinite().all().item())
        return {"finite": finite[-1]}

    with pytest.raises(FloatingPointError, match="nan at step 1"):
        tune(double, wrong("half"), measure=measure, measure_every=1)
    assert finite == [True, False]
    half = copy.deepcopy(double[0]).half(), double[1]
    for model in (double, half):
        tuned, _ = tune(model, Habits())
        assert all(p.isfinite().all() and p.dtype == torch.float32 for p in tuned.parameters())


def test_mixed_precision_is_harmless_and_the_loss_stays_in_single_precision(double, monkeypatch):
    halved = []

    def spy(*arguments):
        halved.append(torch.is_autocast_enabled("cpu"))
        return contrastive_loss(*arguments)

    monkeypatch.setattr(mistakes, "contrastive_loss", spy)
    tuned, run = tune(double, precision="bf16")
    assert {value.dtype for value in tuned.parameters()} == {torch.float32}
    assert halved == [False] * STEPS and run.losses != tune(double)[1].losses


def test_the_scale_is_kept_at_or_below_100(double, monkeypatch):
    used = []

    def greedy(image, text, scale, ids):
        """Reward nothing but a larger scale."""
        used.append(scale.item())
        return -scale

    monkeypatch.setattr(mistakes, "contrastive_loss", greedy)
    near = copy.deepcopy(double[0])
    near.logit_scale.data.fill_(math.log(99.9))
    for habits in (wrong("clamped"), Habits()):
        tuned, _ = tune((near, double[1]), dataclasses.replace(habits, lr=1e-2), steps=12)
        used.append(tuned.logit_scale.exp().item())
    free, kept = used[:13], used[13:]
    assert free[0] == kept[0] == pytest.approx(99.9, rel=ROUNDING)
    assert free == sorted(free) and free[-1] > 101
    assert max(kept) == kept[-1] == pytest.approx(100, rel=ROUNDING)  # a logarithm of 4.6 in fp32


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


BAD = [
    ("precision", {"habits": Habits(half=True), "precision": "fp16"}),
    ("ids", {"ids": [0, 1]}),
    ("captions", {"captions": "abcdef"}),
    ("batch_size", {"batch_size": 0}),
]


def test_arguments_that_do_not_fit():
    for name, changes in BAD:
        with pytest.raises(ValueError, match=f"^{name}"):
            tune(tiny_vit_clip(), **changes)
