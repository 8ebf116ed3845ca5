"""Flips, slices, duplicates, the tail, drift and lineage: on paper, against references, and with the words of each error."""

from __future__ import annotations

import numpy as np
import pytest
from doubles import says
from scipy.stats import binom

from fmcourse import embeddings
from fmcourse.embeddings import drift_detector, duplicate_groups, flips, lineage, nearest, precision_at


def test_flips_on_paper():
    found = flips([0, 0, 1, 1, 2], [0, 1, 1, 2, 1], [0, 0, 0, 2, 0])
    assert (found.changed.estimate, found.lost.estimate, found.gained.estimate) == (0.6, 0.2, 0.2)


def test_accuracy_moves_by_gained_minus_lost():
    draw = np.random.default_rng(0)
    old, new, labels = draw.integers(0, 3, (3, 200))
    found = flips(old, new, labels)
    moved = (new == labels).mean() - (old == labels).mean()
    assert found.gained.estimate - found.lost.estimate == pytest.approx(moved)
    assert found.changed.estimate >= found.lost.estimate + found.gained.estimate


def test_a_slice_and_the_rest_make_the_whole():
    old, new, labels, where = [0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 1, 0], np.array([True, True, True, False])
    inside, outside = flips(old, new, labels, where), flips(old, new, labels, ~where)
    whole = flips(old, new, labels)
    assert 3 * inside.lost.estimate + outside.lost.estimate == pytest.approx(4 * whole.lost.estimate)


def planted(seed=0, inside=25, count=400, d=32):
    """Rows of eight clusters; half of one of them, apart by a small step, is mostly wrong, and so is a twentieth of the rest."""
    draw = np.random.default_rng(seed)
    places = draw.normal(size=(8, d)) * 2
    cluster = draw.integers(0, 8, count)
    rows = places[cluster] + draw.normal(size=(count, d))
    members = np.zeros(count, bool)
    members[np.flatnonzero(cluster == 3)[:inside]] = True
    rows[members] += draw.normal(size=d) * 0.4
    wrong = np.where(members, draw.random(count) < 0.9, draw.random(count) < 0.05).astype(float)
    return rows, wrong, members


def test_errors_help_to_find_the_planted_slice():
    found = {"errors": [], "clusters": [], "random": []}
    for seed in range(5):
        rows, wrong, members = planted(seed)
        found["errors"].append(precision_at(embeddings.error_slices(rows, wrong), members))
        found["clusters"].append(precision_at(embeddings.cluster_slices(rows, wrong), members))
        found["random"].append(precision_at(embeddings.random_slices(len(rows), seed=seed), members))
    errors, clusters, chance = (np.mean(values) for values in found.values())
    assert errors > clusters > chance
    assert errors > 0.8


def test_the_worst_slice_comes_first():
    rows, wrong, members = planted()
    scores = embeddings.error_slices(rows, wrong)
    assert scores.shape == (400, 10)
    assert members[scores[:, 0].argsort()[-10:]].mean() > 0.8


@pytest.mark.parametrize("method", [embeddings.error_slices, embeddings.cluster_slices])
def test_the_same_seed_finds_the_same_and_changes_no_argument(method):
    rows, wrong, _ = planted()
    kept = rows.copy(), wrong.copy()
    assert (method(rows, wrong, seed=1) == method(rows, wrong, seed=1)).all()
    assert (rows == kept[0]).all() and (wrong == kept[1]).all()


def test_random_slices_find_what_chance_allows():
    members = np.arange(200) < 20
    best = [precision_at(embeddings.random_slices(200, 10, seed), members) for seed in range(100)]
    below = binom.cdf(np.arange(11), 10, 0.1) ** 10  # the best of ten, in drawing with replacement
    expected = (1 - below[:-1]).sum() / 10
    assert np.mean(best) == pytest.approx(expected, abs=0.03)  # without replacement it is a little less


def test_nearest_is_the_largest_cosine():
    draw = np.random.default_rng(0)
    rows, others = draw.normal(size=(5, 4)), draw.normal(size=(7, 4))
    cosine = rows @ others.T / np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(others, axis=1)
    near, place = nearest(rows, others)
    assert near == pytest.approx(cosine.max(1)) and (place == cosine.argmax(1)).all()


def test_links_chain_and_length_does_not_count():
    angles = np.radians([0, 5, 10, 80])
    rows = np.column_stack([np.cos(angles), np.sin(angles)]) * np.array([[1], [9], [2], [1]])
    groups = duplicate_groups(rows, np.cos(np.radians(6)))
    assert groups.tolist() == [0, 0, 0, 1]
    assert duplicate_groups(rows, 1.0).tolist() == [0, 1, 2, 3]


