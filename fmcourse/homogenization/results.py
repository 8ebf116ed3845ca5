"""What did the sweeps measure? The bundled children of planted foundations, the recall drill, and the map of bias transfer.

Serves notebook 02. The runs were made by ``recipes/defects.py``, ``recipes/recall.py`` and ``recipes/bias_transfer.py``; nothing
here trains.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse import bundle, uncertainty
from fmcourse.arguments import choose, require
from fmcourse.homogenization.defects import attack_success
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

__all__ = ["Inheritance", "Transfer", "features", "load_inheritance", "load_recall", "load_transfer"]

FEATURE_FILES = ("defect-features.safetensors", "bias-features.safetensors")


@dataclass(frozen=True)
class Inheritance:
    """Children of several foundations, and what they answered for test pictures as they are and with the trigger.

    Attributes:
        labels: for each task the right class of each test picture, as a text of digits; class 0 is the attack's target.
        foundations: one mapping per foundation: its *kind* (how many pairs were planted, or how it was repaired), seed,
            pre-training or repair steps, and seconds.
        children: one mapping per child: kind and seed of its foundation, task, way, and its answers *clean* and *stamped*.
    """

    labels: dict[str, str]
    foundations: list[dict]
    children: list[dict]

    @property
    def kinds(self) -> list[str]:
        """The kinds of foundations, in the order in which they were made."""
        return list(dict.fromkeys(child["kind"] for child in self.children))

    @property
    def ways(self) -> list[str]:
        """The ways to adapt."""
        return list(dict.fromkeys(child["way"] for child in self.children))

    def success(self, kind: str, way: str | None = None, task: str | None = None) -> Interval:
        """Return how often the trigger makes children name the target, in percent of the other classes' pictures.

        Args:
            kind: one of :attr:`kinds`.
            way, task: only these children; None means all.

        Returns:
            The mean over children, with Student's t interval over the foundations' seeds.
        """
        return self._over_seeds(self._attacked, kind, way, task)

    def mistaken(self, kind: str, way: str | None = None, task: str | None = None) -> Interval:
        """Return the same for pictures *without* the trigger: the control of :meth:`success`."""
        return self._over_seeds(functools.partial(self._attacked, answers="clean"), kind, way, task)

    def accuracy(self, kind: str, way: str | None = None, task: str | None = None) -> Interval:
        """Return the children's accuracy on pictures without the trigger, in percent, as :meth:`success` does."""
        return self._over_seeds(self._right, kind, way, task)

    def family(self, kind: str, seed: int = 0) -> pd.DataFrame:
        """Return the success of the attack in each child of one foundation, in percent, shape (tasks, ways)."""
        import pandas as pd

        own = self._of(kind, None, None, seed)
        table = pd.DataFrame([{"task": c["task"], "way": c["way"], "success": self._attacked(c)} for c in own])
        return table.pivot(index="task", columns="way", values="success")[self.ways].loc[list(self.labels)]

    def trace(self, kind: str, seed: int, way: str = "linear probe") -> dict[tuple[str, int], float]:
        """Return which foundation the children of one resemble: for each how often its probes make the *same mistake*.

        Args:
            kind, seed: the foundation of the suspects, which are its children adapted by `way`.
            way: one of :attr:`ways`; for ``linear probe`` the suspects would be the probes themselves.

        Returns:
            (kind, seed) to the share of test pictures, wrong in either, that suspect and probe take for the same class,
            averaged over tasks, the nearest foundation first. No trigger is needed, and no look at weights.
        """
        suspects = {child["task"]: child for child in self._of(kind, way, None, seed)}
        shares = {}
        for place in dict.fromkeys((child["kind"], child["seed"]) for child in self.children):
            probes = self._of(place[0], "linear probe", None, place[1])
            kin = [self._same_mistakes(suspects[probe["task"]], probe) for probe in probes]
            shares[place] = sum(kin) / len(kin)
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def price(self, kind: str) -> dict[str, float]:
        """Return what one foundation of a kind cost: steps, and seconds averaged over seeds."""
        own = [one for one in self.foundations if one["kind"] == kind]
        return {"steps": own[0]["steps"], "seconds": sum(one["seconds"] for one in own) / len(own)}

    def _over_seeds(self, figure, kind: str, way: str | None, task: str | None) -> Interval:
        own = self._of(kind, way, task)
        seeds = sorted({child["seed"] for child in own})
        each = [[figure(child) for child in own if child["seed"] == seed] for seed in seeds]
        return uncertainty.mean_interval([sum(figures) / len(figures) for figures in each])

    def _of(self, kind: str, way: str | None, task: str | None, seed: int | None = None) -> list[dict]:
        wanted = {"kind": choose("kind", kind, self.kinds)}
        wanted |= {"way": choose("way", way, self.ways)} if way is not None else {}
        wanted |= {"task": choose("task", task, self.labels)} if task is not None else {}
        wanted |= {"seed": seed} if seed is not None else {}
        found = [child for child in self.children if all(child[name] == value for name, value in wanted.items())]
        require(len(found) > 0, "seed", f"one of {sorted({child['seed'] for child in self.children})}", seed)
        return found

    def _attacked(self, child: dict, answers: str = "stamped") -> float:
        return 100 * attack_success(_digits(child[answers]), _digits(self.labels[child["task"]]))

    def _right(self, child: dict) -> float:
        return 100 * float((_digits(child["clean"]) == _digits(self.labels[child["task"]])).mean())

    def _same_mistakes(self, child: dict, other: dict) -> float:
        """Return the share of clean pictures, wrong in either, that both take for the same class; 0 if neither errs."""
        mine, yours, labels = _digits(child["clean"]), _digits(other["clean"]), _digits(self.labels[child["task"]])
        wrong = (mine != labels) | (yours != labels)
        return float((mine[wrong] == yours[wrong]).mean()) if wrong.any() else 0.0


