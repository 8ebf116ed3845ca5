"""The mistakes clinic of notebook 03: contrastive fine-tuning, done right and with six mistakes.

    python -m recipes.clip_clinic               run five seeds, each run kept when done, and write
                                                the table
    python -m recipes.clip_clinic --seeds 90    run this seed alone, write nothing

A seed draws the training concepts, their captions, the order of the batches, and the drawings whose
names are asked for. What ships is, for each mistake, seed and measured step, which test pictures
were right, and how many of the known drawings are still named. The notebook picks steps, on other
pictures, and computes costs from it.
"""

import copy
import functools
import random

import torch

import fmcourse
from fmcourse import clip
from fmcourse.clip import adaptation
from fmcourse.clip.mistakes import RIGHT
from recipes.common import command_line, ship_runs

SEEDS = range(5)
MEASURE_EVERY = 20
KNOWN = 200  # drawings
CAPTION = ("a drawing of {}",)  # of a known drawing
SOURCES = ["emoji-clip/model.safetensors", "emoji-noto.parquet"]
HABITS = {RIGHT: clip.Habits(), **clip.MISTAKES}
# Two need no run: the scale is far from its bound here, and who picks the step on test pictures
# trains as the right one does.
TRAINED = [name for name, habits in HABITS.items() if habits.clamped and not habits.test_set]


def main(arguments=None):
    steps = adaptation.STEPS
    chosen = command_line(__doc__, arguments, seeds=SEEDS, names=TRAINED, steps=steps)
    fmcourse.setup()
    jobs = [(one_run, seed, name, chosen.steps) for seed in chosen.seeds for name in chosen.only]
    ship_runs(
        "clip-clinic.parquet",
        jobs,
        chosen.ships,
        recipe="clip_clinic",
        sources=SOURCES,
        settings={
            "batch": adaptation.BATCH,
            "known drawings": KNOWN,
        },
    )


@functools.lru_cache(maxsize=1)
class Bench:
    """One seed's task and drawings, as pixels of the bundled CLIP; the last one is kept."""

    def __init__(self, seed):
        self.model, self.processor = fmcourse.load_clip("emoji-clip")
        task = clip.subgroup_task(seed=seed)
        self.classes, self.concepts = task.names, task.test.concepts
        self.labels = {"train": torch.tensor(task.train.labels)}
        self.labels["test"] = torch.tensor(task.test.labels)
        drawings, self.names = clip.known_drawings(KNOWN, seed=seed)
        images = {"train": task.train.images, "test": task.test.images, "known": drawings}
        self.pixels = {part: clip.pixels_of(self.processor, own) for part, own in images.items()}
        draw = random.Random(seed)
        names = [task.names[label] for label in task.train.labels]
        # One sentence for each training picture.
        self.captions = [draw.choice(clip.TEMPLATES).format(name) for name in names]

        self.before = self.measured(self.model)

    def measured(self, model):
        """Return which test pictures are right, and how many known drawings are named.

        The model reads both, pictures and names. Half-precision weights answer in single precision.
        """
        plain = copy.deepcopy(model).float()
        classes = clip.zero_shot_head(plain, self.processor, self.classes)
        names = clip.zero_shot_head(plain, self.processor, self.names, CAPTION)
        rows = clip.embed_images(plain, self.processor, self.pixels["test"])
        right = (rows @ classes.T).argmax(1) == self.labels["test"]
        rows = clip.embed_images(plain, self.processor, self.pixels["known"])
        named = (rows @ names.T).argmax(1) == torch.arange(KNOWN)
        return {"right": right.tolist(), "named": int(named.sum())}


def one_run(seed, name, steps):
    """Train with some habits, and return a row for each measured step and test picture."""
    bench = Bench(seed)
    records = []
    failed = None

    def measure(tuned):
        # All start alike.
        found = bench.measured(tuned) if records else bench.before
        records.append(found)
        return {"right": sum(found["right"]), "named": found["named"]}

    examples = (bench.model, bench.processor, bench.pixels["train"], bench.captions)
    settings = {"steps": steps, "seed": seed, "ids": bench.labels["train"], "progress": False}
    try:
        clip.fine_tune_pairs(
            *examples, HABITS[name], measure=measure, measure_every=MEASURE_EVERY, **settings
        )
    except FloatingPointError as error:
        failed = str(error)
    rows = []
    for index, record in enumerate(records):
        about = {"mistake": name, "seed": seed, "failed": failed, "step": MEASURE_EVERY * index}
        about["named"] = record["named"]
        for picture, (concept, right) in enumerate(zip(bench.concepts, record["right"])):
            rows.append(about | {"picture": picture, "concept": concept, "right": right})
    return rows


if __name__ == "__main__":
    main()
