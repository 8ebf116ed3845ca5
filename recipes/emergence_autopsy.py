"""The metric autopsy of notebook 01: GPT-Neos of seven widths learn three-digit addition.

    python -m recipes.emergence_autopsy            run what is missing, and write
                                                   emergence-autopsy.parquet
    python -m recipes.emergence_autopsy --seeds 0  one seed only, kept, nothing written

Answers are plain or reversed; there are five seeds. Batch, learning rate and number of steps are
those of ``fmcourse.emergence.addition``, the same for all widths. They were chosen in trials with
different seeds; the thresholds that the notebook uses were fixed before the first of these runs.
"""

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import addition
from recipes import sweeps
from recipes.common import command_line

WIDTHS = (64, 32, 16, 8, 48, 24, 12)  # the most telling first
SEEDS = range(5)
RECIPE = "emergence_autopsy"


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=addition.STEPS)
    fmcourse.setup()
    settings = settings_of(chosen.seeds, chosen.steps)
    about = {"recipe": RECIPE, "settings": {}}
    sweeps.sweep(emergence.train_adder, settings, RECIPE, chosen.ships, **about)


def settings_of(seeds, steps):
    return [
        {"width": width, "reverse": reverse, "seed": seed, "steps": steps}
        for seed in seeds
        for width in WIDTHS
        for reverse in (False, True)
    ]


if __name__ == "__main__":
    main()
