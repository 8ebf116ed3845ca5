"""The dose-response of notebook 01: when do induction heads form?

    python -m recipes.emergence_dose            run what is missing, write emergence-dose.parquet
    python -m recipes.emergence_dose --seeds 0  one seed only, kept, nothing written

What varies is how often strings repeat and how rare their tokens are. Chan et al. 2022 vary
burstiness and the number of classes of pictures with labels; this is their question put to strings.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import induction
from recipes import sweeps
from recipes.common import command_line

BURSTY = (1.0, 0.25, 0.0, 0.5, 0.1)
TOKENS = (32, 128, 8)
SEEDS = range(3)
RECIPE = "emergence_dose"


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=induction.STEPS)
    fmcourse.setup()
    settings = settings_of(chosen.seeds, chosen.steps)
    about = {"recipe": RECIPE, "settings": {"steps": chosen.steps}}
    sweeps.sweep(emergence.train_induction, settings, RECIPE, chosen.ships, **about)


def settings_of(seeds: Sequence[int], steps) -> list[dict]:
    """Return the controls with one layer beside the same with two, then all doses."""
    kinds = [(2, 1.0, TOKENS[0]), (1, 1.0, TOKENS[0])]
    kinds += [kind for kind in itertools.product([2], BURSTY, TOKENS) if kind not in kinds]
    names = ("layers", "bursty", "tokens")
    return [
        dict(zip(names, kind)) | {"seed": seed, "steps": steps} for kind in kinds for seed in seeds
    ]


if __name__ == "__main__":
    main()
