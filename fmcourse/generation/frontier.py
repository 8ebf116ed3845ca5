"""What does a way of decoding cost in quality, and what does it gain in variety? One point of the frontier, measured.

Serves notebook 04 and the sweep behind it: the protocol stands here once. Excerpts of texts that the writer never read are
continued; a larger model reads the result. Sources: Holtzman et al. 2020 (quality and diversity of decoding), Caccia et al.
2020 (the whole frontier in place of one point), Schaeffer et al. 2025 (why every strategy gets as many settings).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmcourse.arguments import require
from fmcourse.generation.decoding import generate, generate_batch
from fmcourse.generation.scoring import mean_surprise
from fmcourse.generation.strategies import Beam, Greedy, Sample
from fmcourse.generation.variety import distinct_n, repetition_n, self_bleu_scores

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import GPTNeoForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

    from fmcourse.generation.fast import Decoder

__all__ = ["EXCERPTS", "NEW", "PROMPT", "continue_excerpts", "cut_excerpts", "measure_texts"]

EXCERPTS, PROMPT, NEW = (
    4,
    40,
    60,
)  # excerpts of each text; tokens that are given, and tokens that are written


def cut_excerpts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[torch.Tensor]:
    """Return :data:`EXCERPTS` pieces of each text, at equal distances, each of PROMPT + NEW tokens.

    Raises:
        ValueError: a text too short for one piece.
    """
    import torch

    pieces, length = [], PROMPT + NEW
    for text in texts:
        ids = torch.tensor(tokenizer(text, verbose=False)["input_ids"])
        require(len(ids) >= length, "texts", f"texts of at least {length} tokens", len(ids))
        starts = [place * (len(ids) - length) // EXCERPTS for place in range(EXCERPTS)]
        pieces += [ids[start : start + length] for start in starts]
    return pieces


def continue_excerpts(
    model: GPTNeoForCausalLM | Decoder,
    excerpts: Sequence[torch.Tensor],
    strategy: Greedy | Sample | Beam,
    draws: int = 1,
    seed: int = 0,
) -> list[torch.Tensor]:
    """Continue the beginning of each excerpt; one tensor each, shape (draws, length), the beginning included.

    Args:
        model: the writer.
        excerpts: as :func:`cut_excerpts` gives them.
        strategy: how tokens are chosen; one that does not draw gives one continuation, whatever `draws` says.
        draws, seed: how many continuations, and the seed of the drawing.
    """
    prompts = [excerpt[:PROMPT] for excerpt in excerpts]
    if isinstance(strategy, Beam):
        return [generate(model, prompt, strategy, NEW) for prompt in prompts]
    return generate_batch(
        model, prompts, strategy, NEW, draws if isinstance(strategy, Sample) else 1, seed
    )


def measure_texts(
    judge: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[torch.Tensor]
) -> dict[str, np.ndarray]:
    """Return quality and variety of continuations, each of shape (draws, texts), averaged or pooled over a text's excerpts.

    Args:
        judge: a larger model that reads the same tokens.
        tokenizer: that of both.
        rows: one tensor per excerpt, shape (draws, length), as :func:`continue_excerpts` gives them.

    Returns:
        ``surprise`` under the judge in nats per token, ``self_bleu`` against all other excerpts of the same draw,
        ``distinct_2`` over a text's excerpts together, ``repetition_4`` within each.
    """
    import numpy as np

    odd = np.stack([mean_surprise(judge, block, PROMPT).numpy() for block in rows], axis=1)
    texts = [
        [tokenizer.decode(block[draw, PROMPT:], skip_special_tokens=True) for block in rows]
        for draw in range(len(odd))
    ]
    alike = np.array([self_bleu_scores(written) for written in texts])
    groups = [
        [written[i : i + EXCERPTS] for i in range(0, len(written), EXCERPTS)] for written in texts
    ]
    return {
        "surprise": _by_text(odd),
        "self_bleu": _by_text(alike),
        "distinct_2": np.array([[distinct_n(own, 2) for own in by_text] for by_text in groups]),
        "repetition_4": np.array([[repetition_n(own, 4) for own in by_text] for by_text in groups]),
    }


def _by_text(values: np.ndarray) -> np.ndarray:
    """Average the excerpts of each text; shape (draws, excerpts) to (draws, texts)."""
    return values.reshape(len(values), -1, EXCERPTS).mean(-1)
