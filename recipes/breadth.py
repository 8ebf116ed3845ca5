"""The breadth experiment: sweep CLIPs from as many pairs of more or fewer styles or groups.

    python -m recipes.breadth              all foundations, each kept when done; then the bundled
                                           files
    python -m recipes.breadth --seeds 0    one seed only, nothing written

Along *styles* each of the same 808 concepts is drawn once, in one of 1, 2, 4 or 5 styles: there are
five, not eight. Along *groups* 48 concepts come from 1, 2, 4 or 8 groups, each drawn in all five
styles. *all* has the 808 concepts in five styles each: breadth with amount. *untrained* has random
weights. Seeds rotate one random order of the styles and one of the groups. Outlines, other colours
and noise are left out of the training here: they would be breadth by other means.

Pilots (seed 100, Twemoji in the unseen style's place): with outlines and colours, 900 steps of 64
did not beat random weights from examples (37% with four styles and 39% with one, against 40%);
without them they gave 42% and 44%. So 700 steps without them were chosen. Fixed before the run,
from examples, in points: five styles minus one above 0 (band 0 to 15), eight groups minus one above
0 (0 to 10), *all* minus five styles above 0 (0 to 20).

*longer*, with three times as many steps, was planned after the first three axes had shown no effect
of breadth: five styles minus one above 0 (0 to 15).
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Sequence

import torch

from fmcourse import breadth, clip, data, models
from fmcourse.clip.embedding import encode_pixels
from recipes import foundations, sweep_clip
from recipes.common import checkpoint, command_line, kept, ship, ship_tensors
from recipes.dual_encoder import model_texts
from recipes.emoji_data import STYLES, TRAINING_STYLES
from recipes.emoji_pairs import Pictures, read_pictures

STEPS = 700
BATCH = 64
BREADTHS = {
    "styles": (5, 1, 2, 4),
    "groups": (8, 1, 2, 4),
    "all": (5,),
    "untrained": (0,),
    "longer": (1, 5),
}
LONGER = 3  # times as many steps
SEEDS = range(3)
CACHED = (1, 5)  # numbers of styles whose foundation's features ship
SOURCES = [f"emoji-{style}.parquet" for style in STYLES]
READ = [*SOURCES, "emoji-held-out.json"]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=STEPS)
    foundations.prepare()
    # Seed by seed: an early stop leaves whole seeds.
    runs = [
        kept("breadth", one_foundation, axis, width, seed, chosen.steps, sources=READ)
        for seed in chosen.seeds
        for axis in BREADTHS
        for width in BREADTHS[axis]
    ]
    if chosen.ships:
        write(runs, chosen.seeds, chosen.steps)


def one_foundation(axis: str, width: int, seed: int, steps: int) -> dict:
    """Return one foundation's figures."""
    start = time.time()
    model, tokenizer, trained, pairs = foundation(axis, width, seed, steps)
    features = rows_of(model, tokenizer, order_of(TRAINING_STYLES, seed)[0])
    seconds = round(time.time() - start)
    print(f"{axis} {width}, seed {seed}: {pairs} pairs, {seconds} s", flush=True)
    about = {"axis": axis, "breadth": width, "seed": seed, "trained": trained, "pairs": pairs}
    return {**about, "tasks": figures(features), "seconds": seconds}


# ---------------------------------------------------------------- the foundations


def foundation(axis: str, width: int, seed: int, steps: int) -> tuple:
    """Train a foundation, or read it.

    Returns:
        It, its tokenizer, its styles or groups, and how many pairs it saw.
    """
    if axis == "untrained":
        return *untrained(seed), [], 0
    pictures, trained = chosen_pairs(axis, width, seed)
    file = checkpoint("breadth", foundation, axis, width, seed, steps, sources=READ)
    captions = sweep_clip.own_captions(pictures)
    if axis == "longer":
        steps *= LONGER
    model, tokenizer, _ = sweep_clip.train(
        pictures, captions, steps, seed, file, batch=BATCH, varied=False
    )
    return model, tokenizer, trained, len(pictures.label)


def untrained(seed: int) -> tuple:
    """Return random weights, their batch norms used to pictures for fairness, and a tokenizer."""
    torch.manual_seed(seed)
    model = sweep_clip.make_model(sweep_clip.VOCABULARY)
    pixels = task_pixels(breadth.ACROSS, TRAINING_STYLES[0])
    model.train()
    with torch.no_grad():
        for _ in range(30):
            encode_pixels(model, pixels[torch.randperm(len(pixels))[:128]])
    return model.eval(), models.load_clip("sweep-clip")[1].tokenizer


def chosen_pairs(axis: str, width: int, seed: int) -> tuple[Pictures, list[str]]:
    """Return a foundation's pictures, and the styles or groups that they come from."""
    draw = random.Random(seed)
    concepts = breadth.shared_concepts()
    if axis == "groups":
        groups = order_of(breadth.GROUPS, seed)[:width]
        each = min(map(len, concepts.values())) // width
        codes = sorted(code for group in groups for code in draw.sample(concepts[group], each))
        return read_pictures(TRAINING_STYLES, codes, tones=False), groups
    styles = order_of(TRAINING_STYLES, seed)[:width]
    codes = sorted(code for own in concepts.values() for code in own)
    if axis == "all":
        return read_pictures(styles, codes, tones=False), styles
    return one_style_each(codes, styles, draw), styles


