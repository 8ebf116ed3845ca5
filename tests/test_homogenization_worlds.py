"""Worlds differ only in who leaves out whom; the headline holds on fresh seeds."""

from __future__ import annotations

import numpy as np
import pytest

from fmcourse.homogenization import group_failure, homogenization, simulate
from fmcourse.homogenization.worlds import DEPLOYERS, GROUP_COUNT, PEOPLE

SEEDS = range(20, 26)


@pytest.fixture(scope="module")
def worlds():
    return {sharing: [simulate(sharing, seed) for seed in SEEDS] for sharing in (1, 2, DEPLOYERS)}


def ratios(worlds):
    return np.array([homogenization(world.failures).ratio for world in worlds])


def worst(worlds):
    return np.array(
        [
            max(rate.estimate for rate in group_failure(w.failures, w.groups).values())
            for w in worlds
        ]
    )


def test_a_world_has_all_its_people(worlds):
    world = worlds[1][0]
    assert (
        world.failures.shape == (GROUP_COUNT * PEOPLE, DEPLOYERS) and world.failures.dtype == bool
    )
    assert np.bincount(world.groups).tolist() == [PEOPLE] * GROUP_COUNT


@pytest.mark.parametrize("sharing, different", [(1, 4), (2, 3), (4, 1)])
def test_as_many_leave_out_the_same_group_as_asked(worlds, sharing, different):
    for world in worlds[sharing]:
        assert len(set(world.left_out)) == different
        assert (world.left_out == world.left_out[0]).sum() == sharing


def test_the_group_left_out_is_failed_more(worlds):
    for world in worlds[DEPLOYERS]:
        own = world.groups == world.left_out[0]
        assert world.failures[own].mean() > world.failures[~own].mean() + 0.1


def test_same_accuracy_different_world(worlds):
    apart, alike = worlds[1], worlds[DEPLOYERS]
    errors = [np.mean([world.failures.mean() for world in each]) for each in (apart, alike)]
    assert abs(errors[0] - errors[1]) < 0.01
    assert ratios(apart).mean() < 1.1 and ratios(alike).mean() > 1.6
    assert worst(alike).mean() > 3 * worst(apart).mean()


def test_hard_people_raise_h_though_nothing_is_shared(worlds):
    hard = [simulate(1, seed, hard=0.02) for seed in SEEDS]
    assert ratios(hard).mean() > ratios(worlds[1]).mean() + 1


def test_equal_seeds_give_equal_worlds():
    one, same, other = simulate(2, 5), simulate(np.int64(2), np.int64(5)), simulate(2, 6)
    assert (one.failures == same.failures).all() and (one.failures != other.failures).any()


@pytest.mark.parametrize("sharing", [0, 5, 1.5, "1", True])
def test_how_many_share_is_a_whole_number(sharing):
    with pytest.raises(ValueError, match="^sharing: expected"):
        simulate(sharing)


def test_the_share_of_hard_people_and_the_seed_are_numbers():
    for hard in (-0.1, np.nan, "half"):
        with pytest.raises(ValueError, match="^hard: expected"):
            simulate(hard=hard)
    with pytest.raises(ValueError, match="^seed: expected"):
        simulate(seed=0.5)
