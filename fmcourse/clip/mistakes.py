"""Contrastive fine-tuning of both encoders, with a switch for each of seven common mistakes.

Serves notebook 03, the mistakes clinic. Done right, this is fine-tuning like pre-training (Goyal
et al. 2023, FLYP). The mistakes are those of public notebooks that fine-tune CLIP (for fp16 see
openai/CLIP issues 40 and 57, for the clamp 46).
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel, ProcessorMixin

from fmcourse import training
from fmcourse.arguments import choose, require, whole
from fmcourse.clip.adaptation import BATCH, STEPS, WEIGHT_DECAY, batches_of
from fmcourse.clip.classifier import Images, Labels, freeze_statistics
from fmcourse.clip.embedding import (
    checked_pixels,
    contrastive_loss,
    project_pixels,
    project_tokens,
    whole_numbers,
)

__all__ = ["MISTAKES", "RIGHT", "Habits", "fine_tune_pairs"]

RIGHT = "done right"
PAIRS_LR = 1e-4  # of both encoders; chosen on validation concepts


@dataclass(frozen=True)
class Habits:
    """How a contrastive fine-tuning is done; the defaults are right.

    Attributes:
        targets: ``spread`` evenly over captions that mean the same, or ``diagonal`` as if all
            differed. (Where the captions are equal to the letter, so are their embeddings, and
            both losses agree: the mistake costs where the words differ.)
        weights: ``fp32``, or ``fp16`` for weights and optimizer alike.
        lr: learning rate of both encoders.
        largest_scale: the scale is kept at or below it (Radford et al. 2021, section 2.5); None
            leaves it free, which shows only where a scale is near its bound.
        normalized: whether embeddings are brought to length 1.
        stray_dimension: texts that were tokenized one by one leave embeddings of shape (n, 1, d),
            and dividing by the norm over axis 1 turns every number into 1 or -1.
        pick: whether the step to keep is the best on ``other`` pictures, or on the ``test``
            pictures themselves.
    """

    targets: str = "spread"
    weights: str = "fp32"
    lr: float = PAIRS_LR
    largest_scale: float | None = 100.0
    normalized: bool = True
    stray_dimension: bool = False
    pick: str = "other"


MISTAKES = {
    "diagonal targets though meanings repeat": Habits(targets="diagonal"),
    "fp16 weights with Adam": Habits(weights="fp16"),
    "learning rate 1e-3": Habits(lr=1e-3),
    "temperature not clamped": Habits(largest_scale=None),
    "rows not normalized": Habits(normalized=False),
    "stray text dimension": Habits(stray_dimension=True),
    "step picked on the test set": Habits(pick="test"),
}


def fine_tune_pairs(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Images,
    captions: Sequence[str],
    habits: Habits = Habits(),
    *,
    ids: Labels | None = None,
    steps: int = STEPS,
    batch_size: int = BATCH,
    seed: int = 0,
    precision: str | None = None,
    checkpoint: str | Path | None = None,
    measure: Callable | None = None,
    measure_every: int = 20,
    progress: bool = True,
) -> tuple[PreTrainedModel, training.Run]:
    """Train both encoders of a copy of the model on pictures and their captions.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`; the model itself stays as it is.
        images: PIL images, or their pixels, shape (n, 3, side, side).
        captions: one per picture.
        habits: what is done right or wrong; see :data:`MISTAKES`.
        ids: what each caption means, shape (n,); None means that only equal captions mean the same.
        precision: of the encoders, as in :func:`fmcourse.training.fit`; the loss itself is
            computed in fp32. A batch is not cut into parts: each picture is compared with all
            texts of its batch.
        checkpoint: as in :func:`fmcourse.clip.fine_tune`; a run with different habits is refused.
        steps, batch_size, seed, measure, measure_every, progress: as in
            :func:`fmcourse.training.fit`.

    Returns:
        The trained copy, which all functions of this package take in place of the model, and what
        the loop did.

    Raises:
        ValueError: captions or ids of a different number than the images, unknown habits, a
            precision for fp16 weights, or a checkpoint of a different run.
        FloatingPointError: the loss is not finite any more, as after one step with fp16 weights.
    """
    _check(habits)
    pixels = checked_pixels(model, processor, images)
    count = len(pixels)
    texts = [] if isinstance(captions, str) else list(captions)
    fits = len(texts) == count and all(isinstance(text, str) for text in texts)
    require(fits, "captions", f"a list of strings, one for each of the {count} pictures", captions)
    if ids is None:
        # The same number for equal captions.
        ids = [texts.index(text) for text in texts]
    meanings = whole_numbers("ids", ids, count)
    dtype = torch.float16 if habits.weights == "fp16" else torch.float32
    tuned: Any = copy.deepcopy(model)
    tuned.to(dtype).requires_grad_(True)
    tuned.vision_model.to(memory_format=torch.channels_last)
    tokens = processor.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    identity = {f"habits.{name}": value for name, value in dataclasses.asdict(habits).items()}
    identity["batch_size"] = batch_size
    if checkpoint:
        identity["pictures and captions"] = training.digest(pixels, meanings, *texts)
    run = training.fit(
        tuned,
        batches_of(count, batch_size, seed),
        steps,
        optimizer=_optimizer(habits),
        loss=_loss(tuned, pixels, tokens, meanings, habits),
        schedule=training.cosine(warmup=0.1, floor=0.0),
        precision=precision,
        checkpoint=checkpoint,
        measure=measure,
        measure_every=measure_every,
        seed=whole("seed", seed),
        identity=identity,
        progress=progress,
    )
    _clamp(tuned, habits)
    return tuned.eval(), run


def _check(habits: Habits) -> None:
    choose("habits.targets", habits.targets, ("spread", "diagonal"))
    choose("habits.weights", habits.weights, ("fp32", "fp16"))
    choose("habits.pick", habits.pick, ("other", "test"))
    largest = habits.largest_scale
    fits = largest is None or largest > 0
    require(fits, "habits.largest_scale", "None or a number above 0", largest)


def _optimizer(habits: Habits) -> Callable:
    """Return a function from the model to its AdamW.

    In fp16 it is the plain one, since the fused one computes in fp32.
    """
    fused = training.adamw(lr=habits.lr, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))

    def plain(model: torch.nn.Module) -> torch.optim.Optimizer:
        optimizer = fused(model)
        for group in optimizer.param_groups:
            group["fused"] = False
        return optimizer

    return plain if habits.weights == "fp16" else fused


@torch.no_grad()
def _clamp(model: Any, habits: Habits) -> None:
    if habits.largest_scale is not None:
        model.logit_scale.clamp_(max=math.log(habits.largest_scale))


def _loss(
    model: Any,
    pixels: torch.Tensor,
    tokens: dict[str, torch.Tensor],
    ids: torch.Tensor,
    habits: Habits,
) -> Callable:
    device, dtype = model.logit_scale.device, model.logit_scale.dtype

    def loss(model: Any, chosen: torch.Tensor) -> torch.Tensor:
        freeze_statistics(model)
        _clamp(model, habits)
        seen = pixels[chosen].to(device, dtype, memory_format=torch.channels_last)
        read = {name: tokens[name][chosen].to(device) for name in ("input_ids", "attention_mask")}
        image, text = project_pixels(model, seen), project_tokens(model, read)
        if habits.normalized:
            image = functional.normalize(image, dim=1)
            if habits.stray_dimension:
                text = functional.normalize(text[:, None], dim=1)[:, 0]
            else:
                text = functional.normalize(text, dim=1)
        targets = None if habits.targets == "diagonal" else ids[chosen].to(device)
        with torch.autocast(device.type, enabled=False):
            scale = model.logit_scale.exp().float()
            return contrastive_loss(image.float(), text.float(), scale, targets)

    return loss
