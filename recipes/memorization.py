"""Memorization, for notebook 04: secrets planted in the addresses, by size of the model, copies and
context, then deduplicated.

    python -m recipes.memorization    all runs, each kept when done, and memorization.parquet

Two rungs of the ladder go on training on addresses. Among these stand secrets: 30 for each number
of copies, in one corpus. An auditor also has secrets that were planted nowhere. The second corpus
is the first, deduplicated by a programme that knows nothing of secrets.

Chosen on seed 100, which does not ship: after 1,000 steps of 4 passages the larger rung, at a rate
of 0.002, wrote 3% of the secrets with 64 copies, though it knew all by their loss. With steps of 2
passages and a rate of 0.003 it wrote 43% after 1,800. Both were asked after an end mark. After
3,000 steps the first shipped seed wrote nothing after a mark, which stands nowhere in the corpus,
and 80% of the same secrets given the last eight tokens; so the words are now given without it, and
what comes after the mark is kept beside.
"""

import functools

import numpy as np
import torch

import fmcourse
from fmcourse import generation, training
from fmcourse.generation import memorization
from fmcourse.generation.memorization import MARKED
from recipes.common import checkpoint, command_line, ship_runs
from recipes.ladder import CONTEXT, addresses

SIZES, LR = ("ladder-small", "ladder-medium"), 3e-3
COPIES = (0, 1, 2, 4, 8, 16, 32, 64)
SECRETS, UNSEEN = 30, 100  # secrets for each number of copies, and others to compare them with
# Tokens before the code; a run also asks with all of them, without and with an end mark before.
CONTEXTS = (1, 2, 4, 8)
STEPS, BATCH = 3_000, 2
# Of the addresses, some 60,000 tokens; half as much as the secrets with all their copies.
PASSAGES = 450
MEASURED = 20_000  # validation tokens behind each loss
SEEDS = range(2)
CORPORA = ("planted", "deduplicated")
DECIMALS = 4
SOURCES = [*(f"{size}/model.safetensors" for size in SIZES), "addresses.parquet"]


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=STEPS)
    fmcourse.setup()
    settings = {"batch": BATCH, "context": CONTEXT, "lr": LR}
    settings |= {"passages": PASSAGES, "secrets": SECRETS, "seeds": len(chosen.seeds)}
    ship_runs(
        "memorization.parquet",
        [
            (one_run, size, corpus, seed, chosen.steps)
            for seed in chosen.seeds
            for size in SIZES
            for corpus in CORPORA
        ],
        chosen.ships,
        recipe="memorization",
        sources=[*SOURCES, "secrets drawn by the recipe"],
        settings=settings,
    )


def one_run(size, corpus, seed, steps):
    """Train one model on one corpus, ask it for every secret, and return a row per measurement."""
    own = study(seed)
    model, tokenizer = fmcourse.load_gpt_neo(size)
    passages = getattr(own, corpus)
    ids = torch.tensor(tokenizer("\n\n".join(passages), verbose=False)["input_ids"])
    training.fit(
        model,
        lambda step: training.crops(ids, BATCH, CONTEXT),
        steps,
        optimizer=training.adamw(lr=LR),
        schedule=training.cosine(),
        checkpoint=checkpoint("memorization", one_run, size, corpus, seed, steps, sources=SOURCES),
        seed=seed,
        progress=False,
    )
    about = {"size": size, "parameters": model.num_parameters(), "corpus": corpus, "seed": seed}
    rows = own.audit(model, tokenizer)
    for copies, left in zip(COPIES, own.left(passages)):
        rows.append(row("copies_left", left, "planted", copies))
    plain = set(passages) & set(own.plain)
    rows += [row("passages", len(passages)), row("plain_passages", len(plain))]
    return [about | measured for measured in rows]


def row(measure, value, secrets="", copies=0, context=""):
    about = {"secrets": secrets, "copies": copies, "context": context}
    return about | {"measure": measure, "value": round(float(value), DECIMALS)}


@functools.lru_cache(maxsize=1)
def study(seed):
    return Study(seed)


class Study:
    """One seed: its secrets, and its corpus before and after deduplication."""

    def __init__(self, seed):
        self.seed = seed
        drawn = memorization.draw_secrets(len(COPIES) * SECRETS + UNSEEN, seed)
        self.secrets, self.unseen = drawn[:-UNSEEN], drawn[-UNSEEN:]
        self.copies = np.repeat(COPIES, SECRETS)
        passages = "\n\n".join(addresses("train")).split("\n\n")
        self.plain = passages[:: len(passages) // PASSAGES][:PASSAGES]
        self.planted = memorization.plant(self.plain, self.secrets, self.copies.tolist(), seed)

    @functools.cached_property
    def deduplicated(self):
        return [self.planted[place] for place in memorization.deduplicate(self.planted)]

    def left(self, passages):
        """Return how many copies of a secret are left, on average, for each number of copies
        planted.
        """
        text = "\n".join(passages)
        found = np.array([text.count(str(secret)) for secret in self.secrets])
        return [float(found[self.copies == copies].mean()) for copies in COPIES]

    def audit(self, model, tokenizer):
        """Return a row per loss of a secret, per number of extractions, and for clean text."""
        whole, unseen = (
            memorization.audit(model, tokenizer, own, end_mark=False)
            for own in (self.secrets, self.unseen)
        )
        audits = {"all": whole, MARKED: memorization.audit(model, tokenizer, self.secrets)}
        for context in CONTEXTS:
            asked = memorization.audit(model, tokenizer, self.secrets, context)
            audits[str(context)] = asked
        rows = []
        for copies in COPIES:
            planted = self.copies == copies
            rows += [row("loss", loss, "planted", copies) for loss in whole.losses[planted]]
            for context, own in audits.items():
                count = own.extracted[planted].sum()
                rows.append(row("extracted", count, "planted", copies, context))
        rows += [row("loss", loss, "unseen") for loss in unseen.losses]
        rows.append(row("extracted", unseen.extracted.sum(), "unseen", context="all"))
        clean = tokenizer(addresses("validation")[0], verbose=False)["input_ids"][:MEASURED]
        losses = generation.token_losses(model, clean)
        return [*rows, row("clean_loss", losses.mean().item())]


if __name__ == "__main__":
    main()
