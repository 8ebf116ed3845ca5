"""How varied texts are, and whether they repeat themselves, counted over words so that any
tokenizer's texts compare.

Used by notebook 04. Sources: Li et al. 2016 (distinct-n), Welleck et al. 2020 (repetition-n), Zhu
et al. 2018 (self-BLEU).
"""

import itertools
import statistics
from collections.abc import Sequence

from sacrebleu.metrics import BLEU

from fmcourse.arguments import require, whole
from fmcourse.arguments import texts as several_texts


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Return the share of different n-word sequences among all of them, over all texts.

    Raises:
        ValueError: no text has n words.

    >>> distinct_n(["a rose is a rose", "a rose"], 2)
    0.6
    """
    grams = [gram for text in _ngrams(texts, n) for gram in text]
    return len(set(grams)) / len(grams)


def repetition_n(texts: Sequence[str], n: int) -> float:
    """Return the share of n-word sequences that stood earlier in the same text, averaged over the
    texts of n words or more.

    Raises:
        ValueError: no text has n words.

    >>> repetition_n(["a rose is a rose"], 2)
    0.25
    """
    return statistics.fmean(1 - len(set(grams)) / len(grams) for grams in _ngrams(texts, n))


def mark_repeats(text: str, n: int) -> str:
    """Return the text's words, with brackets around each n-word sequence that stood earlier in it.

    >>> mark_repeats("a rose is a rose is red", 2)
    'a rose is [a rose is] red'
    """
    words = text.split()
    seen, repeated = set(), [False] * len(words)
    for start in range(len(words) - whole("n", n, 1) + 1):
        sequence = tuple(words[start : start + n])
        if sequence in seen:
            repeated[start : start + n] = [True] * n
        seen.add(sequence)
    marked = []
    for again, group in itertools.groupby(zip(repeated, words), key=lambda pair: pair[0]):
        joined = " ".join(word for _, word in group)
        marked.append(f"[{joined}]" if again else joined)
    return " ".join(marked)


def self_bleu(texts: Sequence[str]) -> float:
    """Return the mean BLEU-4 of each text against all others, from 0 (nothing shared) to 1 (all
    alike).

    Raises:
        ValueError: fewer than two texts.

    >>> round(self_bleu(["the cat sat on the mat"] * 2), 3)
    1.0
    """
    return statistics.fmean(self_bleu_scores(texts))


def self_bleu_scores(texts: Sequence[str]) -> list[float]:
    """Return the BLEU-4 of each text against all others, from 0 to 1, one per text.

    See :func:`self_bleu`.
    """
    texts = several_texts("texts", texts, 2)
    bleu = BLEU(effective_order=True)
    scores = []
    for index, text in enumerate(texts):
        others = texts[:index] + texts[index + 1 :]
        scores.append(bleu.sentence_score(text, others).score / 100)
    return scores


def _ngrams(texts: Sequence[str], n: int) -> list[list[tuple[str, ...]]]:
    """Return the n-word sequences of each text that has any."""
    n, found = whole("n", n, 1), []
    for text in several_texts("texts", texts):
        words = text.split()
        if len(words) >= n:
            found.append([tuple(words[i : i + n]) for i in range(len(words) - n + 1)])
    require(len(found) > 0, "texts", f"a text of at least {n} word(s)", texts)
    return found
