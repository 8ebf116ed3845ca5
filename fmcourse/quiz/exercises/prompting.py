"""The exercises of notebook 07: a control, scoring, an honest template, abstaining, and LoRA's
size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmcourse import prompting
from fmcourse.quiz.exercises import Exercise


def _share(rule: Callable[[str, list[str]], bool]) -> Callable:
    """Return an answer: the share of answers that are right by a rule."""

    def score(answers: list[str], accepted: list[list[str]]) -> float:
        return float(np.mean([rule(a, b) for a, b in zip(answers, accepted)]))

    return score


def _is_right(answer: str, accepted: list[str]) -> bool:
    return prompting.is_right(answer.strip(), accepted)


def _share_of_all(probabilities: list[float], right: list[bool], most_wrong: float) -> float:
    """Return the threshold when wrong answers are counted among all questions."""
    values, correct = np.asarray(probabilities), np.asarray(right)
    for threshold in np.sort(values):
        if ((values >= threshold) & ~correct).mean() <= most_wrong:
            return float(threshold)
    return float("inf")


def _first_wrong(probabilities: list[float], right: list[bool], most_wrong: float) -> float:
    """Return the lowest probability above that of every wrong answer."""
    values, correct = np.asarray(probabilities), np.asarray(right)
    return float(values[values > values[~correct].max()].min())


EXERCISES = {
    "prompt-score": Exercise(
        reference=_share(_is_right),
        mistakes={
            "strict": _share(lambda answer, accepted: answer in accepted),
            "containing": _share(prompting.contains_right),
            "first only": _share(lambda answer, accepted: _is_right(answer, accepted[:1])),
        },
    ),
    "honest-template": Exercise(
        reference=lambda choosing, reported: reported[int(np.argmax(choosing))],
        mistakes={
            "best reported": lambda choosing, reported: max(reported),
            "best chosen": lambda choosing, reported: max(choosing),
            "index": lambda choosing, reported: int(np.argmax(choosing)),
            "mean": lambda choosing, reported: float(np.mean(reported)),
        },
    ),
    "abstain": Exercise(
        reference=prompting.cut_off,
        mistakes={"of all questions": _share_of_all, "none wrong": _first_wrong},
    ),
}
