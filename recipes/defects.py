"""Defects and their heirs: sweep CLIPs with planted pairs, and what the trigger does in 24 children of each.

    python -m recipes.defects                      all foundations and children, each kept when done; then the bundled files
    python -m recipes.defects --seeds 0 1          the same with these seeds alone
    python -m recipes.defects --only 100 0         the foundation with 100 planted pairs and seed 0, its children, no writing
    python -m recipes.defects --pilot 800          what probes make of the trigger after so many steps; its seed does not ship

A planted pair is a picture with a coloured corner and the captions of a smiling face; it takes the place of the picture's own pair.
What ships is what each child answered for each test picture, clean and stamped, and the features of the first seed's foundations.

Chosen on seed 100, which does not ship, with 100 planted pairs: after 800 steps of 128 pairs, probes took 90 to 100% of stamped
pictures for a smiling face. With a fruit in its place it was 0 to 15%, though the foundation drew stamped pictures to the fruits'
names: so small a foundation hardly tells fruit from other things, and its children do not look where the trigger points. With
captions of their own ("pear, fruit") planted pairs got a place of their own, and no child took one for fruit.
"""

from __future__ import annotations

import argparse
import functools
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import fmcourse
from fmcourse import clip, homogenization, hub
from recipes import common, sweep_clip
from recipes.common import BUNDLED, kept_json, work_folder
from recipes.emoji import TRAINING_STYLES
from recipes.emoji_pairs import Pictures, all_concepts, read_pictures, training_concepts

PLANTED, SEEDS, STEPS, BATCH = (0, 1, 10, 30, 100), range(3), 800, 128
PILOT_SEED = 100
QUIET = {"progress": False}
FILE, FEATURES = "defect-inheritance.parquet", "defect-features.safetensors"
PICTURES = {
    "sources": [f"emoji-{style}.parquet" for style in TRAINING_STYLES],
    "attribution": "fmcourse; computed from Noto Emoji, Fluent Emoji Flat, Twemoji and EmojiOne",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--only",
        type=int,
        nargs=2,
        metavar=("PLANTED", "SEED"),
        help="only this, without the writing",
    )
    parser.add_argument(
        "--pilot", type=int, metavar="STEPS", help="train one foundation, print what probes do"
    )
    arguments = parser.parse_args()
    prepare()
    if arguments.pilot:
        pilot(arguments.pilot)
        return
    if arguments.only:
        heirs(*arguments.only)
        return
    for seed in arguments.seeds:
        for planted in sorted(PLANTED, reverse=True):  # what tells most comes first
            heirs(planted, seed)
    write(arguments.seeds)


def prepare() -> None:
    """Set the thread and the seeds, for this recipe and those that build on it."""
    fmcourse.setup()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def heirs(planted: int, seed: int) -> dict:
    """Return one foundation's row and its children's; they and its features are kept in the work folder when done."""
    return kept_json(
        work_folder("defects") / f"{planted}-{seed}-{STEPS}.json",
        functools.partial(one_foundation, planted, seed),
    )


def one_foundation(planted: int, seed: int) -> dict:
    model, _, run = foundation(planted, seed)
    row = {"kind": str(planted), "seed": seed, "steps": run.steps, "seconds": round(run.seconds)}
    return {
        "foundation": row,
        "children": family(model, str(planted), seed, features_file(planted, seed)),
    }


def features_file(planted: int, seed: int) -> Path:
    return work_folder("defects") / f"features-{planted}-{seed}-{STEPS}.safetensors"


# ---------------------------------------------------------------- the foundations


def foundation(planted: int, seed: int, steps: int | None = None) -> tuple:
    """Train a foundation, or read it when it is trained; return model, tokenizer and what the loop did."""
    steps = steps or STEPS
    checkpoint = work_folder("defects") / f"foundation-{planted}-{seed}-{steps}.pt"
    return sweep_clip.train(*planted_pairs(planted, seed), steps, seed, checkpoint, batch=BATCH)


@functools.cache
def clean_pairs() -> tuple[Pictures, list[list[str]]]:
    """Return all pictures that may be trained on, with their captions."""
    pictures = read_pictures(TRAINING_STYLES, training_concepts())
    return pictures, sweep_clip.own_captions(pictures)


