"""The exercises of notebook 01: independent errors, breakthroughness, none of n, where to look, and a turning point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmcourse import emergence, uncertainty
from fmcourse.exercises import Exercise, Misconception

if TYPE_CHECKING:
    import numpy as np

__all__ = ["EXERCISES"]


def _place_cases() -> list[tuple]:
    import numpy as np

    return [(np.array(places),) for places in ([0.9, 0.8, 0.5, 1.0], [0.5, 0.5], [1.0, 0.0, 1.0])]


def _exact(places: np.ndarray) -> float:
    return float(emergence.independent_exact(places))


def _exact_mean(places: np.ndarray) -> float:
    return float(places.mean())


def _exact_weakest(places: np.ndarray) -> float:
    return float(places.min())


def _exact_power(places: np.ndarray) -> float:
    return float(places.mean() ** len(places))


def _curve_cases() -> list[tuple]:
    import numpy as np

    return [
        (np.array(score),)
        for score in ([0.0, 0.1, 0.2, 0.9, 1.0], [0.3, 0.4, 0.9], [1.0, 0.5, 0.4, 0.2])
    ]


def _breakthrough(score: np.ndarray) -> float:
    return emergence.breakthroughness(range(len(score)), score)


def _breakthrough_by_mean(score: np.ndarray) -> float:
    import numpy as np

    return _breakthrough_unsigned(score, np.mean) * _sign(score)


def _breakthrough_unsigned(score: np.ndarray, average=None) -> float:
    import numpy as np

    return float((score.max() - score.min()) / np.sqrt((average or np.median)(np.diff(score) ** 2)))


def _breakthrough_largest(score: np.ndarray) -> float:
    import numpy as np

    return _breakthrough_unsigned(score, np.max) * _sign(score)


def _sign(score: np.ndarray) -> int:
    return 1 if score.argmax() > score.argmin() else -1


def _none_cases() -> list[tuple]:
    return [(10,), (1_000,), (50,)]


def _none_of(items: int) -> float:
    return uncertainty.wilson(0, items).high


def _none_is_zero(items: int) -> float:
    return 0.0


def _none_by_normal(items: int) -> float:
    return 1.96 * (0.5 * 0.5 / items) ** 0.5


def _none_one_of(items: int) -> float:
    return 1 / items


def _look_cases() -> list[tuple]:
    return [(14, 10), (25, 24), (40, 12)]


def _look(position: int, period: int) -> int:
    return position - period + 1


def _look_at_the_copy(position: int, period: int) -> int:
    return position - period


def _look_before_the_copy(position: int, period: int) -> int:
    return position - period - 1


def _look_back_one(position: int, period: int) -> int:
    return position - 1


def _turn_cases() -> list[tuple]:
    import numpy as np

    steps = np.array([0, 100, 200, 300])
    return [
        (steps, np.array(score))
        for score in ([0.0, 0.1, 0.9, 1.0], [0.0, 0.6, 0.4, 0.8], [0.0, 0.0, 0.0, 0.5])
    ]


def _turn(steps: np.ndarray, score: np.ndarray) -> int:
    return steps[score >= 0.5][0]


def _turn_steepest(steps: np.ndarray, score: np.ndarray) -> int:
    import numpy as np

    return steps[np.diff(score).argmax()]


def _turn_last(steps: np.ndarray, score: np.ndarray) -> int:
    return steps[score < 0.5][-1]


def _turn_place(steps: np.ndarray, score: np.ndarray) -> int:
    return (score >= 0.5).argmax()


EXERCISES = {
    "independent-exact": Exercise(
        reference=_exact,
        cases=_place_cases,
        confirm="Four places at 90% give 66%; at 50% they give 6%. That is all that the metric adds to the curve.",
        misconceptions=(
            Misconception(
                _exact_mean, "This is the digit accuracy. All places must be right at once."
            ),
            Misconception(
                _exact_weakest,
                "The weakest place is only a bound: a sum can fail at another place as well.",
            ),
            Misconception(
                _exact_power,
                "You took the mean to the power of the places. The places differ; multiply each one's own accuracy.",
            ),
        ),
    ),
    "breakthroughness": Exercise(
        reference=_breakthrough,
        cases=_curve_cases,
        confirm="The median ignores the one large step, so one jump on flat ground scores high.",
        misconceptions=(
            Misconception(
                _breakthrough_by_mean,
                "This is the root of the mean square, and the jump is in it. Take the median.",
            ),
            Misconception(
                _breakthrough_unsigned,
                "Mind the sign: a curve that falls should come out negative.",
            ),
            Misconception(
                _breakthrough_largest,
                "You divided by the largest step. The ordinary step, the median, is asked.",
            ),
        ),
    ),
    "none-of-n": Exercise(
        reference=_none_of,
        cases=_none_cases,
        tolerance=1e-3,
        confirm="None of 1,000 is compatible with 0.38%. A flat line at 0 may be rising where you cannot see it.",
        misconceptions=(
            Misconception(
                _none_is_zero,
                "None was seen, but more items might show one. Ask for the interval's upper end.",
            ),
            Misconception(
                _none_by_normal,
                "This is the normal interval of a share of one half. Use uncertainty.wilson.",
            ),
            Misconception(
                _none_one_of,
                "One in n is what a single success would give. The interval reaches further than that.",
            ),
        ),
    ),
    "where-to-look": Exercise(
        reference=_look,
        cases=_look_cases,
        confirm="It looks where the present token stood before, and one further: at what comes next.",
        misconceptions=(
            Misconception(
                _look_at_the_copy,
                "There stands the same token as now. Look at the one that followed it.",
            ),
            Misconception(
                _look_before_the_copy,
                "There stands what came before the copy. Induction copies what came after it.",
            ),
            Misconception(
                _look_back_one,
                "This is the previous token: the first layer's job. Go back a whole period.",
            ),
        ),
    ),
    "turning-point": Exercise(
        reference=_turn,
        cases=_turn_cases,
        confirm="The threshold was fixed beforehand, and the first time counts.",
        misconceptions=(
            Misconception(
                _turn_steepest,
                "This is where the steepest rise begins. Asked is the first step with 0.5 or more.",
            ),
            Misconception(
                _turn_last,
                "This is the last measurement below 0.5. Asked is the first that reaches it.",
            ),
            Misconception(
                _turn_place, "This is the place in the list. Return the step that stands there."
            ),
        ),
    ),
}