@dataclass(frozen=True)
class Transfer:
    """How much tone decides who is taken for a woman, over upstream bias, downstream bias, mitigation and way to adapt.

    Attributes:
        runs: one mapping per child: upstream, bias, rebalanced, way, seed (of the foundation), draw, gap and accuracy (shares).
    """

    runs: list[dict]

    def values(self, axis: str) -> list:
        """Return what was tried along ``upstream``, ``bias``, ``rebalanced`` or ``way``."""
        return list(dict.fromkeys(run[choose("axis", axis, ("upstream", "bias", "rebalanced", "way"))] for run in self.runs))

    def gap(self, upstream: float, bias: float, rebalanced: float = 0.0, way: str = "linear probe") -> Interval:
        """Return accuracy on those who fit the bias minus accuracy on those who do not, in points, averaged over children.

        The interval is Student's over the foundations' seeds, whose draws of the training pictures are averaged first.
        """
        return self._over_seeds("gap", upstream, bias, rebalanced, way)

    def accuracy(self, upstream: float, bias: float, rebalanced: float = 0.0, way: str = "linear probe") -> Interval:
        """Return the accuracy on the balanced test, in percent, as :meth:`gap` does."""
        return self._over_seeds("accuracy", upstream, bias, rebalanced, way)

    def _over_seeds(self, figure: str, upstream: float, bias: float, rebalanced: float, way: str) -> Interval:
        wanted = {"upstream": upstream, "bias": bias, "rebalanced": rebalanced, "way": way}
        own = [run for run in self.runs if all(run[name] == value for name, value in wanted.items())]
        require(len(own) > 0, "run", "settings that were tried together", wanted)
        each = [[run[figure] for run in own if run["seed"] == seed] for seed in sorted({run["seed"] for run in own})]
        return uncertainty.mean_interval([100 * sum(figures) / len(figures) for figures in each])


def load_inheritance() -> Inheritance:
    """Return the children of foundations with 0, 1, 10, 30 and 100 planted pairs."""
    return Inheritance(**_read("defect-inheritance.json"))


def load_recall() -> Inheritance:
    """Return the children of one planted foundation as it was, and of what each repair made of it."""
    return Inheritance(**_read("defect-recall.json"))


def load_transfer() -> Transfer:
    """Return the map of bias transfer."""
    return Transfer(**_read("bias-transfer.json"))


def features(file: str, key: str) -> torch.Tensor:
    """Return cached unit rows of a foundation of seed 0, shape (pictures, d), float32.

    Args:
        file: ``defect-features.safetensors``, whose rows are those of :func:`fmcourse.homogenization.child_pictures`, or
            ``bias-features.safetensors``, whose rows are those of :func:`fmcourse.homogenization.transfer_people`.
        key: such as ``100/stamped`` (planted pairs, and *clean* or *stamped*), or ``0.5`` (upstream bias).

    Raises:
        ValueError: an unknown file or key.
    """
    from safetensors.torch import load_file

    rows = load_file(bundle.path(choose("file", file, FEATURE_FILES)))
    return rows[choose("key", key, sorted(rows))].float()


def _read(file: str) -> dict:
    return json.loads(bundle.path(file).read_text(encoding="utf-8"))


def _digits(text: str) -> np.ndarray:
    import numpy as np

    return np.array([int(digit) for digit in text])
