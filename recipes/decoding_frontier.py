"""The decoding frontier of notebook 04: every strategy swept, quality under the larger model against variety.

    python -m recipes.decoding_frontier                   all settings, each kept when done, and decoding-frontier.json
    python -m recipes.decoding_frontier --split validation --first 3    a trial on other addresses; nothing is shipped

The medium rung continues excerpts of addresses that no rung was trained on, the large one reads what it wrote. Every way of
drawing has eight settings, fixed before the run: a strategy that is tried more often would win by being tried more often.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch

import fmcourse
from fmcourse import generation
from fmcourse.generation import Beam, Decoder, Greedy, Sample
from recipes.common import kept_json, ship, work_folder

EXCERPTS, PROMPT, NEW = 4, 40, 60  # of each address; tokens
DRAWS = 4
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
FILE = "decoding-frontier.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--first", type=int, help="only so many settings, and leave the writing out")
    chosen = parser.parse_args()
    fmcourse.setup()
    bench = Bench(chosen.split)
    runs = [bench.kept(family, value) for family, value in SETTINGS[: chosen.first]]
    if chosen.first is None and chosen.split == "test":
        settings = {"excerpts": EXCERPTS, "prompt": PROMPT, "new": NEW, "draws": DRAWS, "hot": HOT, "settings": len(SETTINGS)}
        ship(
            FILE,
            {"years": bench.years, "president": bench.president(), "runs": runs},
            source="ladder-medium and ladder-large, addresses.parquet",
            recipe="decoding_frontier",
            settings=settings,
            seconds=sum(run["seconds"] for run in runs),
        )


class Bench:
    """The excerpts of one split, the rung that goes on from them, and the rung that judges."""

    def __init__(self, split: str) -> None:
        self.split = split
        writer, self.tokenizer = fmcourse.load_gpt_neo("ladder-medium")
        self.writer, self.judge = Decoder(writer), fmcourse.load_gpt_neo("ladder-large")[0]
        rows = [row for row in fmcourse.load_addresses() if row["split"] == split]
        self.years = [row["year"] for row in rows]
        self.excerpts = [excerpt for row in rows for excerpt in self.cut(row["text"])]

    def cut(self, text: str) -> list[torch.Tensor]:
        """Return excerpts from equally distant places of an address, each of PROMPT + NEW tokens."""
        ids = torch.tensor(self.tokenizer(text, verbose=False)["input_ids"])
        starts = [place * (len(ids) - PROMPT - NEW) // EXCERPTS for place in range(EXCERPTS)]
        return [ids[start : start + PROMPT + NEW] for start in starts]

    def kept(self, family: str, value: float) -> dict:
        """Return what one setting gave, now or in an earlier call."""
        name = f"{self.split}-{family}-{value:g}.json".replace(", ", "-")
        return kept_json(work_folder("decoding_frontier") / name, lambda: self.run(family, value))

    def run(self, family: str, value: float) -> dict:
        started = time.monotonic()
        figures = self.measure(self.write(FAMILIES[family][0](value)))
        print(f"{family} {value:g}: {time.monotonic() - started:.1f} s", flush=True)
        return {"family": family, "value": value, **figures, "seconds": time.monotonic() - started}

    def president(self) -> dict[str, list]:
        """Measure the presidents' own words: one draw, as it were."""
        return self.measure([excerpt[None] for excerpt in self.excerpts])

    def write(self, strategy: Greedy | Sample | Beam) -> list[torch.Tensor]:
        """Continue every excerpt's beginning; one tensor each, shape (draws, length)."""
        prompts = [excerpt[:PROMPT] for excerpt in self.excerpts]
        if isinstance(strategy, Beam):
            return [generation.generate(self.writer, prompt, strategy, NEW) for prompt in prompts]
        draws = DRAWS if isinstance(strategy, Sample) else 1
        return generation.generate_batch(self.writer, prompts, strategy, NEW, num_samples=draws, seed=0)

    def measure(self, rows: list[torch.Tensor]) -> dict[str, list]:
        """Return each measure by draw and address, averaged or pooled over an address's excerpts."""
        odd = torch.stack([generation.mean_surprise(self.judge, block, PROMPT) for block in rows], dim=1)
        draws = range(len(odd))
        texts = [[self.tokenizer.decode(block[draw, PROMPT:], skip_special_tokens=True) for block in rows] for draw in draws]
        alike = [generation.self_bleu_scores(written) for written in texts]
        groups = [[written[i : i + EXCERPTS] for i in range(0, len(written), EXCERPTS)] for written in texts]
        return {
            "surprise": rounded(odd.unflatten(1, (-1, EXCERPTS)).mean(-1).tolist()),
            "self_bleu": rounded(torch.tensor(alike).unflatten(1, (-1, EXCERPTS)).mean(-1).tolist()),
            "distinct_2": rounded([[generation.distinct_n(own, 2) for own in by_address] for by_address in groups]),
            "repetition_4": rounded([[generation.repetition_n(own, 4) for own in by_address] for by_address in groups]),
        }


def rounded(table: list[list[float]]) -> list[list[float]]:
    return [[round(value, DECIMALS) for value in row] for row in table]


if __name__ == "__main__":
    main()
