"""What do seven common mistakes cost? Contrastive fine-tuning of both towers, with a switch for each.

Serves notebook 03, the mistakes clinic. Done right, this is fine-tuning like pre-training (Goyal et al. 2023, FLYP). The
mistakes are those of public notebooks that fine-tune CLIP (for fp16 see openai/CLIP issues 40 and 57, for the clamp 46).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmcourse import training
from fmcourse.arguments import choose, require
from fmcourse.clip.adaptation import BATCH, STEPS, WEIGHT_DECAY, batches_of
from fmcourse.clip.classifier import freeze_statistics
from fmcourse.clip.contrast import contrastive_loss
from fmcourse.clip.embedding import checked_pixels, project_pixels, project_tokens

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from transformers import PreTrainedModel, ProcessorMixin

__all__ = ["MISTAKES", "RIGHT_WAYS", "Habits", "counterpart", "fine_tune_pairs"]

NEAR_THE_BOUND = 99.9  # a first scale from which 100 can be reached within 60 steps
RIGHT, RIGHT_NEAR_THE_BOUND = "done right", "done right, scale near its bound"
PAIRS_LR = 1e-4  # of both towers; chosen on validation concepts by recipes/clip_frontier.py


@dataclass(frozen=True)
class Habits:
    """How a contrastive fine-tuning is done; the defaults are right.

    Attributes:
        targets: ``spread`` evenly over captions that mean the same, or ``diagonal`` as if all differed. (Where the captions are
            equal to the letter, so are their rows, and both losses agree: the mistake costs where the words differ.)
        weights: ``fp32``, or ``fp16`` for weights and optimizer alike.
        lr: learning rate of both towers.
        largest_scale: the scale is kept at or below it (Radford et al. 2021, section 2.5); None leaves it free.
        first_scale: the scale to start from; None keeps the foundation's.
        normalized: whether rows are brought to length 1.
        stray_dimension: texts that were tokenized one by one leave rows of shape (n, 1, d), and dividing by the norm over
            axis 1 turns every number into 1 or -1.
        pick: whether the step to keep is the best on ``other`` pictures, or on the ``test`` pictures themselves.
    """

    targets: str = "spread"
    weights: str = "fp32"
    lr: float = PAIRS_LR
    largest_scale: float | None = 100.0
    first_scale: float | None = None
    normalized: bool = True
    stray_dimension: bool = False
    pick: str = "other"


MISTAKES = {
    "diagonal targets though meanings repeat": Habits(targets="diagonal"),
    "fp16 weights with Adam": Habits(weights="fp16"),
    "learning rate 1e-3": Habits(lr=1e-3),
    "temperature not clamped": Habits(largest_scale=None, first_scale=NEAR_THE_BOUND),
    "rows not normalized": Habits(normalized=False),
    "stray text dimension": Habits(stray_dimension=True),
    "step picked on the test set": Habits(pick="test"),
}
RIGHT_WAYS = {RIGHT: Habits(), RIGHT_NEAR_THE_BOUND: Habits(first_scale=NEAR_THE_BOUND)}


def counterpart(mistake: str) -> str:
    """Return the name of the right way that starts as the mistake does.

    >>> counterpart("rows not normalized"), counterpart("temperature not clamped")
    ('done right', 'done right, scale near its bound')
    """
    start = MISTAKES[choose("mistake", mistake, MISTAKES)].first_scale
    return next(name for name, habits in RIGHT_WAYS.items() if habits.first_scale == start)


def fine_tune_pairs(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image] | torch.Tensor,
    captions: Sequence[str],
    habits: Habits = Habits(),
    *,
    ids: Sequence[int] | torch.Tensor | None = None,
    steps: int = STEPS,
    batch_size: int = BATCH,
    seed: int = 0,
    precision: str | None = None,
    checkpoint: str | Path | None = None,
    measure: Callable | None = None,
    measure_every: int = 20,
    progress: bool = True,
) -> tuple[PreTrainedModel, training.Run]:
    """Train both towers of a copy of the model on pictures and their captions.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`; the model itself stays as it is.
        images: PIL images, or their pixels, shape (n, 3, side, side).
        captions: one per picture.
        habits: what is done right or wrong; see :data:`MISTAKES`.
        ids: what each caption means, shape (n,); None means that only equal captions mean the same.
        precision: of the towers, as in :func:`fmcourse.training.fit`; the loss itself is computed in fp32. A batch is not cut into
            parts: each picture is compared with all texts of its batch.
        steps, batch_size, seed, checkpoint, measure, measure_every, progress: as in :func:`fmcourse.training.fit`.

    Returns:
        The trained copy, which all functions of this module take in place of the model, and what the loop did.

    Raises:
        ValueError: captions or ids of another number than the images, unknown habits, or a precision for fp16 weights.
        FloatingPointError: the loss is not finite any more, as after one step with fp16 weights.
    """
    import torch

    _check(habits)
    pixels = checked_pixels(model, processor, images)
    require(
        len(captions) == len(pixels),
        "captions",
        f"one for each of the {len(pixels)} pictures",
        len(captions),
    )
    meanings = _ids(captions) if ids is None else torch.as_tensor(ids)
    require(
        meanings.shape == (len(pixels),),
        "ids",
        f"one for each of the {len(pixels)} pictures",
        tuple(meanings.shape),
    )
    tuned = (
        copy.deepcopy(model)
        .to(torch.float16 if habits.weights == "fp16" else torch.float32)
        .requires_grad_(True)
    )
    tuned.vision_model.to(memory_format=torch.channels_last)
    if habits.first_scale is not None:
        tuned.logit_scale.data.fill_(math.log(habits.first_scale))
    loss = _loss(tuned, pixels, _tokens(processor, captions), meanings, habits)
    run = training.fit(
        tuned,
        batches_of(len(pixels), batch_size, seed),
        steps,
        optimizer=_optimizer(habits),
        loss=loss,
        schedule=training.cosine(warmup=0.1, floor=0.0),
        precision=precision,
        checkpoint=checkpoint,
        measure=measure,
        measure_every=measure_every,
        seed=seed,
        data=training.digest(pixels, meanings, *captions) if checkpoint else "",
        progress=progress,
    )
    _clamp(tuned, habits)
    return tuned.eval(), run


def _check(habits: Habits) -> None:
    choose("habits.targets", habits.targets, ("spread", "diagonal"))
    choose("habits.weights", habits.weights, ("fp32", "fp16"))
    choose("habits.pick", habits.pick, ("other", "test"))
    fits = habits.first_scale is None or habits.first_scale > 0
    require(fits, "habits.first_scale", "None or a number above 0", habits.first_scale)


def _optimizer(habits: Habits) -> Callable:
    """Return a function from the model to its AdamW; in half precision the plain one, since the fused one computes in fp32."""
    fused = training.adamw(lr=habits.lr, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))

    def plain(model: torch.nn.Module) -> torch.optim.Optimizer:
        optimizer = fused(model)
        for group in optimizer.param_groups:
            group["fused"] = False
        return optimizer

    return plain if habits.weights == "fp16" else fused


def _clamp(model: PreTrainedModel, habits: Habits) -> None:
    """Keep the scale at or below the habits' largest, if they have one."""
    import torch

    if habits.largest_scale is not None:
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(habits.largest_scale))


def _loss(
    model, pixels: torch.Tensor, tokens: dict[str, torch.Tensor], ids: torch.Tensor, habits: Habits
) -> Callable:
    import torch

    device, dtype = model.logit_scale.device, model.logit_scale.dtype

    def loss(model, chosen: torch.Tensor) -> torch.Tensor:
        freeze_statistics(model)
        _clamp(model, habits)
        seen = pixels[chosen].to(device, dtype, memory_format=torch.channels_last)
        said = {name: rows[chosen].to(device) for name, rows in tokens.items()}
        image, text = _rows(project_pixels(model, seen), project_tokens(model, said), habits)
        targets = None if habits.targets == "diagonal" else ids[chosen].to(device)
        with torch.autocast(device.type, enabled=False):
            return contrastive_loss(
                image.float(), text.float(), model.logit_scale.exp().float(), targets
            )

    return loss


def _rows(
    image: torch.Tensor, text: torch.Tensor, habits: Habits
) -> tuple[torch.Tensor, torch.Tensor]:
    from torch.nn import functional

    if not habits.normalized:
        return image, text
    if habits.stray_dimension:
        return functional.normalize(image, dim=1), functional.normalize(text[:, None], dim=1)[:, 0]
    return functional.normalize(image, dim=1), functional.normalize(text, dim=1)


def _tokens(processor: ProcessorMixin, captions: Sequence[str]) -> dict[str, torch.Tensor]:
    batch = processor.tokenizer(list(captions), padding=True, truncation=True, return_tensors="pt")
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def _ids(captions: Sequence[str]) -> torch.Tensor:
    import torch

    places = {caption: place for place, caption in enumerate(dict.fromkeys(captions))}
    return torch.tensor([places[caption] for caption in captions])
