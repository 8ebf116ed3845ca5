"""When does a small GPT-Neo learn to add, and what does each way of scoring see of it? Three-digit
sums, character by character.

Serves notebook 01 and ``recipes/emergence_autopsy.py``. A sum is 12 tokens, ``d d d + d d d = d d d
d``; only the answer is scored. Scored with the right answer so far in view: as greedy decoding goes
on exactly as long as it is right, a sum counts as exact here if and only if greedy decoding gets it
right. Sources: Schaeffer et al. 2023 (exact match against continuous scores), Lee et al. 2024
(reversed answers).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import GPTNeoForCausalLM

from fmcourse import training
from fmcourse.arguments import require
from fmcourse.emergence.models import small_gpt_neo
from fmcourse.emergence.watch import fit_watched

__all__ = ["PLACES", "draw_sums", "encode_sums", "score_sums", "show_sum", "train_adder"]

CHARACTERS = "0123456789+="
PLACES = ("thousands", "hundreds", "tens", "units")
DIGITS = 3
PROMPT = 2 * DIGITS + 2  # tokens up to and with the equals sign
LENGTH = PROMPT + len(PLACES)
LAYERS = 2
BATCH = 40  # 480 tokens: with batches this small, what the loop itself costs can be felt
LR = 3e-3  # for all widths, as steep as trials with other seeds allowed
STEPS = 3_000
TEST_SUMS, TEST_SEED = 1_000, 2**31
IGNORED = -100  # the label that transformers' loss leaves out


def encode_sums(
    first: torch.Tensor, second: torch.Tensor, reverse: bool = False
) -> dict[str, torch.Tensor]:
    """Return sums as token ids and labels, each of shape (sums, 12); the labels of the question are
    ignored.

    Args:
        first, second: whole numbers from 0 to 999, shape (sums,).
        reverse: whether the answer is written units first, the order in which a person adds.

    Raises:
        ValueError: numbers out of range, or not as many of one as of the other.
    """
    same = first.shape == second.shape and first.ndim == 1
    require(same, "second", f"the shape of first, {tuple(first.shape)}", tuple(second.shape))
    for name, numbers in (("first", first), ("second", second)):
        inside = bool(((numbers >= 0) & (numbers < 10**DIGITS)).all())
        require(inside, name, f"whole numbers from 0 to {10**DIGITS - 1}", numbers.tolist())
    answer = _digits(first + second, len(PLACES))
    signs = torch.tensor([CHARACTERS.index("+"), CHARACTERS.index("=")]).repeat(len(first), 1)
    question = [_digits(first, DIGITS), signs[:, :1], _digits(second, DIGITS), signs[:, 1:]]
    ids = torch.cat([*question, answer.flip(1) if reverse else answer], 1)
    labels = ids.clone()
    labels[:, :PROMPT] = IGNORED
    return {"input_ids": ids, "labels": labels}


def show_sum(ids: torch.Tensor) -> str:
    """Return the characters of one sum, shape (length,)."""
    return "".join(CHARACTERS[token] for token in ids.tolist())


def draw_sums(
    count: int, reverse: bool = False, seed: int | None = None
) -> dict[str, torch.Tensor]:
    """Draw sums of two numbers from 0 to 999 each, encoded; None means the global generator, which
    the training loop seeds."""
    require(count >= 1, "count", "at least 1", count)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    numbers = torch.randint(10**DIGITS, (2, count), generator=generator)
    return encode_sums(*numbers, reverse=reverse)


def score_sums(
    model: GPTNeoForCausalLM, sums: dict[str, torch.Tensor], reverse: bool = False
) -> dict[str, float]:
    """Return what each way of scoring says of a model on the same sums.

    Returns:
        ``exact``, the share of sums with all four digits right; ``digits``, the share of right
        digits; the share of right digits of each of :data:`PLACES`; ``nll``, nats per digit.
    """
    with torch.no_grad():
        output = model(**sums)
    right = output.logits[:, PROMPT - 1 : -1].argmax(-1) == sums["input_ids"][:, PROMPT:]
    shares = right.double().mean(0)
    places = dict(zip(PLACES, (shares.flip(0) if reverse else shares).tolist()))
    return {
        "exact": right.all(1).double().mean().item(),
        "digits": shares.mean().item(),
        "nll": output.loss.item(),
        **places,
    }


def train_adder(
    width: int,
    reverse: bool = False,
    *,
    seed: int = 0,
    steps: int = STEPS,
    lr: float = LR,
    measure_every: int = 75,
    on_measure: Callable[[dict[str, float]], None] | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> tuple[GPTNeoForCausalLM, training.Run]:
    """Train a two-layer GPT-Neo on fresh sums and score it on 1,000 fixed ones as it goes.

    Sums are drawn from a million possible ones with replacement, so that at the end of the default
    run about an eighth of the test sums has been met once in training.

    Args:
        width: numbers per token; 8 to 96 here.
        reverse: as in :func:`encode_sums`.
        seed: of weights and sums; the test sums are the same for all.
        steps, measure_every, checkpoint, progress: as in :func:`fmcourse.training.fit`.
        lr: the learning rate, constant.
        on_measure: called with each new record, ``step`` left out; a moving figure can hang on it.

    Returns:
        The model, and the run with a record of :func:`score_sums` per measurement.
    """
    model = small_gpt_neo(len(CHARACTERS), width, LAYERS, LENGTH, seed)
    test = draw_sums(TEST_SUMS, reverse, TEST_SEED)

    run = fit_watched(
        model,
        lambda step: draw_sums(BATCH, reverse),
        lambda model: score_sums(model, test, reverse),
        on_measure,
        lr=lr,
        steps=steps,
        measure_every=measure_every,
        checkpoint=checkpoint,
        seed=seed,
        progress=progress,
    )
    return model, run


def _digits(numbers: torch.Tensor, places: int) -> torch.Tensor:
    powers = 10 ** torch.arange(places - 1, -1, -1)
    return numbers[:, None] // powers % 10