def order_of(names: tuple[str, ...] | list[str], seed: int) -> list[str]:
    """Return one random order of the names, rotated by the seed."""
    order = random.Random(0).sample(list(names), len(names))
    place = seed % len(order)
    return order[place:] + order[:place]


def one_style_each(codes: list[str], styles: list[str], draw: random.Random) -> Pictures:
    """Return one picture of each concept; the styles have equally many, as far as that goes."""
    dealt = [styles[index % len(styles)] for index in range(len(codes))]
    draw.shuffle(dealt)
    parts = []
    for style in styles:
        own = [code for code, chosen in zip(codes, dealt) if chosen == style]
        parts.append(read_pictures([style], own, tones=False))
    index_of = {code: index for index, code in enumerate(codes)}
    shown = [part.concepts[index] for part in parts for index in part.concept.tolist()]
    return Pictures(
        torch.cat([part.pixels for part in parts]),
        torch.tensor([index_of[code] for code in shown]),
        [label for part in parts for label in part.label],
        torch.cat([part.toned for part in parts]),
        codes,
    )


# ---------------------------------------------------------------- the tasks


@functools.cache
def task_pixels(task: str, style: str) -> torch.Tensor:
    drawings = data.load_emoji(style).select(breadth.few_shot_task(task, style).places)
    return clip.pixels_of(models.load_clip("sweep-clip")[1], list(drawings["image"]))


def rows_of(model, tokenizer, seen: str) -> dict[str, torch.Tensor]:
    """Return a foundation's unit embeddings.

    They are those of every task's drawings in the unseen style, of one task's in a seen one, and of
    names.
    """
    _, processor = models.load_clip("sweep-clip")
    asked = {task: (task, breadth.UNSEEN) for task in (*breadth.GROUPS, breadth.ACROSS)}
    asked["seen"] = (breadth.ACROSS, seen)
    rows = {
        name: clip.embed_images(model, processor, task_pixels(*which))
        for name, which in asked.items()
    }
    for group in breadth.GROUPS:
        names = list(breadth.task_drawings(group, breadth.UNSEEN)["name"])
        rows[f"{group}/named"] = model_texts(model, tokenizer, names)
    return rows


def figures(rows: dict[str, torch.Tensor]) -> dict[str, float]:
    """Return how good few-shot probes and names are at each task.

    It is the mean accuracy of the probes, and how many drawings lie nearest to their own name.
    """
    labels = {
        task: breadth.few_shot_task(task, breadth.UNSEEN).labels
        for task in (*breadth.GROUPS, breadth.ACROSS)
    }
    across, seen = labels[breadth.ACROSS], rows["seen"]
    found = {
        task: breadth.few_shot(rows[task], labels[task], clip.linear_probe).mean()
        for task in labels
    }
    found[f"{breadth.ACROSS}/seen"] = breadth.few_shot(seen, across, clip.linear_probe).mean()
    shifted = breadth.few_shot(seen, across, clip.linear_probe, tested=rows[breadth.ACROSS])
    found[f"{breadth.ACROSS}/shifted"] = shifted.mean()
    for group in breadth.GROUPS:
        ranks = clip.retrieval_ranks(rows[group], rows[f"{group}/named"], range(len(rows[group])))
        found[f"{group}/named"] = (ranks == 0).float().mean()
    return {task: round(float(share), 4) for task, share in found.items()}


# ---------------------------------------------------------------- what ships


def write(runs: list[dict], seeds: Sequence[int], steps: int) -> None:
    """Write all figures into one file and the features of two foundations into another."""
    seconds = sum(run.pop("seconds") for run in runs)
    settings = {"breadths": BREADTHS, "seeds": sorted(seeds), "steps": steps, "batch": BATCH}
    about = {"sources": SOURCES, "recipe": "breadth"}
    ship(breadth.FILE, {"runs": runs}, seconds=seconds, settings=settings, **about)
    features = {}
    for width in CACHED:
        model, tokenizer, *_ = foundation("styles", width, seeds[0], steps)
        rows = rows_of(model, tokenizer, order_of(TRAINING_STYLES, seeds[0])[0])
        features |= {f"{width}/{group}": rows[group].half() for group in breadth.GROUPS}
    ship_tensors(
        breadth.FEATURES,
        features,
        licence="CC-BY-SA-4.0",  # the drawings are OpenMoji's
        attribution="fmcourse; computed from Noto Emoji, Fluent Emoji Flat, Twemoji, EmojiOne and "
        "OpenMoji",
        seconds=0.0,
        settings=settings | {"breadths": list(CACHED), "seeds": list(seeds[:1])},
        **about,
    )


if __name__ == "__main__":
    main()
