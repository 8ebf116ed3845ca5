"""Every helper gives the same answers when model, pictures, labels and heads lie apart."""

import contextlib
import copy

import pytest
import torch
from doubles import drawings
from pretend import ELSEWHERE, Elsewhere
from torch.utils._pytree import tree_map_only

from fmcourse import clip

pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
NAMES, LABELS = ["cat", "dog", "square"], [0, 1, 2, 0, 1, 2, 0, 1]


@pytest.fixture
def gpu(monkeypatch):
    """A pretended device, without what needs a real one: fused optimizers, autocast."""
    plain = torch.optim.AdamW.__init__

    def unfused(self, *given, fused, **settings):
        plain(self, *given, fused=False, foreach=False, **settings)

    monkeypatch.setattr(torch.optim.AdamW, "__init__", unfused)
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    with Elsewhere():
        yield


@pytest.fixture
def pair(make, gpu):
    """A model here, its copy elsewhere, and their processor."""
    model, processor = make()
    return model, copy.deepcopy(model).to(ELSEWHERE), processor


def there(value):
    return value.to(ELSEWHERE)


def same(found, wanted, atol=1e-5):
    # The same sums in the same order; a kernel chosen by memory layout may round otherwise.
    assert torch.allclose(found.cpu(), wanted.cpu(), rtol=1e-4, atol=atol)


def test_helpers_that_train_nothing(pair):
    here, elsewhere, processor = pair
    images, pixels = drawings(8), clip.pixels_of(processor, drawings(8))
    labels, scale = torch.tensor(LABELS), here.logit_scale.exp()
    rows, words = clip.embed_images(here, processor, pixels), clip.zero_shot_head(*pair[::2], NAMES)
    for embed, inputs in (
        (clip.embed_images, (images,)),
        (clip.embed_images, (there(pixels),)),
        (clip.embed_texts, (NAMES,)),
        (clip.zero_shot_head, (NAMES,)),
        (clip.occlusion, (images[0], "a cat")),
    ):
        found = embed(elsewhere, processor, *inputs)
        assert found.device.type == "cpu"
        same(found, embed(here, processor, *inputs))
    # Whichever of the arguments lie elsewhere.
    for compute, given in (
        (clip.contrastive_loss, (rows[:3], words, scale, labels[:3])),
        (clip.retrieval_ranks, (rows, words, labels)),
        (clip.tip_adapter, (rows, labels, words, rows)),
        (lambda *both: clip.linear_probe(*both).weight, (rows, labels)),
        (clip.linear_probe(rows, labels), (rows,)),
    ):
        wanted = compute(*given)
        for index in range(len(given)):
            moved = [there(value) if place == index else value for place, value in enumerate(given)]
            same(compute(*moved), wanted)


@pytest.mark.parametrize("method", ["fine_tune", "lp_ft", "fine_tune_pairs"])
def test_helpers_that_train(pair, method):
    here, elsewhere, processor = pair
    labels, head = torch.tensor(LABELS), clip.zero_shot_head(here, processor, NAMES)
    settings = {"steps": 3, "batch_size": 4, "progress": False}
    given = {"fine_tune": [labels, head], "lp_ft": [labels]}.get(method)
    if given is None:
        given, settings["ids"] = [[NAMES[label] for label in LABELS]], labels
    else:
        settings["accumulate"] = 2
    train = getattr(clip, method)
    _, run = train(here, processor, drawings(8), *given, **settings)
    given, settings = tree_map_only(torch.Tensor, there, (given, settings))
    found, again = train(elsewhere, processor, drawings(8), *given, **settings)
    assert next(found.parameters()).device == ELSEWHERE
    assert again.losses == pytest.approx(run.losses, rel=1e-3)


def test_a_stored_classifier_and_a_mixture(pair, tmp_path):
    here, elsewhere, processor = pair
    head = clip.zero_shot_head(here, processor, NAMES)
    pixels = clip.pixels_of(processor, drawings(4))
    near, moved = clip.build_classifier(here, head), clip.build_classifier(elsewhere, there(head))
    same(moved.predict(pixels), near.predict(pixels))
    clip.save_classifier(moved, NAMES, tmp_path)
    again, _ = clip.load_classifier(elsewhere, tmp_path)
    mixed = clip.interpolate(moved.state_dict(), near.state_dict(), 0.5)
    assert {value.device for value in mixed.values()} == {ELSEWHERE}
    for state in (again.state_dict(), mixed):
        again.load_state_dict(state)
        same(again.predict(pixels), near.predict(pixels))
