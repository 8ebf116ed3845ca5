"""How is CLIP fine-tuned on several devices? One command on a folder of pictures, through the loop that one device uses.

    accelerate launch --num_processes 2 -m fmcourse.clip.launch PICTURES OUTPUT

Each process computes its part of every batch, gradients are summed, and the main process writes: the classifier, which
:func:`fmcourse.clip.load_classifier` reads, and the checkpoint from which the same command goes on after an interruption.
With ``python -m`` in place of ``accelerate launch ... -m`` it runs on one device. The profile is that of ``FMCOURSE_PROFILE``.
"""

from __future__ import annotations

import argparse
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmcourse import environment, hub
from fmcourse.clip.adaptation import BATCH, STEPS, fine_tune
from fmcourse.clip.classifier import save_classifier
from fmcourse.clip.embedding import pixels_of, zero_shot_head
from fmcourse.clip.pictures import Pictures, read_pictures

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from transformers import PreTrainedModel, ProcessorMixin

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fine-tune CLIP on a folder or zip of labelled pictures and save the classifier; see ``--help``.

    Raises:
        ValueError: pictures that cannot be used, fewer pictures in a batch than parts, or a checkpoint of another run.
    """
    given = _parser().parse_args(arguments)
    environment.setup(given.seed)
    from accelerate import Accelerator

    accelerator = Accelerator(
        cpu=environment.device() == "cpu", mixed_precision="no"
    )  # training.fit sees to the precision
    pictures = read_pictures(given.pictures)
    accelerator.print(pictures)
    with accelerator.main_process_first():  # so that a model of the hub is fetched once
        model, processor = hub.load_clip()
    train, test = pictures.split()
    classifier = _tuned(model.to(accelerator.device), processor, train, given, accelerator)
    if accelerator.is_main_process:
        save_classifier(classifier, pictures.names, given.output)
        found = classifier.predict(pixels_of(processor, test.images)).argmax(1).tolist()
        right = sum(map(operator.eq, found, test.labels))
        print(
            f"{right} of {len(test)} held-out pictures right; the classifier is in {given.output}"
        )
    accelerator.end_training()


def _parser() -> argparse.ArgumentParser:
    profile = environment.profile()
    parser = argparse.ArgumentParser(
        prog="fmcourse.clip.launch", description="Fine-tune CLIP on a folder of pictures."
    )
    parser.add_argument(
        "pictures", type=Path, help="a folder with one subfolder per label, or a zip of it"
    )
    parser.add_argument("output", type=Path, help="the folder to write to; made when missing")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="optimizer steps in all (%(default)s)"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=BATCH,
        help="pictures in a step, over all devices (%(default)s)",
    )
    parser.add_argument(
        "--lr", type=float, default=profile.clip_lr, help="of the picture tower (%(default)s)"
    )
    parser.add_argument(
        "--accumulate",
        type=int,
        default=profile.clip_accumulate,
        help="parts of a device's share (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the batches (%(default)s)")
    return parser


def _tuned(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    train: Pictures,
    given: argparse.Namespace,
    accelerator: Accelerator,
) -> torch.nn.Module:
    head = zero_shot_head(model, processor, train.names)
    classifier, _ = fine_tune(
        model,
        processor,
        train.images,
        train.labels,
        head,
        steps=given.steps,
        batch_size=given.batch_size,
        lr=given.lr,
        seed=given.seed,
        accumulate=given.accumulate,
        precision=environment.mixed_precision(model),
        accelerator=accelerator,
        checkpoint=given.output / "run.pt",
    )
    return classifier


if __name__ == "__main__":
    main()
