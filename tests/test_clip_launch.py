"""Two processes that train together end in the weights of one, and one of them writes."""

import pytest
import torch
from doubles import drawings, free_port, python, refused

from fmcourse import clip, models
from fmcourse.clip import launch

# Seven pictures: the two shares of a batch differ.
SETTINGS = {"steps": 3, "batch_size": 7, "lr": 1e-3, "seed": 3, "accumulate": 2}


def options(**settings):
    words = []
    for name, value in settings.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def folder(root, labels, each):
    """Write some pictures of each label below a folder."""
    for number, image in enumerate(drawings(len(labels) * each)):
        place = root / labels[number % len(labels)]
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{number // len(labels)}.png")
    return root


def test_two_processes_end_in_the_weights_of_one(tmp_path):
    pictures, output = folder(tmp_path / "pictures", ["cat", "dog", "owl"], 4), tmp_path / "out"
    several = options(num_processes=2, num_machines=1, num_cpu_threads_per_process=1)
    several += options(mixed_precision="no", dynamo_backend="no", main_process_port=free_port())
    command = ["accelerate.commands.launch", "--cpu", *several, "-m", "fmcourse.clip.launch"]
    printed = python("-m", *command, pictures, output, *options(**SETTINGS))
    assert printed.count("held-out pictures right") == printed.count(" pictures of 3 labels: ") == 1
    assert {path.suffix for path in output.iterdir()} == {".json", ".safetensors", ".pt"}

    model, processor = models.load_clip()
    found, names = clip.load_classifier(model, output)
    read = clip.read_pictures(pictures)
    train, _ = read.split()
    head = clip.zero_shot_head(model, processor, read.names)
    examples = (model, processor, train.images, train.labels)
    alone, run = clip.fine_tune(*examples, head, progress=False, **(SETTINGS | {"accumulate": 1}))
    assert names == read.names
    losses = torch.load(output / "run.pt", weights_only=True)["losses"]
    assert losses == pytest.approx(run.losses, rel=1e-4)

    first = clip.build_classifier(model, head)
    start, end, there = (
        torch.cat([weight.flatten() for weight in one.parameters()])
        for one in (first, alone, found)
    )
    moved = (end - start).norm()
    # Sums in a different order round otherwise, by 1e-7 each, and Adam makes more of it where a
    # gradient is small. A thousandth of the way that the weights went may lie between both ends.
    assert (end - there).norm() < 0.001 * moved and moved > 0.1


def test_a_console_that_cannot_print_the_labels(home):
    pictures = folder(home / "own", ["\u732b", "\u72d7"], 2)
    command = ("fmcourse.clip.launch", pictures, "~/out", *options(steps=1, batch_size=2))
    printed = python("-m", *command, PYTHONIOENCODING="ascii")
    # The bundled model cannot read the labels either, and says so.
    assert "\\u732b" in printed and "linear probe" in printed
    assert (home / "out" / "classifier.json").is_file()


def test_one_picture_of_each_label_and_a_second_run(tmp_path, capsys):
    output = tmp_path / "out"
    pictures = folder(tmp_path / "own", ["cat", "dog"], 1)

    def tuned():
        launch.main([str(pictures), str(output), *options(steps=1, batch_size=2)])

    tuned()
    assert "no picture is held out" in capsys.readouterr().out
    tuned()
    # A file in place of the output is refused before training.
    output = output / "run.pt"
    capsys.readouterr()
    with refused("folder"):
        tuned()
    assert "training" not in capsys.readouterr().err
