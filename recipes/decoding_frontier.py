"""The decoding frontier of notebook 04: every strategy swept, quality under the larger model
against variety.

    python -m recipes.decoding_frontier                   all settings, each kept when done, and
    decoding-frontier.parquet python -m recipes.decoding_frontier --split validation --first 3    a
    trial on other addresses; nothing is shipped

The medium rung continues excerpts of addresses that no rung was trained on, the large one reads
what it wrote. Every way of sampling has eight settings, fixed before the run: a strategy that is
tried more often would win by being tried more often.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

import fmcourse
from fmcourse.generation import Beam, Greedy, Sample, frontier
from fmcourse.generation.results import MEASURES
from recipes.common import kept_json, ship, work_folder

SAMPLES = 4
HOT = 2.0  # the temperature at which min-p is said to pay
SHARES = (0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LEAST = (0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
FAMILIES: dict[str, tuple[Callable[[float], Greedy | Sample | Beam], Sequence[float]]] = {
    "greedy": (lambda _: Greedy(), (1,)),
    "beam": (Beam, (2, 4, 8)),
    "temperature": (lambda t: Sample(temperature=t), (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)),
    "top-k": (lambda k: Sample(top_k=k), (2, 3, 5, 10, 20, 40, 100, 300)),
    "top-p": (lambda p: Sample(top_p=p), SHARES),
    "typical": (lambda p: Sample(typical_p=p), SHARES),
    "min-p": (lambda p: Sample(min_p=p), LEAST),
    "top-p, hot": (lambda p: Sample(temperature=HOT, top_p=p), SHARES),
    "min-p, hot": (lambda p: Sample(temperature=HOT, min_p=p), LEAST),
}
SETTINGS = [(family, value) for family, (_, values) in FAMILIES.items() for value in values]
DECIMALS = 4
FILE = "decoding-frontier.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument(
        "--first", type=int, help="only so many settings, and leave the writing out"
    )
    chosen = parser.parse_args()
    fmcourse.setup()
    bench = Bench(chosen.split)
    runs = [bench.kept(family, value) for family, value in SETTINGS[: chosen.first]]
    if chosen.first is None and chosen.split == "test":
        settings = {
            "excerpts": frontier.EXCERPTS,
            "prompt": frontier.PROMPT,
            "new": frontier.NEW,
            "draws": SAMPLES,
            "hot": HOT,
        }
        president = {"family": "president", "value": 0, **bench.president()}
        ship(
            FILE,
            tidy(bench.years, [president, *runs]),
            sources=["ladder-medium/model.safetensors", "ladder-large/model.safetensors", "addresses.parquet"],
            recipe="decoding_frontier",
            settings=settings,
            seconds=sum(run["seconds"] for run in runs),
        )


def tidy(years: list[int], runs: list[dict]) -> pd.DataFrame:
    """Return one row per run, sample and address."""
    rows = []
    for run in runs:
        measures = {name: np.array(run[name]) for name in MEASURES}
        for sample, index in np.ndindex(measures["surprise"].shape):
            row = {"family": run["family"], "value": float(run["value"])}
            row |= {"sample": sample, "year": years[index]}
            rows.append(row | {name: own[sample, index] for name, own in measures.items()})
    return pd.DataFrame(rows)


class Bench:
    """The excerpts of one split, the rung that goes on from them, and the rung that judges."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.writer, self.tokenizer = fmcourse.load_gpt_neo("ladder-medium")
        self.judge = fmcourse.load_gpt_neo("ladder-large")[0]
        rows = [row for row in fmcourse.load_addresses() if row["split"] == split]
        self.years = [row["year"] for row in rows]
        self.excerpts = frontier.cut_excerpts(self.tokenizer, [row["text"] for row in rows])

    def kept(self, family: str, value: float) -> dict:
        """Return what one setting gave, now or in an earlier call."""
        name = f"{self.split}-{family}-{value:g}.json".replace(", ", "-")
        return kept_json(work_folder("decoding_frontier") / name, lambda: self.run(family, value))

    def run(self, family: str, value: float) -> dict:
        started = time.monotonic()
        rows = frontier.continue_excerpts(
            self.writer, self.excerpts, FAMILIES[family][0](value), SAMPLES
        )
        figures = self.measure(rows)
        print(f"{family} {value:g}: {time.monotonic() - started:.1f} s", flush=True)
        return {"family": family, "value": value, **figures, "seconds": time.monotonic() - started}

    def president(self) -> dict[str, list]:
        """Measure the presidents' own words: one sample, as it were."""
        return self.measure([excerpt[None] for excerpt in self.excerpts])

    def measure(self, rows: list[torch.Tensor]) -> dict[str, list]:
        found = frontier.measure_texts(self.judge, self.tokenizer, rows)
        return {name: values.round(DECIMALS).tolist() for name, values in found.items()}


if __name__ == "__main__":
    main()
