"""The exercises of notebook 06: a lead, a threshold that counts every look, none in ten, and a price in pairs."""

from __future__ import annotations

import math
import statistics

from fmcourse.exercises import Exercise, Misconception

__all__ = ["EXERCISES"]

HARM = 0.1  # as safeguards.HARM
UPPER_END = 1.959964**2 / (10 + 1.959964**2)  # Wilson 1927, no success in 10
POOLED = 0.95


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


def _lead_backwards(
    steps: list[int], values: list[float], harm: list[float], threshold: float
) -> int:
    return -_lead(steps, values, harm, threshold)


def _lead_in_checkpoints(
    steps: list[int], values: list[float], harm: list[float], threshold: float
) -> int:
    return _lead(list(range(len(steps))), values, harm, threshold)


def _clean_cases() -> list[tuple]:
    return [
        ([[0.5, 0.6, 0.4], [0.5, 0.5, 0.7]],),
        ([[0.1, 0.9, 0.3], [0.2, 0.2, 0.2], [0.4, 0.3, 0.5]],),
        ([[0.5, 0.4, 0.3, 0.2]],),
    ]


def _every_look(runs: list[list[float]]) -> float:
    return max(max(run) for run in runs)


def _pooled(runs: list[list[float]]) -> float:
    values = sorted(value for run in runs for value in run)
    place = POOLED * (len(values) - 1)
    low, high = values[math.floor(place)], values[math.ceil(place)]
    return low + (place - math.floor(place)) * (high - low)


def _last_look(runs: list[list[float]]) -> float:
    return max(run[-1] for run in runs)


def _mean_of_highest(runs: list[list[float]]) -> float:
    return statistics.mean(max(run) for run in runs)


def _price_cases() -> list[tuple]:
    return [
        ([4.0, 5.0, 6.0], [4.2, 5.2, 6.2], 3),
        ([4.5, 4.0], [4.4, 4.2], 2),
        ([3.0, 5.0, 4.0, 4.5], [3.5, 4.5, 4.0, 4.9], 4),
    ]


def _price(unmended: list[float], mended: list[float], seeds: int) -> list[float]:
    """Return the mean of the pairs' differences and its standard error."""
    differences = [after - before for before, after in zip(unmended, mended)]
    return [statistics.mean(differences), statistics.stdev(differences) / math.sqrt(seeds)]


def _price_unpaired(unmended: list[float], mended: list[float], seeds: int) -> list[float]:
    spread = statistics.variance(unmended) + statistics.variance(mended)
    return [statistics.mean(mended) - statistics.mean(unmended), math.sqrt(spread / seeds)]


def _price_turned(unmended: list[float], mended: list[float], seeds: int) -> list[float]:
    mean, error = _price(unmended, mended, seeds)
    return [-mean, error]


def _price_spread(unmended: list[float], mended: list[float], seeds: int) -> list[float]:
    mean, error = _price(unmended, mended, seeds)
    return [mean, error * math.sqrt(seeds)]


EXERCISES = {
    "lead-time": Exercise(
        reference=_lead,
        cases=_run_cases,
        confirm="A negative lead is an alarm that came after the harm: the second case has one.",
        misconceptions=(
            Misconception(
                _lead_backwards,
                "The sign is turned round: an alarm before the harm has a positive lead.",
            ),
            Misconception(_lead_in_checkpoints, "You counted checkpoints. The lead is in steps."),
        ),
    ),
    "every-look": Exercise(
        reference=_every_look,
        cases=_clean_cases,
        confirm="A run rings if any of its checkpoints does, so a run counts with its highest.",
        misconceptions=(
            Misconception(
                _pooled,
                "That lets one checkpoint in twenty through, and a run has many: most runs would ring.",
            ),
            Misconception(
                _last_look,
                "You looked at the last checkpoints only. The alarm listens at every one.",
            ),
            Misconception(
                _mean_of_highest,
                "About every other clean run goes higher than the mean of the highest.",
            ),
        ),
    ),
    "none-in-ten": Exercise(
        reference=UPPER_END,
        confirm="28%: ten quiet runs leave room for an alarm that lies every fourth time.",
        misconceptions=(
            Misconception(0, "That is the estimate. The interval has room above it."),
            Misconception(
                0.05,
                "That is one minus the level. It says how often intervals miss, not how high the rate may be.",
            ),
        ),
    ),
    "paired-price": Exercise(
        reference=_price,
        cases=_price_cases,
        confirm="In the first case all runs differ by 1, and all pairs by 0.2: the pairs know the price exactly.",
        misconceptions=(
            Misconception(
                _price_unpaired,
                "You compared two groups. They are the same runs twice: take each one's difference.",
            ),
            Misconception(
                _price_turned, "The sign is turned round: a price is what mending adds to the loss."
            ),
            Misconception(
                _price_spread,
                "That is the spread of single differences; their mean varies less (root of the seeds).",
            ),
        ),
    ),
}
