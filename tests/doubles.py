"""Small stand-ins that several tests share: a tiny GPT-Neo, a tokenizer of letters, and the exact words of an error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fmcourse import bundle

if TYPE_CHECKING:
    from transformers import GPTNeoForCausalLM

END = 0  # the end token of the doubles
VOCABULARY = 17
CONTEXT = 64


def tiny_gpt_neo(seed: int = 0, dropout: float = 0.0, end: int | None = END) -> GPTNeoForCausalLM:
    """Return a random GPT-Neo with one global and one local layer, its weights large enough that end tokens occur."""
    import torch
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    config = GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_layers=2,
        attention_types=[[["global", "local"], 1]],
        num_heads=2,
        intermediate_size=32,
        max_position_embeddings=CONTEXT,
        window_size=8,
        initializer_range=0.4,
        resid_dropout=dropout,
        embed_dropout=dropout,
        attention_dropout=dropout,
        bos_token_id=END,
        eos_token_id=end,
        attn_implementation="eager",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GPTNeoForCausalLM(config).eval()


class Letters:
    """A tokenizer with one token a letter: a-p are 1-16, and 0 is the end."""

    eos_token_id = END
    letters = "abcdefghijklmnop"

    def __call__(self, text: str, **options: object) -> dict[str, list[int]]:
        return {"input_ids": [self.letters.index(letter) + 1 for letter in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join("<end>" if token == END else self.letters[token - 1] for token in ids)


def says(kind: type[BaseException], words: str):
    """Expect an error of this kind with exactly these words."""
    return pytest.raises(kind, match=f"^{re.escape(words)}$")


def forget_bundle() -> None:
    """Empty what the bundle remembers: its manifest and the files already compared."""
    for value in vars(bundle).values():
        getattr(value, "cache_clear", lambda: None)()
