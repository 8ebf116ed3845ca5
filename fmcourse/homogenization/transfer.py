"""Does a bias of the foundation come through? Women and men among the emoji, light and dark, in
biased and balanced samples.

Serves notebook 02, bias transfer. The task: is this drawing of a woman or of a man? In a biased
sample women are light and men are dark. Sources: Salman et al. 2022 (arXiv 2207.02842), Steed et
al. 2022 (ACL), Wang & Russakovsky 2023 (arXiv 2303.06167).
"""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fmcourse.arguments import require
from fmcourse.homogenization.people import people

__all__ = ["STYLE", "aligned_gap", "biased_sample", "transfer_people"]

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
    kept = table[
        table["gender"].isin(["female", "male"]) & table["skin_tone"].isin([*LIGHT, *DARK])
    ].copy()
    kept["woman"] = (kept["gender"] == "female").astype(int)
    kept["dark"] = kept["skin_tone"].isin(DARK).astype(int)
    whole = kept.groupby("role")["codepoints"].transform("nunique") == 2 * len(LIGHT + DARK)
    kept = kept[whole].reset_index(drop=True)
    roles = sorted(kept["role"].unique())
    tested = random.Random(SEED).sample(roles, round(TEST_SHARE * len(roles)))
    return kept.assign(part=["test" if role in tested else "train" for role in kept["role"]])


def biased_sample(
    table: pd.DataFrame, bias: float, rebalanced: float = 0.0, count: int = 120, seed: int = 0
) -> np.ndarray:
    """Draw training pictures, as many women as men, with a bias in their tones.

    Args:
        table: of :func:`transfer_people`; its rows of part *train* are drawn from, without
            repetition.
        bias: from 0 (both tones are equally frequent in women and men) to 1 (all women are light,
            all men dark).
        rebalanced: share of the sample that is drawn without the bias, as a mitigation.
        count: size of the sample, a multiple of 4.
        seed: of the draw.

    Returns:
        Places in the table, shape (count,).

    Raises:
        ValueError: an argument out of range, or more pictures than there are.
    """
    require(0 <= bias <= 1, "bias", "a number from 0 to 1", bias)
    require(0 <= rebalanced <= 1, "rebalanced", "a share from 0 to 1", rebalanced)
    require(count >= 4 and count % 4 == 0, "count", "a multiple of 4", count)
    aligned = round(count / 2 * (1 + bias * (1 - rebalanced)) / 2)
    draw, train = np.random.default_rng(seed), table[table["part"] == "train"]
    picked = []
    for woman in (0, 1):
        for fits, size in ((True, aligned), (False, count // 2 - aligned)):
            own = train.index[
                (train["woman"] == woman) & ((train["dark"] != woman) == fits)
            ].to_numpy()
            require(size <= len(own), "count", f"at most {len(own)} of a kind, as there are", size)
            picked.append(draw.choice(own, size, replace=False))
    return np.concatenate(picked)


def aligned_gap(answers: ArrayLike, woman: ArrayLike, dark: ArrayLike) -> float:
    """Return accuracy on those who fit the bias (light women, dark men) minus accuracy on those who
    do not.

    Args:
        answers: 1 where a woman was seen, else 0, shape (n,).
        woman, dark: what is so, 0 or 1, shape (n,).

    Returns:
        A difference of shares from -1 to 1; 0 when tone plays no part.

    Raises:
        ValueError: other shapes, or nobody who fits, or nobody who does not.

    >>> aligned_gap([1, 0, 0, 0], woman=[1, 0, 1, 0], dark=[0, 1, 1, 0])
    0.5
    """
    answers, woman, dark = (np.asarray(values) for values in (answers, woman, dark))
    alike = answers.ndim == 1 and answers.shape == woman.shape == dark.shape
    require(
        alike,
        "answers",
        "one for each of woman and dark, shape (n,)",
        (answers.shape, woman.shape, dark.shape),
    )
    right, fits = answers == woman, woman != dark
    require(
        bool(fits.any() and not fits.all()),
        "dark",
        "some who fit the bias and some who do not",
        dark,
    )
    return float(right[fits].mean() - right[~fits].mean())
