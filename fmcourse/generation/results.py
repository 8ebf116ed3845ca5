"""What did the sweeps measure? The bundled runs behind the decoding frontier and the memorization study, as intervals.

Serves notebook 04. The runs were made by ``recipes/decoding_frontier.py`` and ``recipes/memorization.py``; nothing here
generates or trains. The address is the independent unit of the frontier, the secret that of memorization.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcourse import bundle, uncertainty
from fmcourse.arguments import choose, require
from fmcourse.generation.memorization import membership
from fmcourse.uncertainty import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

__all__ = ["DecodingFrontier", "Memorization", "load_decoding_frontier", "load_memorization"]

MEASURES = ("surprise", "self_bleu", "distinct_2", "repetition_4")
CORPORA = ("planted", "deduplicated")
MARKED = "end mark"  # all the words, after an end mark


@dataclass(frozen=True)
class DecodingFrontier:
    """Every strategy at every setting of the sweep, and the presidents' own words.

    Attributes:
        years: of the addresses, in the order of every figure.
        president: each of :data:`MEASURES` of the presidents' words, shape (1, addresses).
        runs: one mapping per family and value, with the same measures, shape (draws, addresses).
    """

    years: list[int]
    president: dict
    runs: list[dict]

    @property
    def families(self) -> list[str]:
        """The strategies that were swept."""
        return list(dict.fromkeys(run["family"] for run in self.runs))

    def values(self, family: str) -> list[float]:
        """Return the settings of a family, in the order of the sweep."""
        return [run["value"] for run in self._of(family)]

    def figures(self, measure: str, family: str, value: float) -> np.ndarray:
        """Return a measure by address, averaged over draws, shape (addresses,)."""
        import numpy as np

        run = next((run for run in self._of(family) if run["value"] == value), None)
        require(run is not None, "value", f"one of {self.values(family)}", value)
        return np.mean(run[choose("measure", measure, MEASURES)], axis=0)

    def interval(self, measure: str, family: str, value: float) -> Interval:
        """Return a measure's mean with its bootstrap interval; addresses are resampled, with all their draws."""
        return uncertainty.bootstrap(self.figures(measure, family, value))

    def of_presidents(self, measure: str) -> Interval:
        """Return a measure of the presidents' own words."""
        return uncertainty.bootstrap(self.president[choose("measure", measure, MEASURES)][0])

    def surprise_at(self, family: str, variety: float) -> Interval:
        """Return the surprise at which a family has this variety, read off the line through its settings.

        Args:
            family: one of :attr:`families`.
            variety: distinct-2, within what the family's settings reach.
        """
        return uncertainty.bootstrap(
            self._table(family, variety), lambda table: _read_off(table, variety)
        )

    def difference(self, family: str, other: str, variety: float) -> Interval:
        """Return a family's surprise minus another's at the same variety; addresses are resampled in pairs."""
        import numpy as np

        first, second = self._table(family, variety), self._table(other, variety)
        both = np.concatenate([first, second], axis=1)
        settings = first.shape[1]
        return uncertainty.bootstrap(
            both,
            lambda table: (
                _read_off(table[:, :settings], variety) - _read_off(table[:, settings:], variety)
            ),
        )

    def curves(self, families: Sequence[str]) -> dict[str, tuple[list[float], list[Interval]]]:
        """Return each family's way through the plane, as :func:`fmcourse.plotting.curves` draws it: variety and surprise."""
        ways = {}
        for family in families:
            settings = self.values(family)
            variety = [
                float(self.figures("distinct_2", family, value).mean()) for value in settings
            ]
            order = sorted(range(len(settings)), key=variety.__getitem__)
            ways[family] = (
                [variety[i] for i in order],
                [self.interval("surprise", family, settings[i]) for i in order],
            )
        return ways

    def _of(self, family: str) -> list[dict]:
        return [
            run for run in self.runs if run["family"] == choose("family", family, self.families)
        ]

    def _table(self, family: str, variety: float) -> np.ndarray:
        """Return variety and surprise, shape (addresses, settings, 2), or say that the family does not reach this variety."""
        import numpy as np

        rows = [
            [self.figures(m, family, value) for m in ("distinct_2", "surprise")]
            for value in self.values(family)
        ]
        table = np.array(rows).transpose(2, 0, 1)
        reached = table[:, :, 0].mean(0)
        inside = reached.min() <= variety <= reached.max()
        require(
            bool(inside),
            "variety",
            f"from {reached.min():.3f} to {reached.max():.3f}, as {family} reaches",
            variety,
        )
        return table


