"""The decoding frontier of notebook 04: every strategy swept, quality under the larger model
against variety.

    python -m recipes.decoding_frontier                 all settings, each kept when done, and
                                                        decoding-frontier.parquet
    python -m recipes.decoding_frontier --only greedy   one family of settings, nothing is written

The medium rung continues excerpts of addresses that no rung was trained on, the large one reads
what it wrote. Every way of sampling has eight settings, fixed before the run: a strategy that is
tried more often would win by being tried more often.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

import fmcourse
from fmcourse.generation import Beam, Greedy, Sample, frontier
from fmcourse.generation.frontier import MEASURES
from recipes.common import command_line, kept, ship_table

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
DECIMALS = 4
FILE = "decoding-frontier.parquet"
WRITER, JUDGE = "ladder-medium", "ladder-large"
SOURCES = [f"{WRITER}/model.safetensors", f"{JUDGE}/model.safetensors", "addresses.parquet"]


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, names=tuple(FAMILIES))
    fmcourse.setup()
    runs = [
        kept("decoding_frontier", one_run, family, value, sources=SOURCES)
        for family in chosen.only
        for value in FAMILIES[family][1]
    ]
    if chosen.ships:
        write(runs)


def write(runs: list[dict]) -> None:
    """Write all settings, and the presidents' own words as one sample, into one table."""
    own = bench()
    president = own.measure([excerpt[None] for excerpt in own.excerpts])
    settings = {
        "excerpts": frontier.EXCERPTS,
        "prompt": frontier.PROMPT,
        "new": frontier.NEW,
        "draws": SAMPLES,
        "hot": HOT,
    }
    ship_table(
        FILE,
        tidy(own.years, [{"family": "president", "value": 0, **president}, *runs]),
        sources=SOURCES,
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


def one_run(family: str, value: float) -> dict:
    """Return what one setting gives."""
    started = time.monotonic()
    own, strategy = bench(), FAMILIES[family][0](value)
    texts = frontier.continue_excerpts(own.writer, own.excerpts, strategy, SAMPLES)
    figures = own.measure(texts)
    seconds = time.monotonic() - started
    print(f"{family} {value:g}: {seconds:.1f} s", flush=True)
    return {"family": family, "value": value, **figures, "seconds": seconds}


@functools.cache
def bench() -> Bench:
    return Bench()


class Bench:
    """The excerpts of the test addresses, the model that continues them, and that which judges."""

    def __init__(self) -> None:
        self.writer, self.tokenizer = fmcourse.load_gpt_neo(WRITER)
        self.judge = fmcourse.load_gpt_neo(JUDGE)[0]
        rows = [row for row in fmcourse.load_addresses() if row["split"] == "test"]
        self.years = [row["year"] for row in rows]
        self.excerpts = frontier.cut_excerpts(self.tokenizer, [row["text"] for row in rows])

    def measure(self, texts: list[torch.Tensor]) -> dict[str, list]:
        found = frontier.measure_texts(self.judge, self.tokenizer, texts)
        return {name: values.round(DECIMALS).tolist() for name, values in found.items()}


if __name__ == "__main__":
    main()
