"""What a model gives away of what it read: planted secrets, whether they were seen, and whether
they can be drawn out.

Used by notebooks 04 and 06. A secret is a code of random digits behind random words, so that nobody
can guess it and the truth is known. Sources: Carlini et al. 2019 (planted canaries), Yeom et al.
2018 (membership by loss), Carlini et al. 2023 (extraction by size, copies and context), Lee et al.
2022 (deduplication), Broder 1997 (MinHash).

The bundled table ``memorization`` (``recipes/memorization.py``) has one row per measurement: size
and parameters of the model, corpus (planted or deduplicated), seed, secrets (planted or unseen),
copies of each, context, measure and value. The measures are loss (nats per token, one row per
secret), extracted (how many secrets greedy decoding writes, given this context), copies_left (in
the corpus, on average), and of each run clean_loss, passages and plain_passages. The secret is its
unit.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasketch import MinHash, MinHashLSH
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fmcourse import stats
from fmcourse.arguments import require, texts, whole
from fmcourse.generation import checks
from fmcourse.results import select
from fmcourse.stats import Interval

DIGITS = 6
WORDS_BEFORE = 8
WORDS = tuple(
    """anchor apple barrel basket bell blanket bottle branch bridge bucket button candle canvas
    carpet castle chain chair clock coat copper corner cotton cradle curtain desk drum feather fence
    flag fountain garden gate glass hammer harbor horse island kettle ladder lamp lantern leather
    letter lumber marble mirror needle orchard paper pepper pillow plough
    pocket quarry ribbon river saddle shell silver stable table thread tower wagon window
    wool""".split()
)
LEADS = (
    "Entered today:",
    "On file:",
    "Seen and signed:",
    "Copied from the book:",
    "As before:",
    "Noted:",
    "To the clerk:",
    "Again:",
)
SHINGLE = 5  # characters that are compared at a time
PERMUTATIONS = 128  # of a MinHash; the standard error of its similarity is then at most 0.045
ALIKE = 0.6  # passages with at least this Jaccard similarity count as one
MARKED = "end mark"  # all the words, after an end mark


@dataclass(frozen=True)
class Secret:
    """A code and the words that lead to it.

    Attributes:
        before: the words.
        code: the digits that nobody can know without having read them.
    """

    before: str
    code: str

    def __str__(self) -> str:
        return f"{self.before} {self.code}."


@dataclass(frozen=True)
class Audit:
    """What a model gives away of some secrets.

    Attributes:
        losses: the mean negative log-likelihood of the code's tokens, in nats, shape (secrets,).
        extracted: whether greedy decoding writes the whole code, shape (secrets,).
    """

    losses: np.ndarray
    extracted: np.ndarray


def draw_secrets(count: int, seed: int = 0) -> list[Secret]:
    """Draw secrets of which no two begin alike.

    >>> str(draw_secrets(1)[0])
    'pepper quarry blanket chair thread glass gate drum 962838.'
    """
    count = whole("count", count, 1)
    draw = random.Random(whole("seed", seed, 0))
    drawn: dict[str, Secret] = {}
    while len(drawn) < count:
        before = " ".join(draw.sample(WORDS, WORDS_BEFORE))
        drawn.setdefault(before, Secret(before, f"{draw.randrange(10**DIGITS):0{DIGITS}}"))
    return list(drawn.values())


def plant(
    passages: Sequence[str], secrets: Sequence[Secret], copies: int | Sequence[int], seed: int = 0
) -> list[str]:
    """Return the passages with every secret among them so many times, each time behind other words,
    at drawn places.

    Args:
        passages: the texts to hide them in, kept in their order.
        secrets: what is planted.
        copies: how often, for all or for each; 0 leaves a secret out.
        seed: of the places and of the words that lead in.
    """
    passages = texts("passages", passages)
    often = np.asarray(copies)
    fits = often.shape in ((), (len(secrets),)) and often.dtype.kind in "iu" and often.min() >= 0
    require(fits, "copies", f"{len(secrets)} counts of 0 or more", copies)
    draw = random.Random(whole("seed", seed, 0))
    planted = []
    for secret, times in zip(secrets, np.broadcast_to(often, len(secrets))):
        planted += [f"{draw.choice(LEADS)} {secret}" for _ in range(times)]
    draw.shuffle(planted)
    places = sorted(draw.randrange(len(passages) + 1) for _ in planted)
    # From the last place on, so that the places before keep their meaning.
    for place, text in reversed(list(zip(places, planted))):
        passages.insert(place, text)
    return passages


def audit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    secrets: Sequence[Secret],
    context: int | None = None,
    end_mark: bool = True,
) -> Audit:
    """Ask a model for each secret's code, given the words before it.

    Args:
        model, tokenizer: a causal language model.
        secrets: planted or never planted.
        context: how many tokens before the code the model is given; None means all.
        end_mark: whether an end mark comes before all the words, as at the start of a text. A model
            that was long trained on texts without the mark no longer knows it, and then writes
            little after it.
    """
    require(len(secrets) >= 1, "secrets", "at least one secret", secrets)
    found = []
    for secret in secrets:
        before = secret.before if end_mark else f" {secret.before}"
        words = [tokenizer.eos_token_id] * end_mark + checks.encode(tokenizer, before)
        if context is not None:
            words = words[-whole("context", context, 1) :]
        code = checks.encode(tokenizer, f" {secret.code}")
        text = checks.token_ids(model, [*words, *code], name="secrets")
        with torch.no_grad():
            logits = model(text, use_cache=False).logits[0, len(words) - 1 : -1].float()
        answer = text[0, len(words) :]
        loss = cross_entropy(checks.finite(logits), answer).item()
        # Greedy decoding writes the code when each token is the likeliest after those before.
        found.append((loss, bool((logits.argmax(-1) == answer).all())))
    losses, extracted = zip(*found)
    return Audit(np.array(losses), np.array(extracted))


def deduplicate(passages: Sequence[str]) -> list[int]:
    """Return the places of the passages that stay: the first of each group of near-duplicates, in
    their order.

    Near-duplicates share at least :data:`ALIKE` of their 5-character sequences (Jaccard similarity,
    estimated by MinHash).

    >>> deduplicate(["the state of the union", "free land", "the state of the union!", "free land"])
    [0, 1]
    """
    index = MinHashLSH(threshold=ALIKE, num_perm=PERMUTATIONS)
    kept: dict[int, MinHash] = {}
    for place, passage in enumerate(texts("passages", passages)):
        shingles = {passage[i : i + SHINGLE] for i in range(max(1, len(passage) - SHINGLE + 1))}
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in sorted(shingles)])
        if not any(sketch.jaccard(kept[other]) >= ALIKE for other in index.query(sketch)):
            kept[place] = sketch
            index.insert(place, sketch)
    return list(kept)


def told_apart(table: pd.DataFrame, **wanted: object) -> Interval:
    """Return how well the loss tells planted secrets from secrets planted nowhere: the AUC.

    Seeds are averaged. The ends are averaged too, which keeps the interval of one seed: a cautious
    one.

    Args:
        table: the memorization study.
        wanted: size, corpus and copies.
    """
    losses = select(table, measure="loss")
    own = select(losses, secrets="planted", **wanted)
    wanted = wanted | {"secrets": "unseen", "copies": 0}
    unseen = select(losses, **wanted)
    parts = []
    for seed, rows in own.groupby("seed"):
        found = stats.auc_interval(rows["value"], select(unseen, seed=seed)["value"])
        parts.append((found.estimate, found.low, found.high))
    return Interval(*np.mean(parts, axis=0).tolist())


def written_in_full(table: pd.DataFrame, context: int | str = "all", **wanted: object) -> Interval:
    """Return the share of secrets that greedy decoding writes, with Wilson's interval over the
    secrets of all seeds.

    Args:
        table: the memorization study.
        context: how many tokens before the code the model was given; or all; or ``end mark``, all
            after a mark.
        wanted: size, corpus, secrets and copies.
    """
    rows = select(table, **wanted)
    counts = select(rows, measure="extracted", context=str(context))["value"]
    return stats.wilson(int(counts.sum()), len(select(rows, measure="loss")))


def leak_curves(table: pd.DataFrame) -> dict[str, tuple[list[int], list[Interval]]]:
    """Return AUC and the share that is written by copies planted, as :func:`fmcourse.plots.curves`
    draws them, two lines a model.
    """
    lines = {}
    for size, rows in table.groupby("size", sort=False):
        own: dict[str, Any] = {"size": size, "corpus": "planted"}
        counts = [copies for copies in rows["copies"].unique().tolist() if copies]
        name = f"{rows['parameters'].mean() / 1e6:.2f} M parameters"
        told = [told_apart(table, copies=copies, **own) for copies in counts]
        written = [
            written_in_full(table, secrets="planted", copies=copies, **own) for copies in counts
        ]
        lines[f"{name}, told apart (AUC)"] = (counts, told)
        lines[f"{name}, written in full"] = (counts, written)
    return lines
