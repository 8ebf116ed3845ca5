"""Failures that people meet everywhere: the failure matrix, systemic failure, and what independent
errors would give; for notebook 02.

Axes: n individuals, K deployers. Sources: Bommasani et al. 2022 (arXiv
2211.13972; H and its group forms, as in the authors' public code), Toups et al. 2023 (arXiv
2307.05862; counts of failures against the Poisson-binomial).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import poisson_binom

from fmcourse.arguments import choose, require, whole

__all__ = [
    "Homogenization",
    "World",
    "failure_counts",
    "failure_matrix",
    "homogenization",
    "shuffled",
    "systemic_failure_rate",
]

KINDS = ("individual", "average", "uniform", "worst")


@dataclass(frozen=True)
class Homogenization:
    """How often everybody fails, beside how often independent errors would.

    Attributes:
        observed: the rate of the kind, from 0 to 1; NaN where it is not defined.
        expected: the product of the deployers' error rates.
        reason: why there is no ratio; empty where there is one.
    """

    observed: float
    expected: float
    reason: str = ""

    @property
    def ratio(self) -> float:
        """H, observed over expected: 1 when errors are independent, NaN when `reason` says why."""
        return math.nan if self.reason else self.observed / self.expected


class World(NamedTuple):
    """What happened to the people of one simulated world.

    Attributes:
        failures: shape (individuals, deployers), bool.
        groups: each individual's group, shape (individuals,).
        left_out: the group that each deployer's data nearly lack, one per deployer.
    """

    failures: np.ndarray
    groups: np.ndarray
    left_out: Sequence


def failure_matrix(predictions: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Return who is failed by whom: True where a prediction is not the label.

    Args:
        predictions: classes, shape (individuals, deployers), or (individuals,) for one deployer.
        labels: the right classes, shape (individuals,), or (individuals, deployers) where each
            deployer has a task of its own.

    Returns:
        A new bool array, shape (individuals, deployers).

    Raises:
        ValueError: other shapes; NaN; probabilities in place of classes; text against numbers.

    >>> failure_matrix([[1, 0], [1, 1]], [1, 0]).tolist()
    [[False, True], [True, True]]
    """
    answers, right = _classes("predictions", predictions), _classes("labels", labels)
    if answers.ndim == 1:
        answers = answers[:, None]
    expected = "classes of shape (individuals, deployers)"
    require(answers.ndim == 2, "predictions", expected, answers.shape)
    fits = right.shape in (answers.shape, answers.shape[:1])
    require(fits, "labels", f"shape ({len(answers)},) or {answers.shape}", right.shape)
    # Numbers beside text would all differ.
    alike = answers.dtype.kind == right.dtype.kind
    require(alike, "labels", f"classes like the predictions, {answers.dtype}", right.dtype)
    return answers != (right[:, None] if right.ndim == 1 else right)


