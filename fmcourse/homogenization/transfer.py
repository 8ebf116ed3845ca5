"""Bias transfer: women and men among the emoji, light and dark, in biased and balanced samples; for
notebook 02.

The task is to tell whether a drawing is of a woman or of a man. In a biased
sample women are light and men are dark. Sources: Salman et al. 2022 (arXiv 2207.02842), Steed et
al. 2022 (ACL), Wang & Russakovsky 2023 (arXiv 2303.06167).
"""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fmcourse import stats
from fmcourse.arguments import choose, real, require, whole
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
        ValueError: an argument out of range, or more pictures than there are.
    """
    for column in ("part", "woman", "dark"):
        choose("table", column, table.columns)
    for name, share in (("bias", bias), ("rebalanced", rebalanced)):
        require(real(share) and 0 <= share <= 1, name, "a share from 0 to 1", share)
    count = whole("count", count, 4)
    require(count % 4 == 0, "count", "a multiple of 4", count)
    aligned = round(count / 2 * (1 + bias * (1 - rebalanced)) / 2)
    draw = np.random.default_rng(whole("seed", seed, 0))
    picked = []
    for woman in (0, 1):
        chosen = table[["part", "woman"]].eq(["train", woman]).all(axis=1)
        aligns = table["dark"] != woman
        for mask, size in ((chosen & aligns, aligned), (chosen & ~aligns, count // 2 - aligned)):
            # Row numbers and not the index: in a filtered table the two differ.
            own = np.flatnonzero(mask)
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
        ValueError: other shapes or values, or nobody who fits, or nobody who does not.

    >>> aligned_gap([1, 0, 0, 0], woman=[1, 0, 1, 0], dark=[0, 1, 1, 0])
    0.5
    """
    seen = _binary("answers", answers)
    women, darks = _binary("woman", woman), _binary("dark", dark)
    shapes = seen.shape, women.shape, darks.shape
    alike = seen.ndim == 1 and len(set(shapes)) == 1
    require(alike, "answers", "one for each of woman and dark, shape (n,)", shapes)
    right, fits = seen == women, women != darks
    both = bool(fits.any() and not fits.all())
    require(both, "dark", "some who fit the bias and some who do not", dark)
    return float(right[fits].mean() - right[~fits].mean())


def _binary(name: str, values: ArrayLike) -> np.ndarray:
    array = stats.numbers(name, values)
    require(bool(((array == 0) | (array == 1)).all()), name, "zeros and ones", values)
    return array