def _read_off(table: np.ndarray, variety: float) -> float:
    """Average addresses, order the settings by variety, and interpolate; shape (addresses, settings, 2)."""
    import numpy as np

    points = table.mean(0)
    points = points[points[:, 0].argsort()]
    return float(np.interp(variety, points[:, 0], points[:, 1]))


@dataclass(frozen=True)
class Memorization:
    """What two models gave away of planted secrets, before and after deduplication.

    Attributes:
        copies: how often secrets were planted; 0 is the control.
        contexts: how many tokens before the code the models were given, besides all.
        runs: one mapping per size, corpus and seed.
    """

    copies: list[int]
    contexts: list[int]
    runs: list[dict]

    @property
    def sizes(self) -> dict[str, int]:
        """The models, and how many parameters each has."""
        return {run["size"]: run["parameters"] for run in self.runs}

    def auc(self, size: str, copies: int, corpus: str = "planted") -> Interval:
        """Return how well the loss tells secrets planted so often from secrets planted nowhere; seeds are averaged.

        Args:
            size: one of :attr:`sizes`.
            copies: one of :attr:`copies`.
            corpus: ``planted``, or ``deduplicated`` after planting.
        """
        place = self._place(copies)
        return _average(
            [
                membership(run["losses"][place], run["unseen_losses"])
                for run in self._of(size, corpus)
            ]
        )

    def extraction(
        self, size: str, copies: int, corpus: str = "planted", context: int | str | None = None
    ) -> Interval:
        """Return the share of secrets that greedy decoding writes, with Wilson's interval over the secrets of all seeds.

        Args:
            size, copies, corpus: as in :meth:`auc`.
            context: one of :attr:`contexts`; None gives the model all words before the code, ``end mark`` the same after a mark.
        """
        place, runs = self._place(copies), self._of(size, corpus)
        name = (
            "all"
            if context is None
            else choose("context", str(context), [*map(str, self.contexts), MARKED])
        )
        counts = [run["extracted"][name][place] for run in runs]
        return uncertainty.wilson(sum(counts), sum(len(run["losses"][place]) for run in runs))

    def never_planted(self, size: str) -> Interval:
        """Return the share of secrets, planted nowhere, that greedy decoding writes: the control."""
        runs = self._of(size, "planted")
        return uncertainty.wilson(
            sum(r["unseen_extracted"] for r in runs), sum(len(r["unseen_losses"]) for r in runs)
        )

    def curves(self) -> dict[str, tuple[list[int], list[Interval]]]:
        """Return AUC and extraction by copies planted, as :func:`fmcourse.plotting.curves` draws them, two lines a model."""
        planted, lines = [copies for copies in self.copies if copies], {}
        for size, parameters in self.sizes.items():
            name = f"{parameters / 1e6:.2f} M parameters"
            lines[f"{name}, told apart (AUC)"] = (
                planted,
                [self.auc(size, copies) for copies in planted],
            )
            lines[f"{name}, written in full"] = (
                planted,
                [self.extraction(size, copies) for copies in planted],
            )
        return lines

    def mean(self, what: str, size: str, corpus: str) -> float:
        """Return ``clean_loss`` (nats per token), ``passages`` or ``plain_passages``, averaged over seeds."""
        choose("what", what, ("clean_loss", "passages", "plain_passages"))
        runs = self._of(size, corpus)
        return sum(run[what] for run in runs) / len(runs)

    def copies_left(self, copies: int, corpus: str = "deduplicated") -> float:
        """Return how many copies of a secret planted so often are in a corpus, on average."""
        runs = [run for run in self.runs if run["corpus"] == choose("corpus", corpus, CORPORA)]
        return sum(run["copies_left"][self._place(copies)] for run in runs) / len(runs)

    def _place(self, copies: int) -> int:
        require(copies in self.copies, "copies", f"one of {self.copies}", copies)
        return self.copies.index(copies)

    def _of(self, size: str, corpus: str) -> list[dict]:
        choose("size", size, self.sizes)
        choose("corpus", corpus, CORPORA)
        return [run for run in self.runs if run["size"] == size and run["corpus"] == corpus]


def _average(intervals: list[Interval]) -> Interval:
    """Average estimates over seeds; the ends are averaged too, which keeps the interval of one seed: a cautious one."""
    count = len(intervals)
    return Interval(
        *(sum(getattr(i, part) for i in intervals) / count for part in ("estimate", "low", "high"))
    )


def load_decoding_frontier() -> DecodingFrontier:
    """Return the bundled sweep of decoding strategies."""
    return DecodingFrontier(**_read("decoding-frontier.json"))


def load_memorization() -> Memorization:
    """Return the bundled study of planted secrets."""
    return Memorization(**_read("memorization.json"))


def _read(file: str) -> dict:
    return json.loads(bundle.path(file).read_text(encoding="utf-8"))
