"""The exercises of notebook 04: temperature, top-k, repetition, the price of a cache, and membership."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmcourse import generation, uncertainty
from fmcourse.exercises import Exercise, Misconception

if TYPE_CHECKING:
    import torch

__all__ = ["EXERCISES"]

CACHE_BYTES = (
    2 * 24 * 2048 * 2048 * 4
)  # keys and values, layers, tokens, width, bytes: GPT-Neo 1.3B in fp32


def _logit_cases() -> list[tuple]:
    import torch

    logits = torch.tensor([2.0, 0.0, -1.0, 1.0])
    return [(logits, 1.0), (logits, 2.0), (logits, 0.5), (torch.zeros(3), 0.7)]


def _tempered(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    return (logits / temperature).softmax(-1)


def _tempered_upside_down(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    return (logits * temperature).softmax(-1)


def _tempered_too_late(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    return logits.softmax(-1) / temperature


def _top_k_cases() -> list[tuple]:
    import torch

    logits = torch.tensor([2.0, 0.0, -1.0, 1.0])
    return [(logits, 1), (logits, 2), (logits, 4), (torch.tensor([0.1, 5.0, 3.0]), 2)]


def _top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    return generation.Sample(top_k=k).filter(logits[None])[0]


def _top_k_zeroed(logits: torch.Tensor, k: int) -> torch.Tensor:
    return logits.masked_fill(logits < logits.topk(k).values[-1], 0.0)


def _top_k_bottom(logits: torch.Tensor, k: int) -> torch.Tensor:
    return logits.masked_fill(logits > logits.topk(k, largest=False).values[-1], float("-inf"))


def _top_k_short(logits: torch.Tensor, k: int) -> torch.Tensor:
    return logits.topk(k).values


def _repetition_cases() -> list[tuple]:
    return [("a rose is a rose is a rose", 2), ("to be or not to be", 1), ("one two three four", 2)]


def _repetition(text: str, n: int) -> float:
    return generation.repetition_n([text], n)


def _repetition_flipped(text: str, n: int) -> float:
    return 1 - _repetition(text, n)


def _repetition_of_characters(text: str, n: int) -> float:
    grams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return 1 - len(set(grams)) / len(grams)


def _repetition_by_kind(text: str, n: int) -> float:
    words = text.split()
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return sum(grams.count(gram) > 1 for gram in set(grams)) / len(set(grams))


def _membership_cases() -> list[tuple]:
    return [([1.0, 2.0], [2.0, 3.0]), ([0.5], [1.0, 2.0]), ([3.0, 1.0, 2.0], [2.5, 0.5])]


def _membership(seen: list[float], unseen: list[float]) -> float:
    return uncertainty.auc(seen, unseen)


def _membership_upside_down(seen: list[float], unseen: list[float]) -> float:
    return 1 - _membership(seen, unseen)


def _membership_without_ties(seen: list[float], unseen: list[float]) -> float:
    return sum(a < b for a in seen for b in unseen) / (len(seen) * len(unseen))


def _membership_by_rank(seen: list[float], unseen: list[float]) -> float:
    pairs = list(zip(sorted(seen), sorted(unseen)))
    return sum((a < b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)


EXERCISES = {
    "temperature": Exercise(
        reference=_tempered,
        cases=_logit_cases,
        confirm="At temperature 2 the likeliest token lost probability to all others; no token changed its rank.",
        misconceptions=(
            Misconception(
                _tempered_upside_down,
                "You multiply by the temperature, so a high one sharpens. Divide: a high temperature should flatten.",
            ),
            Misconception(
                _tempered_too_late,
                "You divide the probabilities, and they no longer sum to 1. Divide the logits, before the softmax.",
            ),
        ),
    ),
    "top-k": Exercise(
        reference=_top_k,
        cases=_top_k_cases,
        confirm="A logit of minus infinity is a probability of exactly 0, and the others share what it had.",
        misconceptions=(
            Misconception(
                _top_k_zeroed,
                "A logit of 0 is not a probability of 0: exp(0) is 1. Use float('-inf').",
            ),
            Misconception(
                _top_k_bottom, "You keep the k least likely tokens. Keep the k largest logits."
            ),
            Misconception(
                _top_k_short,
                "You return the k best logits and lose which tokens they belong to. Keep the shape, and fill the rest.",
            ),
        ),
    ),
    "repetition": Exercise(
        reference=_repetition,
        cases=_repetition_cases,
        confirm="The first time that a sequence stands in the text is not a repetition; each further time is.",
        misconceptions=(
            Misconception(
                _repetition_flipped,
                "This is the share of different sequences. Repetition is what is left of 1.",
            ),
            Misconception(
                _repetition_of_characters,
                "You count sequences of characters. Split the text into words first.",
            ),
            Misconception(
                _repetition_by_kind,
                "You count which sequences come back, not how often. Divide by the number of all sequences in the text.",
            ),
        ),
    ),
    "cache-size": Exercise(
        reference=CACHE_BYTES,
        confirm="That is 768 MiB for one full text, beside 5 GB of weights: why long chats with many users need memory.",
        misconceptions=(
            Misconception(
                CACHE_BYTES // 2,
                "Keys and values are both kept: that is a factor of 2. Or did you count half precision?",
            ),
            Misconception(
                CACHE_BYTES // 4, "These are numbers, not bytes: in fp32 each takes 4 bytes."
            ),
            Misconception(
                CACHE_BYTES // 24,
                "This is one layer. Each of the 24 layers keeps keys and values of its own.",
            ),
        ),
    ),
    "membership": Exercise(
        reference=_membership,
        cases=_membership_cases,
        confirm="It asks how the two groups lie to each other and needs no threshold; 0.5 is a coin.",
        misconceptions=(
            Misconception(
                _membership_upside_down,
                "What was seen has the LOWER loss. You count the pairs in which it has the higher one.",
            ),
            Misconception(
                _membership_without_ties,
                "Two equal losses tell nothing: count such a pair as a half.",
            ),
            Misconception(
                _membership_by_rank,
                "You compare the best with the best. Compare every seen loss with every unseen one: all pairs.",
            ),
        ),
    ),
}
