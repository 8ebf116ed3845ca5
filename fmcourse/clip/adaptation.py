"""Ways to adapt a CLIP to a task: fine-tuning, LP-FT, LoRA, interpolation, Tip-Adapter.

Serves notebook 03. Sources: Kumar et al. 2022 (linear probing, then fine-tuning), Wortsman et al.
2022 (WiSE-FT), Hu et al. 2022 (LoRA), Zhang et al. 2022 (Tip-Adapter).
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn import Module, functional
from transformers import PreTrainedModel, ProcessorMixin

from fmcourse import training
from fmcourse.arguments import require, whole
from fmcourse.clip.classifier import (
    PENALTY,
    Head,
    PictureClassifier,
    build_classifier,
    checked_labels,
    linear_probe,
)
from fmcourse.clip.embedding import Images, Labels, checked_pixels, embed_images
from fmcourse.runtime import PROFILES

# All of these were chosen on validation concepts, for the first edition.
LR = PROFILES["tiny"].clip_lr  # of the image encoder
HEAD_LR = 1e-3  # of a head that starts as words
LP_RATES = {"lr": 3e-4, "head_lr": 0.1}  # when the head starts as a probe
WEIGHT_DECAY = 0.05
BETAS = (0.9, 0.98)
STEPS = 60
BATCH = 32
SCHEDULE = training.cosine(warmup=0.1, floor=0.0)


def fine_tune(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Images,
    labels: Labels,
    head: Head | Tensor,
    *,
    steps: int = STEPS,
    batch_size: int = BATCH,
    lr: float = LR,
    head_lr: float = HEAD_LR,
    rank: int = 0,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    **settings,
) -> tuple[PictureClassifier, training.Run]:
    """Train the whole image encoder and the head by cross-entropy, from a copy of the model.

    Args:
        model, processor: those of :func:`fmcourse.load_clip`; the model itself stays as it is.
            Weights are trained in fp32 whatever the model's precision; `precision` is that of the
            products.
        images: PIL images, or their pixels, shape (n, 3, side, side).
        labels: the class of each picture, 0 to classes - 1, shape (n,).
        head: where the head starts: :func:`random_head`, :func:`zero_shot_head` or
            :func:`linear_probe`.
        steps, batch_size, seed: as in :func:`fmcourse.training.fit`; AdamW, a warm-up of a tenth,
            then half a cosine.
        lr, head_lr: the largest learning rates of the image encoder and of the head.
        rank: of low-rank updates that are trained in place of the encoder, then merged
            (:func:`add_lora`); 0 trains all. They want a rate of about 3e-3.
        checkpoint: a file to write now and then. The same call resumes from it after a disconnect;
            a call with a different model, picture, label, head or setting is refused.
        settings: accumulate, precision, accelerator, measure, measure_every and progress, as in
            :func:`fmcourse.training.fit`.

    Returns:
        The classifier, and what the training loop did.

    Raises:
        ValueError: labels that do not fit images or head; pixels of a different shape or not
            finite; a checkpoint of a different run.
    """
    pixels = checked_pixels(model, processor, images)
    classifier: Any = build_classifier(model, head)
    classes = checked_labels(labels, len(pixels), classifier.head.out_features)
    if rank:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(whole("seed", seed))
            classifier = add_lora(classifier, rank)

    def loss(classifier: Module, chosen: Tensor) -> Tensor:
        logits = classifier(pixels[chosen])
        return functional.cross_entropy(logits, classes[chosen].to(logits.device))

    identity: dict[str, Any] = {"batch_size": batch_size, "head_lr": head_lr, "rank": rank}
    identity["lr"] = lr
    if checkpoint:
        identity["pictures and labels"] = training.digest(pixels, classes)
    run = training.fit(
        classifier,
        batches_of(len(pixels), batch_size, seed),
        steps,
        optimizer=_adamw(lr, head_lr),
        loss=loss,
        schedule=SCHEDULE,
        checkpoint=checkpoint,
        seed=whole("seed", seed),
        identity=identity,
        **settings,
    )
    if rank:
        classifier = classifier.merge_and_unload().eval().requires_grad_(True)
    return classifier, run


def _adamw(lr: float, head_lr: float) -> Callable[[Module], torch.optim.Optimizer]:
    # The head has a rate of its own, and never shrinks.
    parts = {"head": {"lr": head_lr, "weight_decay": 0.0}}
    return training.adamw(lr, WEIGHT_DECAY, BETAS, parts)


def optimizer_of(
    classifier: PictureClassifier, lr: float, steps: int, head_lr: float = HEAD_LR
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """Return the optimizer of :func:`fine_tune` and its schedule, for a loop of your own.

    Args:
        classifier: what is trained.
        lr, head_lr: the largest learning rates of the image encoder and of the head.
        steps: how many there will be; step the schedule after each step of the optimizer.
    """
    optimizer = _adamw(lr, head_lr)(classifier)
    count = whole("steps", steps, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: SCHEDULE(step, count))
    return optimizer, schedule


def lp_ft(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    images: Images,
    labels: Labels,
    C: float = PENALTY,
    **settings,
) -> tuple[PictureClassifier, training.Run]:
    """Fit a linear probe, then fine-tune everything from it (Kumar et al. 2022).

    Args:
        C: of :func:`linear_probe`.
        settings: those of :func:`fine_tune`, by name.
    """
    pixels = checked_pixels(model, processor, images)
    head = linear_probe(embed_images(model, processor, pixels), labels, C)
    return fine_tune(model, processor, pixels, labels, head, **(LP_RATES | settings))


def add_lora(classifier: PictureClassifier, rank: int = 8) -> PeftModel:
    """Wrap a classifier by peft: each linear map and 1x1 convolution of the encoder gets a
    low-rank update.

    The head stays trained as a whole.

    Args:
        classifier: of :func:`build_classifier`; it is changed in place.
        rank: of each update, at least 1; the update is scaled by 2, whatever the rank.
    """
    rank = whole("rank", rank, 1)
    targets = []
    for name, module in classifier.named_modules():
        linear = isinstance(module, torch.nn.Linear)
        pointwise = getattr(module, "kernel_size", None) == (1, 1) and module.groups == 1
        if (linear or pointwise) and "squeeze_excite" not in name and name != "head":
            targets.append(name)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=targets, modules_to_save=["head"]
    )
    # The wrapper is new; it takes the mode of what it wraps.
    return get_peft_model(classifier, config).train(classifier.training)


def interpolate(
    state_a: Mapping[str, Tensor], state_b: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """Return ``(1 - alpha) * a + alpha * b`` for every weight (Wortsman et al. 2022).

    Args:
        state_a, state_b: state dicts with the same names and shapes; they stay as they are.
        alpha: from 0, which gives a, to 1, which gives b.

    Returns:
        New tensors on the device of a's; whole-number entries, such as counters, are those of the
        nearer end.

    Raises:
        ValueError: alpha outside [0, 1], or state dicts that differ in names or shapes.

    >>> import torch
    >>> interpolate({"w": torch.zeros(2)}, {"w": torch.ones(2)}, 0.25)["w"].tolist()
    [0.25, 0.25]
    """
    require(0 <= alpha <= 1, "alpha", "a number from 0 (a) to 1 (b)", alpha)
    differing = sorted(state_a.keys() ^ state_b.keys())
    require(not differing, "state_b", "the same names as in state_a", differing)
    mixed = {}
    for name, a in state_a.items():
        b = state_b[name].to(a.device)
        require(a.shape == b.shape, f"state_b[{name!r}]", f"shape {tuple(a.shape)}", tuple(b.shape))
        nearer = (a if alpha < 0.5 else b).clone()
        mixed[name] = (1 - alpha) * a + alpha * b if a.is_floating_point() else nearer
    return mixed


def tip_adapter(
    features: Tensor,
    labels: Labels,
    head: Tensor,
    queries: Tensor,
    scale: float = 100.0,
    alpha: float = 300.0,
    beta: float = 10.0,
) -> Tensor:
    """Return logits of the training-free Tip-Adapter: the zero-shot head, and a vote of the
    nearest labelled pictures.

    Args:
        features: embeddings of the labelled pictures, of length 1, shape (n, d).
        labels: their classes, shape (n,).
        head: the zero-shot head, embeddings of length 1, shape (classes, d).
        queries: embeddings of the pictures to classify, of length 1, shape (m, d).
        scale: the model's scale, by which zero-shot cosines are multiplied.
        alpha: the weight of the vote.
        beta: how fast a vote falls with distance.

    Returns:
        Logits, shape (m, classes), on the device of `queries`.

    Raises:
        ValueError: labels of a different length, or above the number of classes.
    """
    labels = checked_labels(labels, len(features), len(head))
    nearness = (-beta * (1 - queries @ features.to(queries).T)).exp()
    votes = nearness @ functional.one_hot(labels, len(head)).to(queries)
    return scale * queries @ head.to(queries).T + alpha * votes


def batches_of(count: int, batch_size: int, seed: int) -> Callable[[int], Tensor]:
    """Return a function from the step to indices below count.

    Each epoch goes through all of them, in an order of its own.
    """
    batch_size = whole("batch_size", batch_size, 1)
    first_seed = whole("seed", seed) * training.SEED_STRIDE

    @functools.lru_cache(maxsize=2)
    def order(epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(first_seed + epoch)
        return torch.randperm(count, generator=generator)

    def batch(step: int) -> Tensor:
        first = step * batch_size
        places = range(first, first + batch_size)
        return torch.stack([order(place // count)[place % count] for place in places])

    return batch
