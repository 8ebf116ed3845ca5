"""The dose-response of notebook 01: how often strings must repeat, and how rare their tokens must be, for induction heads.

    python -m recipes.emergence_dose                run what is missing, and write emergence-dose.parquet
    python -m recipes.emergence_dose --first 6      the two-layer runs and their one-layer controls, all bursty

Chan et al. 2022 vary burstiness and the number of classes of pictures with labels; this is their question put to strings.
"""

from __future__ import annotations

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import induction
from recipes import sweeps

BURSTY = (1.0, 0.25, 0.0, 0.5, 0.1)
TOKENS = (32, 128, 8)
SEEDS = range(3)
SHARED = {"steps": induction.STEPS}
CONTROLS = [
    {"layers": layers, "bursty": 1.0, "tokens": TOKENS[0], "seed": seed, **SHARED}
    for seed in SEEDS
    for layers in (2, 1)
]
DOSES = [
    {"layers": 2, "bursty": bursty, "tokens": tokens, "seed": seed, **SHARED}
    for seed in SEEDS
    for tokens in TOKENS
    for bursty in BURSTY
]
SETTINGS = CONTROLS + [dose for dose in DOSES if dose not in CONTROLS]
FILE = "emergence-dose.parquet"


def main() -> None:
    chosen = sweeps.arguments(__doc__)
    fmcourse.setup()
    runs = sweeps.sweep(
        emergence.train_induction,
        SETTINGS[: chosen.first],
        sweeps.work("dose"),
        chosen.backend,
        chosen.workers,
    )
    if chosen.first is None:
        settings = {
            "bursty": sorted(BURSTY),
            "tokens": sorted(TOKENS),
            "seeds": len(SEEDS),
            "batch": induction.BATCH,
            **SHARED,
        }
        sweeps.ship(FILE, runs, "emergence_dose", settings, sum(run["seconds"] for run in runs))


if __name__ == "__main__":
    main()
