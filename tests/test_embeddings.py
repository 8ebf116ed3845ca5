"""Flips, slices, neighbours, drift and lineage, on paper and against references."""

import hashlib

import numpy as np
import pytest
from doubles import refusals, refused

from fmcourse import data, embeddings


def test_accuracy_moves_by_gained_minus_lost_on_a_slice_and_on_the_rest(draw):
    old, new, labels = draw.integers(0, 3, (3, 200))
    where = draw.random(200) < 0.3
    parts = []
    for own in (None, where, ~where):
        found = embeddings.flips(old, new, labels, own)
        kept = slice(None) if own is None else own
        moved = ((new == labels)[kept].mean() - (old == labels)[kept].mean()).item()
        assert found.gained.estimate - found.lost.estimate == pytest.approx(moved)
        parts.append(found.lost.estimate)
    share = where.mean()
    assert share * parts[1] + (1 - share) * parts[2] == pytest.approx(parts[0])


def test_the_bundled_versions_show_the_same_drawings_and_differ():
    versions = embeddings.load_versions()
    assert list(versions.rows) == ["seed 0", "seed 1", "seed 2", "1% less", "one pair less"]
    for rows in versions.rows.values():
        assert rows.shape == (len(versions.names), 128) and rows.dtype == np.float32
    assert len({embeddings.fingerprint(rows) for rows in versions.rows.values()}) == 5
    codes = np.array(versions.codepoints)
    assert not set(codes[versions.train]) & set(codes[~versions.train])


def test_a_fingerprint_stands_for_numbers_as_stored_and_for_their_shape(draw):
    rows = draw.normal(size=(6, 4))
    stamp = embeddings.fingerprint(rows)
    embeddings.check_version(rows.astype(np.float16).astype(np.float32), stamp)
    for other in (rows[::-1], rows.reshape(4, 6), rows * 1.01):
        with refused("rows", "fit anew"):
            embeddings.check_version(other, stamp)
    halves = b"\x00\x3c\x00\x00"  # 1 and 0 in half precision, the lower byte first
    wanted = hashlib.sha256(b"(1, 2)" + halves).hexdigest()[:12]
    assert embeddings.fingerprint([[1.0, 0.0]]) == wanted


def planted(seed=0, inside=25, count=400, d=32):
    """Rows of eight clusters; half of one of them, apart by a small step, is mostly wrong, and so
    is a twentieth of the rest."""
    draw = np.random.default_rng(seed)
    places = draw.normal(size=(8, d)) * 2
    cluster = draw.integers(0, 8, count)
    rows = places[cluster] + draw.normal(size=(count, d))
    members = np.zeros(count, bool)
    members[np.flatnonzero(cluster == 3)[:inside]] = True
    rows[members] += draw.normal(size=d) * 0.4
    wrong = np.where(members, draw.random(count) < 0.9, draw.random(count) < 0.05).astype(float)
    return rows, wrong, members


def test_errors_help_to_find_the_planted_slice_and_the_worst_comes_first():
    found = {"errors": [], "clusters": [], "random": []}
    for seed in range(5):
        rows, wrong, members = planted(seed)
        scores = {
            "errors": embeddings.error_slices(rows, wrong),
            "clusters": embeddings.cluster_slices(rows, wrong),
            "random": embeddings.random_slices(len(rows), seed),
        }
        for name, own in scores.items():
            found[name].append(embeddings.precision_at(own, members))
        assert (scores["errors"] == embeddings.error_slices(rows, wrong)).all()
    errors, clusters, chance = (np.mean(values) for values in found.values())
    assert errors > 0.8 and errors > clusters > chance
    rows, wrong, members = planted()
    assert members[embeddings.error_slices(rows, wrong)[:, 0].argsort()[-10:]].mean() > 0.8


def test_a_join_without_a_key_finds_the_turned_and_noisy_copies(draw):
    rows = draw.normal(size=(40, 16))
    order = draw.permutation(40)
    others = 3 * rows[order] + 0.3 * draw.normal(size=(40, 16))
    pairs = embeddings.mutual_nearest(rows, others)
    assert len(pairs) >= 38 and (order[pairs[:, 1]] == pairs[:, 0]).all()
    units = [own / np.linalg.norm(own, axis=1, keepdims=True) for own in (rows, others)]
    assert embeddings.nearest(rows, others)[0] == pytest.approx((units[0] @ units[1].T).max(1))


def test_the_control_has_the_same_classes_and_each_item_once(draw):
    labels = draw.integers(0, 4, 80)
    places = np.flatnonzero(labels < 3)[::2]
    drawn, again = (embeddings.alike(labels, places, seed) for seed in (1, 1))
    assert (np.bincount(labels[drawn]) == np.bincount(labels[places])).all()
    assert len(set(drawn)) == len(places) and (drawn == again).all()


