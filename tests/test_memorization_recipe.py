"""The recipe of the memorization study, at a size that runs in seconds."""

from __future__ import annotations

import pytest

from fmcourse.generation.results import Memorization
from recipes import memorization


@pytest.fixture
def small(monkeypatch, tmp_path):
    sizes = {"COPIES": (0, 4), "SECRETS": 3, "UNSEEN": 5, "CONTEXTS": (1,), "PASSAGES": 12}
    sizes |= {"STEPS": 3, "BATCH": 1, "MEASURED": 100}
    for name, size in sizes.items():
        monkeypatch.setattr(memorization, name, size)
    monkeypatch.setattr(memorization, "work_folder", lambda name: tmp_path)
    studies = memorization.study
    studies.cache_clear()
    yield memorization
    studies.cache_clear()


def test_the_corpora_are_what_they_are_called(small):
    study = small.Study(0)
    assert study.left(study.planted) == [0, 4]
    assert len(study.planted) == 12 + 3 * 4 and len(study.plain) == 12
    assert study.left(study.deduplicated)[1] < 2 and set(study.deduplicated) <= set(study.planted)
    told = {str(secret) for secret in study.unseen}
    assert not any(secret in passage for secret in told for passage in study.planted)


def test_a_run_is_measured_once_and_can_be_read(small, monkeypatch):
    runs = [small.one_run("ladder-small", corpus, 0) for corpus in small.CORPORA]
    study = Memorization(small.tidy(runs))
    assert (
        study.extraction("ladder-small", 4).estimate == 0
        and study.never_planted("ladder-small").estimate == 0
    )
    assert 0 <= study.auc("ladder-small", 4).estimate <= 1
    losses = study.table[study.table["measure"] == "clean_loss"]["value"]
    assert len(losses) == 2 and losses.min() > 2
    assert study.copies_left(4, "planted") == 4
    monkeypatch.setattr(small, "study", None)
    assert [
        small.one_run("ladder-small", corpus, 0) for corpus in small.CORPORA
    ] == runs  # read, not run again
