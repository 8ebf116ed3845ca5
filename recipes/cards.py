"""The cards of what ships: a model card for each bundled model, a datasheet for each table, every figure computed."""

from __future__ import annotations

import time

from fmcourse import hub, safeguards
from recipes.common import BUNDLED, register

FOLDER = BUNDLED / "cards"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in (*hub.CLIPS, *hub.LADDER, *safeguards.DATASHEETS):
        started = time.time()
        path = FOLDER / f"{name}.md"
        path.write_text(card(name), encoding="utf-8")
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
    return str(
        safeguards.datasheet(name) if name in safeguards.DATASHEETS else safeguards.model_card(name)
    )


if __name__ == "__main__":
    main()
