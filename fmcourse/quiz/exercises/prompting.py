"""The exercises of notebook 07: a control, scoring, an honest template, abstaining, and LoRA's
size."""

from __future__ import annotations

import numpy as np

from fmcourse import prompting
from fmcourse.quiz.exercises import Exercise

__all__ = ["EXERCISES"]

# SmolLM2-135M: its layers, width, and width of the values; the rank of the adapter.
LAYERS, WIDTH, VALUES, RANK = 30, 576, 192, 8
TRAINED = LAYERS * RANK * ((WIDTH + WIDTH) + (WIDTH + VALUES))
ANSWERS = ["Paris", " paris.", "Paris, France", "Rome", "Kiev", "kyiv"]
ACCEPTED = [["Paris"], ["Paris"], ["Paris"], ["Paris"], ["Kyiv", "Kiev"], ["Kyiv", "Kiev"]]
PROBABILITIES = [0.9, 0.8, 0.6, 0.5, 0.3, 0.2, 0.1]
RIGHT = [True, True, False, True, True, False, False]


def _share(answers: list[str], accepted: list[list[str]]) -> float:
    return float(np.mean([prompting.is_right(a.strip(), b) for a, b in zip(answers, accepted)]))


def _strict(answers: list[str], accepted: list[list[str]]) -> float:
    return float(np.mean([a in b for a, b in zip(answers, accepted)]))


def _containing(answers: list[str], accepted: list[list[str]]) -> float:
    return float(np.mean([prompting.contains_right(a, b) for a, b in zip(answers, accepted)]))


def _first_only(answers: list[str], accepted: list[list[str]]) -> float:
    return _share(answers, [each[:1] for each in accepted])


def _honest(choosing: list[float], reported: list[float]) -> float:
    return reported[int(np.argmax(choosing))]


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
    "prompt-control": Exercise(
        reference=3,
        mistakes={"no examples": 1, "other questions": 2, "other model": 4},
    ),
    "prompt-score": Exercise(
        reference=_share,
        cases=(
            (ANSWERS, ACCEPTED),
            (ANSWERS[:2], ACCEPTED[:2]),
            (ANSWERS[2:4], ACCEPTED[2:4]),
            (ANSWERS[4:], ACCEPTED[4:]),
        ),
        mistakes={"strict": _strict, "containing": _containing, "first only": _first_only},
    ),
    "honest-template": Exercise(
        reference=_honest,
        cases=(
            ([50.0, 70.0, 60.0], [55.0, 58.0, 66.0]),
            ([20.0, 10.0], [15.0, 30.0]),
            ([1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]),
        ),
        mistakes={
            "best reported": lambda choosing, reported: max(reported),
            "best chosen": lambda choosing, reported: max(choosing),
            "index": lambda choosing, reported: int(np.argmax(choosing)),
            "mean": lambda choosing, reported: float(np.mean(reported)),
        },
    ),
    "abstain": Exercise(
        reference=prompting.cut_off,
        cases=(
            (PROBABILITIES, RIGHT, 0.15),
            (PROBABILITIES, RIGHT, 0.4),
            (PROBABILITIES, RIGHT, 0.0),
            ([0.7, 0.4, 0.6], [True, False, True], 0.35),
        ),
        mistakes={"of all questions": _share_of_all, "none wrong": _first_wrong},
    ),
    "lora-size": Exercise(
        reference=TRAINED,
        mistakes={
            "whole matrices": LAYERS * (WIDTH * WIDTH + WIDTH * VALUES),
            "one layer": TRAINED // LAYERS,
            "one factor": LAYERS * RANK * 2 * WIDTH,
            "square values": LAYERS * RANK * 4 * WIDTH,
        },
    ),
}
