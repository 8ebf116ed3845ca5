"""The mistakes clinic of notebook 03: contrastive fine-tuning, done right and with seven mistakes.

A seed draws the training concepts and the order of the batches. What ships is, for each mistake,
seed and measured step, which test pictures were right; the notebook picks steps, on different
pictures, and computes costs from it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence

import pandas as pd
import torch

import fmcourse
from fmcourse import clip
from recipes.bench import SOURCES, Bench, answers, bench
from recipes.common import command_line, kept, ship_table

SEEDS = range(5)
MEASURE_EVERY = 20
FILE = "clip-clinic.parquet"


def main(arguments: Sequence[str] | None = None) -> None:
    steps = clip.adaptation.STEPS
    chosen = command_line(__doc__, arguments, seeds=SEEDS, names=trained(), steps=steps)
    fmcourse.setup()
    runs = [
        kept("clip_clinic", one_run, seed, name, chosen.steps, sources=SOURCES)
        for seed in chosen.seeds
        for name in chosen.only
    ]
    if chosen.ships:
        write(runs, chosen.seeds, chosen.steps)


def all_habits() -> dict[str, clip.Habits]:
    return {**clip.RIGHT_WAYS, **clip.MISTAKES}


def trained() -> list[str]:
    """Return what is trained, the right ways first.

    Who picks the step on test pictures trains as the right one does.
    """
    return [name for name, habits in all_habits().items() if habits.pick != "test"]


def one_run(seed: int, name: str, steps: int) -> dict:
    """Train with some habits and return what was measured on the way, and why it failed if so."""
    start = time.time()
    own = bench(seed)
    records: list[dict] = []
    failed = None

    def measure(tuned: torch.nn.Module) -> dict[str, float]:
        records.append({"step": MEASURE_EVERY * len(records), "test": right_or_wrong(own, tuned)})
        return {"right": records[-1]["test"].count("1") / len(own.labels["test"])}

    watched = {"measure": measure, "measure_every": MEASURE_EVERY, "steps": steps}
    try:
        own.fine_tuned_on_pairs(all_habits()[name], **watched)
    except FloatingPointError as error:
        failed = str(error)
    seconds = time.time() - start
    print(f"seed {seed}: {name}, {len(records)} measurements, {seconds:.0f} s", flush=True)
    about = {"mistake": name, "seed": seed, "failed": failed, "seconds": seconds}
    return {**about, "records": records}


def right_or_wrong(own: Bench, tuned: torch.nn.Module) -> str:
    """Return for each test picture 1 if words classify it rightly, else 0.

    Half-precision weights answer in single precision.
    """
    plain = copy.deepcopy(tuned).float()
    head = clip.zero_shot_head(plain, own.processor, own.task.names)
    features = clip.embed_images(plain, own.processor, own.pixels["test"])
    return own.bits("test", features @ head.T)


def write(runs: list[dict], seeds: Sequence[int], steps: int) -> None:
    """Write all runs into one table and register it."""
    concepts = clip.subgroup_task().test.concepts
    parts = []
    for run in runs:
        columns = {"mistake": run["mistake"], "seed": run["seed"], "failed": run["failed"]}
        for record in run["records"]:
            parts.append(answers(concepts, record["test"], step=record["step"], **columns))
    ship_table(
        FILE,
        pd.concat(parts, ignore_index=True),
        sources=SOURCES[:2],
        recipe="clip_clinic",
        settings={"seeds": list(seeds), "steps": steps, "batch": clip.adaptation.BATCH},
        seconds=sum(run["seconds"] for run in runs),
    )


if __name__ == "__main__":
    main()
