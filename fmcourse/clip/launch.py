"""One command that fine-tunes CLIP on a folder of pictures, on one device or on several.

    accelerate launch --num_processes 2 -m fmcourse.clip.launch PICTURES OUTPUT

Each process computes its part of every batch, gradients are summed, and the main process writes:
the classifier, which :func:`fmcourse.clip.load_classifier` reads, and the checkpoint from which
the same command goes on after an interruption. With ``python -m`` in place of ``accelerate launch
... -m`` it runs on one device. The profile is that of ``FMCOURSE_PROFILE``. Serves notebook 03,
for pictures of your own.
"""

import argparse
import sys
from collections.abc import Sequence

import torch
from accelerate import Accelerator

from fmcourse import files, models, runtime
from fmcourse.clip.adaptation import BATCH, STEPS, fine_tune
from fmcourse.clip.classifier import (
    Head,
    linear_probe,
    output_folder,
    percent_right,
    save_classifier,
)
from fmcourse.clip.embedding import embed_images, pixels_of, zero_shot_head
from fmcourse.clip.pictures import read_pictures


def main(arguments: Sequence[str] | None = None) -> None:
    """Fine-tune CLIP on a folder or zip of labelled pictures and save the classifier; see
    ``--help``.

    Raises:
        ValueError: pictures that cannot be used, fewer pictures in a batch than parts, a file in
            place of the output folder, or a checkpoint of a different run in it.
    """
    settings = vars(_parser().parse_args(arguments))
    source, output = settings.pop("pictures"), settings.pop("output")
    runtime.setup(settings["seed"])
    # training.fit sees to the precision.
    accelerator = Accelerator(cpu=runtime.device() == "cpu", mixed_precision="no")
    say = accelerator.on_main_process(files.say)
    pictures = read_pictures(source)
    say(str(pictures))
    output = output_folder(output)
    with accelerator.main_process_first():  # so that a model of the hub is fetched once
        model, processor = models.load_clip()
    model = model.to(accelerator.device)
    train, test = pictures.split()
    try:
        head: Head | torch.Tensor = zero_shot_head(model, processor, train.names)
    except ValueError as unread:
        say(f"the training starts from a linear probe, not from words: {unread}")
        head = linear_probe(embed_images(model, processor, train.images), train.labels)
    examples = (model, processor, train.images, train.labels)
    settings["precision"] = runtime.mixed_precision(model)
    checkpoint = output / "run.pt"
    classifier, _ = fine_tune(
        *examples, head, accelerator=accelerator, checkpoint=checkpoint, **settings
    )
    if accelerator.is_main_process:
        save_classifier(classifier, pictures.names, output)
        if len(test):
            right = percent_right(classifier, pixels_of(processor, test.images), test.labels)
            say(f"{right:.0f}% of {len(test)} held-out pictures right")
        else:
            say("no picture is held out: each label has one only, so nothing can be tested")
        say(f"the classifier is in {output}")
    accelerator.end_training()


def _parser() -> argparse.ArgumentParser:
    profile = runtime.profile()
    parser = argparse.ArgumentParser(
        prog="fmcourse.clip.launch",
        description="Fine-tune CLIP on a folder of pictures.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("pictures", help="a folder with one subfolder per label, or a zip of it")
    parser.add_argument("output", help="the folder to write to; made when missing")
    for name, default, help_text in (
        ("--steps", STEPS, "optimizer steps in all"),
        ("--batch-size", BATCH, "pictures in a step, over all devices"),
        ("--lr", profile.clip_lr, "of the image encoder"),
        ("--accumulate", profile.clip_accumulate, "parts of a device's share"),
        ("--seed", 0, "of the batches"),
    ):
        parser.add_argument(name, type=type(default), default=default, help=help_text)
    return parser


if __name__ == "__main__":
    try:
        main()
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"fmcourse.clip.launch: {error}")
