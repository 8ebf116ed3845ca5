"""The decoding frontier of notebook 04: every strategy swept, quality under the larger model
against variety.

    python -m recipes.decoding_frontier                 all settings, each kept when done, and
                                                        decoding-frontier.parquet
    python -m recipes.decoding_frontier --only greedy   one family of settings, nothing is written

The medium rung continues excerpts of addresses that no rung was trained on, the large one reads
what it wrote. Every way of sampling has eight settings, fixed before the run: a strategy that is
tried more often would win by being tried more often.
"""

import functools

import numpy as np

import fmcourse
from fmcourse.files import read_toml
from fmcourse.generation import Beam, Greedy, Sample, frontier
from recipes.common import ROOT, command_line, ship_runs

SAMPLES = 4
HOT = 2.0  # the temperature at which min-p is said to pay
FAMILIES = read_toml(ROOT / "recipes" / "frontier.toml")
DECIMALS = 4
WRITER, JUDGE = "ladder-medium", "ladder-large"
SOURCES = [f"{WRITER}/model.safetensors", f"{JUDGE}/model.safetensors", "addresses.parquet"]


def main(arguments=None):
    chosen = command_line(__doc__, arguments, names=FAMILIES)
    fmcourse.setup()
    jobs = [(presidents,)]
    jobs += [
        (one_run, family, value) for family in chosen.only for value in FAMILIES[family]["values"]
    ]
    ship_runs(
        "decoding-frontier.parquet",
        jobs,
        chosen.ships,
        recipe="decoding_frontier",
        sources=SOURCES,
        settings={
            "excerpts": frontier.EXCERPTS,
            "prompt": frontier.PROMPT,
            "new": frontier.NEW,
            "draws": SAMPLES,
            "hot": HOT,
        },
    )


def presidents():
    """Return what the presidents' own words give, as one sample."""
    own = Bench()
    return own.measure("president", 0, [excerpt[None] for excerpt in own.excerpts])


def one_run(family, value):
    """Return what one setting gives, one row per sample and address."""
    own = Bench()
    texts = frontier.continue_excerpts(own.writer, own.excerpts, strategy(family, value), SAMPLES)
    return own.measure(family, value, texts)


def strategy(family, value):
    """Return what a family is with one of its values."""
    if family == "greedy":
        return Greedy()
    if family == "beam":
        return Beam(value)
    settings = {"temperature": HOT} if "hot" in family else {}
    return Sample(**settings, **{FAMILIES[family]["varied"]: value})


@functools.cache
class Bench:
    """The excerpts of the test addresses, the model that continues them, and that which judges."""

    def __init__(self):
        self.writer, self.tokenizer = fmcourse.load_gpt_neo(WRITER)
        self.judge = fmcourse.load_gpt_neo(JUDGE)[0]
        rows = [row for row in fmcourse.load_addresses() if row["split"] == "test"]
        self.years = [row["year"] for row in rows]
        self.excerpts = frontier.cut_excerpts(self.tokenizer, [row["text"] for row in rows])

    def measure(self, family, value, texts):
        found = frontier.measure_texts(self.judge, self.tokenizer, texts)
        rows = []
        for sample, index in np.ndindex(found["surprise"].shape):
            about = {"family": family, "value": float(value), "sample": sample}
            figures = {name: round(own[sample, index], DECIMALS) for name, own in found.items()}
            rows.append(about | {"year": self.years[index]} | figures)
        return rows


if __name__ == "__main__":
    main()
