"""How varied are texts, and do they repeat themselves? Counted over words, so that any tokenizer's texts compare.

Serves notebook 04. Sources: Li et al. 2016 (distinct-n), Welleck et al. 2020 (repetition-n), Zhu et al. 2018 (self-BLEU).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fmcourse.arguments import require

__all__ = ["distinct_n", "repetition_n", "self_bleu", "self_bleu_scores"]


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Return the share of different n-word sequences among all of them, over all texts; NaN when no text has n words.

    >>> distinct_n(["a rose is a rose", "a rose"], 2)
    0.6
    """
    grams = [gram for text in _texts(texts) for gram in _ngrams(text, n)]
    return len(set(grams)) / len(grams) if grams else math.nan


def repetition_n(texts: Sequence[str], n: int) -> float:
    """Return the share of n-word sequences that stood earlier in the same text, averaged over texts; NaN for none.

    >>> repetition_n(["a rose is a rose"], 2)
    0.25
    """
    counted = [grams for text in _texts(texts) if (grams := _ngrams(text, n))]
    shares = [1 - len(set(grams)) / len(grams) for grams in counted]
    return sum(shares) / len(shares) if shares else math.nan


def self_bleu(texts: Sequence[str]) -> float:
    """Return the mean BLEU-4 of each text against all others, from 0 (nothing shared) to 1 (all alike).

    Raises:
        ValueError: fewer than two texts.

    >>> round(self_bleu(["the cat sat on the mat"] * 2), 3)
    1.0
    """
    scores = self_bleu_scores(texts)
    return sum(scores) / len(scores)


def self_bleu_scores(texts: Sequence[str]) -> list[float]:
    """Return the BLEU-4 of each text against all others, from 0 to 1, one per text; see :func:`self_bleu`."""
    from sacrebleu.metrics import BLEU

    texts = _texts(texts)
    require(len(texts) >= 2, "texts", "at least two texts", len(texts))
    bleu = BLEU(effective_order=True)
    return [
        bleu.sentence_score(text, texts[:i] + texts[i + 1 :]).score / 100
        for i, text in enumerate(texts)
    ]


def _texts(texts: Sequence[str]) -> list[str]:
    require(not isinstance(texts, str), "texts", "a list of texts", texts)
    return list(texts)


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    require(n >= 1, "n", "at least 1", n)
    words = text.split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