def _classes(name: str, values: ArrayLike) -> np.ndarray:
    """Return classes as whole numbers or as text; a ValueError says what else they are."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        array = np.array(None)
    kind = pd.api.types.infer_dtype(array.ravel(), skipna=False)
    if kind == "floating" and np.isfinite(array).all() and not (array % 1).any():
        kind = "integer"
    known = kind in ("integer", "boolean", "string") and min(array.shape, default=0) > 0
    expected = "classes as whole numbers, booleans or text, none missing (not probabilities)"
    require(known, name, expected, values)
    return array.astype(str if kind == "string" else int)


def checked_failures(failures: ArrayLike) -> np.ndarray:
    """Return failures as booleans, shape (individuals, deployers); a ValueError says what is wrong
    with them.
    """
    array = _classes("failures", failures)
    binary = array.dtype.kind == "i" and ((array == 0) | (array == 1)).all()
    expected = "True or False (or 1 or 0), none missing, shape (individuals, deployers)"
    require(binary and array.ndim == 2, "failures", expected, failures)
    return array.astype(bool)


def systemic_failure_rate(failures: ArrayLike) -> float:
    """Return the share of individuals whom every deployer fails.

    Args:
        failures: of :func:`failure_matrix`, shape (individuals, deployers).

    >>> systemic_failure_rate([[True, True], [True, False]])
    0.5
    """
    return both_rates(checked_failures(failures))[0]


def both_rates(failures: np.ndarray) -> tuple[float, float]:
    """Return the systemic failure rate and its expectation of failures that are checked already,
    for resampling.
    """
    return float(failures.all(1).mean()), float(failures.mean(0).prod())


def homogenization(
    failures: ArrayLike, groups: Sequence | None = None, kind: str = "individual"
) -> Homogenization:
    """Return H: how often everybody fails, over how often independent errors would.

    Args:
        failures: shape (individuals, deployers).
        groups: the group of each individual, shape (individuals,); needed for all kinds but
            ``individual``. Categories of a pandas Categorical count as groups even when nobody is
            in them.
        kind: ``individual`` asks whether one *person* is failed by all. The others ask it of a
            *group*, whose rate is the product of its error rates over the deployers: ``average``
            weighs group g by its share to the power of K, ``uniform`` gives all groups one weight,
            ``worst`` takes the largest.

    Returns:
        A :class:`Homogenization`. One deployer gives H = 1 for ``individual``. There is no ratio,
        but a reason, where a deployer errs never, and for ``uniform`` and ``worst`` where a group
        is empty.

    Raises:
        ValueError: an unknown kind, failures that are none, or groups that are missing or of a
            different length.

    The paper lets deployers have different populations; ours all decide on the same people, so that
    group shares agree. Its public code counts an empty group as one that always fails, and stops
    where a deployer errs never.

    >>> homogenization([[True, True], [False, False], [False, False], [False, False]]).ratio
    4.0
    """
    failures = checked_failures(failures)
    (observed, expected), reason = both_rates(failures), ""
    if choose("kind", kind, KINDS) != "individual":
        observed, reason = _group_rate(failures, groups, kind)
    perfect = np.flatnonzero(failures.sum(0) == 0).tolist()
    if perfect:
        reason = f"deployer {perfect[0]} fails nobody, so no systemic failure is expected"
    return Homogenization(observed, expected, reason)


def _group_rate(failures: np.ndarray, groups, kind: str) -> tuple[float, str]:
    """Return a group form's rate, or NaN and why there is none."""
    listed = pd.api.types.is_list_like(groups) and np.ndim(groups) == 1
    labels = pd.CategoricalIndex(groups if listed else [])
    whole_list = len(labels) == len(failures) and (labels.codes >= 0).all()
    distinct = labels.categories.astype(str).is_unique
    expected = f"one for each of the {len(failures)} individuals, no two kinds that read alike"
    require(whole_list and distinct, "groups", expected, groups)
    members = pd.DataFrame(failures).groupby(labels, observed=False)
    sizes, rates = members.size(), members.mean().prod(axis=1, skipna=False)
    if kind == "average":
        weights = (sizes / len(failures)) ** failures.shape[1]
        return float(np.average(rates.fillna(0), weights=weights)), ""
    empty = sizes.index[sizes == 0]
    if len(empty):
        return math.nan, f"group {str(empty[0])!r} is empty"
    return float(rates.max() if kind == "worst" else rates.mean()), ""


def failure_counts(failures: ArrayLike) -> pd.DataFrame:
    """Return how many people are failed by 0, 1, ..., K deployers.

    Returns:
        One row per number of deployers, with the shares observed, and expected if each deployer
        erred independently at its own rate (the Poisson-binomial distribution); both sum to 1.

    >>> failure_counts([[True, True], [False, False]]).round(6).to_numpy().tolist()
    [[0.5, 0.25], [0.0, 0.5], [0.5, 0.25]]
    """
    failures = checked_failures(failures)
    numbers = np.arange(failures.shape[1] + 1)
    observed = np.bincount(failures.sum(1), minlength=len(numbers)) / len(failures)
    expected = poisson_binom(failures.mean(0)).pmf(numbers)
    return pd.DataFrame({"observed": observed, "expected": expected}, index=numbers)


def shuffled(failures: ArrayLike, seed: int = 0) -> np.ndarray:
    """Return the failures with each deployer's dealt out to people at random: a control whose H
    should be about 1.
    """
    return np.random.default_rng(whole("seed", seed, 0)).permuted(
        checked_failures(failures), axis=0
    )
