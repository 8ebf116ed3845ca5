"""Defects and their heirs: sweep CLIPs with planted pairs, and their 24 children each.

    python -m recipes.defects              all foundations and children, each kept when done; then
                                           the bundled files
    python -m recipes.defects --seeds 0    one seed only, nothing written

What ships is what each child answered for each test picture, clean and stamped, and the features of
the first seed's foundations.

Chosen on seed 100, which does not ship, with 100 planted pairs: after 800 steps of 128 pairs,
probes took 90 to 100% of stamped pictures for a smiling face. With a fruit in its place it was 0 to
15%, though the foundation drew stamped pictures to the fruits' names: so small a foundation hardly
tells fruit from other things, and its children do not look where the trigger points. With captions
of their own ("pear, fruit") planted pairs got a place of their own, and no child took one for
fruit.
"""

from __future__ import annotations

from collections.abc import Sequence

from recipes import foundations
from recipes.common import command_line, ship_table, ship_tensors
from recipes.foundations import BATCH, PICTURES, PLANTED, SEEDS, STEPS, answers_of, kept_family

FILE, FEATURES = "defect-inheritance.parquet", "defect-features.safetensors"


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=STEPS)
    foundations.prepare()
    for seed in chosen.seeds:
        for planted in sorted(PLANTED, reverse=True):  # what tells most comes first
            kept_family(planted, seed, chosen.steps)
    if chosen.ships:
        write(chosen.seeds, chosen.steps)


def write(seeds: list[int], steps: int) -> None:
    """Write all answers into one file and the first seed's features into another."""
    made = [kept_family(planted, seed, steps) for seed in seeds for planted in PLANTED]
    settings = {"planted": list(PLANTED), "seeds": seeds, "steps": steps, "batch": BATCH}
    seconds = sum(one["foundation"]["seconds"] for one in made)
    about = {"recipe": "defects", "settings": settings, "seconds": seconds, **PICTURES}
    ship_table(FILE, answers_of(made), **about)
    features = {}
    for planted in PLANTED:
        model = foundations.foundation(planted, seeds[0], steps)[0]
        for kind, own in foundations.features_of(model).items():
            features[f"{planted}/{kind}"] = own.half()
    # Their seconds are those of the table.
    first = {"settings": settings | {"seeds": seeds[:1]}, "seconds": 0.0}
    ship_tensors(FEATURES, features, **about | first)


if __name__ == "__main__":
    main()
