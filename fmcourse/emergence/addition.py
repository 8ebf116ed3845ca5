"""Three-digit addition, character by character, and ways to score it; for notebook 01.

A sum is 12 tokens, ``d d d + d d d = d d d d``; only the answer is scored, with the right answer so
far in view. Greedy decoding goes on exactly as long as it is right, so a sum is exact here if and
only if greedy decoding gets it right.

Sources: Schaeffer et al. 2023 (exact match against continuous scores), Lee et al. 2024 (reversed
answers).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import GPTNeoForCausalLM

from fmcourse import runtime, training
from fmcourse.arguments import require
from fmcourse.emergence.models import small_gpt_neo
from fmcourse.generation.checks import finite

__all__ = ["PLACES", "draw_sums", "encode_sums", "score_sums", "show_sum", "train_adder"]

CHARACTERS = "0123456789+="
PLACES = ("thousands", "hundreds", "tens", "units")
DIGITS = 3
PROMPT = 2 * DIGITS + 2  # tokens up to the equals sign, this included
LENGTH = PROMPT + len(PLACES)
LAYERS = 2
BATCH = 40
LR = 3e-3  # for all widths, as steep as trials with other seeds allowed
STEPS = 3_000
TEST_SUMS, TEST_SEED = 1_000, 2**31
IGNORED = -100  # the label that transformers' loss leaves out


def encode_sums(
    first: Tensor | Sequence[int], second: Tensor | Sequence[int], reverse: bool = False
) -> dict[str, Tensor]:
    """Return sums as token ids and labels, each of shape (sums, 12); the labels of the question are
    ignored.

    Args:
        first, second: whole numbers from 0 to 999, shape (sums,).
        reverse: whether the answer is written units first, the order in which a person adds.

    Raises:
        ValueError: numbers out of range.
    """
    one, other = _addend("first", first), _addend("second", second)
    answer = _digits(one + other, len(PLACES))
    if reverse:
        answer = answer.flip(1)
    plus, equals = (torch.full((len(one), 1), CHARACTERS.index(sign)) for sign in "+=")
    ids = torch.cat([_digits(one, DIGITS), plus, _digits(other, DIGITS), equals, answer], 1)
    labels = ids.clone()
    labels[:, :PROMPT] = IGNORED
    return {"input_ids": ids, "labels": labels}


def show_sum(ids: Tensor) -> str:
    """Return the characters of one sum, shape (length,)."""
    return "".join(CHARACTERS[token] for token in ids.tolist())


def draw_sums(count: int, reverse: bool = False, seed: int | None = None) -> dict[str, Tensor]:
    """Draw sums of two numbers from 0 to 999 each, encoded; None means the global generator, which
    the training loop seeds."""
    draw = runtime.generator(seed)
    first, second = torch.randint(10**DIGITS, (2, count), generator=draw)
    return encode_sums(first, second, reverse)


def score_sums(
    model: GPTNeoForCausalLM, sums: dict[str, Tensor], reverse: bool = False
) -> dict[str, float]:
    """Return what each way of scoring says of a model on the same sums.

    Returns:
        ``exact``, the share of sums with all four digits right; ``digits``, the share of right
        digits; the share of right digits of each of :data:`PLACES`; ``nll``, nats per digit.

    Raises:
        FloatingPointError: the model's logits are not finite.
    """
    with torch.no_grad():
        output = model(**sums)
    answers = finite(output.logits)[:, PROMPT - 1 : -1].argmax(-1)
    right = answers == sums["input_ids"][:, PROMPT:]
    shares = right.double().mean(0)
    if reverse:
        shares = shares.flip(0)
    return {
        "exact": right.all(1).double().mean().item(),
        "digits": shares.mean().item(),
        "nll": output.loss.item(),
        **dict(zip(PLACES, shares.tolist())),
    }


def train_adder(
    width: int,
    reverse: bool = False,
    *,
    seed: int = 0,
    steps: int = STEPS,
    lr: float = LR,
    measure_every: int = 75,
    **options,
) -> tuple[GPTNeoForCausalLM, training.Run]:
    """Train a two-layer GPT-Neo on fresh sums and score it on 1,000 fixed ones as it goes.

    Sums are drawn from a million possible ones with replacement, so that at the end of the default
    run about an eighth of the test sums has been met once in training.

    Args:
        width: numbers per token, a multiple of 4.
        reverse: as in :func:`encode_sums`.
        seed: of weights and sums; the test sums are the same for all.
        steps, measure_every, options: as in :func:`fmcourse.training.fit`.
        lr: the learning rate, constant.

    Returns:
        The model, and the run with a record of :func:`score_sums` per measurement.
    """
    model = small_gpt_neo(len(CHARACTERS), width, LAYERS, LENGTH, seed)
    test = draw_sums(TEST_SUMS, reverse, TEST_SEED)
    run = training.fit(
        model,
        lambda step: draw_sums(BATCH, reverse),
        steps,
        optimizer=training.adamw(lr),
        measure=lambda model: score_sums(model, test, reverse),
        measure_every=measure_every,
        identity={"task": "addition", "reverse": reverse},
        seed=seed,
        progress=False,
        **options,
    )
    return model, run


def _addend(name: str, numbers: Tensor | Sequence[int]) -> Tensor:
    """Return whole numbers from 0 to 999 as int64, in which no sum overflows."""
    found = torch.as_tensor(numbers)
    # Small integers cannot even be compared with 1,000.
    large = found.long()
    inside = ((large >= 0) & (large < 10**DIGITS)).all()
    fits = inside and found.ndim == 1 and not found.is_floating_point()
    require(fits, name, f"whole numbers from 0 to {10**DIGITS - 1}, shape (sums,)", numbers)
    return large


def _digits(numbers: Tensor, places: int) -> Tensor:
    powers = 10 ** torch.arange(places - 1, -1, -1)
    return numbers[:, None] // powers % 10
