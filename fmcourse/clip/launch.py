"""One command that fine-tunes CLIP on a folder of pictures, on one device or on several.

    accelerate launch --num_processes 2 -m fmcourse.clip.launch PICTURES OUTPUT

Each process computes its part of every batch, gradients are summed, and the main process writes:
the classifier, which :func:`fmcourse.clip.load_classifier` reads, and the checkpoint from which
the same command goes on after an interruption. With ``python -m`` in place of ``accelerate launch
... -m`` it runs on one device. The profile is that of ``FMCOURSE_PROFILE``. Serves notebook 03,
for pictures of your own.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator

from fmcourse import models, runtime
from fmcourse.clip.adaptation import BATCH, STEPS, fine_tune
from fmcourse.clip.classifier import output_folder, save_classifier
from fmcourse.clip.embedding import pixels_of, zero_shot_head
from fmcourse.clip.pictures import read_pictures

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fine-tune CLIP on a folder or zip of labelled pictures and save the classifier; see
    ``--help``.

    Raises:
        ValueError: pictures that cannot be used, fewer pictures in a batch than parts, a file in
            place of the output folder, or a checkpoint of a different run in it.
    """
    given = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A label that the console's encoding cannot show is printed with escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    runtime.setup(given.seed)
    # training.fit sees to the precision.
    accelerator = Accelerator(cpu=runtime.device() == "cpu", mixed_precision="no")
    pictures = read_pictures(given.pictures)
    accelerator.print(pictures)
    output = output_folder(given.output)
    with accelerator.main_process_first():  # so that a model of the hub is fetched once
        model, processor = models.load_clip()
    model = model.to(accelerator.device)
    train, test = pictures.split()
    classifier, _ = fine_tune(
        model,
        processor,
        train.images,
        train.labels,
        zero_shot_head(model, processor, train.names),
        steps=given.steps,
        batch_size=given.batch_size,
        lr=given.lr,
        seed=given.seed,
        accumulate=given.accumulate,
        precision=runtime.mixed_precision(model),
        accelerator=accelerator,
        checkpoint=output / "run.pt",
    )
    if accelerator.is_main_process:
        save_classifier(classifier, pictures.names, output)
        if len(test):
            predicted = classifier.predict(pixels_of(processor, test.images)).argmax(1)
            right = int((predicted == torch.tensor(test.labels)).sum())
            print(f"{right} of {len(test)} held-out pictures right")
        else:
            print("no picture is held out: each label has one only, so nothing can be tested")
        print(f"the classifier is in {output}")
    accelerator.end_training()


def _parser() -> argparse.ArgumentParser:
    profile = runtime.profile()
    parser = argparse.ArgumentParser(
        prog="fmcourse.clip.launch", description="Fine-tune CLIP on a folder of pictures."
    )
    for name, kind, help_text in (
        ("pictures", Path, "a folder with one subfolder per label, or a zip of it"),
        ("output", Path, "the folder to write to; made when missing"),
    ):
        parser.add_argument(name, type=kind, help=help_text)
    for name, default, help_text in (
        ("--steps", STEPS, "optimizer steps in all"),
        ("--batch-size", BATCH, "pictures in a step, over all devices"),
        ("--lr", profile.clip_lr, "of the image encoder"),
        ("--accumulate", profile.clip_accumulate, "parts of a device's share"),
        ("--seed", 0, "of the batches"),
    ):
        help_text = f"{help_text} (%(default)s)"
        parser.add_argument(name, type=type(default), default=default, help=help_text)
    return parser


if __name__ == "__main__":
    try:
        main()
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"fmcourse.clip.launch: {error}")
