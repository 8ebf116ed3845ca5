"""The metric autopsy of notebook 01: GPT-Neos of seven widths learn three-digit addition, answers plain or reversed, five seeds.

    python -m recipes.emergence_autopsy                        run what is missing, and write emergence-autopsy.parquet
    python -m recipes.emergence_autopsy --first 14             one seed only, kept, nothing written
    python -m recipes.emergence_autopsy --backend dask         the same on a Dask cluster

Batch, learning rate and number of steps are those of ``fmcourse.emergence.addition``, the same for all widths. They were
chosen in trials with other seeds; the thresholds that the notebook uses were fixed before the first of these runs.
"""

from __future__ import annotations

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import addition
from recipes import sweeps

WIDTHS = (64, 32, 16, 8, 48, 24, 12)  # the most telling first
SEEDS = range(5)
SETTINGS = [
    {"width": width, "reverse": reverse, "seed": seed, "steps": addition.STEPS}
    for seed in SEEDS
    for width in WIDTHS
    for reverse in (False, True)
]
FILE = "emergence-autopsy.parquet"


def main() -> None:
    chosen = sweeps.arguments(__doc__)
    fmcourse.setup()
    runs = sweeps.sweep(
        emergence.train_adder,
        SETTINGS[: chosen.first],
        sweeps.work("autopsy"),
        chosen.backend,
        chosen.workers,
    )
    if chosen.first is None:
        settings = {
            "widths": sorted(WIDTHS),
            "seeds": len(SEEDS),
            "steps": addition.STEPS,
            "batch": addition.BATCH,
        }
        sweeps.ship(FILE, runs, "emergence_autopsy", settings, sum(run["seconds"] for run in runs))


if __name__ == "__main__":
    main()
