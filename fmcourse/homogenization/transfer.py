"""Bias transfer: women and men among the emoji, light and dark, in biased and balanced samples; for
notebook 02.

The task is to tell whether a drawing is of a woman or of a man. In a biased
sample women are light and men are dark. Sources: Salman et al. 2022 (arXiv 2207.02842), Steed et
al. 2022 (ACL), Wang & Russakovsky 2023 (arXiv 2303.06167).
"""

import random

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fmcourse.homogenization.people import people

__all__ = ["aligned_gap", "biased_sample", "transfer_people"]

STYLE = "noto"
LIGHT, DARK = ("light", "medium-light"), ("medium-dark", "dark")
TEST_SHARE, SEED = 0.5, 0  # of the roles


def transfer_people() -> pd.DataFrame:
    """Return the women and men of one style, in two light and two dark tones, with the part that
    each belongs to.

    Returns:
        Rows of :func:`fmcourse.homogenization.people` for Noto, with woman and dark (0 or 1) and
        part (*train* or *test*) added. No role is in both parts, and each role has a woman and a
        man in all four tones.
    """
    table = people(STYLE)
    gendered = table["gender"].isin(["female", "male"])
    kept = table[gendered & table["skin_tone"].isin([*LIGHT, *DARK])]
    woman, dark = kept["gender"] == "female", kept["skin_tone"].isin(DARK)
    kept = kept.assign(woman=woman.astype(int), dark=dark.astype(int))
    drawings = kept.groupby("role")["codepoints"].transform("nunique")
    kept = kept[drawings == 2 * len(LIGHT + DARK)].reset_index(drop=True)
    roles = sorted(kept["role"].unique())
    tested = random.Random(SEED).sample(roles, round(TEST_SHARE * len(roles)))
    return kept.assign(part=np.where(kept["role"].isin(tested), "test", "train"))


def biased_sample(
    table: pd.DataFrame, bias: float, rebalanced: float = 0.0, count: int = 120, seed: int = 0
) -> np.ndarray:
    """Sample training pictures, as many women as men, with a bias in their tones.

    Args:
        table: of :func:`transfer_people`, or some of its rows; those of part *train* are sampled
            without repetition.
        bias: from 0 (both tones are equally frequent in women and men) to 1 (all women are light,
            all men dark).
        rebalanced: share of the sample that is taken without the bias, as a mitigation.
        count: size of the sample, a multiple of 4.
        seed: of the sampling.

    Returns:
        Row numbers in the table from 0, shape (count,).

    Raises:
        ValueError: more pictures than there are.
    """
    aligned = round(count / 2 * (1 + bias * (1 - rebalanced)) / 2)
    draw = np.random.default_rng(seed)
    picked = []
    for woman in (0, 1):
        chosen = table[["part", "woman"]].eq(["train", woman]).all(axis=1)
        aligns = table["dark"] != woman
        for mask, size in ((chosen & aligns, aligned), (chosen & ~aligns, count // 2 - aligned)):
            # Row numbers and not the index: in a filtered table the two differ.
            picked.append(draw.choice(np.flatnonzero(mask), size, replace=False))
    return np.concatenate(picked)


def aligned_gap(answers: ArrayLike, woman: ArrayLike, dark: ArrayLike) -> float:
    """Return accuracy on those who fit the bias (light women, dark men) minus accuracy on those who
    do not.

    Args:
        answers: 1 where a woman was seen, else 0, shape (n,).
        woman, dark: what is so, 0 or 1, shape (n,).

    Returns:
        A difference of shares from -1 to 1; 0 when tone plays no part.

    >>> aligned_gap([1, 0, 0, 0], woman=[1, 0, 1, 0], dark=[0, 1, 1, 0])
    0.5
    """
    right, fits = np.equal(answers, woman), np.not_equal(woman, dark)
    return float(right[fits].mean() - right[~fits].mean())
