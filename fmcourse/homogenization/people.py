"""The people among the emoji, counted by skin tone, gender, profession and style; for the audit of
notebook 02.

Every drawing is counted, so there are no intervals; names, genders
and tones are those of Unicode's data, as :func:`fmcourse.load_emoji` gives them.
"""

import re

import pandas as pd

from fmcourse import data

__all__ = ["coverage", "people", "professions"]

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
GENDERS = ("female", "male", "none")
SUBGROUPS = (
    "person",
    "person-role",
    "person-fantasy",
    "person-activity",
    "person-sport",
    "person-gesture",
    "person-resting",
)
SOMEBODY = re.compile(r"\b(?:wom[ae]n|m[ae]n|person|people)\b")
TONED = re.compile(r": .*skin tone.*|, .*skin tone.*")


def people(styles: str | list[str] | None = None) -> pd.DataFrame:
    """Return one row per drawing of a person, without the pictures; families, couples and symbols
    are left out.

    Args:
        styles: as in :func:`fmcourse.load_emoji`; None means all six.

    Returns:
        A table with the columns of :func:`fmcourse.load_emoji` but the pictures, in their order,
        and kind (such as *role*, *sport*, *gesture*), role (the name without tone and gender, such
        as *health worker*) and place (the row of ``load_emoji(styles)`` that holds the picture).
    """
    drawings = data.load_emoji(styles).remove_columns(["image"]).to_pandas()
    drawings["place"] = range(len(drawings))
    table = drawings[drawings["subgroup"].isin(SUBGROUPS)].reset_index(drop=True)
    table["kind"] = table["subgroup"].str.removeprefix("person-")
    table["role"] = table["name"].map(_role)
    return table


def _role(name: str) -> str:
    """Take tone and gender from a name: *woman health worker: dark skin tone* becomes *health
    worker*."""
    role = SOMEBODY.sub("", TONED.sub("", name))
    return " ".join(role.split()).strip(" :,-") or "person"


def coverage(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each style how many roles it draws, and which share of them in all five tones, as
    a woman, and as a man.

    Args:
        table: of :func:`people`, or some of its rows.

    Returns:
        One row per style with the columns drawings, roles, five_tones, woman and man; shares from 0
        to 1. A role counts as drawn in five tones when some drawing of it is, whatever the gender.
    """
    found = {}
    for style, own in table.groupby("style", sort=False):
        drawn = own.groupby("role")[["skin_tone", "gender"]].agg(set)
        found[style] = {
            "drawings": len(own),
            "roles": len(drawn),
            "five_tones": drawn["skin_tone"].map(set(TONES).issubset).mean(),
            "woman": drawn["gender"].map({"female"}.issubset).mean(),
            "man": drawn["gender"].map({"male"}.issubset).mean(),
        }
    return pd.DataFrame(found).T


def professions(table: pd.DataFrame) -> pd.DataFrame:
    """Return for each role of kind *role* in how many styles it is drawn as a woman, as a man and
    as neither, untoned."""
    plain = table[(table["kind"] == "role") & (table["skin_tone"] == "none")]
    counted = plain.groupby(["role", "gender"])["style"].nunique().unstack(fill_value=0)
    return counted.reindex(columns=list(GENDERS), fill_value=0)
