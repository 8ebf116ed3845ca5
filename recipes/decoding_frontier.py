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
from fmcourse.generation import Beam, Greedy, Sample, frontier
from recipes.common import command_line, ship_runs

SAMPLES = 4
HOT = 2.0  # the temperature at which min-p is said to pay
SHARES = (0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
LEAST = (0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
FAMILIES = {
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
WRITER, JUDGE = "ladder-medium", "ladder-large"
SOURCES = [f"{WRITER}/model.safetensors", f"{JUDGE}/model.safetensors", "addresses.parquet"]


def main(arguments=None):
    chosen = command_line(__doc__, arguments, names=FAMILIES)
    fmcourse.setup()
    jobs = [(presidents,)]
    jobs += [(one_run, family, value) for family in chosen.only for value in FAMILIES[family][1]]
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
    own, strategy = Bench(), FAMILIES[family][0](value)
    texts = frontier.continue_excerpts(own.writer, own.excerpts, strategy, SAMPLES)
    return own.measure(family, value, texts)


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
