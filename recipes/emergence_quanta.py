"""The two side shows of notebook 01: sparse parity with tasks of unequal frequency, and grokking.

python -m recipes.emergence_quanta    run what is missing, and write emergence-parity.parquet and
                                      emergence-grokking.parquet (--only parity: that one alone)
"""

from __future__ import annotations

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import quanta
from recipes import sweeps
from recipes.common import command_line

SEEDS = {"parity": range(5), "grokking": range(3)}
STEPS = {"parity": quanta.PARITY_STEPS, "grokking": quanta.MODULAR_STEPS}
TRAIN = {"parity": emergence.train_parity, "grokking": emergence.train_modular}
DECAYS = (quanta.MODULAR_DECAY, 0.0)


def main(arguments=None):
    chosen = command_line(__doc__, arguments, names=tuple(TRAIN), steps=0)
    fmcourse.setup()
    for name in chosen.only:
        settings = settings_of(name, chosen.steps or STEPS[name])
        about = {"recipe": "emergence_quanta", "settings": {"steps": settings[0]["steps"]}}
        sweeps.sweep(TRAIN[name], settings, f"emergence_{name}", chosen.ships, **about)


def settings_of(name, steps) -> list[dict]:
    plain = [{"seed": seed, "steps": steps} for seed in SEEDS[name]]
    if name == "parity":
        return plain
    return [{"weight_decay": decay, **setting} for setting in plain for decay in DECAYS]


if __name__ == "__main__":
    main()
