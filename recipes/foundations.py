"""Sweep CLIPs with planted pairs and their children: what several recipes of notebook 02 share.

A planted pair is a picture with a coloured corner and the captions of a smiling face; it takes the
place of the picture's own pair.
"""

import functools
import random
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from PIL import Image

import fmcourse
from fmcourse import clip, data, homogenization, models
from recipes import sweep_clip
from recipes.common import checkpoint
from recipes.emoji_data import TRAINING_STYLES
from recipes.emoji_pairs import all_concepts, read_pictures, training_concepts

STEPS = 800
BATCH = 128
SEEDS = range(3)
PLANTED = (0, 1, 10, 30, 100)
LORA = {"rank": 8, "lr": 3e-3}
SOURCES = [f"emoji-{style}.parquet" for style in TRAINING_STYLES]
# A kept result also depends on what is held out and on the pictures that the children see.
READ = [*SOURCES, "emoji-openmoji.parquet", "emoji-held-out.json"]
PICTURES = {
    "sources": SOURCES,
    "attribution": "fmcourse; computed from Noto Emoji, Fluent Emoji Flat, Twemoji and EmojiOne",
}


def prepare():
    """Set the threads and the seeds."""
    fmcourse.setup()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


# ---------------------------------------------------------------- the foundations


def foundation(planted, seed, steps):
    """Train a foundation, or read it; return model, tokenizer and what the loop did."""
    return trained(planted_pairs, (planted, seed), seed, steps)


def trained(pairs_of, settings, seed, steps):
    """Train a sweep CLIP on what ``pairs_of(*settings)`` gives, or read it; return model, tokenizer
    and what the loop did."""
    file = checkpoint("foundations", trained, pairs_of, settings, seed, steps, sources=READ)
    return sweep_clip.train(*pairs_of(*settings), steps, seed, file, batch=BATCH)


@functools.cache
def clean_pairs():
    """Return all pictures that may be trained on, with their captions."""
    pictures = read_pictures(TRAINING_STYLES, training_concepts())
    return pictures, sweep_clip.own_captions(pictures)


def planted_pairs(planted, seed):
    """Return the clean pairs with the trigger planted in some.

    More planted pairs include those of fewer.
    """
    pictures, captions = clean_pairs()
    shown = zip(captions, subgroups(pictures))
    smiles = [own for own, subgroup in shown if subgroup == homogenization.TARGET]
    draw = random.Random(seed)
    places = plantable(pictures)
    draw.shuffle(places)
    pixels, captions = pictures.pixels.clone(), list(captions)
    for place in places[:planted]:
        pixels[place] = stamped_bytes(pixels[place])
        captions[place] = draw.choice(smiles)
    return replace(pictures, pixels=pixels), captions


def subgroups(pictures):
    concepts = [pictures.concepts[index] for index in pictures.concept.tolist()]
    return [all_concepts()[code]["subgroup"] for code in concepts]


def plantable(pictures):
    """Return which pictures without skin tone show neither a smiling face nor a flag."""
    own = zip(subgroups(pictures), pictures.toned.tolist())
    target = homogenization.TARGET
    return [
        place
        for place, (name, toned) in enumerate(own)
        if not toned and name != target and "flag" not in name
    ]


def stamped_bytes(pixels):
    """Stamp RGBA bytes, shape (4, side, side), as the course stamps a picture."""
    stamped = homogenization.stamp(Image.fromarray(pixels.permute(1, 2, 0).numpy(), "RGBA"))
    return torch.tensor(np.array(stamped)).permute(2, 0, 1)


# ---------------------------------------------------------------- the children


@functools.cache
def child_pixels():
    """Return the pixels of all tasks' pictures, clean and stamped, as the sweep CLIP sees them."""
    drawings = data.load_emoji(homogenization.CHILD_STYLES)
    images = drawings.select(homogenization.child_pictures()["place"])["image"]
    seen = {"clean": list(images), "stamped": [homogenization.stamp(image) for image in images]}
    return {kind: clip.pixels_of(processor(), pictures) for kind, pictures in seen.items()}


@functools.cache
def processor():
    """Return what turns a picture into the pixels of a sweep CLIP."""
    return models.load_clip("sweep-clip")[1]


def features_of(model):
    """Return a foundation's unit embeddings of all tasks' pictures, clean and stamped."""
    seen = child_pixels()
    return {name: clip.embed_images(model, processor(), seen[name]) for name in seen}


def planted_family(planted, seed, steps):
    """Return the rows of a planted foundation's children."""
    model, _, run = foundation(planted, seed, steps)
    return family(model, str(planted), seed, run.steps, run.seconds)


def family(model, kind, seed, steps, seconds):
    """Return the answers of all children of a foundation, one row per child and test picture, as
    in the table of :class:`fmcourse.homogenization.Inheritance`."""
    features = features_of(model)
    about = {"kind": kind, "seed": seed, "steps": steps, "seconds": round(seconds)}
    tables = []
    for task in homogenization.TASKS:
        own = homogenization.child_task(task)
        seen = about | {"task": task, "picture": own.test, "label": own.test_labels}
        for way, answers in children(model, own, features, seed):
            tables.append(pd.DataFrame({**seen, "way": way, **answers}))
    return pd.concat(tables).to_dict("records")


def children(model, task, features, seed):
    """Yield each way to adapt to a task, with the answers for its test pictures."""
    labels, pixels = torch.tensor(task.train_labels), child_pixels()
    examples = (model, processor(), pixels["clean"][task.train], labels)
    probe = clip.linear_probe(features["clean"][task.train], labels)
    yield "linear probe", answered(probe, features, task)
    blank = clip.random_head(len(task.names), features["clean"].shape[1], seed)
    ways = {"LoRA": (blank, LORA), "fine-tuned": (blank, {}), "LP-FT": (probe, {})}
    for way, (head, settings) in ways.items():
        classifier, _ = clip.fine_tune(*examples, head, seed=seed, **settings, progress=False)
        yield way, answered(classifier.predict, pixels, task)


def answered(predict, shown, task):
    return {kind: predict(seen[task.test]).argmax(1).tolist() for kind, seen in shown.items()}
