"""The two side shows of notebook 01: sparse parity with tasks of unequal frequency, and grokking in modular addition.

python -m recipes.emergence_quanta    run what is missing, and write emergence-parity.parquet and emergence-grokking.parquet
"""

from __future__ import annotations

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import quanta
from recipes import sweeps

PARITY = [{"seed": seed, "steps": quanta.PARITY_STEPS} for seed in range(5)]
MODULAR = [
    {"weight_decay": decay, "seed": seed, "steps": quanta.MODULAR_STEPS}
    for seed in range(3)
    for decay in (quanta.MODULAR_DECAY, 0.0)
]
SWEEPS = {
    "parity": (
        emergence.train_parity,
        PARITY,
        {"tasks": quanta.PARITY_TASKS, "bits": quanta.BITS, "exponent": quanta.EXPONENT},
    ),
    "grokking": (
        emergence.train_modular,
        MODULAR,
        {"modulus": quanta.MODULUS, "train_share": quanta.TRAIN_SHARE},
    ),
}


def main() -> None:
    chosen = sweeps.arguments(__doc__)
    fmcourse.setup()
    for name, (train, settings, shown) in SWEEPS.items():
        runs = sweeps.sweep(
            train, settings[: chosen.first], sweeps.work(name), chosen.backend, chosen.workers
        )
        if chosen.first is None:
            seconds = sum(run["seconds"] for run in runs)
            sweeps.ship(
                f"emergence-{name}.parquet",
                runs,
                "emergence_quanta",
                {**shown, **settings[0]},
                seconds,
            )


if __name__ == "__main__":
    main()
