"""The breadth experiment: sweep CLIPs from equally many pairs that come from more or fewer styles, or groups of emoji.

    python -m recipes.breadth                      all foundations, each kept when done; then the bundled files
    python -m recipes.breadth --seeds 0 1          the same with these seeds alone
    python -m recipes.breadth --only styles 5 0    the foundation of five styles and seed 0, and leave the writing out
    python -m recipes.breadth --pilot 900          what is right after so many steps, in a training style that was left out

Along *styles* each of the same 808 concepts is drawn once, in one of 1, 2, 4 or 5 styles: there are five, not eight. Along
*groups* 48 concepts come from 1, 2, 4 or 8 groups, each drawn in all five styles. *all* has the 808 concepts in five styles
each: breadth with amount. *untrained* has random weights. Seeds rotate one random order of the styles and one of the groups.
Outlines, other colours and noise are left out of the training here: they would be breadth by other means.

Pilots (seed 100, Twemoji in the unseen style's place): with outlines and colours, 900 steps of 64 did not beat random weights from
examples (37% with four styles and 39% with one, against 40%); without them they gave 42% and 44%. So 700 steps without them were
chosen. Fixed before the run, from examples, in points: five styles minus one above 0 (band 0 to 15), eight
groups minus one above 0 (0 to 10), *all* minus five styles above 0 (0 to 20).

*longer*, with three times as many steps, was planned after the first three axes had shown no effect of breadth: five styles minus one
above 0 (0 to 15).
"""

from __future__ import annotations

import argparse
import functools
import random
import time

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from fmcourse import breadth, clip, hub
from fmcourse.clip.embedding import encode_pixels
from recipes import defects, sweep_clip
from recipes.common import BUNDLED, kept_json, register, ship, work_folder
from recipes.emoji import STYLES, TRAINING_STYLES
from recipes.emoji_clip import model_texts
from recipes.emoji_pairs import Pictures, read_pictures

STEPS, BATCH, PILOT_SEED, PILOT_STYLE = 700, 64, 100, "twemoji"
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="only these")
    parser.add_argument(
        "--only",
        nargs=3,
        metavar=("AXIS", "BREADTH", "SEED"),
        help="only this, without the writing",
    )
    parser.add_argument(
        "--pilot", type=int, metavar="STEPS", help="train a few foundations, print what probes do"
    )
    arguments = parser.parse_args()
    defects.prepare()
    if arguments.pilot:
        pilot(arguments.pilot)
        return
    if arguments.only:
        axis, width, seed = arguments.only
        kept_run(axis, int(width), int(seed))
        return
    write(
        [
            setting
            for setting in settings()
            if arguments.seeds is None or setting[2] in arguments.seeds
        ]
    )


def settings() -> list[tuple[str, int, int]]:
    """Return axis, breadth and seed of every foundation, seed by seed: an early stop leaves whole seeds."""
    return [(axis, width, seed) for seed in SEEDS for axis in BREADTHS for width in BREADTHS[axis]]


def kept_run(axis: str, width: int, seed: int) -> dict:
    """Return one foundation's row, now or from an earlier call."""
    path = work_folder("breadth") / f"{axis}-{width}-{seed}-{steps_of(axis)}.json"
    return kept_json(path, functools.partial(one_foundation, axis, width, seed))


def steps_of(axis: str) -> int:
    return STEPS * (LONGER if axis == "longer" else 1)


def one_foundation(axis: str, width: int, seed: int) -> dict:
    start = time.time()
    model, tokenizer, trained, pairs = foundation(axis, width, seed)
    features = rows_of(model, tokenizer, first_style(seed))
    if (axis, seed) == ("styles", 0) and width in CACHED:
        own = {group: features[group].half() for group in breadth.GROUPS}
        save_file(own, work_folder("breadth") / f"features-{width}-{STEPS}.safetensors")
    run = {
        "axis": axis,
        "breadth": width,
        "seed": seed,
        "trained": trained,
        "pairs": pairs,
        "tasks": figures(features),
    }
    print(f"{axis} {width}, seed {seed}: {pairs} pairs, {time.time() - start:.0f} s", flush=True)
    return run | {"seconds": round(time.time() - start)}


# ---------------------------------------------------------------- the foundations


def foundation(axis: str, width: int, seed: int) -> tuple:
    """Train a foundation, or read it; return it, its tokenizer, its styles or groups, and how many pairs it saw."""
    if axis == "untrained":
        return *untrained(seed), [], 0
    pictures, trained = chosen_pairs(axis, width, seed)
    steps = steps_of(axis)
    checkpoint = work_folder("breadth") / f"{axis}-{width}-{seed}-{steps}.pt"
    captions = sweep_clip.own_captions(pictures)
    model, tokenizer, _ = sweep_clip.train(
        pictures, captions, steps, seed, checkpoint, batch=BATCH, varied=False
    )
    return model, tokenizer, trained, len(pictures.label)


def untrained(seed: int) -> tuple:
    """Return random weights whose batch norms have seen pictures, a fairer control than without, and a tokenizer."""
    torch.manual_seed(seed)
    model = sweep_clip.make_model(sweep_clip.VOCABULARY)
    pixels = task_pixels(breadth.ACROSS, TRAINING_STYLES[0])
    model.train()
    with torch.no_grad():
        for _ in range(30):
            encode_pixels(model, pixels[torch.randperm(len(pixels))[:128]])
    return model.eval(), hub.load_clip("sweep-clip")[1].tokenizer


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


def first_style(seed: int) -> str:
    return order_of(TRAINING_STYLES, seed)[0]


