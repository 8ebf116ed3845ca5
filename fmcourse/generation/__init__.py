"""How does a language model choose its next word, and what does each way of choosing cost in quality or variety?

Serves notebook 04. Shapes: a prompt is (length,) or (1, length) token ids; logits are (rows, vocabulary). Each module
names its sources.
"""

from __future__ import annotations

from fmcourse.generation.decoding import generate, generate_batch, next_logits, next_tokens
from fmcourse.generation.fast import Decoder
from fmcourse.generation.scoring import bits_per_byte, mean_surprise, perplexity, repetition_curve, token_losses
from fmcourse.generation.strategies import Beam, Greedy, Sample
from fmcourse.generation.variety import distinct_n, repetition_n, self_bleu, self_bleu_scores
from fmcourse.generation.xray import attention_maps, influence, kept_tokens, receptive_field

__all__ = [
    "Beam",
    "Decoder",
    "Greedy",
    "Sample",
    "attention_maps",
    "bits_per_byte",
    "distinct_n",
    "generate",
    "generate_batch",
    "influence",
    "kept_tokens",
    "mean_surprise",
    "next_logits",
    "next_tokens",
    "perplexity",
    "receptive_field",
    "repetition_curve",
    "repetition_n",
    "self_bleu",
    "self_bleu_scores",
    "token_losses",
]
