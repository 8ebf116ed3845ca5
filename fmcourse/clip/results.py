"""What did five seeds measure? The bundled runs behind the frontier and the mistakes clinic, as arrays of right and wrong.

Serves notebook 03. The runs were made by ``recipes/clip_frontier.py`` and ``recipes/clip_clinic.py``; nothing here trains.
Whatever had to be chosen from a run (an alpha, a step) was chosen on one half of the test pictures in the training style and
measured on the other half, and the other way round: cross-fitting, so that no picture is judged by its own choice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse import bundle, uncertainty
from fmcourse.arguments import choose, require
from fmcourse.clip.mistakes import MISTAKES, RIGHT, counterpart
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Clinic", "Frontier", "cross_fitted", "halves", "load_clinic", "load_frontier"]

CHOSEN = "interpolated, alpha chosen in Noto"


def halves(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw two halves of the places 0 ... count - 1; the first has one more when the count is odd.

    >>> [len(half) for half in halves(5)]
    [3, 2]
    """
    import numpy as np

    require(count >= 2, "count", "at least 2", count)
    return tuple(np.array_split(np.random.default_rng(seed).permutation(count), 2))


def cross_fitted(
    choosing: np.ndarray, measured: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, list[int]]:
    """Choose one of several ways on each half of the pictures, and measure it on the other half.

    Args:
        choosing: what the choice may see, right (1) or wrong (0), shape (ways, pictures).
        measured: what is reported, of the same shape and pictures; it may be the same array.
        seed: of the two halves.

    Returns:
        The measured answers, shape (pictures,), and the two ways chosen, first of equals, for the first half and the second.

    Raises:
        ValueError: tables of different shapes.
    """
    import numpy as np

    require(
        choosing.shape == measured.shape,
        "measured",
        f"shape {choosing.shape} as of choosing",
        measured.shape,
    )
    first, second = halves(choosing.shape[1], seed)
    ways = [int(choosing[:, other].mean(1).argmax()) for other in (second, first)]
    found = np.empty(choosing.shape[1], measured.dtype)
    for own, way in zip((first, second), ways):
        found[own] = measured[way, own]
    return found, ways


