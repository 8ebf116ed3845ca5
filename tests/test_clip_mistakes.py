"""Each of the seven switches does one thing wrong, and a test would have caught it."""

from __future__ import annotations

import copy
import dataclasses
import math

import pandas as pd
import pytest
import torch
from doubles import CLIPS, WIDTH, drawings, same, stop_at, tiny_clip, tiny_vit_clip
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
from fmcourse.clip.mistakes import NEAR_THE_BOUND, RIGHT_WAYS, counterpart

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


def test_the_first_loss_is_that_of_the_model(double):
    _, run = tune(double, steps=1)
    rows = embed_images(*double, PIXELS), embed_texts(*double, CAPTIONS)
    wanted = contrastive_loss(*rows, double[0].logit_scale.exp(), MEANINGS).item()
    # The scale multiplies rounding by 14.
    assert run.losses[0] == pytest.approx(wanted, abs=10 * ROUNDING)


def test_pairs_are_learned(double):
    tuned, run = tune(double, steps=60)
    # Three pictures of one caption, two of a second, one of a third.
    least = (3 * math.log(3) + 2 * math.log(2)) / 6
    assert run.losses[-1] == pytest.approx(least, abs=1e-3) and run.losses[0] > least + 1
    texts = embed_texts(tuned, double[1], ["red", "a green circle", "dog"])
    assert (embed_images(tuned, double[1], PIXELS) @ texts.T).argmax(1).tolist() == MEANINGS


def test_both_encoders_move_and_no_statistic():
    double = tiny_clip()
    tuned, _ = tune(double, steps=20)
    before = double[0].state_dict()
    moved = {n for n, value in tuned.state_dict().items() if not torch.equal(value, before[n])}
    # Embeddings of tokens that do not occur stay.
    weights = {name for name, _ in tuned.named_parameters() if "_embeddings" not in name}
    assert weights <= moved <= {name for name, _ in tuned.named_parameters()}


def test_the_model_and_the_data_stay_as_they_are(double):
    torch.manual_seed(1234)  # no state that a different run has left
    before = copy.deepcopy((double[0], PIXELS, torch.get_rng_state()))
    tuned, _ = tune(double)
    assert same(double[0], before[0]) and not double[0].training and not tuned.training
    assert torch.equal(PIXELS, before[1]) and torch.equal(torch.get_rng_state(), before[2])
    assert all(value.grad is None for value in double[0].parameters())


@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_seeds_reproduce_and_differ(make):
    double = make(dropout=0.2)
    one, again, other = (tune(double, seed=seed, batch_size=4)[0] for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other)


@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path, monkeypatch, make):
    double, how = make(dropout=0.2), {"checkpoint": tmp_path / "run.pt"}
    whole, run = tune(double)
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            tune(double, **how)
    resumed, rest = tune(double, **how)
    assert rest.resumed_from == 4 and same(resumed, whole) and rest.losses == run.losses


CHANGES = [{"habits": habits} for name, habits in MISTAKES.items() if habits.weights == "fp32"]
CHANGES += [{"batch_size": 3}, {"captions": CAPTIONS[::-1]}, {"ids": range(6)}, {"seed": 1}]


@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_different_habits_never_share_a_result(tmp_path, change):
    how = {"double": tiny_vit_clip(), "habits": Habits(), "checkpoint": tmp_path / "run.pt"}
    tuned, _ = tune(**how)
    again, run = tune(**how)
    assert run.resumed_from == STEPS and same(again, tuned)
    with pytest.raises(ValueError, match="run"):
        tune(**(how | change))


def test_figures_are_measured_on_the_way(double):
    def measure(model):
        return {"sum": embed_images(model, double[1], PIXELS).sum().item()}

    tuned, run = tune(double, images=drawings(6), measure=measure, measure_every=3)
    assert [record["step"] for record in run.records] == [0, 3, 6]
    assert run.records[-1]["sum"] == measure(tuned)["sum"]
    assert same(tuned, tune(double)[0])  # looking changes nothing, and pixels are pictures


# Seven mistakes.


def right_way(mistake):
    return RIGHT_WAYS[counterpart(mistake)]


def differing(habits, others):
    return [
        field.name
        for field in dataclasses.fields(Habits)
        if getattr(habits, field.name) != getattr(others, field.name)
    ]


def test_each_mistake_is_one_switch_beside_the_right_way_that_starts_alike():
    switched = [differing(habits, right_way(name)) for name, habits in MISTAKES.items()]
    switches = {field.name for field in dataclasses.fields(Habits)} - {"first_scale"}
    assert sorted(switched) == sorted([switch] for switch in switches)


