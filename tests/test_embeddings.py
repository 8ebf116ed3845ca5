"""Flips, slices, duplicates, the tail, drift and lineage, on paper and against references."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy.stats import binom

from fmcourse import data, embeddings
from fmcourse.embeddings import (
    alike,
    check_version,
    cut_passages,
    drift_detector,
    duplicate_groups,
    fingerprint,
    flips,
    licences,
    lineage,
    load_versions,
    mutual_nearest,
    nearest,
    precision_at,
    ring_rate,
    runs,
)


def test_accuracy_moves_by_gained_minus_lost():
    draw = np.random.default_rng(0)
    old, new, labels = draw.integers(0, 3, (3, 200))
    found = flips(old, new, labels)
    moved = (new == labels).mean() - (old == labels).mean()
    assert found.gained.estimate - found.lost.estimate == pytest.approx(moved)
    assert found.changed.estimate >= found.lost.estimate + found.gained.estimate


def test_a_slice_and_the_rest_make_the_whole():
    old, new, labels, where = (
        [0, 1, 0, 1],
        [0, 0, 1, 1],
        [0, 1, 1, 0],
        np.array([True, True, True, False]),
    )
    inside, outside = flips(old, new, labels, where), flips(old, new, labels, ~where)
    whole = flips(old, new, labels)
    assert 3 * inside.lost.estimate + outside.lost.estimate == pytest.approx(
        4 * whole.lost.estimate
    )


def test_the_bundled_versions_show_the_same_drawings_and_differ():
    versions = load_versions()
    assert list(versions.rows) == ["seed 0", "seed 1", "seed 2", "1% less", "one pair less"]
    for rows in versions.rows.values():
        assert rows.shape == (len(versions.names), 128) and rows.dtype == np.float32
        assert np.linalg.norm(rows, axis=1) == pytest.approx(
            1, abs=2e-3
        )  # half precision keeps 11 bits
    assert len({fingerprint(rows) for rows in versions.rows.values()}) == 5
    learnt = {code for code, own in zip(versions.codepoints, versions.train) if own}
    assert learnt and not learnt & {
        code for code, own in zip(versions.codepoints, versions.train) if not own
    }
    assert set(versions.subgroups[versions.train]) == set(versions.subgroups[~versions.train])


def test_a_fingerprint_stands_for_numbers_as_stored_and_for_their_shape():
    rows = np.random.default_rng(0).normal(size=(6, 4))
    assert (
        fingerprint(rows)
        == fingerprint(rows.astype(np.float16))
        == fingerprint(rows.astype(np.float16).astype(np.float32))
    )
    assert (
        len(
            {
                fingerprint(rows),
                fingerprint(rows[::-1]),
                fingerprint(rows.reshape(4, 6)),
                fingerprint(rows * 1.01),
            }
        )
        == 4
    )
    halves = b"\x00\x3c\x00\x00"  # 1 and 0 in half precision, the lower byte first
    check_version([[1.0, 0.0]], fingerprint([[1.0, 0.0]]))
    with pytest.raises(ValueError, match="fit anew"):
        check_version([[1.0, 0.0]], fingerprint([[2.0, 0.0]]))
    assert fingerprint([[1.0, 0.0]]) == hashlib.sha256(b"(1, 2)" + halves).hexdigest()[:12]


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
        found["random"].append(
            precision_at(embeddings.random_slices(len(rows), seed=seed), members)
        )
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
    assert np.mean(best) == pytest.approx(
        expected, abs=0.03
    )  # without replacement it is a little less


def test_nearest_is_the_largest_cosine():
    draw = np.random.default_rng(0)
    rows, others = draw.normal(size=(5, 4)), draw.normal(size=(7, 4))
    cosine = (
        rows @ others.T / np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(others, axis=1)
    )
    near, place = nearest(rows, others)
    assert near == pytest.approx(cosine.max(1)) and (place == cosine.argmax(1)).all()


def test_a_join_without_a_key_finds_the_turned_and_noisy_copies():
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(40, 16))
    order = draw.permutation(40)
    pairs = mutual_nearest(rows, 3 * rows[order] + 0.3 * draw.normal(size=(40, 16)))
    assert len(pairs) >= 38 and (order[pairs[:, 1]] == pairs[:, 0]).all()


def test_the_control_has_the_same_classes_and_each_item_once():
    labels = np.random.default_rng(0).integers(0, 4, 80)
    places = np.flatnonzero(labels < 3)[::2]
    drawn = alike(labels, places, seed=1)
    assert (np.bincount(labels[drawn]) == np.bincount(labels[places])).all() and len(
        set(drawn.tolist())
    ) == len(places)
    assert (drawn == alike(labels, places, seed=1)).all() and set(drawn.tolist()) != set(
        alike(labels, places).tolist()
    )


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
    assert np.mean(rates) == pytest.approx(
        0.1, abs=0.03
    )  # between references the rate has a deviation of about 0.03


def waves(seed, count=60, length=40, d=4):
    """Series whose level wanders: within one, neighbours are alike."""
    draw = np.random.default_rng(seed)
    level = draw.normal(size=(count, 1, d))
    return (level + draw.normal(size=(count, length, d))).reshape(-1, d), np.repeat(
        np.arange(count), length
    )


def test_a_threshold_from_random_windows_lies_about_runs_and_one_from_runs_does_not():
    rates = {"random": [], "runs": []}
    for seed in range(5):
        (rows, series), (new, new_series) = waves(seed), waves(seed + 100)
        for name, own in {"random": None, "runs": series}.items():
            detector = drift_detector(rows, size=10, level=0.1, series=own)
            rates[name].append(np.mean([detector.alarm(new[run]) for run in runs(new_series, 10)]))
    assert np.mean(rates["random"]) > 0.8
    assert np.mean(rates["runs"]) == pytest.approx(
        0.1, abs=0.06
    )  # 60 levels in four directions: a deviation of about 0.04 each


def test_a_run_is_compared_with_the_other_series():
    rows, series = np.array([[0.0], [0.0], [1.0], [1.0]]), ["a", "a", "b", "b"]
    assert (
        drift_detector(rows, size=2, level=0.5, series=series).threshold == 1.0
    )  # and not 0.5, from the mean of all


def test_passages_are_whole_and_know_their_text():
    passages, texts = cut_passages(["a b c d e", "f", "g h"], words=2)
    assert passages == ["a b", "c d", "g h"] and texts.tolist() == [0, 0, 2]


def test_windows_of_one_series_count_as_one():
    rings, series = np.repeat([True, False], 50), np.repeat([0, 1], 50)
    clustered, scattered = ring_rate(rings, series), ring_rate(rings, np.arange(100))
    assert clustered.estimate == scattered.estimate == 0.5
    # Two series say next to nothing.
    assert clustered.low < 0.01 and clustered.high > 0.99
    assert scattered.high - scattered.low == pytest.approx(
        4 * 0.05, abs=0.02
    )  # two standard errors on each side


def test_a_rate_is_over_windows_not_over_series():
    assert ring_rate([True, False, False, False], ["a", "b", "b", "b"]).estimate == 0.25


def test_runs_may_be_scattered_and_stay_in_order():
    assert runs([1, 2, 1, 2, 1, 1], 2).tolist() == [[0, 2], [4, 5], [1, 3]]
    assert runs([1, 2], 2).shape == (0, 2)


def made(**sources):
    """A manifest of files with their sources, under licences that name the file."""
    return {file: {"sources": own, "licence": f"of {file}"} for file, own in sources.items()}


def test_lineage_follows_every_source_once_and_ends_outside():
    manifest = made(model=["a", "b", "package 2.0"], a=["b"], b=["package 1.0"])
    assert lineage("model", manifest) == ["model", "a", "b", "package 2.0", "package 1.0"]
    assert lineage("b", manifest) == ["b", "package 1.0"]
    assert lineage("a", made(a=["b"], b=["a"])) == ["a", "b"]


def test_a_name_in_a_sentence_is_no_source():
    manifest = made(model=["ladder of a friend"], ladder=[])
    assert lineage("model", manifest) == ["model", "ladder of a friend"]


def test_the_licences_of_a_row_are_those_of_everything_behind_it():
    manifest = made(a=["b"], b=["package"], c=["b"])
    assert licences(["a"], manifest) == {"a": "of a", "b": "of b"}
    manifest["c"]["licence"] = ""
    with pytest.raises(ValueError, match="licence"):
        licences(["a", "c"], manifest)


def test_every_bundled_file_has_licences():
    assert all(all(licences([file]).values()) for file in data.manifest())


BROKEN = {
    "old": lambda: flips([0], [0, 1], [0, 1]),
    "where": lambda: flips([0], [0], [0], [False]),
    "wrong": lambda: embeddings.error_slices([[1.0]], [2.0], 1),
    "wrong ": lambda: embeddings.error_slices([[1.0]], [np.nan], 1),
    "slices": lambda: embeddings.cluster_slices([[1.0]], [1.0], 2),
    "count": lambda: embeddings.random_slices(0),
    "k": lambda: precision_at([[1.0]], [True], 2),
    "members": lambda: precision_at([[1.0]], [True, False]),
    "others": lambda: nearest([[1.0]], [[1.0, 2.0]]),
    "rows": lambda: nearest([[np.nan]], [[1.0]]),
    "threshold": lambda: duplicate_groups([[1.0]], 0),
    "edges": lambda: embeddings.accuracy_by_count([1], [1], [2, 1]),
    "size": lambda: drift_detector([[1.0], [2.0]], 2),
    "level": lambda: drift_detector([[1.0], [2.0]], 1, level=1),
    "series": lambda: drift_detector([[1.0], [2.0]], 1, series=[0, 0]),
    "words": lambda: cut_passages(["a"], 0),
    "series ": lambda: ring_rate([True, False, False], ["a", "a", "a"]),
    "rings": lambda: ring_rate([0.5, np.nan], ["a", "b"]),
    "file": lambda: lineage("a", {"b": {"sources": []}}),
    "window": lambda: drift_detector(np.eye(8), 5).score(np.eye(8)[:4]),
}


@pytest.mark.parametrize("argument", BROKEN)
def test_an_argument_that_decides_nothing_right_is_refused_by_name(argument):
    with pytest.raises(ValueError, match=f"^{argument.strip()}: expected"):
        BROKEN[argument]()
