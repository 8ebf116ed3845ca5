"""Each adaptation equals its definition or its library, leaves the foundation alone, and ends in the same bits again."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from doubles import CLIPS, SIDE, WIDTH, drawings, says, tiny_clip, tiny_vit_clip
from sklearn.linear_model import LogisticRegression
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from fmcourse import training
from fmcourse.clip import (
    Head,
    adaptation,
    add_lora,
    build_classifier,
    embed_images,
    fine_tune,
    interpolate,
    linear_probe,
    load_classifier,
    lora,
    lp_ft,
    pixels_of,
    random_head,
    save_classifier,
    tip_adapter,
    zero_shot_head,
)

ROUNDING = 1e-5  # fp32: logits of a few units, a dozen layers
NAMES = ["red", "green", "blue"]
LABELS = [0, 1, 2, 0, 1, 2]
PIXELS = pixels_of(tiny_clip()[1], drawings(6))
STEPS = 6


@pytest.fixture(scope="module", params=CLIPS.values(), ids=CLIPS)
def double(request):
    """Return a model and its processor; no test changes them."""
    return request.param()


def unit_rows(count, width=WIDTH, seed=0):
    return functional.normalize(
        torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1
    )


def tune(double, method=fine_tune, head=None, **changes):
    settings = dict(steps=STEPS, batch_size=4, lr=1e-2, progress=False)
    return method(*double, PIXELS, LABELS, head or random_head(3, WIDTH), **(settings | changes))


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(state, other):
    return state.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in state.items()
    )


# Heads and probes.


def test_a_head_on_paper():
    head = Head(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([10.0, 20.0]))
    assert head(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist() == [[11.0, 23.0], [12.0, 24.0]]


def test_a_random_head():
    head = random_head(400, 100)
    assert head.weight.shape == (400, 100) and torch.equal(head.bias, torch.zeros(400))
    assert head.weight.std().item() == pytest.approx(
        0.1, rel=0.02
    )  # 40,000 draws: a standard error of 0.35 per cent
    assert torch.equal(head.weight, random_head(400, 100).weight)
    assert not torch.equal(head.weight, random_head(400, 100, seed=1).weight)


def test_a_probe_on_paper():
    # Rows 1 and -1: w^2 / 2 + 2 C log(1 + exp(-w)) is least where w = 2 C / (1 + exp(w)); C = (1 + e) / 2 gives w = 1.
    head = linear_probe(torch.tensor([[-1.0], [1.0]]), [0, 1], strength=(1 + math.e) / 2)
    assert head.weight.flatten().tolist() == pytest.approx(
        [-0.5, 0.5], abs=1e-4
    )  # the solver stops at a slope of 1e-5
    assert head.bias.tolist() == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_a_probe_equals_scikit_learn(classes, strength):
    rows, labels = unit_rows(40, 6), torch.arange(40) % classes
    reference = LogisticRegression(C=strength, max_iter=2_000, tol=1e-5).fit(
        rows.double().numpy(), labels.numpy()
    )
    others = unit_rows(30, 6, seed=1)
    head = linear_probe(rows, labels, strength)
    assert (
        head.weight.shape == (classes, 6) and head.weight.dtype == head.bias.dtype == torch.float32
    )
    found = head(others).softmax(1).double().numpy()
    assert np.allclose(found, reference.predict_proba(others.double().numpy()), atol=ROUNDING)


def test_one_row_for_each_class_is_enough_for_a_probe(recwarn):
    assert linear_probe(torch.eye(30), range(30))(torch.eye(30)).argmax(1).tolist() == list(
        range(30)
    )
    assert not recwarn.list


def test_the_order_of_rows_does_not_matter_to_a_probe():
    rows, order = unit_rows(6), [3, 1, 5, 0, 4, 2]
    one, other = linear_probe(rows, LABELS), linear_probe(rows[order], torch.tensor(LABELS)[order])
    assert torch.allclose(
        one.weight, other.weight, atol=1e-3
    )  # the solver stops at a slope of 1e-5, on another path


# Classifiers.


def test_a_classifier_is_the_tower_and_a_head(double):
    head = random_head(3, WIDTH)
    classifier = build_classifier(double[0], head)
    wanted = head(embed_images(*double, PIXELS))
    assert not classifier.training
    assert torch.allclose(classifier(PIXELS), wanted, atol=ROUNDING)
    assert torch.allclose(classifier.predict(PIXELS), wanted, atol=ROUNDING)


def test_words_become_a_head_with_the_models_scale(double):
    model, processor = double
    words, scale = zero_shot_head(model, processor, NAMES), model.logit_scale.exp().item()
    classifier = build_classifier(model, words)
    assert torch.allclose(classifier.head.weight, scale * words, rtol=ROUNDING)
    assert torch.equal(classifier.head.bias, torch.zeros(3))
    wanted = scale * embed_images(model, processor, PIXELS) @ words.T
    assert torch.allclose(classifier.predict(PIXELS), wanted, atol=scale * ROUNDING)


def test_a_classifier_shares_nothing_with_the_model(double):
    model, head = double[0], random_head(3, WIDTH)
    before, kept = copied(model), head.weight.clone()
    classifier = build_classifier(model, head)
    with torch.no_grad():
        for value in classifier.parameters():
            value.fill_(7)
    assert same(model.state_dict(), before) and torch.equal(head.weight, kept)


def test_a_frozen_foundation_gives_a_classifier_that_learns():
    model, _ = tiny_clip()
    classifier = build_classifier(model.requires_grad_(False), random_head(3, WIDTH))
    assert all(value.requires_grad for value in classifier.parameters())


@pytest.mark.parametrize("size", [1, 4, 100])
def test_how_many_are_classified_at_once_does_not_matter(double, size):
    classifier = build_classifier(double[0], random_head(3, WIDTH)).train()
    assert torch.allclose(
        classifier.predict(PIXELS, size), classifier.predict(PIXELS), atol=ROUNDING
    )
    assert classifier.training and not classifier.predict(PIXELS).requires_grad


def test_in_training_the_statistics_stay():
    classifier = build_classifier(tiny_clip()[0], random_head(3, WIDTH))
    wanted = classifier(PIXELS)
    norms = [part for part in classifier.modules() if isinstance(part, _BatchNorm)]
    classifier.train()
    assert (
        len(norms) > 5
        and not any(part.training for part in norms)
        and classifier.vision_model.training
    )
    assert torch.equal(classifier(PIXELS), wanted)  # the double has no dropout


# Fine-tuning.


def test_fine_tuning_starts_from_the_head(double):
    nothing = Head(torch.zeros(3, WIDTH), torch.zeros(3))
    _, run = tune(double, head=nothing)
    assert run.losses[0] == pytest.approx(math.log(3), abs=ROUNDING)  # all classes alike
    assert run.steps == STEPS == len(run.losses)


def by_hand(double, head, steps, lr):
    """Fine-tune as a textbook would: all pictures in each step, plain AdamW, a warm-up, half a cosine, clipping at 1."""
    model = copy.deepcopy(double[0]).eval()
    weight, bias = (value.clone().requires_grad_() for value in (head.weight, head.bias))
    tower = [*model.vision_model.parameters(), *model.visual_projection.parameters()]
    groups = [
        {
            "params": [p for p in tower if p.ndim >= 2],
            "lr": lr,
            "weight_decay": adaptation.WEIGHT_DECAY,
        },
        {"params": [p for p in tower if p.ndim < 2], "lr": lr, "weight_decay": 0.0},
        {"params": [weight, bias], "lr": adaptation.HEAD_LR, "weight_decay": 0.0},
    ]
    optimizer, losses = torch.optim.AdamW(groups, betas=(0.9, 0.98), foreach=False), []
    rates, rise = [group["lr"] for group in groups], round(0.1 * steps)
    for step in range(steps):
        factor = (
            (step + 1) / rise
            if step < rise
            else (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2
        )
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * factor
        optimizer.zero_grad()
        pooled = model.vision_model(pixel_values=PIXELS).pooler_output
        rows = functional.normalize(model.visual_projection(pooled), dim=-1)
        loss = functional.cross_entropy(rows @ weight.T + bias, torch.tensor(LABELS))
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*tower, weight, bias], 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses, weight


def test_fine_tuning_equals_a_loop_written_by_hand(double):
    head = random_head(3, WIDTH)
    classifier, run = tune(double, head=head, steps=20, lr=1e-3, batch_size=6)
    losses, weight = by_hand(double, head, 20, 1e-3)
    assert losses[-1] < losses[0] - 0.01  # something was learned
    # Adam divides by the gradient's size: where it is nearly nothing, rounding alone decides the step.
    assert run.losses == pytest.approx(losses, abs=1e-3)
    assert torch.allclose(classifier.head.weight, weight, atol=1e-3)


def test_six_pictures_can_be_learned_by_heart(double):
    for method in (fine_tune, lora):
        classifier, run = method(
            *double,
            PIXELS,
            range(6),
            random_head(6, WIDTH),
            steps=60,
            batch_size=6,
            lr=2e-2,
            progress=False,
        )
        assert classifier.predict(PIXELS).argmax(1).tolist() == list(range(6))
        assert run.losses[-1] < run.losses[0] / 1.5


@pytest.mark.parametrize("method", [fine_tune, lora])
def test_the_model_and_the_data_stay_as_they_are(double, method):
    torch.manual_seed(1234)  # no state that another run has left
    model, head = double[0], random_head(3, WIDTH)
    before, pixels, weight, state = (
        copied(model),
        PIXELS.clone(),
        head.weight.clone(),
        torch.get_rng_state(),
    )
    classifier, _ = tune(double, method, head)
    assert same(model.state_dict(), before) and not model.training and not classifier.training
    assert torch.equal(PIXELS, pixels) and torch.equal(head.weight, weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_every_weight_moves_and_no_statistic():
    double = tiny_clip()
    classifier, _ = tune(double, steps=20)
    before = build_classifier(double[0], random_head(3, WIDTH)).state_dict()
    weights = {name for name, _ in classifier.named_parameters()}
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, before[name]) != (name in weights), name
    assert any("running_mean" in name for name in before)


def tune_amid_noise(double, method, seed, noise):
    torch.manual_seed(noise)  # whatever the global generator has been through
    return tune(double, method, seed=seed)


def test_updates_begin_with_the_seed(double):
    settings = dict(steps=1, batch_size=6)  # all pictures in one step: only the updates differ
    weights = [
        tune(double, lora, seed=seed, **settings)[0].visual_projection.weight for seed in (1, 2)
    ]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("method", [fine_tune, lora])
@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_seeds_reproduce_and_differ(make, method):
    double = make(dropout=0.2)
    one, again, other = (
        tune_amid_noise(double, method, seed, noise) for seed, noise in ((1, 0), (1, 1), (2, 1))
    )
    assert same(one[0].state_dict(), again[0].state_dict()) and one[1].losses == again[1].losses
    assert not same(one[0].state_dict(), other[0].state_dict())


@pytest.mark.parametrize("method", [fine_tune, lora])
def test_a_seed_draws_the_dropout_too(method, monkeypatch):
    monkeypatch.setattr(adaptation, "batches_of", lambda *given: lambda step: torch.arange(6))
    double = tiny_vit_clip(dropout=0.5)
    first = [tune(double, method, seed=seed, steps=1)[1].losses[0] for seed in (1, 2)]
    assert (
        abs(first[0] - first[1]) > 1e-3
    )  # the same six pictures in the same order, the same weights


def test_pictures_and_pixels_are_alike(double):
    settings = dict(steps=2, lr=1e-2, batch_size=4, progress=False)
    drawn = fine_tune(*double, drawings(6), LABELS, random_head(3, WIDTH), **settings)[0]
    assert same(drawn.state_dict(), tune(double, steps=2)[0].state_dict())


@pytest.mark.parametrize("method", [fine_tune, lora])
def test_a_batch_in_parts_is_the_same_batch(double, method):
    _, run = tune(double, method)
    _, parted = tune(double, method, accumulate=3)  # parts of one picture and of two
    # One step of 1e-2 after another: Adam makes of rounding more than it was.
    assert parted.losses[0] == pytest.approx(run.losses[0], rel=1e-6)
    assert parted.losses == pytest.approx(run.losses, rel=1e-2)


@pytest.mark.parametrize("method", [fine_tune, lora])
def test_half_precision_keeps_fp32_masters(double, method):
    classifier, run = tune(double, method, precision="bf16")
    _, reference = tune(double, method)
    assert {value.dtype for value in classifier.parameters()} == {torch.float32}
    assert run.losses != reference.losses
    assert run.losses[0] == pytest.approx(
        reference.losses[0], rel=0.05
    )  # bf16 keeps 8 bits; a dozen layers


def stop_at(monkeypatch, step):
    """Let Ctrl-C be pressed at the beginning of this step."""
    take = training._step

    def stopping(plan, state):
        if state.step == step:
            raise KeyboardInterrupt
        return take(plan, state)

    monkeypatch.setattr(training, "_step", stopping)


@pytest.mark.parametrize("method", [fine_tune, lora])
@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path, monkeypatch, make, method):
    double, checkpoint = make(dropout=0.2), tmp_path / "run.pt"
    whole = tune(double, method)
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            tune(double, method, checkpoint=checkpoint)
    found = tune(double, method, checkpoint=checkpoint)
    assert found[1].resumed_from == 4
    assert same(found[0].state_dict(), whole[0].state_dict()) and found[1].losses == whole[1].losses


def test_figures_are_measured_on_the_way(double):
    def measure(classifier):
        return {
            "right": (classifier.predict(PIXELS).argmax(1) == torch.tensor(LABELS)).sum().item()
        }

    classifier, run = tune(double, measure=measure, measure_every=2)
    assert [record["step"] for record in run.records] == [0, 2, 4, 6]
    assert run.records[-1]["right"] == measure(classifier)["right"]
    assert same(classifier.state_dict(), tune(double)[0].state_dict())  # looking changes nothing


@pytest.mark.parametrize(("count", "size"), [(6, 4), (5, 5), (3, 8), (1, 2)])
def test_each_epoch_goes_through_all(count, size):
    batch = adaptation.batches_of(count, size, seed=3)
    places = torch.cat([batch(step) for step in range(2 * count)])  # 2 * size epochs
    epochs = places.view(-1, count).sort(dim=1).values
    assert torch.equal(epochs, torch.arange(count).expand(2 * size, -1))
    assert torch.equal(batch(1), adaptation.batches_of(count, size, seed=3)(1))
    if count > 4:
        assert (
            len({tuple(epoch.tolist()) for epoch in places.view(-1, count)}) > 1
        )  # in an order of its own
        assert not torch.equal(batch(0), adaptation.batches_of(count, size, seed=4)(0))


def test_lp_ft_fine_tunes_from_a_probe(double):
    settings = dict(steps=3, batch_size=4, progress=False)
    found, run = lp_ft(*double, drawings(6), LABELS, strength=3.0, **settings)
    probe = linear_probe(embed_images(*double, PIXELS), LABELS, 3.0)
    wanted, other = fine_tune(
        *double, PIXELS, LABELS, probe, head_lr=adaptation.LP_RATES["head_lr"], **settings
    )
    assert same(found.state_dict(), wanted.state_dict()) and run.losses == other.losses


# LoRA.


def adapted_names(classifier):
    """Return the weights that a low-rank update can change: matrices and 1x1 convolutions outside of gates."""
    shapes = {name: value.shape for name, value in classifier.state_dict().items()}
    linear = {name for name, shape in shapes.items() if len(shape) == 2 and "position" not in name}
    pointwise = {
        name
        for name, shape in shapes.items()
        if len(shape) == 4 and shape[1] > 1 and shape[2:] == (1, 1)
    }
    return {
        name
        for name in linear | pointwise
        if "squeeze_excite" not in name and not name.startswith("head.")
    }


def test_merged_updates_give_the_same_logits(double):
    wrapped = add_lora(build_classifier(double[0], random_head(3, WIDTH)), rank=2)
    plain = wrapped(PIXELS)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in wrapped.named_parameters():
            if "lora_" in name:
                value.copy_(torch.randn(value.shape, generator=draw) * 0.2)
    updated = wrapped(PIXELS)
    assert not torch.allclose(updated, plain, atol=0.01)
    own = wrapped.base_model.model.visual_projection
    wanted = (
        own.weight + 2 * own.lora_B["default"].weight @ own.lora_A["default"].weight
    )  # scaled by 2, whatever the rank
    merged = wrapped.merge_and_unload()
    assert torch.allclose(merged.visual_projection.weight, wanted, atol=ROUNDING)
    assert torch.allclose(
        merged(PIXELS), updated, atol=10 * ROUNDING
    )  # updates of about 1 round on their way into weights


def test_an_update_begins_as_nothing(double):
    classifier = build_classifier(double[0], random_head(3, WIDTH))
    plain = classifier(PIXELS)
    assert torch.equal(add_lora(classifier)(PIXELS), plain)


@pytest.mark.parametrize("rank", [1, 3])
def test_what_an_update_trains(double, rank):
    classifier = build_classifier(double[0], random_head(3, WIDTH))
    adapted = {name.removesuffix(".weight") for name in adapted_names(classifier)}
    wrapped = add_lora(classifier, rank)
    trained = {
        name.removeprefix("base_model.model."): p
        for name, p in wrapped.named_parameters()
        if p.requires_grad
    }
    updates = {name.split(".lora_")[0] for name in trained if ".lora_" in name}
    assert updates == adapted and "visual_projection" in updates and len(updates) > 5
    assert all(p.shape[0] == rank for name, p in trained.items() if "lora_A" in name)
    assert {name for name in trained if ".lora_" not in name} == {
        "head.modules_to_save.default.weight",
        "head.modules_to_save.default.bias",
    }


def test_lora_changes_what_it_adapts_and_the_head_only(double):
    classifier, _ = tune(double, lora, rank=2)
    before = build_classifier(double[0], random_head(3, WIDTH))
    assert type(classifier) is type(before)
    assert all(value.requires_grad for value in classifier.parameters())
    changed = {
        name
        for name, value in classifier.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert classifier.state_dict().keys() == before.state_dict().keys()
    assert changed == adapted_names(before) | {"head.weight", "head.bias"}


def test_an_update_has_the_rank_it_was_given(double):
    classifier, _ = tune(double, lora, rank=1)
    before = build_classifier(double[0], random_head(3, WIDTH)).state_dict()
    update = (
        classifier.state_dict()["visual_projection.weight"] - before["visual_projection.weight"]
    )
    sizes = torch.linalg.svdvals(update.double())
    assert (
        sizes[0] > 1e-3 and sizes[1] < 1e-3 * sizes[0]
    )  # the weights are rounded after the update was added


# Interpolation.


def test_interpolation_on_paper():
    a, b = {"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([8.0, 0.0])}
    assert interpolate(a, b, 0.25)["w"].tolist() == [2.0, 3.0]
    assert interpolate(a, b, 0.5)["w"].tolist() == [4.0, 2.0]


def test_interpolation_at_its_ends(double):
    a, b = double[0].state_dict(), type(double[0])(double[0].config).state_dict()
    assert (
        same(interpolate(a, b, 0), a)
        and same(interpolate(a, b, 1), b)
        and same(interpolate(a, b, 1.0), b)
    )


def test_interpolation_leaves_its_inputs_alone():
    a, b = {"w": torch.zeros(3)}, {"w": torch.ones(3)}
    for alpha in (0, 0.5, 1):
        interpolate(a, b, alpha)["w"].fill_(9)
    assert a["w"].tolist() == [0] * 3 and b["w"].tolist() == [1] * 3


def test_the_ends_may_change_sides():
    draw = torch.Generator().manual_seed(0)
    a, b = ({"w": torch.randn(50, generator=draw)} for _ in range(2))
    assert torch.allclose(interpolate(a, b, 0.3)["w"], interpolate(b, a, 0.7)["w"], atol=ROUNDING)


@pytest.mark.parametrize(("alpha", "count"), [(0, 3), (0.49, 3), (0.5, 8), (1, 8)])
def test_a_counter_is_that_of_the_nearer_end(alpha, count):
    a, b = {"batches": torch.tensor(3)}, {"batches": torch.tensor(8)}
    found = interpolate(a, b, alpha)["batches"]
    assert found.item() == count and found.dtype == torch.int64
    found.fill_(0)
    assert (a["batches"].item(), b["batches"].item()) == (3, 8)


def test_an_interpolated_classifier_predicts_as_its_ends(double):
    start, (end, _) = build_classifier(double[0], random_head(3, WIDTH)), tune(double)
    middle = copy.deepcopy(start)
    for alpha, classifier in ((0, start), (1, end)):
        middle.load_state_dict(interpolate(start.state_dict(), end.state_dict(), alpha))
        assert torch.equal(middle.predict(PIXELS), classifier.predict(PIXELS))
    middle.load_state_dict(interpolate(start.state_dict(), end.state_dict(), 0.5))
    assert not torch.allclose(middle.predict(PIXELS), end.predict(PIXELS), atol=1e-3)


# Tip-Adapter.


def test_a_vote_on_paper():
    features, head, row = (
        torch.eye(2),
        torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]]),
        torch.tensor([[1.0, 0.0]]),
    )
    logits = tip_adapter(features, [0, 1], head, row, scale=10.0, trust=2.0, sharpness=3.0)
    # The picture is the first labelled one (a full vote for class 0) and at a right angle to the second.
    assert logits.tolist()[0] == pytest.approx([0 + 2, 10 + 2 * math.exp(-3), 6], abs=ROUNDING)


def test_votes_by_hand():
    features, rows, head, labels = (
        unit_rows(7),
        unit_rows(4, seed=1),
        unit_rows(3, seed=2),
        [0, 1, 2, 2, 1, 0, 0],
    )
    settings = dict(scale=100.0, trust=2.0, sharpness=5.5)
    logits = tip_adapter(features, labels, head, rows, **settings)
    for row, found in zip(rows, logits):
        wanted = 100.0 * head @ row
        for feature, label in zip(features, labels):
            wanted[label] += 2 * math.exp(-5.5 * (1 - feature @ row))
        assert torch.allclose(found, wanted, atol=100 * ROUNDING)  # logits reach 100
    order = [6, 2, 0, 5, 3, 1, 4]
    shuffled = tip_adapter(features[order], torch.tensor(labels)[order], head, rows, **settings)
    assert torch.allclose(shuffled, logits, atol=100 * ROUNDING)


def test_no_trust_is_zero_shot():
    rows, head = unit_rows(4, seed=1), unit_rows(3, seed=2)
    assert torch.equal(
        tip_adapter(unit_rows(6), LABELS, head, rows, scale=7.0, trust=0.0), 7.0 * rows @ head.T
    )


# Files.


@pytest.mark.parametrize("method", [fine_tune, lora])
def test_a_saved_classifier_comes_back(double, tmp_path, method):
    classifier, _ = tune(double, method)
    names = ["Käse", "図", "a, b"]
    save_classifier(classifier, names, tmp_path / "new" / "folder")
    found, found_names = load_classifier(double[0], str(tmp_path / "new" / "folder"))
    assert found_names == names and not found.training
    assert same(found.state_dict(), classifier.state_dict())
    assert torch.equal(found.predict(PIXELS), classifier.predict(PIXELS))
    save_classifier(found, NAMES, tmp_path / "new" / "folder")  # over what is there
    assert load_classifier(double[0], tmp_path / "new" / "folder")[1] == NAMES


# The wording of each error.

HEAD = random_head(3, WIDTH)
ROWS = unit_rows(6)
ONES, TWOS = {"w": torch.ones(2)}, {"w": torch.ones(2), "v": torch.ones(1)}
ERRORS = [
    (lambda d: random_head(1, WIDTH), "classes: expected at least 2, got 1"),
    (
        lambda d: linear_probe(ROWS, [0, 1]),
        "labels: expected one whole number for each of the 6 rows, got 'shape (2,), torch.int64'",
    ),
    (
        lambda d: linear_probe(ROWS, [0.0, 1, 2, 0, 1, 2]),
        "labels: expected one whole number for each of the 6 rows, got 'shape (6,), torch.float32'",
    ),
    (
        lambda d: linear_probe(ROWS, [0, 2, 0, 2, 0, 2]),
        "labels: expected each class from 0 to 2, got tensor([0, 2])",
    ),
    (
        lambda d: linear_probe(ROWS, [1, 2, 1, 2, 1, 2]),
        "labels: expected each class from 0 to 2, got tensor([1, 2])",
    ),
    (
        lambda d: linear_probe(ROWS, [-1, 1, -1, 1, -1, 1]),
        "labels: expected each class from 0 to 1, got tensor([-1,  1])",
    ),
    (
        lambda d: build_classifier(d[0], random_head(3, 5)),
        f"head: expected rows of width {WIDTH}, one per class, got (3, 5)",
    ),
    (
        lambda d: build_classifier(d[0], torch.ones(3, 5)),
        f"head: expected rows of width {WIDTH}, one per class, got (3, 5)",
    ),
    (
        lambda d: build_classifier(d[0], torch.ones(WIDTH)),
        f"head: expected rows of width {WIDTH}, one per class, got (8,)",
    ),
    (
        lambda d: build_classifier(d[0], HEAD).predict(torch.zeros(1, 3, 8, 8)),
        f"pixels: expected shape (n, 3, {SIDE}, {SIDE}), n at least 1, got (1, 3, 8, 8)",
    ),
    (
        lambda d: build_classifier(d[0], HEAD).predict(PIXELS * torch.nan),
        "pixels: expected finite numbers, got 'NaN or infinity'",
    ),
    (lambda d: add_lora(build_classifier(d[0], HEAD), 0), "rank: expected at least 1, got 0"),
    (
        lambda d: interpolate(ONES, ONES, -0.1),
        "alpha: expected a number from 0 (a) to 1 (b), got -0.1",
    ),
    (
        lambda d: interpolate(ONES, ONES, 1.5),
        "alpha: expected a number from 0 (a) to 1 (b), got 1.5",
    ),
    (
        lambda d: interpolate(ONES, ONES, math.nan),
        "alpha: expected a number from 0 (a) to 1 (b), got nan",
    ),
    (
        lambda d: interpolate(ONES, TWOS, 0.5),
        "state_b: expected the same names as in state_a, got \"1 differing, such as ['v']\"",
    ),
    (
        lambda d: interpolate(TWOS, ONES, 0.5),
        "state_b: expected the same names as in state_a, got \"1 differing, such as ['v']\"",
    ),
    (
        lambda d: interpolate(ONES, {"w": torch.ones(1)}, 0.5),
        "state_b['w']: expected shape (2,), got (1,)",
    ),
    (
        lambda d: tip_adapter(ROWS, [0, 1], ROWS[:3], ROWS),
        "labels: expected one whole number for each of the 6 rows, got 'shape (2,), torch.int64'",
    ),
    (
        lambda d: tip_adapter(ROWS, [0, 1, 2, 3, 0, 0], ROWS[:3], ROWS),
        "labels: expected classes from 0 to 2, got tensor([0, 1, 2, 3])",
    ),
    (
        lambda d: save_classifier(build_classifier(d[0], HEAD), ["one", "two"], "nowhere"),
        "names: expected one for each of the 3 classes, got 2",
    ),
    (lambda d: adaptation.batches_of(6, 0, 0), "batch_size: expected at least 1, got 0"),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(double, call, words):
    with says(ValueError, words):
        call(double)


EXAMPLES = [
    (
        [0, 1],
        {},
        "labels: expected one whole number for each of the 6 rows, got 'shape (2,), torch.int64'",
    ),
    (
        [LABELS],
        {},
        "labels: expected one whole number for each of the 6 rows, got 'shape (1, 6), torch.int64'",
    ),
    (
        [0.5] * 6,
        {},
        "labels: expected one whole number for each of the 6 rows, got 'shape (6,), torch.float32'",
    ),
    ([0, 1, 2, 3, 0, 1], {}, "labels: expected classes from 0 to 2, got tensor([0, 1, 2, 3])"),
    ([0, 1, 2, 0, 1, -1], {}, "labels: expected classes from 0 to 2, got tensor([-1,  0,  1,  2])"),
    (
        LABELS,
        {"head": random_head(3, 5)},
        f"head: expected rows of width {WIDTH}, one per class, got (3, 5)",
    ),
    (
        LABELS,
        {"images": PIXELS * torch.inf},
        "pixels: expected finite numbers, got 'NaN or infinity'",
    ),
    (LABELS, {"images": []}, "images: expected a list of PIL images, at least one, got []"),
    (LABELS, {"batch_size": 0}, "batch_size: expected at least 1, got 0"),
    (LABELS, {"steps": 0}, "steps: expected at least 1, got 0"),
]


@pytest.mark.parametrize("method", [fine_tune, lora])
@pytest.mark.parametrize(
    ("labels", "changes", "words"), EXAMPLES, ids=[words for _, _, words in EXAMPLES]
)
def test_the_words_when_examples_do_not_fit(double, method, labels, changes, words):
    with says(ValueError, words):
        method(
            *double,
            **({"images": PIXELS, "labels": labels, "head": HEAD, "progress": False} | changes),
        )


def test_pixels_of_another_library_are_no_pictures(double):
    with pytest.raises(ValueError, match=r"^images\[0\]: expected a PIL image, got array"):
        fine_tune(*double, PIXELS.numpy(), LABELS, HEAD, progress=False)


@pytest.mark.parametrize("missing", ["classifier.safetensors", "classifier.json", None])
def test_a_folder_without_a_classifier_says_so(double, tmp_path, missing):
    save_classifier(build_classifier(double[0], HEAD), NAMES, tmp_path / "kept")
    folder = tmp_path / "kept" if missing else tmp_path / "none"
    if missing:
        (folder / missing).unlink()
    words = f"folder: expected a folder that holds classifier.safetensors and classifier.json, got {str(folder)!r}"
    with says(ValueError, words):
        load_classifier(double[0], folder)


def test_nothing_is_written_when_names_do_not_fit(double, tmp_path):
    with pytest.raises(ValueError, match="^names: "):
        save_classifier(build_classifier(double[0], HEAD), ["one"], tmp_path / "new")
    assert not (tmp_path / "new").exists()
