"""Each of the seven switches does one thing wrong, and a test would have caught it; done right, training is exact."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from doubles import CLIPS, SIDE, WIDTH, drawings, says, tiny_clip, tiny_vit_clip
from torch.nn import functional

from fmcourse import training
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


def tune(double, habits=Habits(lr=1e-2), **changes):
    settings = dict(steps=STEPS, batch_size=6, progress=False)
    return fine_tune_pairs(*double, PIXELS, CAPTIONS, habits, **(settings | changes))


@pytest.fixture
def seen(monkeypatch):
    """Remember what the loss is given: picture rows, text rows, scale and ids, once a step."""
    given = []

    def spy(*arguments):
        given.append(arguments)
        return contrastive_loss(*arguments)

    monkeypatch.setattr(mistakes, "contrastive_loss", spy)
    return given


def same(state, other):
    return state.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in state.items()
    )


# Done right.


def test_the_first_loss_is_that_of_the_model(double, seen):
    _, run = tune(double)
    model = double[0]
    rows = embed_images(*double, PIXELS), embed_texts(*double, CAPTIONS)
    wanted = contrastive_loss(*rows, model.logit_scale.exp(), MEANINGS).item()
    assert run.losses[0] == pytest.approx(
        wanted, abs=10 * ROUNDING
    )  # the scale multiplies rounding by 14
    assert len(seen) == len(run.losses) == run.steps == STEPS


def test_pairs_are_learned(double):
    tuned, run = tune(double, steps=60)
    least = (
        3 * math.log(3) + 2 * math.log(2)
    ) / 6  # three pictures of one caption, two of another, one of a third
    assert run.losses[-1] == pytest.approx(least, abs=1e-3) and run.losses[0] > least + 1
    nearness = (
        embed_images(tuned, double[1], PIXELS)
        @ embed_texts(tuned, double[1], ["red", "a green circle", "dog"]).T
    )
    assert nearness.argmax(1).tolist() == MEANINGS


def test_both_towers_move_and_no_statistic():
    double = tiny_clip()
    tuned, _ = tune(double, steps=20)
    weights = {name for name, value in tuned.named_parameters()}
    unused = (
        "token_type_embeddings",
        "position_embeddings",
        "word_embeddings",
    )  # rows of tokens that do not occur stay
    for name, value in tuned.state_dict().items():
        if not any(part in name for part in unused):
            assert torch.equal(value, double[0].state_dict()[name]) != (name in weights), name


def test_the_model_and_the_data_stay_as_they_are(double):
    torch.manual_seed(1234)  # no state that another run has left
    model, pixels, state = double[0], PIXELS.clone(), torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tuned, _ = tune(double)
    assert same(model.state_dict(), before) and not model.training and not tuned.training
    assert (
        type(tuned) is type(model)
        and torch.equal(PIXELS, pixels)
        and torch.equal(torch.get_rng_state(), state)
    )
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_seeds_reproduce_and_differ(make):
    double = make(dropout=0.2)
    one, again, other = (tune(double, seed=seed, batch_size=4) for seed in (1, 1, 2))
    assert same(one[0].state_dict(), again[0].state_dict()) and one[1].losses == again[1].losses
    assert not same(one[0].state_dict(), other[0].state_dict())


def test_a_seed_draws_the_dropout_too(monkeypatch):
    monkeypatch.setattr(mistakes, "batches_of", lambda *given: lambda step: torch.arange(6))
    first = [tune(tiny_vit_clip(dropout=0.5), seed=seed, steps=1)[1].losses[0] for seed in (1, 2)]
    assert abs(first[0] - first[1]) > 1e-3  # the same six pairs in the same order, the same weights


@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path, monkeypatch, make):
    double, checkpoint, take = make(dropout=0.2), tmp_path / "run.pt", training._step

    def stopping(plan, state):
        if state.step == 4:
            raise KeyboardInterrupt
        return take(plan, state)

    whole = tune(double)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            tune(double, checkpoint=checkpoint)
    found = tune(double, checkpoint=checkpoint)
    assert found[1].resumed_from == 4
    assert same(found[0].state_dict(), whole[0].state_dict()) and found[1].losses == whole[1].losses


def test_pictures_and_pixels_are_alike(double):
    drawn, _ = fine_tune_pairs(
        *double, drawings(6), CAPTIONS, steps=2, batch_size=6, progress=False
    )
    assert same(drawn.state_dict(), tune(double, Habits(), steps=2)[0].state_dict())


def test_figures_are_measured_on_the_way(double):
    def measure(model):
        return {"red": embed_images(model, double[1], PIXELS).sum().item()}

    tuned, run = tune(double, measure=measure, measure_every=3)
    assert [record["step"] for record in run.records] == [0, 3, 6]
    assert run.records[-1]["red"] == measure(tuned)["red"]
    assert same(tuned.state_dict(), tune(double)[0].state_dict())  # looking changes nothing


# Seven mistakes.


def test_each_mistake_is_one_switch_beside_the_right_way_that_starts_alike():
    assert len(MISTAKES) == 7
    switched = []
    for name, habits in MISTAKES.items():
        right = right_way(name)
        differing = [
            f.name
            for f in dataclasses.fields(Habits)
            if getattr(habits, f.name) != getattr(right, f.name)
        ]
        assert len(differing) == 1, name
        switched += differing
    switches = {field.name for field in dataclasses.fields(Habits)} - {"first_scale"}
    assert sorted(switched) == sorted(switches)  # and each switch has its mistake


def wrong(switch):
    """Return the habits whose one mistake is in this switch."""
    return next(
        habits
        for name, habits in MISTAKES.items()
        if getattr(habits, switch) != getattr(right_way(name), switch)
    )


def right_way(mistake):
    return RIGHT_WAYS[counterpart(mistake)]


def test_equal_captions_share_a_target_or_compete(double, seen):
    tune(double, steps=1)
    tune(double, wrong("targets"), steps=1)
    (*_, ids), (*_, none) = seen
    assert none is None
    assert sorted(ids.tolist()) == sorted(MEANINGS)  # in the order of the batch


@pytest.mark.parametrize(
    "ids", [[4, 4, 4, 9, 9, 9], torch.tensor([4, 4, 4, 9, 9, 9])], ids=["list", "tensor"]
)
def test_other_words_may_mean_the_same(double, seen, ids):
    tune(double, steps=1, ids=ids)
    assert sorted(seen[0][3].tolist()) == [4, 4, 4, 9, 9, 9]


def test_by_default_equal_captions_mean_the_same(double):
    assert same(tune(double, ids=MEANINGS)[0].state_dict(), tune(double)[0].state_dict())


def test_the_diagonal_costs_where_words_differ_only(double):
    def first_losses(ids):
        return [
            tune(double, habits, steps=1, ids=ids)[1].losses[0]
            for habits in (Habits(), wrong("targets"))
        ]

    spread, diagonal = first_losses(MEANINGS)
    assert spread == pytest.approx(
        diagonal, abs=10 * ROUNDING
    )  # equal words have equal rows, and both losses agree
    spread, diagonal = first_losses([0, 0, 0, 1, 1, 1])
    assert abs(spread - diagonal) > 0.01


def test_the_diagonal_asks_a_perfect_model_for_more(double, seen):
    tune(double, steps=1)
    meanings = seen[0][3]
    perfect = functional.one_hot(
        meanings, 6
    ).float()  # each picture lies where all texts of its meaning lie
    others = torch.eye(6)  # and a model that tells apart what is the same
    losses = {
        ids: [contrastive_loss(rows, rows, 9.0, ids) for rows in (perfect, others)]
        for ids in (meanings, None)
    }
    assert losses[meanings][0] < losses[meanings][1]
    assert losses[None][0] > losses[None][1]


def test_half_precision_is_lost_after_one_step(double):
    with says(
        FloatingPointError,
        "the loss is nan at step 1; lower the learning rate, and keep weights and optimizer in fp32",
    ):
        tune(double, wrong("weights"))


def test_half_precision_is_lost_even_while_it_is_measured(double):
    records = []

    def measure(model):
        records.append(embed_images(model, double[1], PIXELS).isfinite().all().item())
        return {"finite": records[-1]}

    with pytest.raises(FloatingPointError, match="^the loss is nan at step 1"):
        tune(double, wrong("weights"), measure=measure, measure_every=1)
    assert records == [True, False]


def test_in_single_precision_the_same_step_is_harmless(double):
    tuned, run = tune(double, Habits())
    assert all(math.isfinite(loss) for loss in run.losses)
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in tuned.parameters())


def test_mixed_precision_is_harmless_and_the_loss_stays_in_single_precision(double, monkeypatch):
    halved = []

    def spy(*arguments):
        halved.append(torch.is_autocast_enabled("cpu"))
        return contrastive_loss(*arguments)

    monkeypatch.setattr(mistakes, "contrastive_loss", spy)
    tuned, run = tune(double, precision="bf16")
    assert {p.dtype for p in tuned.parameters()} == {torch.float32} and all(
        map(math.isfinite, run.losses)
    )
    assert halved == [False] * STEPS and run.losses != tune(double)[1].losses


def test_the_learning_rate_is_the_one_asked_for(double):
    # Adam's first step has the size of the learning rate, here after a warm-up of one step.
    moved = {}
    for name, habits in {"right": Habits(), "wrong": wrong("lr")}.items():
        tuned, _ = tune(double, habits, steps=1)
        moved[name] = (tuned.logit_scale - double[0].logit_scale).abs().item()
    assert moved == pytest.approx(
        {"right": Habits().lr, "wrong": 1e-3}, rel=0.01
    )  # a scale of 2.66 has seven digits
    assert wrong("lr").lr > 3 * Habits().lr


def scales(monkeypatch, double, habits):
    """Train from a scale of 99 by a loss that rewards nothing but a larger one; return the scale of each step and the last."""
    used = []

    def greedy(image, text, scale, ids):
        used.append(scale.item())
        return -scale

    monkeypatch.setattr(mistakes, "contrastive_loss", greedy)
    model = copy.deepcopy(double[0])
    with torch.no_grad():
        model.logit_scale.fill_(math.log(99))
    tuned, _ = tune((model, double[1]), dataclasses.replace(habits, lr=1e-2), steps=12)
    return [*used, tuned.logit_scale.exp().item()]


def test_the_scale_is_kept_at_or_below_100(double, monkeypatch):
    free = scales(
        monkeypatch, double, dataclasses.replace(wrong("largest_scale"), first_scale=None)
    )
    assert free == sorted(free) and free[-1] > 101
    kept = scales(monkeypatch, double, Habits())
    assert kept[:2] == free[:2]  # below 100 nothing is different
    assert max(kept) == kept[-1] == pytest.approx(100, rel=ROUNDING)  # a logarithm of 4.6 in fp32


def test_rows_are_unit_rows_or_not(double, seen):
    tune(double, steps=1)
    tune(double, wrong("normalized"), steps=1)
    (image, text, *_), (long_image, long_text, *_) = seen
    for rows in (image, text):
        assert torch.allclose(rows.norm(dim=1), torch.ones(6), atol=ROUNDING)
    for rows, wanted in ((long_image, image), (long_text, text)):
        assert (rows.norm(dim=1) - 1).abs().max() > 0.1
        assert torch.allclose(functional.normalize(rows, dim=1), wanted, atol=ROUNDING)


def test_a_stray_dimension_leaves_nothing_but_signs(double, seen):
    tune(double, steps=1)
    tune(double, wrong("stray_dimension"), steps=1)
    (image, text, *_), (same_image, signs, *_) = seen
    assert torch.equal(image, same_image)
    assert signs.shape == (6, WIDTH) and torch.equal(signs.abs(), torch.ones(6, WIDTH))
    assert torch.equal(signs, text.sign())
    assert torch.allclose(
        signs.norm(dim=1), torch.full((6,), WIDTH**0.5)
    )  # a check of the length would have told


def test_the_first_scale_is_set_and_the_clamp_acts_from_there(double, seen):
    near = dataclasses.replace(Habits(lr=1e-2), first_scale=NEAR_THE_BOUND)
    scales = {}
    for name, largest in (("clamped", 100.0), ("free", None)):
        model, _ = tune(double, dataclasses.replace(near, largest_scale=largest))
        scales[name] = model.logit_scale.exp().item()
    assert seen[0][2].item() == pytest.approx(NEAR_THE_BOUND, rel=1e-5)
    assert scales["clamped"] <= 100 + 1e-3
    assert scales["free"] != pytest.approx(NEAR_THE_BOUND, rel=1e-4)  # it moved


def test_picking_does_not_change_the_training(double):
    assert same(tune(double, Habits())[0].state_dict(), tune(double, wrong("pick"))[0].state_dict())


# The wording of each error.

CHOICES = "expected one of 'spread', 'diagonal', got 'diagonals'; did you mean 'diagonal'?"
ERRORS = [
    (Habits(targets="diagonals"), {}, f"habits.targets: {CHOICES}"),
    (Habits(weights="fp8"), {}, "habits.weights: expected one of 'fp32', 'fp16', got 'fp8'"),
    (Habits(pick="train"), {}, "habits.pick: expected one of 'other', 'test', got 'train'"),
    (Habits(first_scale=0.0), {}, "habits.first_scale: expected None or a number above 0, got 0.0"),
    (Habits(), {"ids": [0, 1]}, "ids: expected one for each of the 6 pictures, got (2,)"),
    (
        Habits(),
        {"captions": CAPTIONS[:5]},
        "captions: expected one for each of the 6 pictures, got 5",
    ),
    (
        Habits(),
        {"images": torch.zeros(6, 3, 8, 8)},
        f"pixels: expected shape (n, 3, {SIDE}, {SIDE}), n at least 1, got (6, 3, 8, 8)",
    ),
    (
        Habits(),
        {"images": PIXELS * torch.nan},
        "pixels: expected finite numbers, got 'NaN or infinity'",
    ),
    (Habits(), {"images": []}, "images: expected a list of PIL images, at least one, got []"),
    (Habits(), {"batch_size": 0}, "batch_size: expected at least 1, got 0"),
    (Habits(), {"steps": 0}, "steps: expected at least 1, got 0"),
    (
        Habits(weights="fp16"),
        {"precision": "fp16"},
        "precision: expected a model whose trained weights are all fp32, got 'torch.float16'",
    ),
]


@pytest.mark.parametrize(
    ("habits", "changes", "words"), ERRORS, ids=[words for *_, words in ERRORS]
)
def test_the_words_of_each_error(double, habits, changes, words):
    with says(ValueError, words):
        fine_tune_pairs(
            *double,
            habits=habits,
            **({"images": PIXELS, "captions": CAPTIONS, "progress": False} | changes),
        )
