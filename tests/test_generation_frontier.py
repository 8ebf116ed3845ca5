"""Excerpts are cut alike and continued alike, and each measure is that of its name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fmcourse
from fmcourse.generation import (
    Beam,
    Greedy,
    Sample,
    distinct_n,
    generate,
    mean_surprise,
    repetition_n,
    self_bleu,
)
from fmcourse.generation.frontier import (
    EXCERPTS,
    NEW,
    PROMPT,
    continue_excerpts,
    cut_excerpts,
    measure_texts,
)


@pytest.fixture(scope="module")
def ladder():
    return fmcourse.load_gpt_neo("ladder-small")


@pytest.fixture(scope="module")
def excerpts(ladder):
    texts = [row["text"] for row in fmcourse.load_addresses() if row["split"] == "validation"][:2]
    return cut_excerpts(ladder[1], texts)


def test_excerpts_lie_at_equal_distances(ladder):
    text = " war" * 500
    ids = ladder[1](text)["input_ids"]
    pieces = cut_excerpts(ladder[1], [text, text])
    assert len(pieces) == 2 * EXCERPTS and {len(piece) for piece in pieces} == {PROMPT + NEW}
    step = (len(ids) - PROMPT - NEW) // EXCERPTS
    assert [piece.tolist() for piece in pieces[:EXCERPTS]] == [
        ids[start : start + PROMPT + NEW] for start in (0, step, 2 * step, 3 * step)
    ]


@pytest.mark.parametrize("strategy", [Greedy(), Beam(2)], ids=str)
def test_what_is_not_random_is_written_once(ladder, excerpts, strategy):
    rows = continue_excerpts(ladder[0], excerpts, strategy, num_samples=3)
    for row, excerpt in zip(rows, excerpts):
        assert torch.equal(row, generate(ladder[0], excerpt[:PROMPT], strategy, NEW))


def test_each_measure_is_that_of_its_name(ladder, excerpts):
    model, tokenizer = ladder
    rows = continue_excerpts(model, excerpts, Sample(), 2, seed=0)
    found = measure_texts(model, tokenizer, rows)
    assert {values.shape for values in found.values()} == {(2, 2)}
    second = [tokenizer.decode(row[1, PROMPT:], skip_special_tokens=True) for row in rows]
    own = second[EXCERPTS:]  # of the second text, in the second draw
    odd = [mean_surprise(model, row[1:], PROMPT).item() for row in rows[EXCERPTS:]]
    assert found["surprise"][1, 1] == pytest.approx(
        np.mean(odd), abs=1e-4
    )  # fp32, batched otherwise
    assert found["distinct_2"][1, 1] == distinct_n(own, 2) and found["repetition_4"][
        1, 1
    ] == repetition_n(own, 4)
    assert found["self_bleu"][1].mean() == pytest.approx(self_bleu(second))
