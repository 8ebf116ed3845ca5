"""Breadth: small GPT-Neos read one source of text or six, equally much, for notebook 00.

    python -m recipes.breadth                five seeds, each run kept when done; writes the table
    python -m recipes.breadth --seeds 100    this seed alone, printed, nothing written

The models read bytes. The text comes from Debian packages and the addresses; layout is taken out,
so that sources differ in their words. Nothing of the text ships, only bits per byte. To adapt is to
train on, on the unseen source. Settings were chosen on seed 100.
"""

import copy
import functools
import gzip
import math
import re

import numpy as np
import torch

from fmcourse import training
from fmcourse.emergence import small_gpt_neo
from fmcourse.files import read_toml
from recipes.common import ROOT, command_line, package, ship_runs, source
from recipes.ladder import addresses

SEEDS = range(5)
AMOUNT = 200_000  # bytes that an arm reads, unless it is named for its amount
STEPS, BATCH, CONTEXT = 250, 8, 128  # steps for AMOUNT; for more text, more steps
ADAPTED = 30  # steps on the unseen source
WIDTH, LAYERS, VOCABULARY = 64, 2, 128
LR = 3e-3
CHUNK = 1_000  # bytes that stay together when a text is dealt out
TESTED = 12_000  # bytes of an unseen source that score, and as many teach
ADDRESSES = "addresses.parquet"
PACKAGED = read_toml(ROOT / "recipes" / "breadth.toml")
UNSEEN = ("hackers' slang", "software policy", "satire")
NARROW = ("addresses", "manuals", "Perl", "glosses", "fortunes", "essays")
# Each arm: the sources that its text is dealt over, and how much text.
ARMS = {"mix": (NARROW, AMOUNT)} | {name: ((name,), AMOUNT) for name in NARROW}
ARMS |= {
    "mix, half": (NARROW, AMOUNT // 2),
    "mix, twice": (NARROW, 2 * AMOUNT),
}


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SEEDS, names=ARMS, steps=STEPS)
    torch.set_num_threads(1)
    # Seed by seed: an early stop leaves whole seeds.
    ship_runs(
        "breadth.parquet",
        [(measured, arm, seed, chosen.steps) for seed in chosen.seeds for arm in chosen.only],
        chosen.ships,
        recipe="breadth",
        sources=[ADDRESSES, *(source(name) for name, *_ in PACKAGED.values())],
        settings={
            "arms": chosen.only,
            "amount": AMOUNT,
        },
    )


def measured(arm, seed, steps):
    """Train one arm, adapt a copy to each unseen source; return bits per byte before and after."""
    text, model = read(arm, seed), small_gpt_neo(VOCABULARY, WIDTH, LAYERS, CONTEXT, seed)
    fit(model, text, steps * ARMS[arm][1] // AMOUNT, seed)
    rows = []
    for name in UNSEEN:
        about = {"arm": arm, "seed": seed, "unseen": name}
        rows += [about | record for record in adapted(copy.deepcopy(model), name, seed)]
    return rows


def adapted(model, name, seed):
    """Train the model on, on a source; return step and bits per byte before and after."""
    taught, tested = encoded(name)[:TESTED], encoded(name)[-TESTED:]
    figures = {"measure": lambda model: {"bits": bits_per_byte(model, tested)}}
    return list(fit(model, taught, ADAPTED, seed, **figures, measure_every=ADAPTED).records)


def fit(model, text, steps, seed, **options):
    return training.fit(
        model,
        lambda step: training.crops(text, BATCH, CONTEXT),
        steps,
        optimizer=training.adamw(lr=LR),
        schedule=training.cosine(),
        seed=seed,
        progress=False,
        **options,
    )


def read(arm, seed):
    """Return an arm's text, shape (bytes,): chunks drawn by the seed, equally many a source."""
    sources, amount = ARMS[arm]
    each = amount // len(sources) // CHUNK
    draw = np.random.default_rng(seed)
    parts = []
    for name in sources:
        chunks = encoded(name).split(CHUNK)[:-1]  # the last one is shorter
        parts += [chunks[index] for index in draw.permutation(len(chunks))[:each]]
    return torch.cat(parts)


@functools.cache
def encoded(name):
    """Return a source's text as ASCII codes, shape (bytes,), every run of white space a space."""
    plain = " ".join(re.sub(r"\s+", " ", text) for text in texts(name))
    return torch.tensor(list(plain.encode("ascii", "ignore")))


def texts(name):
    """Return a source's documents without their markup."""
    if name == "addresses":
        return addresses("train")
    archive, pattern, markup = PACKAGED[name]
    found = []
    for path in sorted(package(archive).glob(pattern)):
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix in (".gz", ".dz") else raw
        found.append(re.sub(markup, "", raw.decode("utf-8", "ignore"), flags=re.MULTILINE))
    return found


def bits_per_byte(model, text):
    windows = text[: len(text) // CONTEXT * CONTEXT].view(-1, CONTEXT)
    with torch.inference_mode():
        nats = [model(input_ids=part, labels=part).loss.item() for part in windows.split(BATCH)]
    # The last part can be smaller, so parts count by their rows.
    rows = [len(part) for part in windows.split(BATCH)]
    return float(np.average(nats, weights=rows) / math.log(2))


if __name__ == "__main__":
    main()
