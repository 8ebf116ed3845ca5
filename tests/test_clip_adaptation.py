"""Each adaptation equals its definition or its library, and leaves the foundation alone."""

import copy
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import (
    CASES,
    WIDTH,
    drawings,
    refused,
    same,
    stop_at,
    textbook,
    tiny_clip,
    tiny_vit_clip,
    unit_rows,
)
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from fmcourse import clip, files
from fmcourse.clip import (
    adaptation,
    build_classifier,
    fine_tune,
    interpolate,
    linear_probe,
    load_classifier,
    lp_ft,
    random_head,
    save_classifier,
)

TABLES = CASES["clip"]
ROUNDING = 1e-5  # fp32: logits of a few units, a dozen layers
NAMES = ["red", "green", "blue"]
LABELS = [0, 1, 2, 0, 1, 2]
PIXELS = clip.pixels_of(tiny_clip()[1], drawings(6))
HEAD = random_head(3, WIDTH)
RANKS = pytest.mark.parametrize("rank", [0, 2])


def tune(double, pixels=PIXELS, labels=LABELS, head=HEAD, **changes):
    settings = {"steps": 6, "batch_size": 4, "lr": 1e-2, "progress": False} | changes
    return fine_tune(*double, pixels, labels, head, **settings)


# Heads and probes.


@pytest.mark.parametrize("classes", [2, 3, 40])
def test_a_probe_equals_scikit_learn(classes, recwarn):
    rows, labels = unit_rows(40, 6), np.arange(40) % classes
    found = linear_probe(rows, labels, 0.1)(unit_rows(30, 6, seed=1)).softmax(1)
    assert not recwarn.list  # one picture of each class is a fair question
    reference = LogisticRegression(C=0.1, max_iter=2_000, tol=1e-5)
    reference.fit(rows.double().numpy(), labels)
    wanted = reference.predict_proba(unit_rows(30, 6, seed=1).double().numpy())
    assert found.dtype == torch.float32 and np.allclose(found, wanted, atol=ROUNDING)


def test_labels_that_are_none():
    double, rows = tiny_vit_clip(), unit_rows(6)
    missing = pd.Series([0, 1, None, 0, 1, 2], dtype="Int64")
    for labels in (*TABLES["bad_labels"], missing):
        with refused("labels"):
            tune(double, labels=labels)
        with refused("labels"):
            linear_probe(rows, labels)
    with refused("labels", "at least two classes"):
        linear_probe(rows, [0] * 6)


# Classifiers.


def test_a_classifier_is_the_encoder_and_a_head(double):
    model, processor = double
    rows = clip.embed_images(model, processor, PIXELS)
    classifier = build_classifier(model, HEAD)
    assert not classifier.training
    assert torch.allclose(classifier(PIXELS), HEAD(rows), atol=ROUNDING)
    # In training the statistics stay; the doubles have no dropout.
    assert torch.allclose(classifier.train()(PIXELS), HEAD(rows), atol=ROUNDING)
    words, scale = clip.zero_shot_head(model, processor, NAMES), model.logit_scale.exp().item()
    found = build_classifier(model, words).predict(PIXELS)
    assert torch.allclose(found, scale * rows @ words.T, atol=scale * ROUNDING)
    assert torch.allclose(classifier.embed(PIXELS), rows, atol=ROUNDING)
    nearest = (rows @ words.T).argmax(1).tolist()
    assert clip.percent_right(classifier, PIXELS, nearest, words) == 100
    first = classifier.predict(PIXELS).argmax(1)
    first[0] = (first[0] + 1) % 3
    assert clip.percent_right(classifier, PIXELS, first) == pytest.approx(100 * 5 / 6)


def test_a_model_in_half_precision_is_trained_in_single(double):
    half = copy.deepcopy(double[0]).half(), double[1]
    for found, _ in (tune(half, rank=2), tune(half, head=clip.zero_shot_head(*half, NAMES))):
        assert {value.dtype for value in found.parameters()} == {torch.float32}


# Fine-tuning.


def test_fine_tuning_equals_a_loop_written_by_hand(double):
    classifier, run = tune(double, steps=20, lr=1e-3, batch_size=6)
    model = build_classifier(double[0], HEAD)
    encoder = [*model.vision_model.parameters(), *model.visual_projection.parameters()]
    parts = (
        (encoder, 1e-3, adaptation.WEIGHT_DECAY),
        (model.head.parameters(), adaptation.HEAD_LR, 0.0),
    )

    def loss(step):
        return functional.cross_entropy(model(PIXELS), torch.tensor(LABELS))

    losses = textbook(parts, loss, 20, (0.9, 0.98), floor=0.0)
    assert losses[-1] < losses[0] - 0.01  # something was learned
    # Adam divides by the gradient's size: where that is nearly nothing, rounding decides the step.
    assert run.losses == pytest.approx(losses, abs=1e-3)
    assert torch.allclose(classifier.head.weight, model.head.weight, atol=1e-3)
    # Every weight moves, and no statistic.
    before, state = build_classifier(double[0], HEAD).state_dict(), classifier.state_dict()
    moved = {name for name in state if not torch.equal(before[name], state[name])}
    assert moved == {name for name, _ in classifier.named_parameters()}


