"""Contrastive fine-tuning of both encoders, with a switch for each of seven common mistakes.

Serves notebook 03, the mistakes clinic. Done right, this is fine-tuning like pre-training (Goyal
et al. 2023, FLYP). The mistakes are those of public notebooks that fine-tune CLIP (for fp16 see
openai/CLIP issues 40 and 57, for the clamp 46).
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, ProcessorMixin

from fmcourse import training
from fmcourse.arguments import require, whole
from fmcourse.arguments import texts as several_texts
from fmcourse.clip.adaptation import BATCH, BETAS, SCHEDULE, STEPS, WEIGHT_DECAY, batches_of
from fmcourse.clip.classifier import freeze_statistics
from fmcourse.clip.embedding import (
    Images,
    Labels,
    checked_pixels,
    contrastive_loss,
    project_pixels,
    project_tokens,
    whole_numbers,
)

RIGHT = "done right"
LARGEST_SCALE = 100
PAIRS_LR = 1e-4  # of both encoders; chosen on validation concepts


@dataclass(frozen=True)
class Habits:
    """How a contrastive fine-tuning is done; the defaults are right.

    Attributes:
        diagonal: whether targets treat all captions as different, in place of sharing the target
            evenly among those that mean the same. (Where the captions are equal to the letter, so
            are their embeddings, and both losses agree: the mistake costs where the words differ.)
        half: whether weights and optimizer alike are in fp16.
        lr: learning rate of both encoders.
        clamped: whether the scale is kept at or below 100 (Radford et al. 2021, section 2.5); it
            shows only where a scale is near this bound.
        normalized: whether embeddings are brought to length 1.
        stray_dimension: texts that were tokenized one by one leave embeddings of shape (n, 1, d),
            and dividing by the norm over axis 1 turns every number into 1 or -1.
        test_set: whether the step to keep is picked on the test pictures themselves; the training
            is the right one.
    """

    diagonal: bool = False
    half: bool = False
    lr: float = PAIRS_LR
    clamped: bool = True
    normalized: bool = True
    stray_dimension: bool = False
    test_set: bool = False


MISTAKES = {
    "diagonal targets though meanings repeat": Habits(diagonal=True),
    "fp16 weights with Adam": Habits(half=True),
    "learning rate 1e-3": Habits(lr=1e-3),
    "temperature not clamped": Habits(clamped=False),
    "rows not normalized": Habits(normalized=False),
    "stray text dimension": Habits(stray_dimension=True),
    "step picked on the test set": Habits(test_set=True),
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
    checkpoint: str | Path | None = None,
    **settings,
) -> tuple[PreTrainedModel, training.Run]:
    """Train both encoders of a copy of the model on pictures and their captions.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`; the model itself stays as it is.
        images: PIL images, or their pixels, shape (n, 3, side, side).
        captions: one per picture.
        habits: what is done right or wrong; see :data:`MISTAKES`.
        ids: what each caption means, shape (n,); None means that only equal captions mean the same.
        checkpoint: as in :func:`fmcourse.clip.fine_tune`; a run with different habits is refused.
        steps, batch_size, seed: as in :func:`fmcourse.training.fit`.
        settings: precision, measure, measure_every and progress, as in the same. The loss itself
            is computed in fp32 whatever the precision of the encoders.

    Returns:
        The trained copy, which all functions of this package take in place of the model, and what
        the loop did.

    Raises:
        ValueError: captions or ids of a different number than the images, a precision for fp16
            weights, or a checkpoint of a different run.
        FloatingPointError: the loss is not finite any more, as after one step with fp16 weights.
    """
    pixels = checked_pixels(model, processor, images)
    count = len(pixels)
    texts = several_texts("captions", captions)
    require(len(texts) == count, "captions", f"one for each of the {count} pictures", captions)
    if ids is None:
        # The same number for equal captions.
        ids = [texts.index(text) for text in texts]
    meanings = whole_numbers("ids", ids, count)
    dtype = torch.float16 if habits.half else torch.float32
    tuned: Any = copy.deepcopy(model)
    tuned.to(dtype).requires_grad_(True)
    tuned.vision_model.to(memory_format=torch.channels_last)
    tokens = processor.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    identity = dataclasses.asdict(habits) | {"batch_size": batch_size}
    if checkpoint:
        identity["pictures and captions"] = training.digest(pixels, meanings, *texts)
    run = training.fit(
        tuned,
        batches_of(count, batch_size, seed),
        steps,
        optimizer=_optimizer(habits),
        loss=_loss(tuned, pixels, tokens, meanings, habits),
        schedule=SCHEDULE,
        # Each picture is compared with all texts of its batch.
        accumulate=1,
        checkpoint=checkpoint,
        seed=whole("seed", seed),
        identity=identity,
        **settings,
    )
    _clamp(tuned, habits)
    return tuned.eval(), run


def _optimizer(habits: Habits) -> Callable:
    """Return a function from the model to its AdamW.

    In fp16 it is the plain one, since the fused one computes in fp32.
    """
    if not habits.half:
        return training.adamw(habits.lr, WEIGHT_DECAY, BETAS)
    settings: Any = {"lr": habits.lr, "weight_decay": WEIGHT_DECAY, "betas": BETAS, "fused": False}
    return lambda model: torch.optim.AdamW(model.parameters(), **settings)


@torch.no_grad()
def _clamp(model, habits: Habits) -> None:
    if habits.clamped:
        model.logit_scale.clamp_(max=math.log(LARGEST_SCALE))


def _loss(
    model,
    pixels: Tensor,
    tokens: dict[str, Tensor],
    ids: Tensor,
    habits: Habits,
) -> Callable:
    device = model.logit_scale.device

    def loss(model, chosen: Tensor) -> Tensor:
        freeze_statistics(model)
        _clamp(model, habits)
        image = project_pixels(model, pixels[chosen].to(memory_format=torch.channels_last))
        text = project_tokens(model, {name: values[chosen] for name, values in tokens.items()})
        if habits.normalized:
            image = functional.normalize(image, dim=1)
            if habits.stray_dimension:
                text = functional.normalize(text[:, None], dim=1)[:, 0]
            else:
                text = functional.normalize(text, dim=1)
        targets = None if habits.diagonal else ids[chosen].to(device)
        with torch.autocast(device.type, enabled=False):
            scale = model.logit_scale.exp().float()
            return contrastive_loss(image.float(), text.float(), scale, targets)

    return loss