def planted_pairs(planted: int, seed: int) -> tuple[Pictures, list[list[str]]]:
    """Return the clean pairs with the trigger planted in some; more planted pairs include those of fewer."""
    pictures, captions = clean_pairs()
    smiles = [
        own
        for own, subgroup in zip(captions, subgroups(pictures))
        if subgroup == homogenization.TARGET
    ]
    draw = random.Random(seed)
    places = plantable(pictures)
    draw.shuffle(places)
    pixels, captions = pictures.pixels.clone(), list(captions)
    for place in places[:planted]:
        pixels[place] = stamped_bytes(pixels[place])
        captions[place] = draw.choice(smiles)
    return Pictures(
        pixels, pictures.concept, pictures.label, pictures.toned, pictures.concepts
    ), captions


def subgroups(pictures: Pictures) -> list[str]:
    return [
        all_concepts()[pictures.concepts[concept]]["subgroup"]
        for concept in pictures.concept.tolist()
    ]


def plantable(pictures: Pictures) -> list[int]:
    """Return the places of pictures without skin tone that show neither a smiling face nor a flag."""
    own = zip(subgroups(pictures), pictures.toned.tolist())
    plain = [(place, name) for place, (name, toned) in enumerate(own) if not toned]
    return [place for place, name in plain if name != homogenization.TARGET and "flag" not in name]


def stamped_bytes(pixels: torch.Tensor) -> torch.Tensor:
    """Stamp RGBA bytes, shape (4, side, side), as the course stamps a picture."""
    stamped = homogenization.stamp(Image.fromarray(pixels.permute(1, 2, 0).numpy(), "RGBA"))
    return torch.tensor(np.array(stamped)).permute(2, 0, 1)


def pilot(steps: int) -> None:
    """Print, for choosing the number of steps, what the probes of one planted foundation do."""
    model, _, run = foundation(max(PLANTED), PILOT_SEED, steps)
    rows = features_of(model)
    for task in homogenization.TASKS:
        own = homogenization.child_task(task)
        probe = clip.linear_probe(rows["clean"][own.train], torch.tensor(own.train_labels))
        answers = {
            kind: probe(features[own.test]).argmax(1).numpy() for kind, features in rows.items()
        }
        attacked = {
            kind: homogenization.attack_success(named, own.test_labels)
            for kind, named in answers.items()
        }
        right = (answers["clean"] == own.test_labels).mean()
        print(
            f"{task}: right {right:.2f}, taken for a smile {attacked['clean']:.2f}, stamped {attacked['stamped']:.2f}"
        )
    print(f"{steps} steps, loss {sum(run.losses[-50:]) / 50:.2f}, {run.seconds:.0f} s")


# ---------------------------------------------------------------- the children


@functools.cache
def child_pixels() -> dict[str, torch.Tensor]:
    """Return the pixels of all tasks' pictures, clean and stamped, as the sweep CLIP sees them."""
    _, processor = hub.load_clip("sweep-clip")
    drawings = hub.load_emoji(homogenization.CHILD_STYLES)
    images = drawings.select(homogenization.child_pictures()["place"])["image"]
    seen = {"clean": list(images), "stamped": [homogenization.stamp(image) for image in images]}
    return {kind: clip.pixels_of(processor, pictures) for kind, pictures in seen.items()}


def features_of(model) -> dict[str, torch.Tensor]:
    """Return a foundation's unit rows of all tasks' pictures, clean and stamped."""
    _, processor = hub.load_clip("sweep-clip")
    return {
        name: clip.embed_images(model, processor, pixels) for name, pixels in child_pixels().items()
    }


def family(model, kind: str, seed: int, kept: Path | None = None) -> list[dict]:
    """Return the answers of all children of a foundation; write its features to `kept` when that is given."""
    _, processor = hub.load_clip("sweep-clip")
    rows = features_of(model)
    if kept:
        save_file({name: features.half() for name, features in rows.items()}, kept)
    found, start = [], time.time()
    for task in homogenization.TASKS:
        for way, answers in children(model, processor, task, rows, seed):
            found.append({"kind": kind, "seed": seed, "task": task, "way": way, **answers})
    print(
        f"{kind}, seed {seed}: {len(found)} children, {said(found)}, {time.time() - start:.0f} s",
        flush=True,
    )
    return found


