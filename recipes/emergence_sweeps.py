"""Three sweeps of notebook 01: the dose-response of induction heads, sparse parity, and grokking.

    python -m recipes.emergence_sweeps                run what is missing, and write all three files
    python -m recipes.emergence_sweeps --only dose    this sweep alone, kept, nothing written

``dose`` asks when induction heads form: what varies is how often strings repeat and how rare their
tokens are. Chan et al. 2022 vary burstiness and the number of classes of pictures with labels; this
is their question put to strings. ``parity`` has tasks of unequal frequency.
"""

import itertools

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import induction, quanta
from recipes import sweeps
from recipes.common import command_line

TRAIN = {
    "dose": (emergence.train_induction, induction.STEPS),
    "parity": (emergence.train_parity, quanta.PARITY_STEPS),
    "grokking": (emergence.train_modular, quanta.MODULAR_STEPS),
}
SEEDS = {"dose": range(3), "parity": range(5), "grokking": range(3)}
# Beside all doses, a control with one layer.
DOSES = [(1, 1.0, 32), *itertools.product([2], (1.0, 0.25, 0.0, 0.5, 0.1), (32, 128, 8))]
KINDS = {
    "dose": [dict(zip(("layers", "bursty", "tokens"), dose)) for dose in DOSES],
    "parity": [{}],
    "grokking": [{"weight_decay": decay} for decay in (quanta.MODULAR_DECAY, 0.0)],
}


def main(arguments=None):
    chosen = command_line(__doc__, arguments, names=TRAIN, steps=0)
    fmcourse.setup()
    for name in chosen.only:
        train, steps = TRAIN[name]
        steps = chosen.steps or steps
        settings = [
            {**kind, "seed": seed, "steps": steps} for seed in SEEDS[name] for kind in KINDS[name]
        ]
        about = {"recipe": "emergence_sweeps", "settings": {"steps": steps}}
        sweeps.sweep(train, settings, f"emergence_{name}", chosen.ships, **about)


if __name__ == "__main__":
    main()
