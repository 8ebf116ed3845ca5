"""Notebook 00: the smallest effect that a few seeds can show, and what the course itself cost."""

import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.stats.power import TTestPower

from fmcourse import data, stats
from fmcourse.arguments import require

# The stages of the report's ecosystem (section 1.2), and what of them happens in this course.
STAGES = {
    "data creation": "others' packages that we read; hours unknown",
    "data curation": "tables and cards, made from these packages",
    "training": "the bundled language models and CLIPs",
    "adaptation": "fine-tuning and all stored experiments",
    "deployment": "the notebooks, each run once",
}
# Of a recipe; all others adapt.
STAGE_OF = {"tools/course": "deployment"}
STAGE_OF |= dict.fromkeys(("addresses", "adult", "cards", "emoji"), "data curation")
STAGE_OF |= dict.fromkeys(("emoji_clip", "ladder", "sweep_clip"), "training")
REGISTRIES = ("PyPI ", "npm ", "Debian ")


def smallest_effect(differences: ArrayLike, power: float = 0.8) -> float:
    """Return the smallest true difference that a paired t test at 5% detects this often.

    Args:
        differences: one for each seed, shape (seeds,), at least two; only their spread counts.
        power: how often such a difference would be found, between 0.05 and 1.

    Returns:
        The difference, in the unit of `differences`.

    Raises:
        ValueError: fewer than two numbers, or a power out of range.

    >>> round(smallest_effect([0.5, 0.4, -2.0]), 1)
    4.6
    """
    values = stats.numbers("differences", differences)
    require(values.ndim == 1 and len(values) > 1, "differences", "at least two", differences)
    require(0.05 < power < 1, "power", "a number between 0.05 and 1", power)
    spread = float(values.std(ddof=1))
    return float(TTestPower().solve_power(nobs=len(values), alpha=0.05, power=power)) * spread


def ecosystem(watts: float) -> pd.DataFrame:
    """Return the stages of the ecosystem with their files and cost, from the manifest.

    Args:
        watts: what one busy core is assumed to draw.

    Returns:
        A table indexed by :data:`STAGES`: what it is here, files (for data creation, packages),
        megabytes, core hours and Wh; NaN where the manifest does not know.
    """
    require(watts > 0, "watts", "a number above 0", watts)
    files = pd.DataFrame(data.manifest().values())
    recipes = files["recipe"].str.removeprefix("recipes/").str.removesuffix(".py")
    files["stage"] = recipes.map(STAGE_OF).fillna("adaptation")
    # All files of one model name the seconds of the same training.
    runs = files.drop_duplicates(["recipe", "seconds"])
    found = pd.DataFrame({"here": STAGES})
    found["files"] = files["stage"].value_counts()
    found["MB"] = files.groupby("stage")["bytes"].sum() / 1e6
    found["core hours"] = runs.groupby("stage")["seconds"].sum() / 3600
    found["Wh"] = watts * found["core hours"]
    packages = {name for own in files["sources"] for name in own if name.startswith(REGISTRIES)}
    found.loc["data creation", "files"] = len(packages)
    found.index.name = "stage"
    return found
