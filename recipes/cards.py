"""The cards of what ships: a model card for each bundled model, a datasheet for each table, every
figure computed."""

from fmcourse import models, safeguards
from recipes.common import command_line, ship

NAMES = (*models.CLIPS, *models.LADDER, *safeguards.DATASHEETS)


def main(arguments=None):
    chosen = command_line(__doc__, arguments, names=NAMES)
    for name in chosen.only if chosen.ships else ():
        make = safeguards.datasheet if name in safeguards.DATASHEETS else safeguards.model_card
        ship(
            f"cards/{name}.md",
            str(make(name)),
            attribution="the authors of fmcourse",
            sources=["the manifest and what it lists"],
            recipe="cards",
            settings={"of": name},
        )


if __name__ == "__main__":
    main()
