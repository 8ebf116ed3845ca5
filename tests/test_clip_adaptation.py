"""Each adaptation equals its definition or its library, and leaves the foundation alone."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import CLIPS, WIDTH, drawings, same, stop_at, tiny_clip, tiny_vit_clip
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from fmcourse import clip, files
from fmcourse.clip import (
    Head,
    adaptation,
    build_classifier,
    fine_tune,
    interpolate,
    linear_probe,
    load_classifier,
    lora,
    lp_ft,
    random_head,
    save_classifier,
)
from fmcourse.clip.classifier import checked_labels

ROUNDING = 1e-5  # fp32: logits of a few units, a dozen layers
NAMES = ["red", "green", "blue"]
LABELS = [0, 1, 2, 0, 1, 2]
PIXELS = clip.pixels_of(tiny_clip()[1], drawings(6))
HEAD = random_head(3, WIDTH)
STEPS = 6
METHODS = pytest.mark.parametrize("method", [fine_tune, lora])


@pytest.fixture(scope="module", params=CLIPS.values(), ids=CLIPS)
def double(request):
    """Return a model and its processor; no test changes them."""
    return request.param()


def unit_rows(count, width=WIDTH, seed=0):
    rows = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(rows, dim=1)


def tune(double, method=fine_tune, pixels=PIXELS, labels=LABELS, head=HEAD, **changes):
    settings = {"steps": STEPS, "batch_size": 4, "lr": 1e-2, "progress": False} | changes
    return method(*double, pixels, labels, head, **settings)


# Heads and probes.


def test_a_random_head():
    head = random_head(400, np.int64(100))
    assert torch.equal(head.bias, torch.zeros(400))
    # 40,000 numbers: a standard error of 0.35 per cent.
    assert head.weight.std().item() == pytest.approx(0.1, rel=0.02)
    assert torch.equal(head.weight, random_head(400, 100, seed=np.int64(0)).weight)
    assert not torch.equal(head.weight, random_head(400, 100, seed=1).weight)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("strength", [0.1, 10.0])
def test_a_probe_equals_scikit_learn(classes, strength):
    rows, labels = unit_rows(40, 6).double().numpy(), np.arange(40) % classes
    reference = LogisticRegression(C=strength, max_iter=2_000, tol=1e-5).fit(rows, labels)
    others = unit_rows(30, 6, seed=1)
    found = linear_probe(unit_rows(40, 6), labels, strength)(others).softmax(1)
    wanted = reference.predict_proba(others.double().numpy())
    assert found.dtype == torch.float32 and np.allclose(found, wanted, atol=ROUNDING)


def test_one_picture_for_each_class_is_enough_for_a_probe(recwarn):
    probe = linear_probe(torch.eye(30), range(30))
    assert probe(torch.eye(30)).argmax(1).tolist() == list(range(30))
    assert not recwarn.list


GOOD_LABELS = [
    pd.Series([9, *LABELS])[1:],
    pd.Series(LABELS, dtype="Int64"),
    np.array(LABELS, dtype=object),
    [torch.tensor(label) for label in LABELS],
    torch.tensor(LABELS, dtype=torch.uint8),
]


@pytest.mark.parametrize("labels", GOOD_LABELS, ids=repr)
def test_labels_of_every_library(labels):
    assert torch.equal(checked_labels(labels, 6), torch.tensor(LABELS))


BAD_LABELS = [
    NAMES * 2,
    pd.Series(NAMES * 2, dtype="category"),
    None,
    "012012",
    [0, 1, None, 0, 1, 2],
    pd.Series([0, 1, None, 0, 1, 2], dtype="Int64"),
    [0.0, 1.0, 2.0, 0.0, 1.0, 2.0],
    [0, 1, 2],
    [LABELS],
    [[0, 1], [2]],
    [-1, 1, 2, 0, 1, 2],
    [0, 1, 3, 0, 1, 3],
]


@pytest.mark.parametrize("labels", BAD_LABELS, ids=repr)
def test_labels_that_are_none(labels):
    double, rows = tiny_vit_clip(), unit_rows(6)
    for call in (
        lambda: tune(double, labels=labels),
        lambda: lp_ft(*double, PIXELS, labels),
        lambda: clip.tip_adapter(rows, labels, rows[:3], rows),
    ):
        with pytest.raises(ValueError, match="labels"):
            call()


# Classifiers.


def test_a_classifier_is_the_encoder_and_a_head(double):
    wanted = HEAD(clip.embed_images(*double, PIXELS))
    classifier = build_classifier(double[0], HEAD)
    assert not classifier.training
    assert torch.allclose(classifier(PIXELS), wanted, atol=ROUNDING)
    assert torch.allclose(classifier.predict(PIXELS, np.int64(4)), wanted, atol=ROUNDING)


def test_words_become_a_head_with_the_models_scale(double):
    model, processor = double
    words, scale = clip.zero_shot_head(model, processor, NAMES), model.logit_scale.exp().item()
    wanted = scale * clip.embed_images(model, processor, PIXELS) @ words.T
    found = build_classifier(model, words).predict(PIXELS)
    assert torch.allclose(found, wanted, atol=scale * ROUNDING)


def test_a_classifier_shares_nothing_with_the_model_and_learns(double):
    model = copy.deepcopy(double[0]).requires_grad_(False)
    head = copy.deepcopy(HEAD)
    classifier = build_classifier(model, head)
    for value in classifier.parameters():
        assert value.requires_grad
        value.data.fill_(7)
    assert same(model, double[0]) and torch.equal(head.weight, HEAD.weight)


def test_in_training_the_statistics_stay():
    classifier = build_classifier(tiny_clip()[0], HEAD)
    wanted = classifier(PIXELS)
    assert torch.equal(classifier.train()(PIXELS), wanted)  # the double has no dropout
    assert classifier.vision_model.training


def test_what_is_predicted_can_be_used_for_training(double):
    classifier = build_classifier(double[0], HEAD).train()
    classifier.head.eval()
    modes = [part.training for part in classifier.modules()]
    logits = classifier.predict(PIXELS)
    assert [part.training for part in classifier.modules()] == modes
    weight = torch.ones(3, requires_grad=True)
    (logits * weight).sum().backward()
    assert torch.allclose(weight.grad, logits.sum(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_trained_in_single(double, dtype):
    half = copy.deepcopy(double[0]).to(dtype), double[1]
    words = clip.zero_shot_head(*half, NAMES)
    for found, _ in (tune(half), tune(half, lora), tune(half, head=words)):
        assert {value.dtype for value in found.parameters()} == {torch.float32}
    near = build_classifier(double[0], HEAD).predict(PIXELS)
    classifier = build_classifier(half[0], HEAD)
    assert torch.allclose(classifier.predict(PIXELS), near, atol=0.1)
    assert torch.allclose(classifier.to(dtype).predict(PIXELS).float(), near, atol=0.1)


@pytest.mark.parametrize("head", [NAMES, None, torch.ones(WIDTH), torch.ones(3, 5)], ids=repr)
def test_a_head_that_does_not_fit(double, head):
    with pytest.raises(ValueError, match="head"):
        tune(double, head=head)


# Fine-tuning.


def by_hand(double, head, steps, lr):
    """Fine-tune as a textbook would: AdamW, a warm-up, half a cosine, clipping at 1."""
    model = copy.deepcopy(double[0]).eval()
    weight, bias = (value.clone().requires_grad_() for value in (head.weight, head.bias))
    encoder = [*model.vision_model.parameters(), *model.visual_projection.parameters()]
    matrices = [value for value in encoder if value.ndim >= 2]
    others = [value for value in encoder if value.ndim < 2]
    groups = [
        {"params": matrices, "lr": lr, "weight_decay": adaptation.WEIGHT_DECAY},
        {"params": others, "lr": lr, "weight_decay": 0.0},
        {"params": [weight, bias], "lr": adaptation.HEAD_LR, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), foreach=False)
    rise = round(0.1 * steps)

    def factor(step):
        if step < rise:
            return (step + 1) / rise
        return (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        pooled = model.vision_model(pixel_values=PIXELS).pooler_output
        rows = functional.normalize(model.visual_projection(pooled), dim=-1)
        loss = functional.cross_entropy(rows @ weight.T + bias, torch.tensor(LABELS))
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*encoder, weight, bias], 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses, weight


def test_fine_tuning_equals_a_loop_written_by_hand(double):
    classifier, run = tune(double, steps=20, lr=1e-3, batch_size=6)
    losses, weight = by_hand(double, HEAD, 20, 1e-3)
    assert losses[-1] < losses[0] - 0.01  # something was learned
    # Adam divides by the gradient's size: where that is nearly nothing, rounding decides the step.
    assert run.losses == pytest.approx(losses, abs=1e-3)
    assert torch.allclose(classifier.head.weight, weight, atol=1e-3)


@METHODS
def test_the_model_and_the_data_stay_as_they_are(double, method):
    torch.manual_seed(1234)  # no state that a different run has left
    before = copy.deepcopy((double[0], PIXELS, HEAD, torch.get_rng_state()))
    classifier, _ = tune(double, method)
    assert same(double[0], before[0]) and not double[0].training and not classifier.training
    assert torch.equal(PIXELS, before[1]) and torch.equal(HEAD.weight, before[2].weight)
    assert torch.equal(torch.get_rng_state(), before[3])
    assert all(value.grad is None for value in double[0].parameters())


def test_every_weight_moves_and_no_statistic():
    double = tiny_clip()
    classifier, _ = tune(double, steps=20)
    before = build_classifier(double[0], HEAD).state_dict()
    weights = {name for name, _ in classifier.named_parameters()}
    moved = {n for n, value in classifier.state_dict().items() if not torch.equal(value, before[n])}
    assert moved == weights and weights < before.keys()


@METHODS
@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_seeds_reproduce_and_differ(make, method):
    double, found = make(dropout=0.2), []
    for seed, noise in ((1, 0), (np.int64(1), 1), (2, 1)):
        torch.manual_seed(noise)  # whatever the global generator has been through
        found.append(tune(double, method, seed=seed))
    (one, run), (again, other_run), (other, _) = found
    assert same(one, again) and run.losses == other_run.losses and not same(one, other)


@METHODS
def test_a_seed_decides_dropout_too(method, monkeypatch):
    monkeypatch.setattr(adaptation, "batches_of", lambda *given: lambda step: torch.arange(6))
    double = tiny_vit_clip(dropout=0.5)
    first, second = (tune(double, method, seed=seed, steps=1)[1].losses[0] for seed in (1, 2))
    assert abs(first - second) > 1e-3


@METHODS
def test_a_batch_in_parts_and_half_precision_are_close(double, method):
    _, run = tune(double, method)
    _, parted = tune(double, method, accumulate=3)  # parts of one picture and of two
    # One step of 1e-2 after another: Adam makes of rounding more than it was.
    assert parted.losses == pytest.approx(run.losses, rel=1e-2)
    classifier, mixed = tune(double, method, precision="bf16")
    assert {value.dtype for value in classifier.parameters()} == {torch.float32}
    assert mixed.losses != run.losses
    # bf16 keeps 8 bits; a dozen layers.
    assert mixed.losses[0] == pytest.approx(run.losses[0], rel=0.05)


@METHODS
@pytest.mark.parametrize("make", CLIPS.values(), ids=CLIPS)
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path, monkeypatch, make, method):
    double, how = make(dropout=0.2), {"checkpoint": tmp_path / "run.pt"}
    whole, run = tune(double, method)
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            tune(double, method, **how)
    resumed, rest = tune(double, method, **how)
    assert rest.resumed_from == 4 and same(resumed, whole) and rest.losses == run.losses


CHANGES = [
    {"batch_size": 3},
    {"lr": 3e-3},
    {"head_lr": 3e-3},
    {"seed": 1},
    {"labels": LABELS[::-1]},
    {"pixels": PIXELS.flip(0)},
    {"rank": 2},
    # These three wait for the identity of training.fit itself, which looks at the first weights.
    {"head": random_head(3, WIDTH, seed=1)},
    {"head": Head(HEAD.weight, torch.ones(3))},
    {"double": tiny_vit_clip(seed=1)},
]


@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_a_different_setting_never_shares_a_result(tmp_path, change):
    how = {"double": tiny_vit_clip(), "checkpoint": tmp_path / "run.pt", "steps": 2, "rank": 1}
    classifier, _ = tune(method=lora, **how)
    again, run = tune(method=lora, **how)
    assert run.resumed_from == 2 and same(again, classifier)
    with pytest.raises(ValueError, match="run"):
        tune(method=lora, **(how | change))


def test_figures_are_measured_on_the_way(double):
    def measure(classifier):
        return {"sum": classifier.predict(PIXELS).sum().item()}

    classifier, run = tune(double, measure=measure, measure_every=3)
    assert [record["step"] for record in run.records] == [0, 3, 6]
    assert run.records[-1]["sum"] == measure(classifier)["sum"]
    assert same(classifier, tune(double)[0])  # looking changes nothing


@pytest.mark.parametrize(("count", "size"), [(6, 4), (5, 5), (3, 8), (1, 2)])
def test_each_epoch_goes_through_all(count, size):
    batch = adaptation.batches_of(count, np.int64(size), seed=np.int64(3))
    epochs = torch.cat([batch(step) for step in range(2 * count)]).view(-1, count)
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(count).expand(2 * size, -1))
    assert torch.equal(batch(1), adaptation.batches_of(count, size, seed=3)(1))
    if count > 4:
        assert len(epochs.unique(dim=0)) > 1  # in an order of its own
        assert not torch.equal(batch(0), adaptation.batches_of(count, size, seed=4)(0))


def test_lp_ft_fine_tunes_from_a_probe(double):
    settings = {"steps": 3, "batch_size": 4, "progress": False}
    found, run = lp_ft(*double, drawings(6), LABELS, strength=3.0, **settings)
    probe = linear_probe(clip.embed_images(*double, PIXELS), LABELS, 3.0)
    wanted, other = tune(double, head=probe, **(settings | adaptation.LP_RATES))
    assert same(found, wanted) and run.losses == other.losses


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 0), ("steps", 0), ("seed", 1.5), ("rank", 0), ("pixels", PIXELS * torch.inf)],
)
def test_settings_that_are_none(name, value):
    with pytest.raises(ValueError, match=name):
        tune(tiny_vit_clip(), lora, **{name: value})


# LoRA.


def adapted_names(classifier):
    """Return what a low-rank update can change: matrices and 1x1 convolutions outside of gates."""
    found = set()
    for name, value in classifier.state_dict().items():
        matrix = value.ndim == 2 and "position" not in name and not name.startswith("head.")
        pointwise = value.ndim == 4 and value.shape[1] > 1 and value.shape[2:] == (1, 1)
        if (matrix or pointwise) and "squeeze_excite" not in name:
            found.add(name)
    return found


def shaken(wrapped):
    """Give the low-rank updates values that change the logits."""
    generator = torch.Generator().manual_seed(0)
    for name, value in wrapped.named_parameters():
        if "lora_" in name:
            value.data.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    return wrapped


def test_merged_updates_give_the_same_logits(double):
    plain = build_classifier(double[0], HEAD)(PIXELS)
    wrapped = clip.add_lora(build_classifier(double[0], HEAD), rank=2)
    assert torch.equal(wrapped(PIXELS), plain)  # an update begins as nothing
    updated = shaken(wrapped)(PIXELS)
    assert not torch.allclose(updated, plain, atol=0.01)
    layer = wrapped.base_model.model.visual_projection
    # Scaled by 2, whatever the rank.
    update = 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    wanted = layer.weight + update
    merged = wrapped.merge_and_unload()
    assert torch.allclose(merged.visual_projection.weight, wanted, atol=ROUNDING)
    # Updates of about 1 round on their way into weights.
    assert torch.allclose(merged(PIXELS), updated, atol=10 * ROUNDING)


def test_lora_changes_what_it_adapts_and_the_head_only(double):
    classifier, _ = tune(double, lora, rank=1)
    plain = build_classifier(double[0], HEAD)
    before, after = plain.state_dict(), classifier.state_dict()
    assert type(classifier) is type(plain) and before.keys() == after.keys()
    assert all(value.requires_grad for value in classifier.parameters())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == adapted_names(plain) | {"head.weight", "head.bias"} and len(changed) > 7
    update = after["visual_projection.weight"] - before["visual_projection.weight"]
    sizes = torch.linalg.svdvals(update.double())
    # Of rank 1; the weights are rounded after the update was added.
    assert sizes[0] > 1e-3 and sizes[1] < 1e-3 * sizes[0]


# Interpolation.


def test_interpolation_on_paper():
    a, b = {"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([8.0, 0.0])}
    assert interpolate(a, b, 0.25)["w"].tolist() == [2.0, 3.0]
    interpolate(a, b, 0)["w"].fill_(9)
    assert a["w"].tolist() == [0.0, 4.0] and interpolate(a, b, 1)["w"].tolist() == [8.0, 0.0]


@pytest.mark.parametrize(("alpha", "count"), [(0, 3), (0.49, 3), (0.5, 8), (1, 8)])
def test_a_counter_is_that_of_the_nearer_end(alpha, count):
    a, b = {"batches": torch.tensor(3)}, {"batches": torch.tensor(8)}
    found = interpolate(a, b, alpha)["batches"]
    assert found.item() == count and found.dtype == torch.int64
    found.fill_(0)
    assert (a["batches"].item(), b["batches"].item()) == (3, 8)


ONE, TWO = {"w": torch.ones(2)}, {"w": torch.ones(2), "v": torch.ones(1)}


@pytest.mark.parametrize(
    ("a", "b", "alpha", "name"),
    [
        (ONE, ONE, -0.1, "alpha"),
        (ONE, ONE, math.nan, "alpha"),
        (ONE, TWO, 0.5, "state_b"),
        (TWO, ONE, 0.5, "state_b"),
        (ONE, {"w": torch.ones(1)}, 0.5, "state_b"),
    ],
)
def test_ends_that_cannot_be_mixed(a, b, alpha, name):
    with pytest.raises(ValueError, match=name):
        interpolate(a, b, alpha)


# Tip-Adapter.


def test_votes_by_hand():
    features, rows, head = unit_rows(6), unit_rows(4, seed=1), unit_rows(3, seed=2)
    settings = {"scale": 100.0, "sharpness": 5.5}
    logits = clip.tip_adapter(features, LABELS, head, rows, trust=2.0, **settings)
    for row, found in zip(rows, logits):
        wanted = 100.0 * head @ row
        for feature, label in zip(features, LABELS):
            wanted[label] += 2 * math.exp(-5.5 * (1 - feature @ row))
        assert torch.allclose(found, wanted, atol=100 * ROUNDING)  # logits reach 100
    alone = clip.tip_adapter(features, LABELS, head, rows, trust=0.0, **settings)
    assert torch.equal(alone, 100.0 * rows @ head.T)


# Files.


@pytest.fixture
def kept(tmp_path):
    """Return a classifier, and the folder that it was saved in."""
    classifier = build_classifier(tiny_vit_clip()[0], HEAD)
    save_classifier(classifier, NAMES, tmp_path / "kept")
    return classifier, tmp_path / "kept"


def read(folder, seed=0):
    return load_classifier(tiny_vit_clip(seed)[0], folder)


GOOD_NAMES = [
    ["K\u00e4se", "\u56f3", "a\udcff"],
    np.array(NAMES),
    np.unique([3, 8, 9]),
    pd.Series(NAMES, index=[4, 5, 6]),
]


@pytest.mark.parametrize("names", GOOD_NAMES, ids=ascii)
def test_a_saved_classifier_comes_back(double, tmp_path, monkeypatch, names):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    classifier, _ = tune(double)
    save_classifier(classifier, names, "~/new/folder")
    found, found_names = load_classifier(double[0], str(tmp_path / "new" / "folder"))
    assert found_names == [str(name) for name in names] and not found.training
    assert same(found, classifier)
    assert torch.equal(found.predict(PIXELS), classifier.predict(PIXELS))


BAD_NAMES = [
    ["a", "b"],
    "abc",
    None,
    {"a", "b", "c"},
    [1.0, 2.0, 3.0],
    ["a", None, "c"],
    [["a"]] * 3,
]


@pytest.mark.parametrize("names", BAD_NAMES)
def test_nothing_is_written_when_names_do_not_fit(kept, names):
    classifier, folder = kept
    other = build_classifier(tiny_vit_clip(1)[0], HEAD)
    for place in (folder, folder / "new"):
        with pytest.raises(ValueError, match="names"):
            save_classifier(other, names, place)
    assert same(read(folder)[0], classifier) and not (folder / "new").exists()


@pytest.mark.parametrize("failing", [1, 2])
def test_a_full_disk_leaves_one_whole_classifier(kept, monkeypatch, failing):
    classifier, folder = kept
    other, writes = build_classifier(tiny_vit_clip(1)[0], HEAD), []
    replace = files.os.replace

    def full(*paths):
        writes.append(paths)
        if len(writes) == failing:
            raise OSError(28, "No space left on device")
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            save_classifier(other, ["x", "y", "z"], folder)
    found, names = read(folder)
    assert (same(found, classifier), names) == (
        failing == 1,
        NAMES if failing == 1 else list("xyz"),
    )
    assert same(found, other) == (failing == 2)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("name", ["classifier.safetensors", "classifier.json"])
@pytest.mark.parametrize("size", [None, 0, 5, 20])
def test_a_file_that_is_not_whole_is_named(kept, name, size):
    _, folder = kept
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if size is not None:
        (folder / name).write_bytes(content[:size])
    with pytest.raises(ValueError, match=name) as told:
        read(folder)
    assert "again" in str(told.value) and "delete" not in str(told.value)


def test_a_classifier_of_a_different_model_is_refused(kept):
    with pytest.raises(ValueError, match="different model"):
        load_classifier(tiny_clip()[0], kept[1])


def test_a_classifier_of_the_first_edition_is_read(kept):
    classifier, folder = kept
    state = {name: value.contiguous() for name, value in classifier.state_dict().items()}
    save_file(state, folder / "classifier.safetensors")
    (folder / "classifier.json").write_text(json.dumps({"names": ["\u732b", "b", "c"]}), "utf-8")
    found, names = read(folder)
    assert same(found, classifier) and names == ["\u732b", "b", "c"]


def test_a_wrapped_classifier_is_saved_merged(double, tmp_path):
    plain = build_classifier(double[0], HEAD)
    wrapped = shaken(clip.add_lora(plain, 2))
    wanted = wrapped(PIXELS)
    save_classifier(wrapped, NAMES, tmp_path)
    found, _ = load_classifier(double[0], tmp_path)
    assert torch.allclose(found(PIXELS), wanted, atol=10 * ROUNDING)
    assert torch.equal(wrapped(PIXELS), wanted)  # it can be trained on
    for module in (plain, torch.nn.Linear(WIDTH, 3)):  # add_lora has changed the plain one
        with pytest.raises(ValueError, match="classifier"):
            save_classifier(module, NAMES, tmp_path)


def test_a_file_in_place_of_a_folder_stays(kept):
    classifier, folder = kept
    mine = folder / "thesis.txt"
    mine.write_text("years of work")
    for place in (mine, mine / "below"):
        with pytest.raises(ValueError, match="folder") as told:
            save_classifier(classifier, NAMES, place)
        assert "delete" not in str(told.value)
        with pytest.raises(ValueError, match="folder"):
            read(place)
    assert mine.read_text() == "years of work"
