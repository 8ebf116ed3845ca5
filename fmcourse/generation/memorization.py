"""What does a model give away of what it read? Planted secrets: whether they were seen, and whether they can be drawn out.

Serves notebook 04. A secret is a code of random digits behind random words, so that nobody can guess it and the truth is
known. Sources: Carlini et al. 2019 (planted canaries), Yeom et al. 2018 (membership by loss), Carlini et al. 2023 (extraction
by size, copies and context), Lee et al. 2022 (deduplication), Broder 1997 (MinHash).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse import uncertainty
from fmcourse.arguments import require
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["Audit", "Secret", "audit", "deduplicate", "draw_secrets", "membership", "plant"]

DIGITS, WORDS_BEFORE = 6, 8
WORDS = tuple(
    """anchor apple barrel basket bell blanket bottle branch bridge bucket button candle canvas carpet castle chain chair
    clock coat copper corner cotton cradle curtain desk drum feather fence flag fountain garden gate glass hammer harbor
    horse island kettle ladder lamp lantern leather letter lumber marble mirror needle orchard paper pepper pillow plough
    pocket quarry ribbon river saddle shell silver stable table thread tower wagon window wool""".split()
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
        losses: the mean surprise at the code's tokens, in nats, shape (secrets,).
        extracted: whether greedy decoding writes the whole code, shape (secrets,).
    """

    losses: np.ndarray
    extracted: np.ndarray

    @property
    def rate(self) -> Interval:
        """The share of the secrets that can be extracted, with its Wilson interval."""
        return uncertainty.wilson(int(self.extracted.sum()), len(self.extracted))


def draw_secrets(count: int, seed: int = 0) -> list[Secret]:
    """Draw secrets of which no two begin alike.

    >>> str(draw_secrets(1)[0])
    'pepper quarry blanket chair thread glass gate drum 962838.'
    """
    require(count >= 1, "count", "at least 1", count)
    draw = random.Random(seed)
    drawn: dict[str, Secret] = {}
    while len(drawn) < count:
        before = " ".join(draw.sample(WORDS, WORDS_BEFORE))
        drawn.setdefault(before, Secret(before, f"{draw.randrange(10**DIGITS):0{DIGITS}}"))
    return list(drawn.values())


def plant(
    passages: Sequence[str], secrets: Sequence[Secret], copies: int | Sequence[int], seed: int = 0
) -> list[str]:
    """Return the passages with every secret among them so many times, each time behind other words, at drawn places.

    Args:
        passages: the texts to hide them in, kept in their order.
        secrets: what is planted.
        copies: how often, for all or for each; 0 leaves a secret out.
        seed: of the places and of the words that lead in.
    """
    often = [copies] * len(secrets) if isinstance(copies, int) else list(copies)
    require(
        len(often) == len(secrets) and min(often) >= 0,
        "copies",
        f"{len(secrets)} counts of 0 or more",
        often,
    )
    draw = random.Random(seed)
    planted = [
        f"{draw.choice(LEADS)} {secret}"
        for secret, times in zip(secrets, often)
        for _ in range(times)
    ]
    draw.shuffle(planted)
    places = sorted(draw.randrange(len(passages) + 1) for _ in planted)
    cuts = [0, *places, len(passages)]
    parts = [list(passages[start:end]) for start, end in zip(cuts, cuts[1:])]
    return [*parts[0], *(text for part, own in zip(parts[1:], planted) for text in (own, *part))]


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
        end_mark: whether an end mark comes before all the words, as at the start of a text. A model that was long trained on
            texts without the mark no longer knows it, and then writes little after it.
    """
    import numpy as np

    require(context is None or context >= 1, "context", "at least 1 token, or None", context)
    found = [_ask(model, tokenizer, secret, context, end_mark) for secret in secrets]
    return Audit(np.array([loss for loss, _ in found]), np.array([whole for _, whole in found]))


def _ask(
    model, tokenizer, secret: Secret, context: int | None, end_mark: bool
) -> tuple[float, bool]:
    """Return the code's mean loss, and whether each of its tokens is the likeliest after those before: greedy writes it."""
    import torch

    mark, words = (
        ([tokenizer.eos_token_id], secret.before) if end_mark else ([], f" {secret.before}")
    )
    start = [*mark, *tokenizer(words)["input_ids"]]
    code = torch.tensor(tokenizer(f" {secret.code}")["input_ids"], device=model.device)
    start = start if context is None else start[-context:]
    with torch.inference_mode():
        text = torch.cat([torch.tensor(start, device=model.device), code])[None]
        logits = model(text, use_cache=False).logits[0, len(start) - 1 : -1].float()
    loss = torch.nn.functional.cross_entropy(logits, code).item()
    return loss, bool((logits.argmax(-1) == code).all())


def membership(seen: ArrayLike, unseen: ArrayLike) -> Interval:
    """Return how well the loss tells secrets that were planted from others: the AUC, over secrets.

    Args:
        seen, unseen: losses in nats, shape (n,) and (m,). 0.5 means that nothing is leaked.

    >>> membership([1.0, 2.0], [2.0, 3.0]).estimate
    0.875
    """
    return uncertainty.auc_interval(seen, unseen)


def deduplicate(passages: Sequence[str], threshold: float = ALIKE) -> list[int]:
    """Return the places of the passages that stay: the first of each group of near-duplicates, in their order.

    Near-duplicates share at least `threshold` of their 5-character sequences (Jaccard similarity, estimated by MinHash).

    >>> deduplicate(["the state of the union", "free land", "the state of the union!", "free land"])
    [0, 1]
    """
    from datasketch import MinHashLSH

    require(0 < threshold <= 1, "threshold", "a share above 0 and at most 1", threshold)
    index, kept = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS), {}
    for place, passage in enumerate(passages):
        sketch = _sketch(passage)
        if not any(sketch.jaccard(kept[other]) >= threshold for other in index.query(sketch)):
            kept[place] = sketch
            index.insert(place, sketch)
    return list(kept)


def _sketch(passage: str):
    from datasketch import MinHash

    shingles = {passage[i : i + SHINGLE] for i in range(max(1, len(passage) - SHINGLE + 1))}
    sketch = MinHash(num_perm=PERMUTATIONS)
    sketch.update_batch([shingle.encode() for shingle in sorted(shingles)])
    return sketch