@RANKS
def test_the_model_and_the_data_stay_as_they_are(double, rank):
    torch.manual_seed(1234)  # no state that a different run has left
    double[0].requires_grad_(False)
    before = copy.deepcopy((double[0], PIXELS, HEAD, torch.get_rng_state()))
    classifier, _ = tune(double, rank=rank)
    double[0].requires_grad_(True)
    assert all(value.requires_grad for value in classifier.parameters())
    assert same(double[0], before[0]) and not double[0].training and not classifier.training
    assert torch.equal(PIXELS, before[1]) and torch.equal(HEAD.weight, before[2].weight)
    assert torch.equal(torch.get_rng_state(), before[3])
    assert all(value.grad is None for value in double[0].parameters())


@RANKS
def test_seeds_reproduce_and_a_resumed_run_has_the_same_bits(checkpoint, monkeypatch, make, rank):
    double, how = make(dropout=0.2), {"checkpoint": checkpoint, "rank": rank}
    whole, run = tune(double, rank=rank)
    assert not same(whole, tune(double, rank=rank, seed=2)[0])
    torch.manual_seed(1)  # whatever the global generator has been through
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            tune(double, **how)
    resumed, rest = tune(double, **how, seed=np.int64(0))
    assert rest.resumed_from == 4 and same(resumed, whole) and rest.losses == run.losses
    changes = {"labels": LABELS[::-1], "pixels": PIXELS.flip(0), "lr": 3e-3, "seed": 1}
    changes |= {"head": random_head(3, WIDTH, seed=1), "head_lr": 3e-3, "rank": 1}
    for name, value in {**changes, "double": make(seed=1, dropout=0.2)}.items():
        with refused("checkpoint", "different run"):
            tune(**({"double": double} | how | {name: value}))


def test_each_epoch_goes_through_all():
    batch = adaptation.batches_of(6, np.int64(4), seed=np.int64(3))
    epochs = torch.cat([batch(step) for step in range(12)]).view(-1, 6)
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(6).expand(8, -1))
    assert len(epochs.unique(dim=0)) > 1  # each in an order of its own


def test_lp_ft_fine_tunes_from_a_probe(double):
    settings = {"steps": 3, "batch_size": 4, "progress": False}
    found, run = lp_ft(*double, drawings(6), LABELS, C=3.0, **settings)
    probe = linear_probe(clip.embed_images(*double, PIXELS), LABELS, 3.0)
    wanted, other = tune(double, head=probe, **(settings | adaptation.LP_RATES))
    assert same(found, wanted) and run.losses == other.losses


def test_arguments_that_do_not_fit():
    wrong = [("pixels", PIXELS * torch.inf), ("head", torch.ones(WIDTH)), ("head", None)]
    wrong += [("head", torch.ones(3, 5)), *TABLES["bad_settings"]]
    for name, value in wrong:
        with refused(name):
            tune(tiny_vit_clip(), **{name: value})


def test_merged_updates_give_the_same_logits(double):
    plain = build_classifier(double[0], HEAD)(PIXELS)
    wrapped = adaptation.add_lora(build_classifier(double[0], HEAD), rank=2)
    # An update begins as nothing.
    assert torch.equal(wrapped(PIXELS), plain)
    generator = torch.Generator().manual_seed(0)
    for name, value in wrapped.named_parameters():
        if "lora_" in name:
            value.data.copy_(torch.randn(value.shape, generator=generator) * 0.2)
    updated = wrapped(PIXELS)
    assert not torch.allclose(updated, plain, atol=0.01)
    layer = wrapped.base_model.model.visual_projection
    # Scaled by 2, whatever the rank.
    update = 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    wanted = layer.weight + update
    merged = wrapped.merge_and_unload()
    assert torch.allclose(merged.visual_projection.weight, wanted, atol=ROUNDING)
    # Updates of about 1 round on their way into weights.
    assert torch.allclose(merged(PIXELS), updated, atol=10 * ROUNDING)


# Interpolation.


