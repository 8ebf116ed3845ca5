"""Embedding and fine-tuning beside the plain transformers loop, in pictures per second.

Both sides use the bundled CLIP on one thread, the same pictures and the same embeddings of the
captions, made once. They alternate in one run, and medians are printed. The plain loops are those
of the transformers documentation: processor, ``get_image_features``, norm; for training AdamW,
cross-entropy over the captions, backward, step.

    python -m benchmarks.clip
"""

import copy
import functools

import torch
from torch import Tensor
from torch.nn import functional

import fmcourse
from benchmarks.common import compare, timed
from fmcourse import clip
from fmcourse.clip.pictures import as_seen

PICTURES, BATCH = 512, 128
STEPS, TRAIN_BATCH, LR = 12, 32, 3e-4
ROUNDS = 5


def main():
    fmcourse.setup()
    model, processor = fmcourse.load_clip("emoji-clip")
    task = clip.subgroup_task()
    images = [as_seen(image) for image in task.train.images[:PICTURES]]
    labels = torch.tensor(task.train.labels[:PICTURES])
    words = clip.zero_shot_head(model, processor, task.names)
    pixels = clip.pixels_of(processor, images)

    embed = functools.partial(clip.embed_images, model, processor, images)
    plain_embed = functools.partial(plain_embedding, model, processor, images)
    settings = {"steps": STEPS, "batch_size": TRAIN_BATCH, "lr": LR, "progress": False}
    data = (pixels, labels, words)
    tune = functools.partial(clip.fine_tune, model, processor, *data, **settings)
    plain_tune = functools.partial(plain_fine_tuning, model, *data)

    assert torch.allclose(embed(), plain_embed(), atol=1e-4)
    print(f"one thread, {ROUNDS} rounds, both in turn; medians of pictures per second")
    compare("embedding", PICTURES, ROUNDS, ours=timed(embed), plain=timed(plain_embed))
    pictures = STEPS * TRAIN_BATCH
    compare("fine-tuning", pictures, ROUNDS, ours=timed(tune), plain=timed(plain_tune))


@torch.inference_mode()
def plain_embedding(model, processor, images):
    embeddings = []
    for first in range(0, len(images), BATCH):
        part = images[first : first + BATCH]
        batch = processor.image_processor(images=part, return_tensors="pt")
        embeddings.append(features(model, batch["pixel_values"]))
    return torch.cat(embeddings)


def features(model, pixels):
    found = model.get_image_features(pixel_values=pixels)
    if not isinstance(found, Tensor):
        found = found.pooler_output
    return functional.normalize(found, dim=1)


def plain_fine_tuning(model, pixels, labels, words):
    tuned = copy.deepcopy(model).train()
    optimizer = torch.optim.AdamW(tuned.parameters(), lr=LR, weight_decay=0.05)
    for _ in range(STEPS):
        chosen = torch.randperm(len(labels))[:TRAIN_BATCH]
        logits = tuned.logit_scale.exp() * features(tuned, pixels[chosen]) @ words.T
        loss = functional.cross_entropy(logits, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
