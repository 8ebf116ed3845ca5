"""The decoding frontier: what a strategy costs in quality and gains in variety. Used by notebook 04
and its sweep.

Excerpts of texts that the writer never read are continued; a larger model reads the result.
Sources: Holtzman et al. 2020 (quality and diversity of decoding), Caccia et al. 2020 (the whole
frontier in place of one point), Schaeffer et al. 2025 (why every strategy gets as many settings).

The bundled table ``decoding-frontier`` (``recipes/decoding_frontier.py``) has one row per family,
value, sample and year of the address, with the measures of :data:`MEASURES`; the family
``president`` holds the presidents' own words. The address is its independent unit.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fmcourse import stats
from fmcourse.arguments import choose, require
from fmcourse.arguments import texts as several_texts
from fmcourse.generation.checks import encode
from fmcourse.generation.decoding import generate_batch
from fmcourse.generation.scoring import mean_surprise
from fmcourse.generation.strategies import Strategy
from fmcourse.generation.variety import distinct_n, repetition_n, self_bleu_scores
from fmcourse.results import select
from fmcourse.stats import Interval

EXCERPTS = 4  # of each text
PROMPT = 40  # tokens that are given
NEW = 60  # tokens that are written
MEASURES = ("surprise", "self_bleu", "distinct_2", "repetition_4")


def cut_excerpts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Tensor]:
    """Return :data:`EXCERPTS` pieces of each text, at equal distances, each of PROMPT + NEW tokens.

    Raises:
        ValueError: a text too short for one piece.
    """
    pieces, length = [], PROMPT + NEW
    for text in several_texts("texts", texts):
        ids = torch.tensor(encode(tokenizer, text))
        require(len(ids) >= length, "texts", f"texts of at least {length} tokens", len(ids))
        for number in range(EXCERPTS):
            start = number * (len(ids) - length) // EXCERPTS
            pieces.append(ids[start : start + length])
    return pieces


def continue_excerpts(
    model: PreTrainedModel,
    excerpts: Sequence[Tensor],
    strategy: Strategy,
    num_samples: int = 1,
) -> list[Tensor]:
    """Continue the beginning of each excerpt; one tensor each, shape (num_samples, length), the
    beginning included.

    Args:
        model: the writer.
        excerpts: as :func:`cut_excerpts` gives them.
        strategy: how tokens are chosen; one that is not random gives one continuation, whatever
            `num_samples` says.
        num_samples: how many continuations; they are sampled with the seed 0.
    """
    prompts = [excerpt[:PROMPT] for excerpt in excerpts]
    count = num_samples if strategy.random else 1
    return generate_batch(model, prompts, strategy, NEW, count, seed=0)


def measure_texts(
    judge: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[Tensor]
) -> dict[str, np.ndarray]:
    """Return quality and variety of continuations, each of shape (samples, texts), averaged or
    pooled over a text's excerpts.

    Args:
        judge: a larger model that reads the same tokens.
        tokenizer: that of both.
        rows: one tensor per excerpt, shape (samples, length), as :func:`continue_excerpts` gives
            them.

    Returns:
        ``surprise`` under the judge in nats per token, ``self_bleu`` against all other excerpts of
        the same sample, ``distinct_2`` over a text's excerpts together, ``repetition_4`` within
        each.
    """
    # Of all excerpts; those of one text stand together.
    surprise = torch.stack([mean_surprise(judge, block, PROMPT) for block in rows], dim=1)
    bleu, distinct, repeated = [], [], []
    for sample in range(len(surprise)):
        new = [block[sample, PROMPT:] for block in rows]
        written = [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in new]
        by_text = [written[i : i + EXCERPTS] for i in range(0, len(written), EXCERPTS)]
        bleu.append(self_bleu_scores(written))
        distinct.append([distinct_n(own, 2) for own in by_text])
        repeated.append([repetition_n(own, 4) for own in by_text])
    of_excerpts = np.array([surprise.numpy(), bleu])
    of_texts = of_excerpts.reshape(2, len(surprise), -1, EXCERPTS).mean(-1)
    return dict(zip(MEASURES, [*of_texts, np.array(distinct), np.array(repeated)]))


def by_address(table: pd.DataFrame, measure: str, family: str, value: float) -> np.ndarray:
    """Return a measure of each address at one setting, averaged over samples, shape (addresses,).

    Args:
        table: the decoding frontier.
        measure: one of :data:`MEASURES`.
        family, value: the setting, as the table names it.
    """
    rows = select(table, family=family, value=value)
    return rows.groupby("year")[choose("measure", measure, MEASURES)].mean().to_numpy()


def difference_at(table: pd.DataFrame, variety: float, family: str, other: str) -> Interval:
    """Return a family's surprise minus another's at the same variety; addresses are resampled in
    pairs.

    Args:
        table: the decoding frontier.
        variety: distinct-2, within what the settings of both reach; surprise is read off the line
            through them.
        family, other: families of the table.
    """
    first, second = _points(table, family), _points(table, other)
    for name, points in ((family, first), (other, second)):
        reached = points.mean(0)[:, 0]
        low, high = reached.min(), reached.max()
        reach = f"from {low:.3f} to {high:.3f}, as {name} reaches"
        require(low <= variety <= high, "variety", reach, variety)
    settings = first.shape[1]

    def gap(points: np.ndarray) -> float:
        line = points.mean(0)
        return _read_off(line[:settings], variety) - _read_off(line[settings:], variety)

    return stats.bootstrap(np.concatenate([first, second], axis=1), gap)


def _points(table: pd.DataFrame, family: str) -> np.ndarray:
    """Return variety and surprise at each setting, shape (addresses, settings, 2)."""
    axes = ["distinct_2", "surprise"]
    wide = select(table, family=family).pivot_table(axes, "year", "value")
    return np.stack([wide[axis] for axis in axes], axis=-1)


def _read_off(line: np.ndarray, variety: float) -> float:
    """Order the settings by variety, and interpolate; shape (settings, 2)."""
    x, y = line[line[:, 0].argsort()].T
    return float(np.interp(variety, x, y))
