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

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

import fmcourse
from fmcourse import generation, training
from fmcourse.generation import memorization
from fmcourse.generation.memorization import MARKED
from recipes.common import checkpoint, command_line, kept, ship_table
from recipes.ladder import CONTEXT

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
FILE = "memorization.parquet"
SOURCES = [*(f"{size}/model.safetensors" for size in SIZES), "addresses.parquet"]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=STEPS)
    fmcourse.setup()
    runs = [
        kept("memorization", one_run, size, corpus, seed, chosen.steps, sources=SOURCES)
        for seed in chosen.seeds
        for size in SIZES
        for corpus in CORPORA
    ]
    if not chosen.ships:
        return
    settings = {"steps": chosen.steps, "batch": BATCH, "context": CONTEXT, "lr": LR}
    settings |= {"passages": PASSAGES, "secrets": SECRETS, "seeds": len(chosen.seeds)}
    ship_table(
        FILE,
        tidy(runs),
        sources=[*SOURCES, "secrets drawn by the recipe"],
        recipe="memorization",
        settings=settings,
        seconds=sum(run["seconds"] for run in runs),
    )


def tidy(runs: list[dict]) -> pd.DataFrame:
    """Return one row per measurement of each run."""
    rows = []

    def add(run: dict, measure: str, values: list, secrets: str = "", copies: int = 0, context=""):
        about = {name: run[name] for name in ("size", "parameters", "corpus", "seed")}
        about |= {"secrets": secrets, "copies": copies, "context": context, "measure": measure}
        rows.extend(about | {"value": float(value)} for value in values)

    for run in runs:
        for index, copies in enumerate(COPIES):
            add(run, "loss", run["losses"][index], "planted", copies)
            for context, counts in run["extracted"].items():
                add(run, "extracted", [counts[index]], "planted", copies, context)
            add(run, "copies_left", [run["copies_left"][index]], "planted", copies)
        add(run, "loss", run["unseen_losses"], "unseen")
        add(run, "extracted", [run["unseen_extracted"]], "unseen", context="all")
        for measure in ("clean_loss", "passages", "plain_passages"):
            add(run, measure, [run[measure]])
    return pd.DataFrame(rows)


def one_run(size: str, corpus: str, seed: int, steps: int) -> dict:
    """Train one model on one corpus and ask it for every secret."""
    started = time.monotonic()
    own = study(seed)
    model, tokenizer = fmcourse.load_gpt_neo(size)
    passages = getattr(own, corpus)
    ids = torch.tensor(tokenizer("\n\n".join(passages), verbose=False)["input_ids"])
    settings = (size, corpus, seed, steps)
    run = training.fit(
        model,
        lambda step: training.crops(ids, BATCH, CONTEXT),
        steps,
        optimizer=training.adamw(lr=LR),
        schedule=training.cosine(),
        checkpoint=checkpoint("memorization", one_run, *settings, sources=SOURCES),
        seed=seed,
        progress=False,
    )
    print(f"{size}, {corpus}, seed {seed}: {run.seconds:.0f} s", flush=True)
    about = {
        "size": size,
        "parameters": model.num_parameters(),
        "corpus": corpus,
        "seed": seed,
        "passages": len(passages),
        "plain_passages": len(set(passages) & set(own.plain)),
        "copies_left": own.left(passages),
        **own.audit(model, tokenizer),
    }
    return about | {"seconds": round(time.monotonic() - started, 1)}


@functools.lru_cache(maxsize=1)
def study(seed: int) -> Study:
    return Study(seed)


class Study:
    """One seed: its secrets, and its corpus before and after deduplication."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        drawn = memorization.draw_secrets(len(COPIES) * SECRETS + UNSEEN, seed)
        self.secrets, self.unseen = drawn[:-UNSEEN], drawn[-UNSEEN:]
        self.copies = np.repeat(COPIES, SECRETS)
        addresses = [row["text"] for row in fmcourse.load_addresses() if row["split"] == "train"]
        passages = [passage for text in addresses for passage in text.split("\n\n")]
        self.plain = passages[:: len(passages) // PASSAGES][:PASSAGES]
        self.planted = memorization.plant(self.plain, self.secrets, self.copies.tolist(), seed)

    @functools.cached_property
    def deduplicated(self) -> list[str]:
        return [self.planted[place] for place in memorization.deduplicate(self.planted)]

    def left(self, passages: list[str]) -> list[float]:
        """Return how many copies of a secret are left, on average, for each number of copies
        planted.
        """
        text = "\n".join(passages)
        found = np.array([text.count(str(secret)) for secret in self.secrets])
        return [float(found[self.copies == copies].mean()) for copies in COPIES]

    def audit(self, model, tokenizer) -> dict:
        """Return losses and extractions, one list for each number of copies, and the loss on clean
        text.
        """
        whole, unseen = (
            memorization.audit(model, tokenizer, own, end_mark=False)
            for own in (self.secrets, self.unseen)
        )
        extracted = {"all": whole, MARKED: memorization.audit(model, tokenizer, self.secrets)}
        extracted |= {
            str(context): memorization.audit(model, tokenizer, self.secrets, context)
            for context in CONTEXTS
        }
        clean = next(
            row["text"] for row in fmcourse.load_addresses() if row["split"] == "validation"
        )
        validation = tokenizer(clean, verbose=False)["input_ids"][:MEASURED]
        return {
            "losses": [self.of(whole.losses, copies).round(DECIMALS).tolist() for copies in COPIES],
            "unseen_losses": unseen.losses.round(DECIMALS).tolist(),
            "unseen_extracted": int(unseen.extracted.sum()),
            "extracted": {
                name: [int(self.of(a.extracted, c).sum()) for c in COPIES]
                for name, a in extracted.items()
            },
            "clean_loss": generation.token_losses(model, validation).mean().item(),
        }

    def of(self, values: np.ndarray, copies: int) -> np.ndarray:
        return values[self.copies == copies]


if __name__ == "__main__":
    main()
