"""A batch in parts is the batch, and each process has parts of its own."""

from __future__ import annotations

import types

import pytest
import torch
from doubles import says

from fmcourse.batches import Parted, autocast, batch_function, parts

ROWS = torch.arange(7.0)[:, None]


def test_one_part_is_the_batch_itself_whatever_it_is():
    batch = object()
    assert parts(batch, 1) == [(batch, 1.0)]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_parts_in_order_are_the_batch(count):
    cut = parts(ROWS, count)
    assert torch.equal(torch.cat([part for part, _ in cut]), ROWS)
    sizes = [len(part) for part, _ in cut]
    assert max(sizes) - min(sizes) <= 1
    assert [share for _, share in cut] == [size / 7 for size in sizes]


@pytest.mark.parametrize(
    "batch, tensors",
    [
        ({"x": ROWS, "y": ROWS + 1}, lambda part: part.values()),
        ((ROWS, ROWS + 1), lambda part: part),
        ([ROWS, ROWS + 1], lambda part: part),
    ],
    ids=["mapping", "tuple", "list"],
)
def test_all_tensors_of_a_batch_are_cut_alike(batch, tensors):
    cut = [tensors(part) for part, _ in parts(batch, 3)]
    x, y = (torch.cat(pieces) for pieces in zip(*cut))
    assert torch.equal(x, ROWS) and torch.equal(y, ROWS + 1)


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_processes_share_a_batch_without_rest_or_overlap(processes, accumulate):
    them = [
        types.SimpleNamespace(num_processes=processes, process_index=rank)
        for rank in range(processes)
    ]
    own = [Parted(accumulate, None, one).own(ROWS) for one in them]
    assert {len(parts) for parts in own} == {accumulate}
    assert sorted(
        value for parts in own for part, _ in parts for value in part.flatten().tolist()
    ) == list(range(7))
    assert sum(share for parts in own for _, share in parts) == pytest.approx(
        1.0
    )  # sevenths have no exact form


def test_without_an_accelerator_there_is_one_process():
    alone = Parted(2, None, None)
    assert alone.rank == 0 and len(alone.own(ROWS)) == 2
    assert alone.summed(torch.nn.Linear(1, 1), 0.25) == 0.25


def test_a_sequence_is_cycled_and_a_function_is_itself():
    assert [batch_function("ab")(step) for step in range(3)] == ["a", "b", "a"]
    assert batch_function(len) is len


@pytest.mark.parametrize(
    "precision, dtype", [(None, torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_products_have_the_precision(precision, dtype):
    line = torch.nn.Linear(1, 1)
    with autocast(line, precision)():
        assert line(ROWS).dtype == dtype
    assert line.weight.dtype == torch.float32


# The wording of each error.


def test_fewer_rows_than_parts():
    with says(
        ValueError, "batches: expected at least 8 rows in each batch, one for each part, got 7"
    ):
        parts(ROWS, 8)


def test_tensors_that_differ_in_their_rows():
    words = "batches: expected tensors with equally many rows in each batch, to be cut into parts, got [6, 7]"
    with says(ValueError, words):
        parts((ROWS, ROWS[1:]), 2)


@pytest.mark.parametrize(
    "batch, kind",
    [("words", "str"), ({"x": ROWS, "scale": 2.0}, "float"), (torch.tensor(1.0), "Tensor")],
)
def test_what_cannot_be_cut(batch, kind):
    words = f"batches: expected tensors with rows, or mappings or tuples of them, to be cut into parts, got {kind}"
    with says(TypeError, words):
        parts(batch, 2)


def test_an_unknown_precision():
    with says(ValueError, "precision: expected one of 'bf16', 'fp16', got 'fp8'"):
        autocast(torch.nn.Linear(1, 1), "fp8")


def test_weights_that_are_no_masters():
    with says(
        ValueError,
        "precision: expected a model whose trained weights are all fp32, got 'torch.float16'",
    ):
        autocast(torch.nn.Linear(1, 1).half(), "fp16")
