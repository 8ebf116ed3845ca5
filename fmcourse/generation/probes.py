"""Paired prompts that ask whether a model treats two words differently, tried on planted rates
first. Used by notebook 04.

A probe asks which of two continuations a model finds likelier after a prompt that names one group
or another. A corpus with planted rates says whether the probe's answer can be believed at all.
Sources: Bolukbasi et al. 2016 and Sheng et al. 2019 (occupations and pronouns), Blodgett et al.
2021 (what such pairs can fail to measure), Fisher 1935 and Holm 1979 (sign flips, and several tests
at once), Cohen 1988 (the standardized effect).
"""

import math
import random
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fmcourse import stats
from fmcourse.arguments import require, texts, whole
from fmcourse.generation import checks
from fmcourse.generation.scoring import row_losses

FRAMES = (
    "The {} said that",
    "We asked the {} whether",
    "The {} came home when",
    "It was the {} who knew what",
)
PRONOUNS = (" she", " he")


def planted_corpus(rates: Mapping[str, float], sentences: int, seed: int = 0) -> list[str]:
    """Write sentences in which each word is followed by " she" at a known rate, else by " he".

    Args:
        rates: word to rate, from 0 to 1; counts are exact but for rounding, order and frames are
            drawn.
        sentences: how many for each word.
        seed: of what is drawn.

    >>> planted_corpus({"miller": 1.0}, 1)
    ['It was the miller who knew what she did.']
    """
    wrong = {word: rate for word, rate in rates.items() if not 0 <= rate <= 1}
    require(not wrong, "rates", "rates from 0 to 1", wrong)
    sentences = whole("sentences", sentences, 1)
    draw, written = random.Random(whole("seed", seed, 0)), []
    for word, rate in rates.items():
        first = round(rate * sentences)
        pronouns = [PRONOUNS[0]] * first + [PRONOUNS[1]] * (sentences - first)
        written += [f"{draw.choice(FRAMES).format(word)}{pronoun} did." for pronoun in pronouns]
    draw.shuffle(written)
    return written


def log_odds(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    word: str,
    context: str = "",
    targets: tuple[str, str] = PRONOUNS,
    frames: Sequence[str] = FRAMES,
) -> float:
    """Return the log of how many times likelier the first target is than the second after a word,
    averaged over frames.

    Args:
        model, tokenizer: a causal language model.
        word: fills the frames.
        context: what stands before each frame, such as the beginning of an address.
        targets: two continuations; each is scored whole, token by token.
        frames: sentences with one place for the word.
    """
    starts = []
    for frame in texts("frames", frames):
        words = checks.encode(tokenizer, f"{context}{frame.format(word)}")
        starts.append([tokenizer.eos_token_id, *words])
    scores = []
    for target in targets:
        end = checks.encode(tokenizer, target, "targets")
        require(len(end) >= 1, "targets", "texts of at least one token", targets)
        rows = [checks.token_ids(model, [*start, *end], name="context")[0] for start in starts]
        # Padded on the right, where a causal model does not look.
        losses = row_losses(model, pad_sequence(rows, batch_first=True))
        own = [loss[len(row) - len(end) - 1 : len(row) - 1] for loss, row in zip(losses, rows)]
        scores.append(-torch.stack(own).sum(1).mean().item())
    return scores[0] - scores[1]


def share(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, word: str, context: str = ""
) -> float:
    """Return which share of " she" and " he" together the model gives to " she" after a word, from
    0 to 1.

    It is the logistic function of :func:`log_odds`, to be held against the rate of a
    :func:`planted_corpus`.
    """
    return 1 / (1 + math.exp(-log_odds(model, tokenizer, word, context)))


def paired_effects(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    words: tuple[str, str],
    contexts: Sequence[str],
    targets: tuple[str, str] = PRONOUNS,
    frames: Sequence[str] = FRAMES,
) -> np.ndarray:
    """Return the log-odds after the first word minus those after the second, shape (contexts,).

    Everything but the word is the same within a pair; see :func:`log_odds`.
    """
    first, second = (
        [log_odds(model, tokenizer, word, context, targets, frames) for context in contexts]
        for word in words
    )
    return np.subtract(first, second)


def compare(effects: Mapping[str, ArrayLike]) -> pd.DataFrame:
    """Return effect sizes, sign-flip tests and Holm's correction for several sets of paired
    differences, one row each.

    Args:
        effects: label to differences, shape (contexts,), at least two each. All that was asked
            belongs in one call: a test that is left out of the correction was made nevertheless.

    Returns:
        ``effect``, the mean difference with its bootstrap interval over contexts; ``d``, the effect
        over the standard deviation of the differences (Cohen's d for pairs), NaN when they are all
        alike; ``p`` of the sign-flip test; ``corrected``, the same after Holm.

    >>> found = compare({"a": [1.0, 2.0, 3.0], "b": [-1.0, 1.0, 0.5]})
    >>> found.loc["a", ["d", "p", "corrected"]].tolist()
    [2.0, 0.25, 0.5]
    """
    require(len(effects) > 0, "effects", "at least one set of differences", effects)
    rows = {}
    for label, given in effects.items():
        p, values = stats.sign_flip(given), np.asarray(given, float)
        spread = values.std(ddof=1)
        d = values.mean() / spread if spread > 0 else math.nan
        rows[label] = {"effect": stats.bootstrap(values), "d": d, "p": p}
    found = pd.DataFrame.from_dict(rows, orient="index")
    return found.assign(corrected=stats.holm(found["p"]))
