"""One point of the decoding frontier: what a strategy costs in quality and gains in variety. Used
by notebook 04 and its sweep.

Excerpts of texts that the writer never read are continued; a larger model reads the result.
Sources: Holtzman et al. 2020 (quality and diversity of decoding), Caccia et al. 2020 (the whole
frontier in place of one point), Schaeffer et al. 2025 (why every strategy gets as many settings).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fmcourse.arguments import require
from fmcourse.arguments import texts as several_texts
from fmcourse.generation.checks import encode
from fmcourse.generation.decoding import generate_batch
from fmcourse.generation.scoring import mean_surprise
from fmcourse.generation.strategies import Strategy
from fmcourse.generation.variety import distinct_n, repetition_n, self_bleu_scores

__all__ = ["EXCERPTS", "NEW", "PROMPT", "continue_excerpts", "cut_excerpts", "measure_texts"]

EXCERPTS = 4  # of each text
PROMPT = 40  # tokens that are given
NEW = 60  # tokens that are written


def cut_excerpts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[torch.Tensor]:
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
    excerpts: Sequence[torch.Tensor],
    strategy: Strategy,
    num_samples: int = 1,
    seed: int = 0,
) -> list[torch.Tensor]:
    """Continue the beginning of each excerpt; one tensor each, shape (num_samples, length), the
    beginning included.

    Args:
        model: the writer.
        excerpts: as :func:`cut_excerpts` gives them.
        strategy: how tokens are chosen; one that is not random gives one continuation, whatever
            `num_samples` says.
        num_samples, seed: how many continuations, and the seed of the sampling.
    """
    prompts = [excerpt[:PROMPT] for excerpt in excerpts]
    count = num_samples if strategy.random else 1
    return generate_batch(model, prompts, strategy, NEW, count, seed)


def measure_texts(
    judge: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[torch.Tensor]
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
    surprise = np.stack([mean_surprise(judge, block, PROMPT).numpy() for block in rows], axis=1)
    bleu, distinct, repeated = [], [], []
    for sample in range(len(surprise)):
        new = [block[sample, PROMPT:] for block in rows]
        written = [str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in new]
        by_text = [written[i : i + EXCERPTS] for i in range(0, len(written), EXCERPTS)]
        bleu.append(self_bleu_scores(written))
        distinct.append([distinct_n(own, 2) for own in by_text])
        repeated.append([repetition_n(own, 4) for own in by_text])
    return {
        "surprise": _by_text(surprise),
        "self_bleu": _by_text(np.array(bleu)),
        "distinct_2": np.array(distinct),
        "repetition_4": np.array(repeated),
    }


def _by_text(values: np.ndarray) -> np.ndarray:
    """Average the excerpts of each text; shape (samples, excerpts) to (samples, texts)."""
    return values.reshape(len(values), -1, EXCERPTS).mean(-1)
