"""Simulated worlds of equal accuracy, in which deployers leave out different groups or the same;
for notebook 02.

A person of group g who should get a yes (or a no) shows it
along a direction of that group; each deployer measures the person anew, with noise of its own. Only
what was left out makes errors agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from fmcourse.arguments import real, require, whole
from fmcourse.homogenization.measures import failure_matrix

__all__ = ["World", "simulate"]

GROUP_COUNT, DEPLOYERS, TRAITS = 8, 4, 16
# Standard deviation of a measurement, where a yes and a no lie at 1 and -1; chosen with seeds 100
# to 105.
NOISE = 1.1
# People of a group that is in a deployer's data, and of one that is nearly left out.
TRAINED_ON, LEFT_OUT = 250, 1
PEOPLE = 500  # of each group, on whom all deployers decide
PENALTY = 0.3  # scikit-learn's C


@dataclass(frozen=True)
class World:
    """What happened to the people of one simulated world.

    Attributes:
        failures: shape (individuals, deployers), bool.
        groups: each individual's group, shape (individuals,).
        left_out: the group that each deployer's data nearly lack, shape (deployers,).
    """

    failures: np.ndarray
    groups: np.ndarray
    left_out: np.ndarray


def simulate(sharing: int = 1, seed: int = 0, hard: float = 0.0) -> World:
    """Train four deployers on data of their own that nearly lack a group, and let them decide on
    the same 4,000 people.

    Args:
        sharing: how many of the four lack the *same* group, 1 (all lack different ones) to 4. Each
            lacks one group in any case, so no deployer gets better or worse by it.
        seed: of the people, of the data and of which groups are left out.
        hard: share of the people whose traits point the wrong way for everybody; nothing is shared
            by that.

    Raises:
        ValueError: an argument out of range.
    """
    sharing = whole("sharing", sharing, 1, DEPLOYERS)
    require(real(hard) and 0 <= hard <= 1, "hard", "a share from 0 to 1", hard)
    draw = np.random.default_rng(whole("seed", seed, 0))
    directions = draw.normal(size=(GROUP_COUNT, TRAITS))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    different = draw.permutation(GROUP_COUNT)[:DEPLOYERS]
    left_out = np.where(np.arange(DEPLOYERS) < sharing, different[0], different)
    groups, labels = _people(draw, np.full(GROUP_COUNT, PEOPLE))
    shown = np.where(draw.random(len(labels)) < hard, 1 - labels, labels)
    answers = [_decide(draw, directions, group, groups, shown) for group in left_out]
    return World(failure_matrix(np.stack(answers, 1), labels), groups, left_out)


def _people(draw: np.random.Generator, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return groups and right answers (0 or 1), as many people of each group as `sizes` says."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return groups, draw.integers(2, size=len(groups))


def _measured(
    draw: np.random.Generator, directions: np.ndarray, groups: np.ndarray, shown: np.ndarray
) -> np.ndarray:
    """Return what one deployer sees: noisy traits, then the same once more in the columns of the
    person's group.
    """
    noise = NOISE * draw.normal(size=(len(groups), TRAITS))
    traits = (2 * shown - 1)[:, None] * directions[groups] + noise
    own = np.zeros((len(groups), GROUP_COUNT, TRAITS))
    own[np.arange(len(groups)), groups] = traits
    return np.concatenate([traits, own.reshape(len(groups), -1)], 1)


def _decide(
    draw: np.random.Generator,
    directions: np.ndarray,
    left_out: int,
    groups: np.ndarray,
    shown: np.ndarray,
) -> np.ndarray:
    """Train a logistic regression on people of the deployer's own, nearly without one group, and
    return its answers.
    """
    sizes = np.where(np.arange(GROUP_COUNT) == left_out, LEFT_OUT, TRAINED_ON)
    known, labels = _people(draw, sizes)
    model = LogisticRegression(C=PENALTY, max_iter=200)
    model.fit(_measured(draw, directions, known, labels), labels)
    return model.predict(_measured(draw, directions, groups, shown))
