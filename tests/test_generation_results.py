"""The bundled sweeps are read as intervals: addresses and secrets are the units, and equal variety meets equal variety."""

from __future__ import annotations

import pytest
from doubles import says

from fmcourse.generation.results import (
    DecodingFrontier,
    Memorization,
    load_decoding_frontier,
    load_memorization,
)
from fmcourse.uncertainty import wilson


def run(family, value, surprise, variety):
    """Return a run of two draws and two addresses, all figures alike but for a spread that averages out."""
    odd = [[surprise - 1, surprise - 0.5], [surprise + 1, surprise + 0.5]]
    return {"family": family, "value": value, "surprise": odd, "distinct_2": [[variety] * 2] * 2}


FRONTIER = DecodingFrontier(
    years=[1900, 2000],
    president={"surprise": [[3.0, 4.0]], "distinct_2": [[0.9, 0.9]]},
    runs=[
        run("top-p", 0.2, 2.0, 0.4),
        run("top-p", 0.9, 4.0, 0.8),
        run("min-p", 0.5, 2.5, 0.7),
        run("min-p", 0.1, 3.5, 0.9),
        run("greedy", 1, 1.5, 0.2),
    ],
)


def test_draws_are_averaged_within_an_address():
    assert FRONTIER.figures("surprise", "top-p", 0.9).tolist() == [4.0, 4.0]
    assert FRONTIER.interval("surprise", "top-p", 0.9).estimate == 4.0
    assert FRONTIER.of_presidents("surprise").estimate == 3.5
    assert FRONTIER.families == ["top-p", "min-p", "greedy"] and FRONTIER.values("min-p") == [
        0.5,
        0.1,
    ]


def test_surprise_is_read_off_at_a_variety():
    assert FRONTIER.surprise_at("top-p", 0.6).estimate == pytest.approx(
        3.0
    )  # halfway from 0.4 to 0.8
    assert FRONTIER.surprise_at("min-p", 0.9).estimate == pytest.approx(3.5)
    gap = FRONTIER.difference("min-p", "top-p", 0.75)
    assert gap.estimate == pytest.approx(2.75 - 3.75)


def test_a_way_through_the_plane_is_ordered_by_variety():
    variety, surprise = FRONTIER.curves(["min-p", "greedy"])["min-p"]
    assert variety == [0.7, 0.9] and [odd.estimate for odd in surprise] == [2.5, 3.5]


def test_no_difference_to_itself():
    gap = FRONTIER.difference("top-p", "top-p", 0.5)
    assert gap.estimate == 0


def study_run(size, corpus, seed, extracted, losses, unseen=(2.0, 3.0)):
    short = {"all": extracted, "1": [0, 0], "end mark": [0, 1]}
    passages, left = (10, 4.0) if corpus == "planted" else (8, 1.0)
    counts = {"passages": passages, "plain_passages": 6, "copies_left": [0.0, left]}
    told = {
        "losses": losses,
        "unseen_losses": list(unseen),
        "unseen_extracted": 0,
        "extracted": short,
        "clean_loss": 3.0 + seed,
    }
    return {"size": size, "parameters": 100, "corpus": corpus, "seed": seed} | counts | told


STUDY = Memorization(
    copies=[0, 4],
    contexts=[1],
    runs=[
        study_run("small", "planted", 0, [0, 1], [[2.0, 3.0], [0.0, 1.0]]),
        study_run("small", "planted", 1, [0, 2], [[2.0, 3.0], [0.0, 2.5]]),
        study_run("small", "deduplicated", 0, [0, 0], [[2.0, 3.0], [2.0, 3.0]]),
    ],
)


def test_secrets_of_all_seeds_count_together():
    assert STUDY.extraction("small", 4) == wilson(3, 4)
    assert STUDY.extraction("small", 4, context=1) == wilson(0, 4)
    assert STUDY.extraction("small", 4, context="end mark") == wilson(2, 4)
    assert STUDY.extraction("small", 4, "deduplicated") == wilson(0, 2)
    assert STUDY.never_planted("small") == wilson(0, 4)


def test_the_auc_is_averaged_over_seeds():
    assert STUDY.auc("small", 4).estimate == pytest.approx((1 + 3 / 4) / 2)
    assert STUDY.auc("small", 0).estimate == pytest.approx(0.5)


def test_two_lines_a_model():
    lines = STUDY.curves()
    assert {name.split(", ")[1]: line for name, line in lines.items()} == {
        "told apart (AUC)": ([4], [STUDY.auc("small", 4)]),
        "written in full": ([4], [STUDY.extraction("small", 4)]),
    }


def test_what_deduplication_did():
    assert STUDY.copies_left(4) == 1 and STUDY.copies_left(4, "planted") == 4
    assert (
        STUDY.mean("passages", "small", "deduplicated") == 8
        and STUDY.mean("clean_loss", "small", "planted") == 3.5
    )
    assert STUDY.sizes == {"small": 100}


ERRORS = [
    (
        lambda: FRONTIER.interval("surprise", "top-q", 1),
        "family: expected one of 'top-p', 'min-p', 'greedy', got 'top-q'; did you mean 'top-p'?",
    ),
    (lambda: FRONTIER.interval("surprise", "top-p", 1), "value: expected one of [0.2, 0.9], got 1"),
    (
        lambda: FRONTIER.interval("suprise", "top-p", 0.9),
        "measure: expected one of 'surprise', 'self_bleu', 'distinct_2', 'repetition_4', got 'suprise'; did you mean 'surprise'?",
    ),
    (
        lambda: FRONTIER.difference("min-p", "top-p", 0.5),
        "variety: expected from 0.700 to 0.900, as min-p reaches, got 0.5",
    ),
    (lambda: STUDY.auc("small", 3), "copies: expected one of [0, 4], got 3"),
    (
        lambda: STUDY.extraction("small", 4, context=2),
        "context: expected one of '1', 'end mark', got '2'",
    ),
    (lambda: STUDY.auc("large", 4), "size: expected one of 'small', got 'large'"),
    (
        lambda: STUDY.auc("small", 4, "plain"),
        "corpus: expected one of 'planted', 'deduplicated', got 'plain'; did you mean 'planted'?",
    ),
    (
        lambda: STUDY.mean("loss", "small", "planted"),
        "what: expected one of 'clean_loss', 'passages', 'plain_passages', got 'loss'",
    ),
]


@pytest.mark.parametrize(("call", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_the_words_of_each_error(call, words):
    with says(ValueError, words):
        call()


def test_the_bundled_frontier_is_complete():
    frontier = load_decoding_frontier()
    assert len(frontier.families) == 9 and len(frontier.runs) == 60 and len(frontier.years) == 13
    shapes = {(len(r["surprise"]), len(r["surprise"][0])) for r in frontier.runs}
    assert shapes == {(1, 13), (4, 13)}
    greedy, plain = (
        frontier.interval("repetition_4", *which).estimate
        for which in (("greedy", 1), ("temperature", 1.0))
    )
    assert greedy > plain


def test_the_bundled_study_is_complete():
    study = load_memorization()
    made = {(run["size"], run["corpus"]) for run in study.runs}
    assert made == {
        (size, corpus)
        for size in ("ladder-small", "ladder-medium")
        for corpus in ("planted", "deduplicated")
    }
    assert len(study.runs) % len(made) == 0  # as many seeds of each
    assert all(len(losses) == 30 for r in study.runs for losses in r["losses"])
    assert study.never_planted("ladder-medium").estimate == 0
    assert study.copies_left(64) < 0.1 * study.copies_left(64, "planted")
