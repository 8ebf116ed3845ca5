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

from recipes import foundations
from recipes.common import command_line, ship, ship_runs
from recipes.foundations import BATCH, PICTURES, PLANTED, READ, SEEDS, STEPS


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SEEDS, steps=STEPS)
    foundations.prepare()
    settings = {"planted": list(PLANTED), "batch": BATCH}
    about = {"recipe": "defects", "settings": settings, **PICTURES}
    jobs = [
        (foundations.planted_family, planted, seed, chosen.steps)
        for seed in chosen.seeds
        for planted in PLANTED
    ]
    ship_runs("defect-inheritance.parquet", jobs, chosen.ships, read=READ, **about)
    if not chosen.ships:
        return
    features = {}
    for planted in PLANTED:
        model = foundations.foundation(planted, chosen.seeds[0], chosen.steps)[0]
        for kind, own in foundations.features_of(model).items():
            features[f"{planted}/{kind}"] = own.half()
    settings["seeds"] = chosen.seeds[:1]
    # Their seconds are those of the table.
    ship("defect-features.safetensors", features, seconds=0.0, **about)


if __name__ == "__main__":
    main()
