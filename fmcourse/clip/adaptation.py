"""How is a foundation made to serve one task? Fine-tuning, LP-FT, LoRA, interpolation, Tip-Adapter.

Serves notebook 03. Sources: Kumar et al. 2022 (linear probing, then fine-tuning), Wortsman et al. 2022 (WiSE-FT),
Hu et al. 2022 (LoRA), Zhang et al. 2022 (Tip-Adapter).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmcourse import training
from fmcourse.arguments import require
from fmcourse.clip.classifier import STRENGTH, Head, build_classifier, checked_labels, linear_probe
from fmcourse.clip.embedding import checked_pixels, embed_images
from fmcourse.environment import PROFILES

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from peft import PeftModel
    from PIL import Image
    from transformers import PreTrainedModel, ProcessorMixin

__all__ = ["add_lora", "fine_tune", "interpolate", "lora", "lp_ft", "tip_adapter"]

LR = PROFILES[
    "tiny"
].clip_lr  # of the picture tower; chosen by recipes/clip_frontier.py, like the next ones
LORA_LR = 3e-3
HEAD_LR = 1e-3  # of a head that starts as words
LP_RATES = {"lr": 3e-4, "head_lr": 0.1}  # when the head starts as a probe
WEIGHT_DECAY = 0.05
STEPS, BATCH = 60, 32
SHARPNESS, TRUST = 10.0, 300.0  # Tip-Adapter's beta and alpha


def fine_tune(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image] | torch.Tensor,
    labels: Sequence[int] | torch.Tensor,
    head: Head | torch.Tensor,
    *,
    steps: int = STEPS,
    batch_size: int = BATCH,
    lr: float = LR,
    head_lr: float = HEAD_LR,
    seed: int = 0,
    accumulate: int = 1,
    precision: str | None = None,
    accelerator: Accelerator | None = None,
    checkpoint: str | Path | None = None,
    measure: Callable | None = None,
    measure_every: int = 20,
    progress: bool = True,
) -> tuple[torch.nn.Module, training.Run]:
    """Train the whole picture tower and the head by cross-entropy, from a copy of the model.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`; the model itself stays as it is.
        images: PIL images, or their pixels, shape (n, 3, side, side).
        labels: the class of each picture, 0 to classes - 1, shape (n,).
        head: where the head starts: :func:`random_head`, :func:`zero_shot_head` or :func:`linear_probe`.
        steps, batch_size, seed: as in :func:`fmcourse.training.fit`; AdamW, a warm-up of a tenth, then half a cosine.
        lr, head_lr: the largest learning rates of the picture tower and of the head.
        checkpoint: a file to write now and then; the same call goes on from it after a disconnect, a call with other
            pictures, labels or head does not.
        accumulate, precision, accelerator, measure, measure_every, progress: as in :func:`fmcourse.training.fit`.

    Returns:
        The classifier, and what the training loop did.

    Raises:
        ValueError: labels that do not fit images or head; pixels of another shape or not finite.
    """
    pixels, labels = _examples(model, processor, images, labels, head)
    classifier = build_classifier(model, head)
    settings = {
        "checkpoint": checkpoint,
        "measure": measure,
        "measure_every": measure_every,
        "progress": progress,
    }
    settings |= {"accumulate": accumulate, "precision": precision, "accelerator": accelerator}
    return classifier, _train(
        classifier, pixels, labels, steps, batch_size, (lr, head_lr), seed, settings
    )


def lp_ft(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image] | torch.Tensor,
    labels: Sequence[int] | torch.Tensor,
    strength: float = STRENGTH,
    **settings,
) -> tuple[torch.nn.Module, training.Run]:
    """Fit a linear probe, then fine-tune everything from it (Kumar et al. 2022); `settings` are those of :func:`fine_tune`."""
    pixels = checked_pixels(model, processor, images)
    head = linear_probe(embed_images(model, processor, pixels), labels, strength)
    return fine_tune(model, processor, pixels, labels, head, **(LP_RATES | settings))


def add_lora(classifier: torch.nn.Module, rank: int = 8) -> PeftModel:
    """Wrap a classifier by peft: each linear map and 1x1 convolution of the tower gets a low-rank update, the head stays trained.

    Args:
        classifier: of :func:`build_classifier`; it is changed in place.
        rank: of each update, at least 1; the update is scaled by 2, whatever the rank.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    require(rank >= 1, "rank", "at least 1", rank)

    def adapted(module: torch.nn.Module) -> bool:
        pointwise = (
            isinstance(module, torch.nn.Conv2d)
            and module.kernel_size == (1, 1)
            and module.groups == 1
        )
        return pointwise or isinstance(module, torch.nn.Linear)

    tower = [
        name
        for name, module in classifier.named_modules()
        if adapted(module) and "squeeze_excite" not in name
    ]
    targets = [name for name in tower if name != "head"]
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=targets, modules_to_save=["head"]
    )
    # The wrapper is new; it takes the mode of what it wraps.
    return get_peft_model(classifier, config).train(classifier.training)


def lora(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Sequence[Image.Image] | torch.Tensor,
    labels: Sequence[int] | torch.Tensor,
    head: Head | torch.Tensor,
    *,
    rank: int = 8,
    steps: int = STEPS,
    batch_size: int = BATCH,
    lr: float = LORA_LR,
    head_lr: float = HEAD_LR,
    seed: int = 0,
    accumulate: int = 1,
    precision: str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = True,
) -> tuple[torch.nn.Module, training.Run]:
    """Train low-rank updates and the head, merge them, and return a plain classifier and what the loop did.

    Arguments and errors are those of :func:`fine_tune`; `rank` is that of :func:`add_lora`.
    """
    import torch

    pixels, labels = _examples(model, processor, images, labels, head)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wrapped = add_lora(build_classifier(model, head), rank)
    settings = {
        "accumulate": accumulate,
        "precision": precision,
        "checkpoint": checkpoint,
        "progress": progress,
    }
    run = _train(wrapped, pixels, labels, steps, batch_size, (lr, head_lr), seed, settings)
    return wrapped.merge_and_unload().eval().requires_grad_(True), run


def interpolate(
    state_a: Mapping[str, torch.Tensor], state_b: Mapping[str, torch.Tensor], alpha: float
) -> dict[str, torch.Tensor]:
    """Return ``(1 - alpha) * a + alpha * b`` for every weight (Wortsman et al. 2022).

    Args:
        state_a, state_b: state dicts with the same names and shapes; they stay as they are.
        alpha: from 0, which gives a, to 1, which gives b.

    Returns:
        New tensors, where those of a lie; whole-number entries, such as counters, are those of the nearer end.

    Raises:
        ValueError: alpha outside [0, 1], or state dicts that differ in names or shapes.

    >>> import torch
    >>> interpolate({"w": torch.zeros(2)}, {"w": torch.ones(2)}, 0.25)["w"].tolist()
    [0.25, 0.25]
    """
    require(0 <= alpha <= 1, "alpha", "a number from 0 (a) to 1 (b)", alpha)
    differing = sorted(state_a.keys() ^ state_b.keys())
    require(
        not differing,
        "state_b",
        "the same names as in state_a",
        f"{len(differing)} differing, such as {differing[:1]}",
    )
    for name, value in state_a.items():
        other = tuple(state_b[name].shape)
        require(
            tuple(value.shape) == other, f"state_b[{name!r}]", f"shape {tuple(value.shape)}", other
        )
    return {name: _between(value, state_b[name], alpha) for name, value in state_a.items()}


def tip_adapter(
    features: torch.Tensor,
    labels: Sequence[int] | torch.Tensor,
    head: torch.Tensor,
    rows: torch.Tensor,
    scale: float = 100.0,
    trust: float = TRUST,
    sharpness: float = SHARPNESS,
) -> torch.Tensor:
    """Return logits of the training-free Tip-Adapter: the zero-shot head, and a vote of the nearest labelled pictures.

    Args:
        features: unit rows of the labelled pictures, shape (n, d).
        labels: their classes, shape (n,).
        head: the zero-shot head, unit rows, shape (classes, d).
        rows: unit rows of the pictures to classify, shape (m, d).
        scale: the model's scale, by which zero-shot cosines are multiplied.
        trust: weight of the vote (alpha in the paper).
        sharpness: how fast a vote falls with distance (beta in the paper).

    Returns:
        Logits, shape (m, classes), on the device of `rows`.

    Raises:
        ValueError: labels of another length, or above the number of classes.
    """
    from torch.nn import functional

    labels = checked_labels(labels, len(features), len(head))
    votes = (-sharpness * (1 - rows @ features.to(rows).T)).exp() @ functional.one_hot(
        labels, len(head)
    ).to(rows)
    return scale * rows @ head.to(rows).T + trust * votes


def _train(
    classifier,
    pixels,
    labels,
    steps: int,
    batch_size: int,
    rates: tuple[float, float],
    seed: int,
    settings: dict,
):
    from torch.nn import functional

    device = next(classifier.parameters()).device
    shuffled = batches_of(len(labels), batch_size, seed)

    def loss(classifier, chosen: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(
            classifier(pixels[chosen].to(device)), labels[chosen].to(device)
        )

    return training.fit(
        classifier,
        shuffled,
        steps,
        optimizer=_adamw(*rates),
        loss=loss,
        schedule=training.cosine(warmup=0.1, floor=0.0),
        seed=seed,
        data=training.digest(pixels, labels, classifier.head.weight)
        if settings.get("checkpoint")
        else "",
        **settings,
    )


def _adamw(lr: float, head_lr: float) -> Callable:
    """Return a function from a classifier to an AdamW that moves the head faster than the tower, and never shrinks it."""
    parts = {"head": {"lr": head_lr, "weight_decay": 0.0}}
    return training.adamw(lr=lr, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98), parts=parts)


def batches_of(count: int, batch_size: int, seed: int) -> Callable[[int], torch.Tensor]:
    """Return a function from the step to places in 0 ... count - 1: each epoch goes through all in an order of its own."""
    import torch

    require(batch_size >= 1, "batch_size", "at least 1", batch_size)

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> torch.Tensor:
        return torch.randperm(
            count, generator=torch.Generator().manual_seed(seed * training.SEED_STRIDE + epoch)
        )

    def batch(step: int) -> torch.Tensor:
        first = step * batch_size
        places = range(first, first + batch_size)
        return torch.stack([order(place // count)[place % count] for place in places])

    return batch


def _examples(model, processor, images, labels, head) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = checked_pixels(model, processor, images)
    return pixels, checked_labels(
        labels, len(pixels), len(head.weight if isinstance(head, Head) else head)
    )


def _between(a: torch.Tensor, b: torch.Tensor, alpha: float) -> torch.Tensor:
    b = b.to(a.device)
    if not a.is_floating_point():
        return (a if alpha < 0.5 else b).clone()
    return (1 - alpha) * a + alpha * b
