"""Every helper gives the same answers when model, pictures, labels and heads lie apart."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from doubles import CLIPS, drawings
from pretend import ELSEWHERE, Elsewhere, There

from fmcourse import clip

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*copying from a non-meta parameter"
)  # it is copied all the same
NAMES, LABELS = ["cat", "dog", "square"], [0, 1, 2, 0, 1, 2, 0, 1]
CLOSE = {
    "rtol": 1e-4,
    "atol": 1e-5,
}  # the same sums in the same order; a kernel chosen by memory layout may round otherwise


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


@pytest.fixture(params=CLIPS)
def pair(request, gpu):
    """A model here, its copy elsewhere, and their processor."""
    model, processor = CLIPS[request.param]()
    return model, copy.deepcopy(model).to(ELSEWHERE), processor


def there(tensor):
    return tensor.to(ELSEWHERE)


def same(found, wanted, **close):
    assert torch.allclose(found.cpu(), wanted, **(close or CLOSE))


# The pretended device does what a real one does.


def test_tensors_of_two_devices_do_not_meet(gpu):
    row = torch.randn(4)
    assert (
        isinstance(there(row), There)
        and there(row).device == ELSEWHERE
        and torch.equal(there(row).cpu(), row)
    )
    for one, other in ((there(row), row), (there(torch.tensor(2.0)), row)):
        with pytest.raises(RuntimeError, match="on the same device"):
            torch.add(one, other)
    same(
        there(row) * torch.tensor(2.0), 2 * row
    )  # a single number of the CPU may come along, as with a real one


# The helpers.


def test_pictures_and_texts_are_embedded(pair):
    here, elsewhere, processor = pair
    images = drawings(4)
    for embed, inputs in (
        (clip.embed_images, images),
        (clip.embed_texts, NAMES),
        (clip.zero_shot_head, NAMES),
    ):
        rows = embed(elsewhere, processor, inputs)
        assert rows.device.type == "cpu"
        same(rows, embed(here, processor, inputs))
    same(
        clip.embed_images(elsewhere, processor, there(clip.pixels_of(processor, images))),
        clip.embed_images(here, processor, images),
    )
    same(
        clip.occlusion(elsewhere, processor, images[0], "a cat"),
        clip.occlusion(here, processor, images[0], "a cat"),
    )


def test_rows_of_two_devices_are_compared(pair):
    model, _, processor = pair
    u, v = (
        clip.embed_images(model, processor, drawings(3)),
        clip.embed_texts(model, processor, NAMES),
    )
    scale, ids = model.logit_scale.exp(), torch.tensor([1, 1, 2])
    wanted = clip.contrastive_loss(u, v, scale, ids)
    for image, text, factor, meanings in (
        (there(u), v, scale, ids),
        (u, there(v), there(scale), there(ids)),
    ):
        same(clip.contrastive_loss(image, text, factor, meanings), wanted)
    for queries, gallery, right in (
        (there(u), v, [0, 1, 2]),
        (u, there(v), there(torch.arange(3))),
    ):
        assert (
            clip.retrieval_ranks(queries, gallery, right).cpu().tolist()
            == clip.retrieval_ranks(u, v, [0, 1, 2]).tolist()
        )


def test_probes_and_votes(pair):
    model, _, processor = pair
    rows, labels = clip.embed_images(model, processor, drawings(8)), torch.tensor(LABELS)
    probe, head = clip.linear_probe(rows, labels), clip.zero_shot_head(model, processor, NAMES)
    again = clip.linear_probe(there(rows), there(labels))
    same(again.weight, probe.weight)
    same(probe(there(rows)), probe(rows))
    wanted = clip.tip_adapter(rows, labels, head, rows)
    same(clip.tip_adapter(there(rows), there(labels), head, rows), wanted)
    same(clip.tip_adapter(rows, labels, there(head), there(rows)), wanted)


@pytest.mark.parametrize("method", ["fine_tune", "lp_ft", "lora"])
def test_a_classifier_is_trained_saved_and_read_again(pair, tmp_path, method):
    here, elsewhere, processor = pair
    images, head = drawings(8), clip.zero_shot_head(here, processor, NAMES)
    start = [] if method == "lp_ft" else [head]
    settings = {"steps": 2, "batch_size": 4, "accumulate": 2, "progress": False}
    wanted, run = getattr(clip, method)(here, processor, images, LABELS, *start, **settings)
    found, again = getattr(clip, method)(
        elsewhere, processor, images, there(torch.tensor(LABELS)), *start, **settings
    )
    assert next(found.parameters()).device == ELSEWHERE and again.losses == pytest.approx(
        run.losses, rel=1e-3
    )
    pixels = clip.pixels_of(processor, images)
    for seen in (pixels, there(pixels)):
        answers = found.predict(seen)
        assert answers.device.type == "cpu"
        same(
            answers, wanted.predict(pixels), rtol=0.0, atol=0.05
        )  # Adam makes steps of gradients that are mere rounding


def test_a_stored_classifier_and_a_mixture(pair, tmp_path):
    here, elsewhere, processor = pair
    head, pixels = (
        clip.zero_shot_head(here, processor, NAMES),
        clip.pixels_of(processor, drawings(4)),
    )
    near, moved = clip.build_classifier(here, head), clip.build_classifier(elsewhere, there(head))
    same(moved.predict(pixels), near.predict(pixels))
    clip.save_classifier(moved, NAMES, tmp_path)
    again, _ = clip.load_classifier(elsewhere, tmp_path)
    same(again.predict(pixels), near.predict(pixels))
    mixed = clip.interpolate(moved.state_dict(), near.state_dict(), 0.5)
    assert {value.device for value in mixed.values()} == {ELSEWHERE}
    again.load_state_dict(mixed)
    same(again.predict(pixels), near.predict(pixels))


def test_pairs_are_fine_tuned(pair, monkeypatch):
    here, elsewhere, processor = pair
    settings = {"ids": torch.tensor(LABELS), "steps": 2, "batch_size": 4, "progress": False}
    captions = [NAMES[label] for label in LABELS]
    wanted, run = clip.fine_tune_pairs(here, processor, drawings(8), captions, **settings)
    settings["ids"] = there(settings["ids"])
    found, again = clip.fine_tune_pairs(elsewhere, processor, drawings(8), captions, **settings)
    assert again.losses == pytest.approx(run.losses, rel=1e-4)
    same(clip.embed_texts(found, processor, NAMES), clip.embed_texts(wanted, processor, NAMES))