def test_interpolation_on_paper():
    a = {"w": torch.tensor([0.0, 4.0]), "batches": torch.tensor(3)}
    b = {"w": torch.tensor([8.0, 0.0]), "batches": torch.tensor(8)}
    for alpha, w, batches in ((0, [0.0, 4.0], 3), (0.25, [2.0, 3.0], 3), (0.5, [4.0, 2.0], 8)):
        found = interpolate(a, b, alpha)
        assert found["w"].tolist() == w and found["batches"].item() == batches
        found["w"].fill_(9)  # the ends stay as they are
    for alpha in (-0.1, math.nan):
        with refused("alpha"):
            interpolate(a, b, alpha)
    for other in ({}, b | {"more": torch.ones(1)}, b | {"w": torch.ones(1)}):
        with refused("state_b"):
            interpolate(a, other, 0.5)


# Tip-Adapter.


def test_votes_by_hand():
    features, rows, head = unit_rows(6), unit_rows(4, seed=1), unit_rows(3, seed=2)
    logits = clip.tip_adapter(features, LABELS, head, rows, alpha=2.0, beta=5.5)
    for row, found in zip(rows, logits):
        wanted = 100.0 * head @ row
        for feature, label in zip(features, LABELS):
            wanted[label] += 2 * math.exp(-5.5 * (1 - feature @ row))
        assert torch.allclose(found, wanted, atol=100 * ROUNDING)  # logits reach 100


# Files.


@pytest.fixture
def kept(tmp_path):
    """Return a classifier, and the folder that it was saved in."""
    classifier = build_classifier(tiny_vit_clip()[0], HEAD)
    save_classifier(classifier, NAMES, tmp_path / "kept")
    return classifier, tmp_path / "kept"


def read(folder):
    return load_classifier(tiny_vit_clip()[0], folder)


def test_a_saved_classifier_comes_back(double, home):
    classifier, _ = tune(double)
    names = [["K\u00e4se", "\u56f3", "a\udcff"], np.array(NAMES), np.unique([3, 8, 9])]
    for given in (*names, pd.Series(NAMES, index=[4, 5, 6])):
        save_classifier(classifier, given, "~/new/folder")
        found, found_names = load_classifier(double[0], str(home / "new" / "folder"))
        assert found_names == [str(name) for name in given] and not found.training
        assert same(found, classifier)
        assert torch.equal(found.predict(PIXELS), classifier.predict(PIXELS))


def test_nothing_is_written_when_an_argument_does_not_fit(kept):
    classifier, folder = kept
    other = build_classifier(tiny_vit_clip(1)[0], HEAD)
    mine = folder / "thesis.txt"
    mine.write_text("years of work")
    wrong = [("names", other, names, folder) for names in (*TABLES["bad_names"], None, set(NAMES))]
    wrong += [("folder", other, NAMES, place) for place in (mine, mine / "below")]
    wrong.append(("classifier", torch.nn.Linear(WIDTH, 3), NAMES, folder))
    for name, *given in wrong:
        with refused(name):
            save_classifier(*given)
    assert same(read(folder)[0], classifier) and mine.read_text() == "years of work"


def test_a_full_disk_leaves_one_whole_classifier(kept, monkeypatch):
    classifier, folder = kept
    other, names = build_classifier(tiny_vit_clip(1)[0], HEAD), ["x", "y", "z"]
    replace = files.os.replace
    # The disk is full at the weights, or at the names that are repeated for other programs.
    for failing, wanted in ((".safetensors", (classifier, NAMES)), (".json", (other, names))):

        def full(source, target, failing=failing):
            if str(target).endswith(failing):
                raise OSError(28, "No space left on device")
            replace(source, target)

        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            patch.setattr(files.os, "replace", full)
            save_classifier(other, names, folder)
        found, its_names = read(folder)
        assert same(found, wanted[0]) and its_names == wanted[1]
        assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("name", ["classifier.safetensors", "classifier.json"])
@pytest.mark.parametrize("size", [None, 0, 20])
def test_a_file_that_is_not_whole_is_named(kept, name, size):
    _, folder = kept
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if size is not None:
        (folder / name).write_bytes(content[:size])
    with refused("folder", f"{name}.*again"):
        read(folder)


def test_a_classifier_of_the_first_edition_is_read(kept):
    classifier, folder = kept
    state = {name: value.contiguous() for name, value in classifier.state_dict().items()}
    save_file(state, folder / "classifier.safetensors")
    (folder / "classifier.json").write_text(json.dumps({"names": ["\u732b", "b", "c"]}), "utf-8")
    found, names = read(folder)
    assert same(found, classifier) and names == ["\u732b", "b", "c"]
    with pytest.raises(ValueError, match="different model"):
        load_classifier(tiny_clip()[0], folder)
