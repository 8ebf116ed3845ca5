"""Continuing texts with a language model, and measuring what it writes and gives away.

Used by notebooks 04 and 06. Shapes: a prompt is (length,) or (1, length) token ids; logits are
(rows, vocabulary). Each module names its sources.
"""

from fmcourse.generation.decoding import generate, generate_batch, next_logits, stream
from fmcourse.generation.frontier import (
    by_address,
    continue_excerpts,
    cut_excerpts,
    difference_at,
    measure_texts,
)
from fmcourse.generation.memorization import (
    Secret,
    audit,
    deduplicate,
    draw_secrets,
    leak_curves,
    plant,
    told_apart,
    written_in_full,
)
from fmcourse.generation.probes import compare, log_odds, paired_effects, planted_corpus, share
from fmcourse.generation.scoring import (
    bits_per_byte,
    mean_surprise,
    perplexity,
    row_losses,
    token_losses,
)
from fmcourse.generation.strategies import Beam, Greedy, Sample
from fmcourse.generation.variety import distinct_n, mark_repeats, repetition_n, self_bleu

__all__ = [
    "Beam",
    "Greedy",
    "Sample",
    "Secret",
    "audit",
    "bits_per_byte",
    "by_address",
    "compare",
    "continue_excerpts",
    "cut_excerpts",
    "deduplicate",
    "difference_at",
    "distinct_n",
    "draw_secrets",
    "generate",
    "generate_batch",
    "leak_curves",
    "log_odds",
    "mark_repeats",
    "mean_surprise",
    "measure_texts",
    "next_logits",
    "paired_effects",
    "perplexity",
    "plant",
    "planted_corpus",
    "repetition_n",
    "row_losses",
    "self_bleu",
    "share",
    "stream",
    "token_losses",
    "told_apart",
    "written_in_full",
]
