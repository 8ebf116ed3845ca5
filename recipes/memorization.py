"""Memorization, for notebook 04: secrets planted in the addresses, by size of the model, copies and
context, then deduplicated.

    python -m recipes.memorization              all runs, each kept when done, and
    memorization.parquet python -m recipes.memorization pilot        one run of a seed that is not
    shipped, printed as it goes on
                                                (--size, --steps, --every)

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

import argparse
import functools
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import fmcourse
from fmcourse import generation, training
from fmcourse.generation import memorization
from fmcourse.generation.results import MARKED
from recipes.common import kept_json, ship, work_folder
from recipes.ladder import CONTEXT

SIZES, LR = ("ladder-small", "ladder-medium"), 3e-3
COPIES = (0, 1, 2, 4, 8, 16, 32, 64)
SECRETS, UNSEEN = 30, 100  # secrets for each number of copies, and others to compare them with
CONTEXTS = (
    1,
    2,
    4,
    8,
)  # tokens before the code; a run also asks with all of them, without and with an end mark before
STEPS, BATCH = 3_000, 2
PASSAGES = (
    450  # of the addresses, some 60,000 tokens; half as much as the secrets with all their copies
)
MEASURED = 20_000  # validation tokens behind each loss
SEEDS, SEED_TO_CHOOSE = range(2), 100
CORPORA = ("planted", "deduplicated")
DECIMALS = 4
FILE = "memorization.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", nargs="?", default="make", choices=["make", "pilot"])
    parser.add_argument("--size", default="ladder-small", choices=SIZES)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many seeds")
    parser.add_argument("--every", type=int, default=200, help="steps between what a pilot prints")
    chosen = parser.parse_args()
    fmcourse.setup()
    if chosen.stage == "pilot":
        Study(SEED_TO_CHOOSE).pilot(chosen.size, chosen.steps, chosen.every)
        return
    runs = [
        one_run(size, corpus, seed)
        for seed in SEEDS[: chosen.seeds]
        for size in SIZES
        for corpus in CORPORA
    ]
    settings = {"steps": STEPS, "batch": BATCH, "context": CONTEXT, "lr": LR}
    settings |= {"passages": PASSAGES, "secrets": SECRETS, "seeds": chosen.seeds}
    ship(
        FILE,
        tidy(runs),
        sources=["ladder-small/model.safetensors", "ladder-medium/model.safetensors", "addresses.parquet", "secrets drawn by the recipe"],
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


def one_run(size: str, corpus: str, seed: int) -> dict:
    """Return what one model gives away, now or as an earlier call kept it."""
    path = work_folder("memorization") / f"{size}-{corpus}-{seed}.json"
    return kept_json(path, lambda: study(seed).run(size, corpus))


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

    def run(self, size: str, corpus: str) -> dict:
        """Train one rung on one corpus and ask it for every secret."""
        started = time.monotonic()
        model, tokenizer = fmcourse.load_gpt_neo(size)
        passages = getattr(self, corpus)
        checkpoint = work_folder("memorization") / f"{size}-{corpus}-{self.seed}.pt"
        run = self.fit(model, tokenizer, passages, STEPS, checkpoint)
        print(f"{size}, {corpus}, seed {self.seed}: {run.seconds:.0f} s", flush=True)
        about = {
            "size": size,
            "parameters": model.num_parameters(),
            "corpus": corpus,
            "seed": self.seed,
        }
        plain = len(set(passages) & set(self.plain))
        counts = {
            "passages": len(passages),
            "plain_passages": plain,
            "copies_left": self.left(passages),
        }
        return (
            about
            | counts
            | self.audit(model, tokenizer)
            | {"seconds": round(time.monotonic() - started, 1)}
        )

    def fit(
        self,
        model,
        tokenizer,
        passages: list[str],
        steps: int,
        checkpoint: Path | None = None,
        **options,
    ) -> training.Run:
        """Train on one corpus.

        `options` are those of :func:`training.fit` that measure on the way.
        """
        ids = torch.tensor(tokenizer("\n\n".join(passages), verbose=False)["input_ids"])
        return training.fit(
            model,
            lambda step: training.crops(ids, BATCH, CONTEXT),
            steps,
            optimizer=training.adamw(lr=LR),
            schedule=training.cosine(),
            checkpoint=checkpoint,
            seed=self.seed,
            data=training.digest(ids),
            progress=False,
            **options,
        )

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

    def pilot(self, size: str, steps: int, every: int) -> None:
        """Print what the planted model gives away at each so many steps."""
        model, tokenizer = fmcourse.load_gpt_neo(size)

        def measure(model) -> dict[str, float]:
            found, others = (
                memorization.audit(model, tokenizer, own, end_mark=False)
                for own in (self.secrets, self.unseen)
            )
            aucs = [
                memorization.membership(self.of(found.losses, c), others.losses).estimate
                for c in COPIES
            ]
            rates = [self.of(found.extracted, c).mean() for c in COPIES]
            print(
                *(f"{c}: {auc:.2f} {rate:.2f}" for c, auc, rate in zip(COPIES, aucs, rates)),
                sep="  ",
                flush=True,
            )
            return {}

        run = self.fit(model, tokenizer, self.planted, steps, measure=measure, measure_every=every)
        print(f"{size}: {run.seconds:.0f} s")


if __name__ == "__main__":
    main()
