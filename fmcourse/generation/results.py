"""The bundled sweeps behind notebook 04 as intervals: the decoding frontier and the memorization
study.

They were made by ``recipes/decoding_frontier.py`` and ``recipes/memorization.py``. The address is
the independent unit of the frontier, the secret that of memorization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fmcourse import results, stats
from fmcourse.arguments import choose, require
from fmcourse.generation.memorization import membership
from fmcourse.results import select
from fmcourse.stats import Interval

__all__ = ["DecodingFrontier", "Memorization", "load_decoding_frontier", "load_memorization"]

MEASURES = ("surprise", "self_bleu", "distinct_2", "repetition_4")
MARKED = "end mark"  # all the words, after an end mark


@dataclass(frozen=True)
class DecodingFrontier:
    """Every strategy at every setting of the sweep.

    Attributes:
        table: one row per family, value, sample and year of the address, with the measures surprise
            (nats per token under the judge), self_bleu, distinct_2 and repetition_4; the family
            ``president`` holds the presidents' own words.
    """

    table: pd.DataFrame

    def values(self, family: str) -> list[float]:
        """Return the settings of a family, in the order of the sweep."""
        return select(self.table, family=family)["value"].unique().tolist()

    def interval(self, measure: str, family: str, value: float) -> Interval:
        """Return a measure's mean with its bootstrap interval.

        Addresses are resampled, with all their samples.
        """
        return stats.bootstrap(self._figures(measure, family, value))

    def difference(self, family: str, other: str, variety: float) -> Interval:
        """Return a family's surprise minus another's at the same variety; addresses are resampled
        in pairs.

        Args:
            family, other: families of the table.
            variety: distinct-2, within what the settings of both reach; surprise is read off the
                line through them.
        """
        first, second = self._points(family, variety), self._points(other, variety)
        settings = first.shape[1]

        def gap(points: np.ndarray) -> float:
            one, two = points[:, :settings], points[:, settings:]
            return _read_off(one, variety) - _read_off(two, variety)

        return stats.bootstrap(np.concatenate([first, second], axis=1), gap)

    def curves(self, families: Sequence[str]) -> dict[str, tuple[list[float], list[Interval]]]:
        """Return each family's way through the plane, as :func:`fmcourse.plotting.curves` draws it:
        variety and surprise.
        """
        ways = {}
        for family in families:
            points = []
            for value in self.values(family):
                variety = float(self._figures("distinct_2", family, value).mean())
                points.append((variety, self.interval("surprise", family, value)))
            points.sort(key=lambda point: point[0])
            ways[family] = ([x for x, _ in points], [y for _, y in points])
        return ways

    def _figures(self, measure: str, family: str, value: float) -> np.ndarray:
        """Return a measure by address, averaged over samples, shape (addresses,)."""
        rows = select(self.table, family=family, value=value)
        figures = rows[choose("measure", measure, MEASURES)].to_numpy()
        return figures.reshape(rows["sample"].nunique(), -1).mean(axis=0)

    def _points(self, family: str, variety: float) -> np.ndarray:
        """Return variety and surprise, shape (addresses, settings, 2), where the family reaches
        this variety.
        """
        axes = [
            [self._figures(measure, family, value) for value in self.values(family)]
            for measure in ("distinct_2", "surprise")
        ]
        points = np.array(axes).transpose(2, 1, 0)
        reached = points[:, :, 0].mean(0)
        low, high = reached.min(), reached.max()
        reach = f"from {low:.3f} to {high:.3f}, as {family} reaches"
        require(bool(low <= variety <= high), "variety", reach, variety)
        return points


def _read_off(points: np.ndarray, variety: float) -> float:
    """Average addresses, order the settings by variety, and interpolate.

    Shape (addresses, settings, 2).
    """
    line = points.mean(0)
    line = line[line[:, 0].argsort()]
    return float(np.interp(variety, line[:, 0], line[:, 1]))


@dataclass(frozen=True)
class Memorization:
    """What two models gave away of planted secrets, before and after deduplication.

    Attributes:
        table: one row per measurement: size and parameters of the model, corpus (planted or
            deduplicated), seed, secrets (planted or unseen), how many copies of each were planted,
            context, measure and value. The measures are loss (nats per token, one row per secret),
            extracted (how many secrets greedy decoding writes, given this context), copies_left (in
            the corpus, on average), and of each run clean_loss, passages and plain_passages.
    """

    table: pd.DataFrame

    @property
    def sizes(self) -> dict[str, int]:
        """The models, and how many parameters each has."""
        models = self.table.drop_duplicates("size")
        return dict(zip(models["size"], models["parameters"].tolist()))

    @property
    def contexts(self) -> list[int]:
        """How many tokens before the code the models were given, besides all."""
        return [int(name) for name in self.table["context"].unique() if name.isdigit()]

    def auc(self, size: str, copies: int, corpus: str = "planted") -> Interval:
        """Return how well the loss tells secrets planted so often from secrets planted nowhere;
        seeds are averaged.

        The ends are averaged too, which keeps the interval of one seed: a cautious one.
        """
        losses = select(self.table, size=size, corpus=corpus, measure="loss")
        own = select(losses, secrets="planted", copies=copies)
        unseen = select(losses, secrets="unseen")
        parts = []
        for seed, rows in own.groupby("seed"):
            found = membership(rows["value"], unseen[unseen["seed"] == seed]["value"])
            parts.append((found.estimate, found.low, found.high))
        return Interval(*(sum(ends) / len(parts) for ends in zip(*parts)))

    def extraction(
        self, size: str, copies: int, corpus: str = "planted", context: int | str | None = None
    ) -> Interval:
        """Return the share of secrets that greedy decoding writes, with Wilson's interval over the
        secrets of all seeds.

        Args:
            size, copies, corpus: which model, how many copies were planted, in which corpus.
            context: one of :attr:`contexts`; None gives the model all words before the code, ``end
                mark`` the same after a mark.
        """
        rows = select(self.table, size=size, corpus=corpus, secrets="planted", copies=copies)
        return _share(rows, "all" if context is None else str(context))

    def never_planted(self, size: str) -> Interval:
        """Return the share of secrets, planted nowhere, that greedy decoding writes.

        The control.
        """
        return _share(select(self.table, size=size, corpus="planted", secrets="unseen"), "all")

    def curves(self) -> dict[str, tuple[list[int], list[Interval]]]:
        """Return AUC and extraction by copies planted, as :func:`fmcourse.plotting.curves` draws
        them, two lines a model.
        """
        counts = select(self.table, secrets="planted")["copies"].unique().tolist()
        planted, lines = [copies for copies in counts if copies], {}
        for size, parameters in self.sizes.items():
            name = f"{parameters / 1e6:.2f} M parameters"
            told = [self.auc(size, copies) for copies in planted]
            written = [self.extraction(size, copies) for copies in planted]
            lines[f"{name}, told apart (AUC)"] = (planted, told)
            lines[f"{name}, written in full"] = (planted, written)
        return lines

    def copies_left(self, copies: int, corpus: str = "deduplicated") -> float:
        """Return how many copies of a secret planted so often are in a corpus, on average."""
        rows = select(self.table, corpus=corpus, measure="copies_left", copies=copies)
        return sum(rows["value"]) / len(rows)


def _share(rows: pd.DataFrame, context: str) -> Interval:
    """Return the share of secrets that are written, given a context."""
    counts = select(select(rows, measure="extracted"), context=context)["value"]
    return stats.wilson(int(counts.sum()), len(select(rows, measure="loss")))


def load_decoding_frontier() -> DecodingFrontier:
    """Return the bundled sweep of decoding strategies."""
    return DecodingFrontier(results.load("decoding-frontier"))


def load_memorization() -> Memorization:
    """Return the bundled study of planted secrets."""
    return Memorization(results.load("memorization"))
