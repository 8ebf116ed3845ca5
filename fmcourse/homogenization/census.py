"""Real people judged by four deployers that share training rows, or share none; for notebook 02.

The table is Adult, census income of 1994 (Becker & Kohavi 1996); the question is whether a person
earns over 50,000 dollars a year. The experiment is that of Bommasani et al. 2022, section 4.
Ding et al. 2021 tell why Adult should decide nothing.
"""

import functools

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from fmcourse import data
from fmcourse.arguments import whole
from fmcourse.homogenization.measures import failure_matrix

__all__ = ["adult_failures", "adult_people"]

DEPLOYERS, ROWS, TESTED = 4, 500, 5_000
TREES = 50
ASKED = "income_over_50k"
# Relationship says husband or wife; fnlwgt is a survey's weight.
WITHHELD = ("sex", "race", "relationship", "fnlwgt")
NUMBERS = ("age", "education_num", "capital_gain", "capital_loss", "hours_per_week")


def adult_people() -> pd.DataFrame:
    """Return the 5,000 people on whom all deployers decide, with all columns of
    :func:`fmcourse.load_adult`.

    They are the last rows of the table, whose order is random; no deployer ever learns from them.
    """
    return _table().tail(TESTED).reset_index(drop=True)


def adult_failures(shared: bool, seed: int = 0) -> np.ndarray:
    """Return whom four deployers misjudge among :func:`adult_people`, shape (5000, 4), bool.

    Args:
        shared: whether all four learn from the same 500 rows, or each from 500 that no other has.
        seed: of the sample of rows, and of the deployers' random forests, which differ in any case.

    Sex, race and relationship are withheld from the deployers; other columns, such as marital
    status, still tell of them.
    """
    seed = whole("seed", seed, 0)
    features, labels = _features(), _table()[ASKED].to_numpy()
    order = np.random.default_rng(seed).permutation(len(labels) - TESTED)
    answers = []
    for deployer in range(DEPLOYERS):
        first = 0 if shared else deployer * ROWS
        rows = order[first : first + ROWS]
        forest = RandomForestClassifier(TREES, random_state=seed * DEPLOYERS + deployer)
        answers.append(forest.fit(features[rows], labels[rows]).predict(features[-TESTED:]))
    return failure_matrix(np.stack(answers, 1), labels[-TESTED:])


@functools.cache
def _table() -> pd.DataFrame:
    return data.load_adult().to_pandas()


@functools.cache
def _features() -> np.ndarray:
    """Return numbers as they are and a column for each category, shape (rows, columns), without
    what is withheld.
    """
    # The column education_num says the same as education.
    known = _table().drop(columns=[ASKED, "education", *WITHHELD])
    categories = [name for name in known if name not in NUMBERS]
    return pd.get_dummies(known, columns=categories).to_numpy("float32")