@dataclass(frozen=True)
class Frontier:
    """Every method's answers on the test pictures, in the training style and in the shifted one.

    Attributes:
        runs: one mapping per method, seed and (for interpolation) alpha.
    """

    runs: list[dict]

    @property
    def methods(self) -> list[str]:
        """The methods, the interpolation with its chosen alpha in place of its single alphas."""
        return [
            *dict.fromkeys(run["method"] for run in self.runs if run.get("alpha") is None),
            CHOSEN,
        ]

    @property
    def alphas(self) -> list[float]:
        """The alphas of the interpolation, from the zero-shot end (0) to the fine-tuned one (1)."""
        return sorted({run["alpha"] for run in self.runs if run.get("alpha") is not None})

    def right(self, method: str, part: str, alpha: float | None = None) -> np.ndarray:
        """Return which pictures a method got right, 0 or 1, shape (seeds, pictures).

        Args:
            method: one of :attr:`methods`, or ``interpolated`` together with an alpha.
            part: ``test``, the training style, or ``shifted``; the same concepts in the same order.
            alpha: one of :attr:`alphas`, for ``interpolated`` only.
        """
        import numpy as np

        choose("method", method, [*self.methods, "interpolated"])
        choose("part", part, ("test", "shifted"))
        if method == CHOSEN:
            return np.stack(
                [cross_fitted(*ways, seed)[0] for seed, ways in self._ways(part).items()]
            )
        return _bits(
            [
                run[part]
                for run in self.runs
                if run["method"] == method and run.get("alpha") == alpha
            ]
        )

    def chosen_alphas(self) -> list[tuple[float, float]]:
        """Return each seed's two alphas, that of the first half of the pictures and that of the second."""
        chosen = [cross_fitted(*ways, seed)[1] for seed, ways in self._ways("test").items()]
        return [(self.alphas[first], self.alphas[second]) for first, second in chosen]

    def accuracy(self, method: str, part: str, alpha: float | None = None) -> Interval:
        """Return a method's accuracy in percent, with an interval over seeds and pictures."""
        return uncertainty.crossed_interval(100 * self.right(method, part, alpha), whole=100)

    def difference(self, method: str, other: str, part: str) -> Interval:
        """Return an accuracy minus another, in points, with an interval over seeds and pictures."""
        gained = self.right(method, part) - self.right(other, part)
        return uncertainty.crossed_interval(100 * gained)

    def shift_cost(self, method: str) -> Interval:
        """Return how many points a method loses from the training style to the shifted one."""
        lost = self.right(method, "test") - self.right(method, "shifted")
        return uncertainty.crossed_interval(100 * lost)

    def _ways(self, part: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Map each seed to the interpolation's answers in the training style and in `part`, both of shape (alphas, pictures)."""
        runs = sorted(
            (run for run in self.runs if run["method"] == "interpolated"),
            key=lambda run: run["alpha"],
        )
        seeds = sorted({run["seed"] for run in runs})
        own = {seed: [run for run in runs if run["seed"] == seed] for seed in seeds}
        return {
            seed: tuple(_bits([run[p] for run in own[seed]]) for p in ("test", part))
            for seed in seeds
        }


@dataclass(frozen=True)
class Clinic:
    """Contrastive fine-tuning done right and with each mistake.

    Attributes:
        runs: one mapping per mistake and seed, with what was measured on the way.
    """

    runs: list[dict]

    def cost(self, mistake: str, step: str = "picked") -> Interval:
        """Return what a mistake of :data:`MISTAKES` costs in test accuracy, in points, averaged over seeds.

        A run that ends in NaN leaves no model, and costs all. For the step picked on the test set the cost is the
        flattery: the accuracy that would be reported minus the cross-fitted one.

        Args:
            mistake: its name.
            step: ``picked``, the step chosen by cross-fitting on both sides, or ``last``, the end of both runs.
        """
        choose("mistake", mistake, MISTAKES)
        choose("step", step, ("picked", "last"))
        if MISTAKES[mistake].pick == "test":
            return uncertainty.crossed_interval(
                100 * (self._right(RIGHT, "best") - self._right(RIGHT, step))
            )
        return uncertainty.crossed_interval(
            100 * (self._right(counterpart(mistake), step) - self._right(mistake, step))
        )

    def accuracy(self, name: str = RIGHT, step: str = "picked") -> Interval:
        """Return the test accuracy in percent; `name` is a mistake or ``done right``, `step` as in :meth:`cost`."""
        choose("step", step, ("picked", "last"))
        return uncertainty.crossed_interval(100 * self._right(name, step), whole=100)

    def failures(self, mistake: str) -> list[str]:
        """Return the messages of the runs that broke off."""
        return [run["failed"] for run in self._of(mistake) if run["failed"]]

    def _of(self, name: str) -> list[dict]:
        return [run for run in self.runs if run["mistake"] == name]

    def _right(self, name: str, step: str) -> np.ndarray:
        """Return which test pictures each seed got right, shape (seeds, pictures)."""
        import numpy as np

        return np.array(
            [
                _at_step(run["records"], step, run["seed"]) * (not run["failed"])
                for run in self._of(name)
            ]
        )


def load_frontier() -> Frontier:
    """Return the bundled runs of the frontier."""
    return Frontier(_read("clip-frontier.json"))


def load_clinic() -> Clinic:
    """Return the bundled runs of the mistakes clinic."""
    return Clinic(_read("clip-clinic.json"))


def _read(file: str) -> list[dict]:
    return json.loads(bundle.path(file).read_text(encoding="utf-8"))["runs"]


def _bits(texts: list[str]) -> np.ndarray:
    import numpy as np

    return np.array([[int(bit) for bit in text] for text in texts])


def _at_step(records: list[dict], step: str, seed: int) -> np.ndarray:
    """Return which test pictures were right at the cross-fitted step, at the last one, or at the one that is best on them all."""
    bits = _bits([record["test"] for record in records])
    if step == "picked":
        return cross_fitted(bits, bits, seed)[0]
    return bits[-1] if step == "last" else bits[bits.mean(1).argmax()]
