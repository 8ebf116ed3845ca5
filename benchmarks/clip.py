"""Embedding and fine-tuning beside the plain transformers loop, in pictures per second.

Both sides use the bundled CLIP on one thread, the same pictures and the same embeddings of the
captions, made once; they alternate within one run, and medians are printed. The plain loops are
those of the transformers documentation: processor, ``get_image_features``, norm; for training
AdamW, cross-entropy over the captions, backward, step.

    python benchmarks/clip.py
"""

from __future__ import annotations

import copy
import statistics
import time

import torch
from PIL import Image
from torch.nn import functional

import fmcourse
from fmcourse import clip

PICTURES, BATCH = 512, 128
STEPS, TRAIN_BATCH, LR = 12, 32, 3e-4
ROUNDS = 5


def main() -> None:
    fmcourse.setup()
    model, processor = fmcourse.load_clip("emoji-clip")
    task = clip.subgroup_task()
    images, labels = task.train.images[:PICTURES], torch.tensor(task.train.labels[:PICTURES])
    words = clip.zero_shot_head(model, processor, task.names)
    pixels = clip.pixels_of(processor, images)
    assert torch.allclose(
        clip.embed_images(model, processor, images),
        plain_embedding(model, processor, images),
        atol=1e-4,
    )
    print(f"one thread, {ROUNDS} rounds, both in turn; medians of pictures per second")
    print(f"{'':>12} {'ours':>7} {'plain':>7} {'ratio':>6}")
    compare(
        "embedding",
        len(images),
        lambda: clip.embed_images(model, processor, images),
        lambda: plain_embedding(model, processor, images),
    )
    compare(
        "fine-tuning",
        STEPS * TRAIN_BATCH,
        lambda: clip.fine_tune(
            model,
            processor,
            pixels,
            labels,
            words,
            steps=STEPS,
            batch_size=TRAIN_BATCH,
            lr=LR,
            progress=False,
        ),
        lambda: plain_fine_tuning(model, pixels, labels, words),
    )


def compare(name: str, count: int, ours, plain) -> None:
    """Time both in turn, changing who begins; print medians and the median ratio."""
    rounds = []
    for number in range(ROUNDS):
        pair = {}
        for side, run in sorted({"ours": ours, "plain": plain}.items(), reverse=bool(number % 2)):
            start = time.perf_counter()
            run()
            pair[side] = count / (time.perf_counter() - start)
        rounds.append(pair)
    medians = {side: statistics.median(pair[side] for pair in rounds) for side in ("ours", "plain")}
    ratio = statistics.median(pair["ours"] / pair["plain"] for pair in rounds)
    print(f"{name:>12} {medians['ours']:7.0f} {medians['plain']:7.0f} {ratio:6.2f}", flush=True)


@torch.inference_mode()
def plain_embedding(model, processor, images) -> torch.Tensor:
    rows = []
    for first in range(0, len(images), BATCH):
        white = [
            image.convert("RGB") if image.mode != "RGBA" else on_white(image)
            for image in images[first : first + BATCH]
        ]
        rows.append(
            features(
                model, processor.image_processor(images=white, return_tensors="pt")["pixel_values"]
            )
        )
    return torch.cat(rows)


def on_white(image):
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def features(model, pixels: torch.Tensor) -> torch.Tensor:
    found = model.get_image_features(pixel_values=pixels)
    return functional.normalize(
        found if isinstance(found, torch.Tensor) else found.pooler_output, dim=1
    )


def plain_fine_tuning(
    model, pixels: torch.Tensor, labels: torch.Tensor, words: torch.Tensor
) -> None:
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
