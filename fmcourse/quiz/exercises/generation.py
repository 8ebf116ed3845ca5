"""The exercises of notebook 04: what a leak shows, top-k, temperature, the size of a cache,
repetition, and membership."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import torch

from fmcourse import generation, stats
from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]

LOGITS = torch.tensor([2.0, 0.0, -1.0, 1.0])
# Keys and values, layers, tokens, width, bytes: GPT-Neo 1.3B in fp32.
CACHE_BYTES = 2 * 24 * 2048 * 2048 * 4


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities; what can never be drawn is -40, however far below it was put."""
    return torch.as_tensor(logits).log_softmax(-1).clamp(min=-40).numpy()


def _sequences(text: str, n: int) -> list[str]:
    words = text.split()
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


def _returning(text: str, n: int) -> list[bool]:
    """Return of each sequence whether it stands in the text more than once."""
    found = _sequences(text, n)
    return [found.count(each) > 1 for each in found]


def _kinds_returning(text: str, n: int) -> float:
    found = _sequences(text, n)
    return statistics.mean(found.count(each) > 1 for each in set(found))


def _repeated_characters(text: str, n: int) -> float:
    found = [text[i : i + n] for i in range(len(text) - n + 1)]
    return 1 - len(set(found)) / len(found)


def _strictly_lower(seen: list[float], unseen: list[float]) -> float:
    return statistics.mean(a < b for a, b in itertools.product(seen, unseen))


def _lower_or_equal(seen: list[float], unseen: list[float]) -> float:
    return statistics.mean(a <= b for a, b in itertools.product(seen, unseen))


def _lower_by_rank(seen: list[float], unseen: list[float]) -> float:
    pairs = zip(sorted(seen), sorted(unseen))
    return statistics.mean((a < b) + 0.5 * (a == b) for a, b in pairs)


EXERCISES = {
    "temperature": Exercise(
        reference=lambda logits, temperature: (logits / temperature).softmax(-1),
        cases=((LOGITS, 1.0), (LOGITS, 2.0), (LOGITS, 0.5), (torch.zeros(3), 0.7)),
        mistakes={
            "multiplied": lambda logits, temperature: (logits * temperature).softmax(-1),
            "after the softmax": lambda logits, temperature: logits.softmax(-1) / temperature,
        },
    ),
    "top-k": Exercise(
        reference=lambda logits, k: generation.Sample(top_k=k).filter(logits[None])[0],
        cases=((LOGITS, 1), (LOGITS, 2), (LOGITS, 4), (torch.tensor([0.1, 5.0, 3.0]), 2)),
        form=_log_probabilities,
        mistakes={
            "zeroed": (
                lambda logits, k: logits.masked_fill(logits < logits.topk(k).values[-1], 0.0)
            ),
            "smallest kept": (
                lambda logits, k: logits.masked_fill(
                    logits > (-logits).topk(k).values[-1].neg(), -torch.inf
                )
            ),
            "kth dropped": (
                lambda logits, k: logits.masked_fill(
                    logits <= logits.topk(k).values[-1], -torch.inf
                )
            ),
            "short": lambda logits, k: logits.topk(k).values,
        },
    ),
    "leak-report": Exercise(
        reference=2,
        mistakes={"none learned": 1, "too few": 3, "all written": 4},
    ),
    "repetition": Exercise(
        reference=lambda text, n: generation.repetition_n([text], n),
        cases=(
            ("a rose is a rose is a rose", 2),
            ("to be or not to be", 1),
            ("one two three four", 2),
        ),
        mistakes={
            "first time too": lambda text, n: statistics.mean(_returning(text, n)),
            "characters": _repeated_characters,
            "kinds": _kinds_returning,
        },
    ),
    "cache-size": Exercise(
        reference=CACHE_BYTES,
        tolerance=0.01,
        mistakes={
            "half": CACHE_BYTES / 2,
            "numbers": CACHE_BYTES / 4,
            "one layer": CACHE_BYTES / 24,
            "one token": CACHE_BYTES / 2048,
            "MiB": CACHE_BYTES / 2**20,
        },
    ),
    "membership": Exercise(
        reference=stats.auc,
        cases=(([1.0, 2.0], [2.0, 3.0]), ([0.5], [1.0, 2.0]), ([3.0, 1.0, 2.0], [2.5, 0.5])),
        mistakes={
            "higher": lambda seen, unseen: stats.auc(unseen, seen),
            "ties as none": _strictly_lower,
            "ties as full": _lower_or_equal,
            "by rank": _lower_by_rank,
        },
    ),
}