def one_style_each(codes: list[str], styles: list[str], draw: random.Random) -> Pictures:
    """Return one picture of each concept; the styles have equally many, as far as that goes."""
    dealt = [styles[place % len(styles)] for place in range(len(codes))]
    draw.shuffle(dealt)
    parts = [
        read_pictures(
            [style], [code for code, own in zip(codes, dealt) if own == style], tones=False
        )
        for style in styles
    ]
    place = {code: index for index, code in enumerate(codes)}
    return Pictures(
        torch.cat([part.pixels for part in parts]),
        torch.tensor(
            [place[part.concepts[index]] for part in parts for index in part.concept.tolist()]
        ),
        [label for part in parts for label in part.label],
        torch.cat([part.toned for part in parts]),
        codes,
    )


# ---------------------------------------------------------------- the tasks


@functools.cache
def task_pixels(task: str, style: str) -> torch.Tensor:
    drawings = hub.load_emoji(style).select(breadth.few_shot_task(task, style).places)
    return clip.pixels_of(hub.load_clip("sweep-clip")[1], list(drawings["image"]))


def rows_of(model, tokenizer, seen: str, unseen: str = breadth.UNSEEN) -> dict[str, torch.Tensor]:
    """Return a foundation's unit rows: every task's drawings in the unseen style, one task's in a seen one, and names."""
    _, processor = hub.load_clip("sweep-clip")
    asked = {task: (task, unseen) for task in (*breadth.GROUPS, breadth.ACROSS)} | {
        "seen": (breadth.ACROSS, seen)
    }
    rows = {
        name: clip.embed_images(model, processor, task_pixels(*which))
        for name, which in asked.items()
    }
    for group in breadth.GROUPS:
        rows[f"{group}/named"] = model_texts(
            model, tokenizer, list(breadth.task_drawings(group, unseen)["name"])
        )
    return rows


def figures(rows: dict[str, torch.Tensor], unseen: str = breadth.UNSEEN) -> dict[str, float]:
    """Return the mean accuracy of few-shot probes for each task, and how many drawings lie nearest to their own name."""
    labels = {
        task: breadth.few_shot_task(task, unseen).labels
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


def pilot(steps: int) -> None:
    """Print few-shot accuracy in a training style that the pilot's foundations did not see, for choosing the steps."""
    known = [style for style in TRAINING_STYLES if style != PILOT_STYLE]
    concepts, draw = breadth.shared_concepts(), random.Random(PILOT_SEED)
    every = sorted(code for own in concepts.values() for code in own)
    few = sorted(code for group in breadth.GROUPS for code in draw.sample(concepts[group], 6))
    narrow = sorted(draw.sample(concepts["objects"], 48))
    kinds = {
        "1 style": one_style_each(every, known[:1], draw),
        "4 styles": one_style_each(every, known, draw),
        "objects": read_pictures(known, narrow, tones=False),
        "8 groups": read_pictures(known, few, tones=False),
    }
    bundled, processor = hub.load_clip("sweep-clip")
    print(
        "bundled",
        figures(rows_of(bundled, processor.tokenizer, known[0], PILOT_STYLE), PILOT_STYLE),
        flush=True,
    )
    print(
        "untrained",
        figures(rows_of(*untrained(PILOT_SEED), known[0], PILOT_STYLE), PILOT_STYLE),
        flush=True,
    )
    for kind, pictures in kinds.items():
        start, captions = time.time(), sweep_clip.own_captions(pictures)
        model, tokenizer, run = sweep_clip.train(
            pictures, captions, steps, PILOT_SEED, batch=BATCH, varied=False
        )
        found = figures(rows_of(model, tokenizer, known[0], PILOT_STYLE), PILOT_STYLE)
        mean, loss = np.mean([found[group] for group in breadth.GROUPS]), sum(run.losses[-50:]) / 50
        print(
            f"{kind}, {steps} steps, loss {loss:.2f}, {time.time() - start:.0f} s: mean {mean:.3f}, {found}",
            flush=True,
        )


# ---------------------------------------------------------------- what ships


def write(wanted: list[tuple[str, int, int]]) -> None:
    """Write all figures into one file and the features of two foundations into another, and register both."""
    runs = [kept_run(*setting) for setting in wanted]
    seconds = sum(run.pop("seconds") for run in runs)
    chosen = {
        "breadths": BREADTHS,
        "seeds": sorted({seed for _, _, seed in wanted}),
        "steps": STEPS,
        "batch": BATCH,
    }
    about = {
        "sources": [f"emoji-{style}.parquet" for style in STYLES],
        "recipe": "breadth",
        "settings": chosen,
    }
    ship(breadth.FILE, {"runs": runs}, seconds=seconds, **about)
    write_features(chosen)


def write_features(chosen: dict) -> None:
    rows = {}
    for width in CACHED:
        kept = load_file(work_folder("breadth") / f"features-{width}-{STEPS}.safetensors")
        rows |= {f"{width}/{group}": features for group, features in kept.items()}
    save_file(rows, BUNDLED / breadth.FEATURES)
    register(
        BUNDLED / breadth.FEATURES,
        licence="CC-BY-SA-4.0",  # the drawings are OpenMoji's
        attribution="fmcourse; computed from Noto Emoji, Fluent Emoji Flat, Twemoji, EmojiOne and OpenMoji",
        sources=[f"emoji-{style}.parquet" for style in STYLES],
        recipe="recipes/breadth.py",
        settings=chosen | {"breadths": list(CACHED), "seeds": [0]},
        seconds=0.0,
    )


if __name__ == "__main__":
    main()
