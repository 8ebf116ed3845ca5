"""Continuing texts with a language model, and measuring what it writes and gives away.

Used by notebooks 04 and 06. Shapes: a prompt is (length,) or (1, length) token ids; logits are
(rows, vocabulary). Each module names its sources.
"""

from __future__ import annotations

from fmcourse.generation.decoding import generate, generate_batch, next_logits, next_tokens, stream
from fmcourse.generation.frontier import continue_excerpts, cut_excerpts, measure_texts
from fmcourse.generation.memorization import (
    Audit,
    Secret,
    audit,
    deduplicate,
    draw_secrets,
    membership,
    plant,
)
from fmcourse.generation.probes import (
    PairedEffect,
    Probe,
    compare,
    log_odds,
    paired_effects,
    planted_corpus,
    share,
)
from fmcourse.generation.results import (
    DecodingFrontier,
    Memorization,
    load_decoding_frontier,
    load_memorization,
)
from fmcourse.generation.scoring import (
    bits_per_byte,
    mean_surprise,
    perplexity,
    repetition_curves,
    row_losses,
    token_losses,
)
from fmcourse.generation.strategies import Beam, Greedy, Sample
from fmcourse.generation.variety import distinct_n, repetition_n, self_bleu, self_bleu_scores
from fmcourse.generation.xray import attention_maps, influence, kept_tokens, receptive_field

__all__ = [
    "Audit",
    "Beam",
    "DecodingFrontier",
    "Greedy",
    "Memorization",
    "PairedEffect",
    "Probe",
    "Sample",
    "Secret",
    "attention_maps",
    "audit",
    "bits_per_byte",
    "compare",
    "continue_excerpts",
    "cut_excerpts",
    "deduplicate",
    "distinct_n",
    "draw_secrets",
    "generate",
    "generate_batch",
    "influence",
    "kept_tokens",
    "load_decoding_frontier",
    "load_memorization",
    "log_odds",
    "mean_surprise",
    "measure_texts",
    "membership",
    "next_logits",
    "next_tokens",
    "paired_effects",
    "perplexity",
    "plant",
    "planted_corpus",
    "receptive_field",
    "repetition_curves",
    "repetition_n",
    "row_losses",
    "self_bleu",
    "self_bleu_scores",
    "share",
    "stream",
    "token_losses",
]
