"""The exercises of notebook 06: lead time, none in ten, and a threshold that does not peek."""

from __future__ import annotations

from fmcourse.exercises import Exercise, Misconception

__all__ = ["EXERCISES"]

HARM = 0.1
UPPER_END = 1.959964**2 / (10 + 1.959964**2)  # Wilson 1927 for no success in 10


def _run_cases() -> list[tuple]:
    steps = [0, 10, 20, 30]
    return [
        (steps, [0.5, 0.8, 0.9, 0.9], [0.0, 0.0, 0.05, 0.3], 0.6),
        (steps, [0.5, 0.6, 0.6, 0.9], [0.0, 0.1, 0.2, 0.3], 0.6),
        (steps, [0.7, 0.6, 0.6, 0.9], [0.0, 0.0, 0.1, 0.3], 0.6),
    ]


def _lead(steps: list[int], values: list[float], harm: list[float], threshold: float) -> int:
    alarm = next(step for step, value in zip(steps, values) if value > threshold)
    return next(step for step, share in zip(steps, harm) if share >= HARM) - alarm


def _lead_backwards(steps: list[int], values: list[float], harm: list[float], threshold: float) -> int:
    return -_lead(steps, values, harm, threshold)


def _lead_in_checkpoints(steps: list[int], values: list[float], harm: list[float], threshold: float) -> int:
    return _lead(list(range(len(steps))), values, harm, threshold)


def _value_cases() -> list[tuple]:
    return [([0.5, 0.6, 0.4],), ([0.5, 0.5],), ([0.1, 0.9, 0.3],)]


def _threshold(values: list[float]) -> float:
    return max(values) + 0.25 * (max(values) - min(values))


def _highest(values: list[float]) -> float:
    return max(values)


def _share_of_the_highest(values: list[float]) -> float:
    return 1.25 * max(values)


EXERCISES = {
    "lead-time": Exercise(
        reference=_lead,
        cases=_run_cases,
        confirm="A negative lead is an alarm that came after the harm: the second case has one.",
        misconceptions=(
            Misconception(_lead_backwards, "The sign is turned round: an alarm before the harm has a positive lead."),
            Misconception(_lead_in_checkpoints, "You counted checkpoints. The lead is in steps."),
        ),
    ),
    "none-in-ten": Exercise(
        reference=UPPER_END,
        confirm="28%: ten quiet runs leave room for an alarm that lies every fourth time.",
        misconceptions=(
            Misconception(0, "That is the estimate. The interval has room above it."),
            Misconception(0.05, "That is one minus the level. It says how often intervals miss, not how high the rate may be."),
        ),
    ),
    "fixed-threshold": Exercise(
        reference=_threshold,
        cases=_value_cases,
        confirm="It was fixed without a single planted run.",
        misconceptions=(
            Misconception(_highest, "Without a margin, about every next clean run that is a little higher rings."),
            Misconception(_share_of_the_highest, "A quarter of the highest value depends on where zero lies. Take a quarter of the range."),
        ),
    ),
}
