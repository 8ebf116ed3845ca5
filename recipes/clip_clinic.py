"""The mistakes clinic of notebook 03: contrastive fine-tuning of the bundled CLIP, done right and
with seven mistakes.

A seed draws the training concepts and the order of the batches. What ships is, for each mistake,
seed and measured step, which test pictures were right; the notebook picks steps, on other pictures,
and computes costs from it.
"""

from __future__ import annotations

import argparse
import copy
import functools
import random
import time

import pandas as pd
import torch

import fmcourse
from fmcourse import clip
from fmcourse.clip import adaptation
from recipes.common import kept_json, ship, work_folder

SEEDS = range(5)
MEASURE_EVERY = 20
FILE = "clip-clinic.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="*",
        default=list(SEEDS),
        help="run only these, and leave the writing out",
    )
    arguments = parser.parse_args()
    fmcourse.setup()
    runs = [run for seed in arguments.seeds for run in one_seed(seed)]
    if arguments.seeds == list(SEEDS):
        write(runs)


class Bench:
    """One seed's task, with the pixels of the bundled CLIP made once."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.model, self.processor = fmcourse.load_clip("emoji-clip")
        self.task = clip.subgroup_task(seed=seed)
        self.labels, self.pixels = {}, {}
        for part in ("train", "test"):
            self.labels[part] = torch.tensor(getattr(self.task, part).labels)
            self.pixels[part] = clip.pixels_of(self.processor, getattr(self.task, part).images)

    @property
    def captions(self) -> list[str]:
        """One sentence per training picture, its template sampled by the seed."""
        draw = random.Random(self.seed)
        names = [self.task.names[label] for label in self.labels["train"]]
        return [draw.choice(clip.TEMPLATES).format(name) for name in names]


def one_seed(seed: int) -> list[dict]:
    """Return the runs of one seed, the right one first; each is kept in the work folder when
    done."""
    bench, runs = Bench(seed), []
    for name, habits in {**clip.RIGHT_WAYS, **clip.MISTAKES}.items():
        if habits.pick == "test":
            continue  # trained as the right one is; only the choice of the step differs
        kept = work_folder("clip_clinic") / f"{seed}-{name.replace(' ', '-')}.json"
        runs.append(kept_json(kept, functools.partial(one_run, bench, name, habits)))
    return runs


def one_run(bench: Bench, name: str, habits: clip.Habits) -> dict:
    """Train with these habits and return what was measured on the way, and the step at which the
    loss was lost."""
    start, records, failed = time.time(), [], None

    def measure(tuned) -> dict[str, float]:
        records.append({"step": MEASURE_EVERY * len(records), "test": right_or_wrong(bench, tuned)})
        return {"right": records[-1]["test"].count("1") / len(bench.labels["test"])}

    try:
        settings = {
            "seed": bench.seed,
            "measure": measure,
            "measure_every": MEASURE_EVERY,
            "progress": False,
        }
        clip.fine_tune_pairs(
            bench.model,
            bench.processor,
            bench.pixels["train"],
            bench.captions,
            habits,
            ids=bench.labels["train"],
            **settings,
        )
    except FloatingPointError as error:
        failed = str(error)
    print(
        f"seed {bench.seed}: {name}, {len(records)} measurements, {time.time() - start:.0f} s",
        flush=True,
    )
    return {
        "mistake": name,
        "seed": bench.seed,
        "records": records,
        "failed": failed,
        "seconds": time.time() - start,
    }


def right_or_wrong(bench: Bench, tuned) -> str:
    """Return for each test picture 1 if words sort it rightly, else 0; half-precision weights
    answer in single precision."""
    plain = copy.deepcopy(tuned).float()
    head = clip.zero_shot_head(plain, bench.processor, bench.task.names)
    rows = clip.embed_images(plain, bench.processor, bench.pixels["test"])
    right = (rows @ head.T).argmax(1) == bench.labels["test"]
    return "".join(map(str, right.int().tolist()))


def write(runs: list[dict]) -> None:
    """Write all seeds into one table and register it."""
    concepts, parts = clip.subgroup_task().test.concepts, []
    for run in runs:
        columns = {"mistake": run["mistake"], "seed": run["seed"], "failed": run["failed"]}
        for at in run["records"]:
            rows = {"picture": range(len(concepts)), "concept": concepts}
            rows["right"] = [bit == "1" for bit in at["test"]]
            parts.append(pd.DataFrame(columns | {"step": at["step"]} | rows))
    ship(
        FILE,
        pd.concat(parts, ignore_index=True),
        sources=["emoji-clip/model.safetensors", "emoji-noto.parquet"],
        recipe="clip_clinic",
        settings={"seeds": list(SEEDS), "steps": adaptation.STEPS, "batch": adaptation.BATCH},
        seconds=sum(run["seconds"] for run in runs),
    )


if __name__ == "__main__":
    main()