def wrong(switch):
    """Return the habits whose one mistake is in this switch."""
    return next(
        habits
        for name, habits in MISTAKES.items()
        if differing(habits, right_way(name)) == [switch]
    )


IDS = [[4, 4, 4, 9, 9, 9], torch.tensor([4, 4, 4, 9, 9, 9]), pd.Series([0, 4, 4, 4, 9, 9, 9])[1:]]


@pytest.mark.parametrize("ids", IDS, ids=repr)
def test_different_words_may_mean_the_same(double, seen, ids):
    tune(double, steps=1, ids=ids)
    assert sorted(seen[0][3].tolist()) == [4, 4, 4, 9, 9, 9]


def test_by_default_equal_captions_mean_the_same(double):
    captions = pd.Series(CAPTIONS, index=range(3, 9))
    assert same(tune(double, ids=MEANINGS)[0], tune(double, captions=captions)[0])


def test_the_diagonal_costs_where_words_differ_only(double, seen):
    def first_losses(ids):
        both = (Habits(), wrong("targets"))
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
        tune(double, wrong("weights"), measure=measure, measure_every=1)
    assert finite == [True, False]
    tuned, _ = tune(double, Habits())
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in tuned.parameters())


def test_a_model_in_half_precision_is_trained_in_single(double):
    half = copy.deepcopy(double[0]).half(), double[1]
    assert {value.dtype for value in tune(half)[0].parameters()} == {torch.float32}


def test_mixed_precision_is_harmless_and_the_loss_stays_in_single_precision(double, monkeypatch):
    halved = []

    def spy(*arguments):
        halved.append(torch.is_autocast_enabled("cpu"))
        return contrastive_loss(*arguments)

    monkeypatch.setattr(mistakes, "contrastive_loss", spy)
    tuned, run = tune(double, precision="bf16")
    assert {value.dtype for value in tuned.parameters()} == {torch.float32}
    assert halved == [False] * STEPS and run.losses != tune(double)[1].losses


def test_the_learning_rate_is_the_one_asked_for(double):
    # Adam's first step has the size of the learning rate, here after a warm-up of one step.
    for habits, lr in ((Habits(), Habits().lr), (wrong("lr"), 1e-3)):
        tuned, _ = tune(double, habits, steps=1)
        moved = (tuned.logit_scale - double[0].logit_scale).abs().item()
        assert moved == pytest.approx(lr, rel=0.01)  # a scale of 2.66 has seven digits


def test_the_scale_is_kept_at_or_below_100(double, monkeypatch):
    used = []

    def greedy(image, text, scale, ids):
        """Reward nothing but a larger scale."""
        used.append(scale.item())
        return -scale

    monkeypatch.setattr(mistakes, "contrastive_loss", greedy)
    for habits in (wrong("largest_scale"), Habits(first_scale=NEAR_THE_BOUND)):
        tuned, _ = tune(double, dataclasses.replace(habits, lr=1e-2), steps=12)
        used.append(tuned.logit_scale.exp().item())
    free, kept = used[:13], used[13:]
    assert free[0] == kept[0] == pytest.approx(NEAR_THE_BOUND, rel=ROUNDING)
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


def test_picking_does_not_change_the_training(double):
    assert same(tune(double, Habits())[0], tune(double, wrong("pick"))[0])


BAD = [
    ("targets", {"habits": Habits(targets="diagonals")}),
    ("weights", {"habits": Habits(weights="fp8")}),
    ("pick", {"habits": Habits(pick="train")}),
    ("first_scale", {"habits": Habits(first_scale=math.nan)}),
    ("largest_scale", {"habits": Habits(largest_scale=0)}),
    ("precision", {"habits": Habits(weights="fp16"), "precision": "fp16"}),
    ("ids", {"ids": [0, 1]}),
    ("ids", {"ids": CAPTIONS}),
    ("captions", {"captions": CAPTIONS[:5]}),
    ("captions", {"captions": "abcdef"}),
    ("captions", {"captions": [*CAPTIONS[:5], None]}),
    ("pixels", {"images": PIXELS * torch.nan}),
    ("batch_size", {"batch_size": 0}),
]


@pytest.mark.parametrize(("name", "changes"), BAD, ids=repr)
def test_arguments_that_do_not_fit(name, changes):
    with pytest.raises(ValueError, match=name):
        tune(tiny_vit_clip(), **changes)
