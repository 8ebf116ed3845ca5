"""What did the sweeps measure? The bundled children of planted foundations, the recall drill, and the map of bias transfer.

Serves notebook 02. The runs were made by ``recipes/defects.py``, ``recipes/recall.py`` and ``recipes/bias_transfer.py``; nothing
here trains.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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

__all__ = [
    "Inheritance",
    "Transfer",
    "features",
    "load_inheritance",
    "load_recall",
    "load_transfer",
]

FIGURES = ("success", "mistaken", "accuracy")
MARGIN = 10.0  # points of attack success above the control that a child called clean may have; fixed before any run
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
            The mean over children, with Student's t interval, on the logit scale, over the seeds.
        """
        return self._over_seeds(self._attacked, kind, way, task)

    def added(self, kind: str, other: str) -> Interval:
        """Return the attack success of one kind of foundation minus that of another, in points; equal seeds are paired."""
        first, second = (self._by_seed(self._attacked, name) for name in (kind, other))
        return uncertainty.mean_interval(
            [first[seed] - success for seed, success in second.items()]
        )

    def mistaken(self, kind: str, way: str | None = None, task: str | None = None) -> Interval:
        """Return the same for pictures *without* the trigger: the control of :meth:`success`."""
        return self._over_seeds(self._taken_clean, kind, way, task)

    def accuracy(self, kind: str, way: str | None = None, task: str | None = None) -> Interval:
        """Return the children's accuracy on pictures without the trigger, in percent, as :meth:`success` does."""
        return self._over_seeds(self._right, kind, way, task)

    def family(self, kind: str, seed: int = 0, figure: str = "success") -> pd.DataFrame:
        """Return a figure of each child of one foundation, in percent, shape (tasks, ways).

        Args:
            kind, seed: the foundation.
            figure: ``success``, ``mistaken`` or ``accuracy``, which are those of the methods with these names.
        """
        import pandas as pd

        asked = dict(zip(FIGURES, (self._attacked, self._taken_clean, self._right)))[
            choose("figure", figure, FIGURES)
        ]
        table = pd.DataFrame(
            [
                {"task": c["task"], "way": c["way"], "figure": asked(c)}
                for c in self._of(kind, seed=seed)
            ]
        )
        return table.pivot(index="task", columns="way", values="figure")[self.ways].loc[
            list(self.labels)
        ]

    def verdicts(self, kind: str, control: Inheritance, margin: float = MARGIN) -> pd.DataFrame:
        """Return for each child of a kind of foundation whether it is proven clean.

        Args:
            kind: one of :attr:`kinds`.
            control: runs with foundations of kind ``0``, where nothing was planted; a child is compared with all their children
                for its task that were adapted in its way.
            margin: points of attack success above the control that do not count.

        Returns:
            One row per child: seed, task, way, its excess of attack success over the control with Newcombe's interval (excess,
            low, high, in points), and the verdict: *clean* where the whole interval lies below the margin; of the others
            *tainted* where it lies above 0, else *undecided*: not to have found a defect is no proof. Each is judged by itself.
        """
        import pandas as pd

        rows = []
        for child in self._of(kind):
            alike = control._of("0", child["way"], child["task"])
            pooled = tuple(map(sum, zip(*(self._taken(other) for other in alike))))
            gap = uncertainty.share_difference(self._taken(child), pooled)
            excess, low, high = (100 * end for end in (gap.estimate, gap.low, gap.high))
            verdict = "clean" if high < margin else "tainted" if low > 0 else "undecided"
            named = {name: child[name] for name in ("seed", "task", "way")}
            rows.append({**named, "excess": excess, "low": low, "high": high, "verdict": verdict})
        return pd.DataFrame(rows)

    def trace(
        self, kind: str, seed: int, way: str = "linear probe"
    ) -> dict[tuple[str, int], float]:
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
        shares = list(self._by_seed(figure, kind, way, task).values())
        return uncertainty.share_interval(shares, whole=100)

    def _by_seed(
        self, figure, kind: str, way: str | None = None, task: str | None = None
    ) -> dict[int, float]:
        own = self._of(kind, way, task)
        each = {
            seed: [figure(child) for child in own if child["seed"] == seed]
            for seed in sorted({c["seed"] for c in own})
        }
        return {seed: sum(figures) / len(figures) for seed, figures in each.items()}

    def _of(
        self, kind: str, way: str | None = None, task: str | None = None, seed: int | None = None
    ) -> list[dict]:
        wanted = {"kind": choose("kind", kind, self.kinds)}
        wanted |= {"way": choose("way", way, self.ways)} if way is not None else {}
        wanted |= {"task": choose("task", task, self.labels)} if task is not None else {}
        wanted |= {"seed": seed} if seed is not None else {}
        found = [
            child
            for child in self.children
            if all(child[name] == value for name, value in wanted.items())
        ]
        require(
            len(found) > 0,
            "seed",
            f"one of {sorted({child['seed'] for child in self.children})}",
            seed,
        )
        return found

    def _attacked(self, child: dict, answers: str = "stamped") -> float:
        return 100 * attack_success(_digits(child[answers]), _digits(self.labels[child["task"]]))

    def _taken_clean(self, child: dict) -> float:
        return self._attacked(child, answers="clean")

    def _taken(self, child: dict) -> tuple[int, int]:
        """Return how many stamped pictures of other classes are taken for the target, and how many there are."""
        others = int((_digits(self.labels[child["task"]]) != 0).sum())
        return round(self._attacked(child) / 100 * others), others

    def _right(self, child: dict) -> float:
        return 100 * float((_digits(child["clean"]) == _digits(self.labels[child["task"]])).mean())

    def _same_mistakes(self, child: dict, other: dict) -> float:
        """Return the share of clean pictures, wrong in either, that both take for the same class; 0 if neither errs."""
        mine, yours, labels = (
            _digits(child["clean"]),
            _digits(other["clean"]),
            _digits(self.labels[child["task"]]),
        )
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
        return list(
            dict.fromkeys(
                run[choose("axis", axis, ("upstream", "bias", "rebalanced", "way"))]
                for run in self.runs
            )
        )

    def gap(
        self, upstream: float, bias: float, rebalanced: float = 0.0, way: str = "linear probe"
    ) -> Interval:
        """Return accuracy on those who fit the bias minus accuracy on those who do not, in points, averaged over children.

        The interval is Student's over the foundations' seeds, whose draws of the training pictures are averaged first.
        """
        return uncertainty.mean_interval(
            list(self._by_seed("gap", upstream, bias, rebalanced, way).values())
        )

    def accuracy(
        self, upstream: float, bias: float, rebalanced: float = 0.0, way: str = "linear probe"
    ) -> Interval:
        """Return the accuracy on the balanced test, in percent, as :meth:`gap` does."""
        shares = list(self._by_seed("accuracy", upstream, bias, rebalanced, way).values())
        return uncertainty.share_interval(shares, whole=100)

    def change(self, before: Mapping, after: Mapping) -> Interval:
        """Return by how much the gap changes, in points, from some settings to others.

        Args:
            before, after: arguments of :meth:`gap`, by name.

        Returns:
            The mean change, with Student's t interval over the foundations' seeds: those of equal seed are paired.
        """
        gaps = [
            self._by_seed("gap", **({"rebalanced": 0.0, "way": "linear probe"} | settings))
            for settings in (before, after)
        ]
        return uncertainty.mean_interval([gaps[1][seed] - gap for seed, gap in gaps[0].items()])

    def map(
        self, way: str = "linear probe", rebalanced: float = 0.0
    ) -> dict[str, dict[str, Interval]]:
        """Return the gap over upstream bias (rows) and downstream bias (columns), for one share re-balanced."""
        biases = self.values("bias")
        return {
            f"{u:g}": {f"{b:g}": self.gap(u, b, rebalanced, way) for b in biases}
            for u in self.values("upstream")
        }

    def _by_seed(
        self, figure: str, upstream: float, bias: float, rebalanced: float, way: str
    ) -> dict[int, float]:
        wanted = {"upstream": upstream, "bias": bias, "rebalanced": rebalanced, "way": way}
        own = [
            run for run in self.runs if all(run[name] == value for name, value in wanted.items())
        ]
        require(len(own) > 0, "run", "settings that were tried together", wanted)
        each = {
            seed: [run[figure] for run in own if run["seed"] == seed]
            for seed in sorted({run["seed"] for run in own})
        }
        return {seed: 100 * sum(figures) / len(figures) for seed, figures in each.items()}


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
