"""The exercises of notebook 04: what a leak shows, top-k, temperature, the size of a cache,
repetition, and membership."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from fmcourse import generation, stats
from fmcourse.quiz.exercises import Exercise


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities; what can never be drawn is -40, however far below it was put."""
    return torch.as_tensor(logits).log_softmax(-1).clamp(min=-40).numpy()


def _counts(parts: Sequence[str], n: int) -> Counter:
    """Return how often each sequence of n parts occurs."""
    return Counter(tuple(parts[i : i + n]) for i in range(len(parts) - n + 1))


def _first_time_too(text: str, n: int) -> float:
    counts = _counts(text.split(), n)
    return 1 - list(counts.values()).count(1) / counts.total()


def _kinds_returning(text: str, n: int) -> float:
    counts = _counts(text.split(), n)
    return 1 - list(counts.values()).count(1) / len(counts)


def _repeated_characters(text: str, n: int) -> float:
    counts = _counts(text, n)
    return 1 - len(counts) / counts.total()


def _lower_by_rank(seen: list[float], unseen: list[float]) -> float:
    pairs = zip(sorted(seen), sorted(unseen))
    return float(np.mean([(a < b) + 0.5 * (a == b) for a, b in pairs]))


EXERCISES = {
    "temperature": Exercise(
        reference=lambda logits, temperature: (logits / temperature).softmax(-1),
        array=torch.tensor,
        mistakes={
            "multiplied": lambda logits, temperature: (logits * temperature).softmax(-1),
            "after the softmax": lambda logits, temperature: logits.softmax(-1) / temperature,
        },
    ),
    "top-k": Exercise(
        reference=lambda logits, k: generation.Sample(top_k=k).filter(logits[None])[0],
        array=torch.tensor,
        form=_log_probabilities,
        mistakes={
            "zeroed": (
                lambda logits, k: logits.masked_fill(logits < logits.topk(k).values[-1], 0.0)
            ),
            "smallest kept": (
                lambda logits, k: logits.masked_fill(
                    logits > logits.topk(k, largest=False).values[-1], -torch.inf
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
    "repetition": Exercise(
        reference=lambda text, n: generation.repetition_n([text], n),
        mistakes={
            "first time too": _first_time_too,
            "characters": _repeated_characters,
            "kinds": _kinds_returning,
        },
    ),
    "membership": Exercise(
        reference=stats.auc,
        mistakes={
            "higher": lambda seen, unseen: stats.auc(unseen, seen),
            "ties as none": lambda seen, unseen: np.less.outer(seen, unseen).mean(),
            "ties as full": lambda seen, unseen: np.less_equal.outer(seen, unseen).mean(),
            "by rank": _lower_by_rank,
        },
    ),
}
