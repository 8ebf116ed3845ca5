"""Stand-ins that several tests share: a tiny GPT-Neo, a tokenizer of letters, two tiny CLIPs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    EfficientNetConfig,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)

from fmcourse import data

CASES = tomllib.loads(Path(__file__).with_name("cases.toml").read_text(encoding="utf-8"))
END = 0  # the end token of the doubles
VOCABULARY = 17
CONTEXT = 64
SIDE = 16  # pixels of the CLIP doubles
WIDTH = 8  # of the space that their towers share
TOKENS = 12  # their context
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = tuple(
    "a an of red green blue black white square circle cat dog drawing emoji picture icon".split()
)


def tiny_gpt_neo(seed: int = 0, dropout: float = 0.0, end: int | None = END) -> GPTNeoForCausalLM:
    """Return a random GPT-Neo with one global and one local layer, and end tokens that occur."""
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
    """A tokenizer with one token a letter: a-p are 1-16, 0 is the end, and blanks are none."""

    eos_token_id = END
    letters = "abcdefghijklmnop"

    def __call__(self, text: str, **options: object) -> dict[str, list[int]]:
        letters = text.replace(" ", "")
        return {"input_ids": [self.letters.index(letter) + 1 for letter in letters]}

    def decode(self, ids: list[int]) -> str:
        return "".join("<end>" if token == END else self.letters[token - 1] for token in ids)


def tiny_clip(
    seed: int = 0, dropout: float = 0.0
) -> tuple[VisionTextDualEncoderModel, VisionTextDualEncoderProcessor]:
    """Return a random CLIP like the bundled one: EfficientNet, with used batch norms, and BERT."""
    pictures = EfficientNetConfig(
        image_size=SIDE,
        width_coefficient=1 / 40,  # of the 1280 channels that every EfficientNet ends with
        depth_coefficient=1.0,
        kernel_sizes=(3, 3),
        in_channels=(8, 8),
        out_channels=(8, 8),
        depthwise_padding=[],
        strides=(1, 2),
        num_block_repeats=(1, 2),
        expand_ratios=(1, 2),
        hidden_dim=32,
        hidden_size=32,
        hidden_act="tanh",  # so that pooled rows point everywhere
        batch_norm_momentum=1.0,  # the statistics are those of the last batch
        dropout_rate=dropout,
        drop_connect_rate=dropout,
        initializer_range=0.3,
    )
    texts = BertConfig(
        vocab_size=len(MARKS + WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=TOKENS,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.3,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = VisionTextDualEncoderConfig.from_vision_text_configs(
            pictures, texts, projection_dim=WIDTH
        )
        model = VisionTextDualEncoderModel(config).train()
        with torch.no_grad():
            model.vision_model(torch.randn(32, 3, SIDE, SIDE))
    return model.eval(), VisionTextDualEncoderProcessor(_pixels(), word_tokenizer())


def tiny_vit_clip(seed: int = 0, dropout: float = 0.0) -> tuple[CLIPModel, CLIPProcessor]:
    """Return a random CLIP like OpenAI's: a vision transformer and a causal text transformer."""
    tower = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    tower |= {"attention_dropout": dropout, "initializer_factor": 4.0}
    marks = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    config = CLIPConfig(
        vision_config=tower | {"image_size": SIDE, "patch_size": 8},
        text_config=tower
        | marks
        | {"vocab_size": len(MARKS + WORDS), "max_position_embeddings": TOKENS},
        projection_dim=WIDTH,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CLIPModel(config).eval(), CLIPProcessor(_pixels(), word_tokenizer())


CLIPS = {"EfficientNet": tiny_clip, "ViT": tiny_vit_clip}


def _pixels() -> CLIPImageProcessor:
    size = {"height": SIDE, "width": SIDE}
    return CLIPImageProcessor(
        size=size, do_center_crop=False, crop_size=None, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token a word, between [CLS] and [SEP]."""
    places = {word: place for place, word in enumerate(MARKS + WORDS)}
    words = Tokenizer(models.WordLevel(places, unk_token="[UNK]"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(mark, places[mark]) for mark in ("[CLS]", "[SEP]")]
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )


def drawings(count: int, seed: int = 0, mode: str = "RGB") -> list[Image.Image]:
    """Return pictures of 24x24 pixels, each of 4x4 squares in random colours."""
    draw = np.random.default_rng(seed)
    squares = draw.integers(0, 256, (count, 4, 4, len(mode)), dtype=np.uint8)
    return [Image.fromarray(square.repeat(6, 0).repeat(6, 1)) for square in squares]


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Tell whether two modules have the same weights and statistics, bit for bit."""
    state, others = one.state_dict(), other.state_dict()
    return state.keys() == others.keys() and all(torch.equal(state[n], others[n]) for n in state)


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let Ctrl-C be pressed in this step of a training, before any weight moves."""
    steps, clip = iter(range(step)), torch.nn.utils.clip_grad_norm_

    def stopping(*given, **options):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return clip(*given, **options)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", stopping)


def forget_bundle() -> None:
    """Empty what the bundle remembers: its manifest and the files already compared."""
    for value in vars(data).values():
        getattr(value, "cache_clear", lambda: None)()
