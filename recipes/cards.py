"""The cards of what ships: a model card for each bundled model, a datasheet for each table, every
figure computed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fmcourse import models, safeguards
from fmcourse.files import write_atomic
from recipes.common import command_line, output, register

NAMES = (*models.CLIPS, *models.LADDER, *safeguards.DATASHEETS)


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = command_line(__doc__, arguments, names=NAMES)
    for name in chosen.only if chosen.ships else ():
        started = time.time()
        path = output() / "cards" / f"{name}.md"
        write_atomic(path, card(name))
        register(
            path,
            licence="CC-BY-4.0",
            attribution="the authors of fmcourse",
            sources=["the manifest and what it lists"],
            recipe="recipes/cards.py",
            settings={"of": name},
            seconds=time.time() - started,
        )


def card(name: str) -> str:
    """Return the card of a bundled model or table as it should read now."""
    make = safeguards.datasheet if name in safeguards.DATASHEETS else safeguards.model_card
    return str(make(name))


if __name__ == "__main__":
    main()