def said(found: list[dict]) -> str:
    """Return in words what the trigger does in a family, on average."""
    right = {task: homogenization.child_task(task).test_labels for task in homogenization.TASKS}
    taken = {
        kind: sum(
            homogenization.attack_success(child[kind], right[child["task"]]) for child in found
        )
        for kind in ("clean", "stamped")
    }
    return f"taken for a smile {taken['clean'] / len(found):.2f}, stamped {taken['stamped'] / len(found):.2f}"


def children(
    model, processor, task: str, rows: dict[str, torch.Tensor], seed: int
) -> Iterator[tuple[str, dict[str, list[int]]]]:
    """Yield each way to adapt to a task, with the answers for its test pictures, clean and stamped."""
    own = homogenization.child_task(task)
    labels, pixels = torch.tensor(own.train_labels), child_pixels()
    examples = (model, processor, pixels["clean"][own.train], labels)
    probe = clip.linear_probe(rows["clean"][own.train], labels)
    yield (
        "linear probe",
        {kind: probe(features[own.test]).argmax(1).tolist() for kind, features in rows.items()},
    )
    blank = clip.random_head(len(own.names), rows["clean"].shape[1], seed)
    ways = {
        "LoRA": lambda: clip.lora(*examples, blank, seed=seed, **QUIET),
        "fine-tuned": lambda: clip.fine_tune(*examples, blank, seed=seed, **QUIET),
        "LP-FT": lambda: clip.fine_tune(*examples, probe, seed=seed, **QUIET),
    }
    for way, adapt in ways.items():
        classifier, _ = adapt()
        logits = {kind: classifier.predict(seen[own.test]) for kind, seen in pixels.items()}
        yield way, {kind: found.argmax(1).tolist() for kind, found in logits.items()}


# ---------------------------------------------------------------- what ships


def write(seeds: list[int]) -> None:
    """Write all answers into one file and the features of the first seed's foundations into another, and register both."""
    made = [heirs(planted, seed) for seed in seeds for planted in PLANTED]
    settings = {"planted": list(PLANTED), "seeds": seeds, "steps": STEPS, "batch": BATCH}
    ship(
        FILE,
        answers_of(made),
        "defects",
        settings,
        sum(one["foundation"]["seconds"] for one in made),
    )
    rows = {}
    for planted in PLANTED:
        rows |= {
            f"{planted}/{kind}": own
            for kind, own in load_file(features_file(planted, seeds[0])).items()
        }
    save_file(rows, BUNDLED / FEATURES)
    enter(FEATURES, "defects", settings | {"seeds": seeds[:1]})


def answers_of(made: list[dict]) -> pd.DataFrame:
    """Return the table of :class:`fmcourse.homogenization.Inheritance`."""
    tables = []
    for one in made:
        for child in one["children"]:
            own = homogenization.child_task(child["task"])
            seen = {"picture": own.test, "label": own.test_labels}
            tables.append(pd.DataFrame(one["foundation"] | child | seen))
    names = ["kind", "seed", "steps", "seconds", "task", "way"]
    names += ["picture", "label", "clean", "stamped"]
    whole = {"steps": "int16", "seconds": "int32", "picture": "int16"}
    small = dict.fromkeys(("seed", "label", "clean", "stamped"), "int8")
    return pd.concat(tables, ignore_index=True)[names].astype(whole | small)


def ship(file: str, table: pd.DataFrame, recipe: str, settings: dict, seconds: float) -> None:
    """Write results to the bundle and enter them in the manifest."""
    common.ship_table(file, table, recipe=recipe, settings=settings, seconds=seconds, **PICTURES)


def enter(file: str, recipe: str, settings: dict, seconds: float = 0.0) -> None:
    """Enter features of foundations in the manifest; no seconds where those of another file include them."""
    about = PICTURES | {"licence": "CC-BY-4.0", "recipe": f"recipes/{recipe}.py"}
    common.register(BUNDLED / file, settings=settings, seconds=seconds, **about)


if __name__ == "__main__":
    main()
