"""What did five seeds measure? The bundled runs behind the frontier and the mistakes clinic, as arrays of right and wrong.

Serves notebook 03. The runs were made by ``recipes/clip_frontier.py`` and ``recipes/clip_clinic.py``; nothing here trains.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse import bundle, uncertainty
from fmcourse.arguments import choose
from fmcourse.clip.mistakes import MISTAKES, picked
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Clinic", "Frontier", "load_clinic", "load_frontier"]

RIGHT = "done right"
CHOSEN = "interpolated, alpha chosen on validation"


@dataclass(frozen=True)
class Frontier:
    """Every method's answers on the test pictures, in the training style and in the shifted one.

    Attributes:
        runs: one mapping per method, seed and (for interpolation) alpha.
    """

    runs: list[dict]

    @property
    def methods(self) -> list[str]:
        """The methods, the interpolation with its alpha chosen on validation in place of its single alphas."""
        return [*dict.fromkeys(run["method"] for run in self.runs if run.get("alpha") is None), CHOSEN]

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
        choose("method", method, [*self.methods, "interpolated"])
        choose("part", part, ("test", "shifted"))
        return _bits([run[part] for run in self._of(method, alpha)])

    def chosen_alphas(self) -> list[float]:
        """Return each seed's alpha with the best validation accuracy; the smaller of equal ones."""
        return [run["alpha"] for run in self._of(CHOSEN)]

    def difference(self, method: str, other: str, part: str) -> Interval:
        """Return a method's accuracy minus another's, in points, averaged over seeds; pictures are resampled in pairs."""
        gained = self.right(method, part).mean(0) - self.right(other, part).mean(0)
        return uncertainty.bootstrap(100 * gained)

    def accuracy(self, method: str, part: str, alpha: float | None = None) -> Interval:
        """Return a method's accuracy in percent, averaged over seeds, with the bootstrap interval over pictures."""
        return uncertainty.bootstrap(100 * self.right(method, part, alpha).mean(0))

    def _of(self, method: str, alpha: float | None = None) -> list[dict]:
        if method != CHOSEN:
            return [run for run in self.runs if run["method"] == method and run.get("alpha") == alpha]
        ways = [run for run in self.runs if run["method"] == "interpolated"]
        seeds = sorted({run["seed"] for run in ways})
        return [max((run for run in ways if run["seed"] == seed), key=lambda run: run["validation"]) for seed in seeds]


@dataclass(frozen=True)
class Clinic:
    """Contrastive fine-tuning done right and with each mistake.

    Attributes:
        runs: one mapping per mistake and seed, with what was measured on the way.
    """

    runs: list[dict]

    def cost(self, mistake: str) -> Interval:
        """Return what a mistake of :data:`MISTAKES` costs in test accuracy, in points, averaged over seeds.

        A run that ends in NaN leaves no model, and costs all. For the step picked on the test set the cost is the optimism:
        half of the test pictures pick the step, and the cost is what the half's accuracy gains by it beyond what the
        other half gains; its interval is over seeds, the others' over pictures.
        """
        choose("mistake", mistake, MISTAKES)
        if MISTAKES[mistake].pick == "test":
            return uncertainty.mean_interval([100 * _optimism(run["records"], seed) for seed, run in enumerate(self._of(RIGHT))])
        return uncertainty.bootstrap(100 * (self._right(RIGHT) - self._right(mistake)))

    def accuracy(self, name: str = RIGHT) -> Interval:
        """Return the test accuracy in percent, the step picked on validation; `name` is a mistake or ``done right``."""
        return uncertainty.bootstrap(100 * self._right(name))

    def failures(self, mistake: str) -> list[str]:
        """Return the messages of the runs that broke off."""
        return [run["failed"] for run in self._of(mistake) if run["failed"]]

    def _of(self, name: str) -> list[dict]:
        return [run for run in self.runs if run["mistake"] == name]

    def _right(self, name: str) -> np.ndarray:
        """Return how many of the seeds got each test picture right, as a share, shape (pictures,)."""
        habits = MISTAKES.get(name, next(iter(MISTAKES.values())))
        rows = [_bits([picked(run["records"], habits)["test"]])[0] * (not run["failed"]) for run in self._of(name)]
        return sum(rows) / len(rows)


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


def _optimism(records: list[dict], seed: int) -> float:
    import numpy as np

    bits = _bits([record["test"] for record in records])
    shuffled = np.random.default_rng(seed).permutation(bits.shape[1])
    seen, fresh = (bits[:, half].mean(1) for half in np.array_split(shuffled, 2))
    honest, greedy = int(np.argmax([record["validation"] for record in records])), int(np.argmax(seen))
    return (seen[greedy] - seen[honest]) - (fresh[greedy] - fresh[honest])