def test_an_empty_bin_is_left_out():
    found = embeddings.accuracy_by_count([1, 2, 50], [1, 0, 1], [1, 10, 20, 100])
    assert {label: share.estimate for label, share in found.items()} == {"1-9": 0.5, "20-99": 1.0}


def test_the_false_alarm_rate_is_the_one_asked_for():
    rates = []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        detector = drift_detector(draw.normal(size=(100, 8)), size=10, level=0.1)
        rates.append(np.mean([detector.alarm(window) for window in draw.normal(size=(200, 10, 8))]))
    assert np.mean(rates) == pytest.approx(0.1, abs=0.03)  # between references the rate has a deviation of about 0.03


def test_a_large_drift_is_seen():
    draw = np.random.default_rng(0)
    detector = drift_detector(draw.normal(size=(100, 8)), size=10)
    assert detector.alarm(draw.normal(size=(10, 8)) + 1.5)


def test_a_detector_is_reproducible_and_has_its_own_size():
    rows = np.random.default_rng(0).normal(size=(40, 3))
    assert drift_detector(rows, 5).threshold == drift_detector(rows, 5).threshold
    with says(ValueError, "window: expected 5 rows, for which the threshold was fixed, got 4"):
        drift_detector(rows, 5).score(rows[:4])


def test_lineage_follows_every_parent_once():
    sources = {"model.bin": "a.parquet and b.parquet", "a.parquet": "b.parquet", "b.parquet": "a package 1.0"}
    manifest = {file: {"source": source} for file, source in sources.items()}
    assert lineage("model.bin", manifest) == ["model.bin", "a.parquet", "b.parquet", "a package 1.0"]
    assert lineage("b.parquet", manifest) == ["b.parquet", "a package 1.0"]


def test_a_circle_ends():
    manifest = {"a.bin": {"source": "b.bin"}, "b.bin": {"source": "a.bin"}}
    assert lineage("a.bin", manifest) == ["a.bin", "b.bin"]


@pytest.mark.parametrize("call, words", [
    (lambda: flips([0], [0, 1], [0, 1]), "old: expected shape (2,), that of labels, got (1,)"),
    (lambda: flips([0], [0], [0], [False]), "where: expected at least one item that counts, got 'none'"),
    (lambda: embeddings.error_slices([[1.0]], [2.0], 1), "wrong: expected numbers from 0 to 1, got [2.0]"),
    (lambda: embeddings.cluster_slices([[1.0]], [1.0], 2), "slices: expected a whole number from 1 to 1, got 2"),
    (lambda: embeddings.error_slices([[1.0]], [1.0, 0.0], 1), "wrong: expected shape (1,), one number per row, got (2,)"),
    (lambda: embeddings.random_slices(0), "count: expected at least one item and one slice, got (0, 10)"),
    (lambda: precision_at([[1.0]], [True], 2), "k: expected a whole number from 1 to 1, got 2"),
    (lambda: precision_at([[1.0]], [True, False]), "members: expected shape (1,), got (2,)"),
    (lambda: nearest([[1.0]], [[1.0, 2.0]]), "others: expected rows of 1 numbers, got 2"),
    (lambda: nearest([1.0], [[1.0]]), "rows: expected shape (n, d), n and d at least 1, got (1,)"),
    (lambda: nearest([[np.nan]], [[1.0]]), "rows: expected finite numbers, got 'NaN or infinity'"),
    (lambda: duplicate_groups([[1.0]], 0), "threshold: expected a cosine above 0 and at most 1, got 0"),
    (lambda: embeddings.accuracy_by_count([1], [1], [2, 1]), "edges: expected rising whole numbers, at least one, got [2, 1]"),
    (lambda: embeddings.accuracy_by_count([1], [1, 0], [1]), "right: expected shape (1,), that of counts, got (2,)"),
    (lambda: drift_detector([[1.0], [2.0]], 2), "size: expected a whole number from 1 to 1, got 2"),
    (lambda: drift_detector([[1.0], [2.0]], 1, level=1), "level: expected a rate between 0 and 1, got 1"),
    (lambda: lineage("a", {"b": {"source": "x"}}), "file: expected one of 'b', got 'a'"),
])  # fmt: skip
def test_errors(call, words):
    with says(ValueError, words):
        call()
