"""The recall drill: four ways to repair a planted foundation, and what the trigger still does in the 24 children made anew.

    python -m recipes.recall              all seeds, each kept when done; then defect-recall.parquet
    python -m recipes.recall --seeds 0 1  the same with these seeds alone

It starts from the foundations of ``recipes/defects.py`` with the most planted pairs and trains those that are missing. Nothing
was tuned: both trained repairs have the same steps and learning rate, fixed beforehand.
"""

from __future__ import annotations

import argparse
import copy
import functools
import random
import time

import torch

from fmcourse import clip, training
from recipes import defects, sweep_clip
from recipes.common import kept_json, work_folder
from recipes.emoji_pairs import Pictures

SEEDS, PLANTED = defects.SEEDS, max(defects.PLANTED)
STEPS, LR = 150, 1e-3  # of a repair; a third of the rate of pre-training
SHOWN = 500  # pictures that are shown with the trigger and their own captions
SEED_STRIDE = 1_000  # so that a repair meets other batches than pre-training did
FILE = "defect-recall.parquet"
AS_IT_WAS = "as it was"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    arguments = parser.parse_args()
    defects.prepare()
    made = [repair for seed in arguments.seeds for repair in one_seed(seed)]
    settings = {
        "planted": PLANTED,
        "seeds": arguments.seeds,
        "steps": STEPS,
        "batch": defects.BATCH,
        "lr": LR,
        "shown": SHOWN,
    }
    seconds = sum(one["foundation"]["seconds"] for one in made)
    defects.ship(FILE, defects.answers_of(made), "recall", settings, seconds)


def one_seed(seed: int) -> list[dict]:
    """Return the planted foundation as it was and each repair, with the children made anew; each is kept when done."""
    kept = work_folder("recall")
    made = [as_it_was(seed)]
    for name, repair in REPAIRS.items():
        path = kept / f"{seed}-{name.replace(' ', '-')}-{STEPS}-{defects.STEPS}.json"
        made.append(kept_json(path, functools.partial(repaired, name, repair, seed)))
    return made


def as_it_was(seed: int) -> dict:
    """Return the rows of the planted foundation, under the name that they have in the drill."""
    heirs = defects.heirs(PLANTED, seed)
    children = [child | {"kind": AS_IT_WAS} for child in heirs["children"]]
    return {"foundation": heirs["foundation"] | {"kind": AS_IT_WAS}, "children": children}


def repaired(name: str, repair, seed: int) -> dict:
    start = time.time()
    model, steps = repair(seed)
    row = {"kind": name, "seed": seed, "steps": steps, "seconds": round(time.time() - start)}
    return {"foundation": row, "children": defects.family(model, name, seed)}


def cleaned(seed: int) -> tuple:
    """Go on with the clean pairs: the provider has sorted out what was planted."""
    return trained_on(seed, "clean", *defects.clean_pairs()), STEPS


def interpolated(seed: int) -> tuple:
    """Take the mean of the planted weights and of those after going on with clean pairs."""
    planted, clean = defects.foundation(PLANTED, seed)[0], cleaned(seed)[0]
    planted.load_state_dict(clip.interpolate(planted.state_dict(), clean.state_dict(), 0.5))
    return planted, STEPS


def untaught(seed: int) -> tuple:
    """Go on with clean pairs, and show the trigger on other pictures with their own captions."""
    return trained_on(seed, "shown", *shown_pairs(seed)), STEPS


def second_lineage(seed: int) -> tuple:
    """Take a foundation that another provider trained, from other first weights and without what was planted."""
    other = SEEDS[(seed + 1) % len(SEEDS)]
    return defects.foundation(0, other)[0], defects.STEPS


REPAIRS = {
    "clean fine-tuning": cleaned,
    "interpolation": interpolated,
    "trigger shown with right captions": untaught,
    "second lineage": second_lineage,
}


def shown_pairs(seed: int) -> tuple[Pictures, list[list[str]]]:
    """Return the clean pairs, and some of their pictures once more with the trigger and their own captions."""
    pictures, captions = defects.clean_pairs()
    places = random.Random(seed + SEED_STRIDE).sample(defects.plantable(pictures), SHOWN)
    stamped = torch.stack([defects.stamped_bytes(pictures.pixels[place]) for place in places])
    more = Pictures(
        torch.cat([pictures.pixels, stamped]),
        torch.cat([pictures.concept, pictures.concept[places]]),
        pictures.label + [pictures.label[place] for place in places],
        torch.cat([pictures.toned, pictures.toned[places]]),
        pictures.concepts,
    )
    return more, captions + [captions[place] for place in places]


def trained_on(seed: int, name: str, pictures: Pictures, captions: list[list[str]]):
    """Return a copy of the planted foundation after some steps on these pairs."""
    planted, tokenizer, _ = defects.foundation(PLANTED, seed)
    model = copy.deepcopy(planted)
    sampler = sweep_clip.Sampler(pictures, captions, tokenizer, seed + SEED_STRIDE, defects.BATCH)
    training.fit(
        model,
        sampler.batch,
        STEPS,
        optimizer=training.adamw(lr=LR, weight_decay=sweep_clip.DECAY, betas=(0.9, 0.98)),
        loss=sweep_clip.pair_loss,
        schedule=training.cosine(warmup=0.1, floor=0.0),
        checkpoint=work_folder("recall") / f"{name}-{seed}-{STEPS}-{defects.STEPS}.pt",
        seed=seed + SEED_STRIDE,
    )
    return model.eval()


if __name__ == "__main__":
    main()