def test_the_false_alarm_rate_is_the_one_asked_for(draw):
    rates = []
    for _ in range(10):
        detector = embeddings.drift_detector(draw.normal(size=(100, 8)), size=10, level=0.1)
        rates.append(np.mean([detector.alarm(window) for window in draw.normal(size=(200, 10, 8))]))
    # Between references the rate has a deviation of about 0.03.
    assert np.mean(rates) == pytest.approx(0.1, abs=0.03)


def waves(seed, count=60, length=40, d=4):
    """Series whose level wanders: within one, neighbours are alike."""
    draw = np.random.default_rng(seed)
    level = draw.normal(size=(count, 1, d))
    rows = level + draw.normal(size=(count, length, d))
    return rows.reshape(-1, d), np.repeat(np.arange(count), length)


def test_a_threshold_from_random_windows_lies_about_runs_and_one_from_runs_does_not():
    rates = {"random": [], "runs": []}
    for seed in range(5):
        (rows, series), (new, new_series) = waves(seed), waves(seed + 100)
        windows = embeddings.runs(new_series, 10)
        for name, own in {"random": None, "runs": series}.items():
            detector = embeddings.drift_detector(rows, size=10, level=0.1, series=own)
            rates[name].append(np.mean([detector.alarm(new[window]) for window in windows]))
    assert np.mean(rates["random"]) > 0.8
    # 60 levels in four directions: a deviation of about 0.04 each.
    assert np.mean(rates["runs"]) == pytest.approx(0.1, abs=0.06)


def test_a_run_is_compared_with_the_other_series():
    rows, series = [[0.0], [0.0], [1.0], [1.0]], ["a", "a", "b", "b"]
    # And not 0.5, from the mean of all.
    assert embeddings.drift_detector(rows, size=2, level=0.5, series=series).threshold == 1.0


def test_passages_and_runs_are_whole_and_know_where_they_are_from():
    passages, texts = embeddings.cut_passages(["a b c d e", "f", "g h"], words=2)
    assert passages == ["a b", "c d", "g h"] and texts.tolist() == [0, 0, 2]
    assert embeddings.runs([1, 2, 1, 2, 1, 1], 2).tolist() == [[0, 2], [4, 5], [1, 3]]
    assert embeddings.runs([1, 2], 2).shape == (0, 2)


def test_windows_of_one_series_count_as_one():
    rings, series = np.repeat([True, False], 50), np.repeat([0, 1], 50)
    clustered = embeddings.ring_rate(rings, series)
    scattered = embeddings.ring_rate(rings, np.arange(100))
    assert clustered.estimate == scattered.estimate == 0.5
    # Two series say next to nothing.
    assert clustered.low < 0.01 and clustered.high > 0.99
    # Two standard errors on each side.
    assert scattered.high - scattered.low == pytest.approx(4 * 0.05, abs=0.02)
    uneven = embeddings.ring_rate([True, False, False, False], ["a", "b", "b", "b"])
    assert uneven.estimate == 0.25  # over windows, not over series


def made(**sources):
    """A manifest of files with their sources, under licences that name the file."""
    return {file: {"sources": own, "licence": f"of {file}"} for file, own in sources.items()}


def test_lineage_follows_every_source_once_and_ends_outside():
    manifest = made(model=["a", "b", "a friend's b"], a=["b"], b=["package 1.0"])
    assert embeddings.lineage("model", manifest) == [
        "model",
        "a",
        "b",
        "a friend's b",
        "package 1.0",
    ]
    assert embeddings.lineage("a", made(a=["b"], b=["a"])) == ["a", "b"]


def test_the_licences_of_a_row_are_those_of_everything_behind_it():
    manifest = made(a=["b"], b=["package"], c=["b"])
    assert embeddings.licences(["a"], manifest) == {"a": "of a", "b": "of b"}
    manifest["c"]["licence"] = ""
    with refused("files", "licence"):
        embeddings.licences(["a", "c"], manifest)
    assert embeddings.licences(list(data.manifest()))


ONE = [[1.0]]
TWO = [[1.0], [2.0]]
test_an_argument_that_decides_nothing_right_is_refused_by_name = refusals(
    ("labels, old, new, where", embeddings.flips, [0], [0, 1], [0, 1]),
    ("where", embeddings.flips, [0], [0], [0], [False]),
    ("wrong", embeddings.error_slices, np.eye(10), np.full(10, 2.0)),
    ("members", embeddings.precision_at, ONE, [True, False]),
    ("rows", embeddings.nearest, [[np.nan]], ONE),
    ("size", embeddings.drift_detector, TWO, 2),
    ("series", lambda: embeddings.drift_detector(TWO, 1, series=[0, 0])),
    ("series", embeddings.ring_rate, [True, False, False], ["a", "a", "a"]),
    ("rings", embeddings.ring_rate, [0.5, np.nan], ["a", "b"]),
    ("file", embeddings.lineage, "a", made(b=[])),
    ("window", embeddings.drift_detector(np.eye(8), 5).score, np.eye(8)[:4]),
)
