"""What a model gives away of what it read: planted secrets, whether they were seen, and whether
they can be drawn out.

Used by notebooks 04 and 06. A secret is a code of random digits behind random words, so that nobody
can guess it and the truth is known. Sources: Carlini et al. 2019 (planted canaries), Yeom et al.
2018 (membership by loss), Carlini et al. 2023 (extraction by size, copies and context), Lee et al.
2022 (deduplication), Broder 1997 (MinHash).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasketch import MinHash, MinHashLSH
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fmcourse import stats
from fmcourse.arguments import real, require, texts, whole
from fmcourse.generation import checks
from fmcourse.stats import Interval

__all__ = ["Audit", "Secret", "audit", "deduplicate", "draw_secrets", "plant"]

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

    @property
    def rate(self) -> Interval:
        """The share of the secrets that can be extracted, with its Wilson interval."""
        return stats.wilson(int(self.extracted.sum()), len(self.extracted))


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
    often = np.repeat(often, len(secrets)) if often.ndim == 0 else often
    counts = often.dtype.kind in "iu" and len(often) == len(secrets) and min(often) >= 0
    require(bool(counts), "copies", f"{len(secrets)} counts of 0 or more", copies)
    draw = random.Random(whole("seed", seed, 0))
    planted = []
    for secret, times in zip(secrets, often):
        planted += [f"{draw.choice(LEADS)} {secret}" for _ in range(times)]
    draw.shuffle(planted)
    places = sorted(draw.randrange(len(passages) + 1) for _ in planted)
    corpus, done = [], 0
    for place, text in zip(places, planted):
        corpus += [*passages[done:place], text]
        done = place
    return corpus + passages[done:]


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


def deduplicate(passages: Sequence[str], threshold: float = ALIKE) -> list[int]:
    """Return the places of the passages that stay: the first of each group of near-duplicates, in
    their order.

    Near-duplicates share at least `threshold` of their 5-character sequences (Jaccard similarity,
    estimated by MinHash).

    >>> deduplicate(["the state of the union", "free land", "the state of the union!", "free land"])
    [0, 1]
    """
    share = real(threshold) and 0 < threshold <= 1
    require(share, "threshold", "a share above 0 and at most 1", threshold)
    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    kept: dict[int, MinHash] = {}
    for place, passage in enumerate(texts("passages", passages)):
        shingles = {passage[i : i + SHINGLE] for i in range(max(1, len(passage) - SHINGLE + 1))}
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in sorted(shingles)])
        if not any(sketch.jaccard(kept[other]) >= threshold for other in index.query(sketch)):
            kept[place] = sketch
            index.insert(place, sketch)
    return list(kept)
