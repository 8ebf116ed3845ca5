"""The dose-response of notebook 01: when do induction heads form?

    python -m recipes.emergence_dose            run what is missing, write emergence-dose.parquet
    python -m recipes.emergence_dose --seeds 0  one seed only, kept, nothing written

What varies is how often strings repeat and how rare their tokens are. Chan et al. 2022 vary
burstiness and the number of classes of pictures with labels; this is their question put to strings.
"""

from __future__ import annotations

from collections.abc import Sequence

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import induction
from recipes import sweeps
from recipes.common import command_line

BURSTY = (1.0, 0.25, 0.0, 0.5, 0.1)
TOKENS = (32, 128, 8)
SEEDS = range(3)
FILE = "emergence-dose.parquet"


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=induction.STEPS, sweep=True)
    fmcourse.setup()
    runs = sweeps.sweep(
        emergence.train_induction,
        settings_of(chosen.seeds, chosen.steps),
        "emergence_dose",
        chosen.workers,
    )
    if chosen.ships:
        settings = {
            "bursty": sorted(BURSTY),
            "tokens": sorted(TOKENS),
            "seeds": len(chosen.seeds),
            "batch": induction.BATCH,
            "steps": chosen.steps,
        }
        sweeps.ship(FILE, runs, "emergence_dose", settings, sum(run["seconds"] for run in runs))


def settings_of(seeds: Sequence[int], steps: int) -> list[dict]:
    """Return the controls with one layer beside the same with two, then all doses."""

    def setting(layers: int, bursty: float, tokens: int, seed: int) -> dict:
        doses = {"layers": layers, "bursty": bursty, "tokens": tokens}
        return doses | {"seed": seed, "steps": steps}

    controls = [setting(layers, 1.0, TOKENS[0], seed) for seed in seeds for layers in (2, 1)]
    doses = [
        setting(2, bursty, tokens, seed) for seed in seeds for tokens in TOKENS for bursty in BURSTY
    ]
    return controls + [dose for dose in doses if dose not in controls]


if __name__ == "__main__":
    main()
