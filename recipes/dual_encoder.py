"""CLIPs of transformers' VisionTextDualEncoder class: their parts, their files, what they embed.

Used by the recipes that train or read one.
"""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, normalizers, processors
from torch.nn import functional as F
from transformers import (
    BertConfig,
    CLIPImageProcessor,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)

from recipes.common import BUNDLED, whole_folder
from recipes.emoji_pairs import MEAN, STD, ensemble

LARGEST_SCALE = math.log(100.0)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def as_bert_reads(pieces: Tokenizer) -> None:
    """Let a tokenizer read lower case, and put [CLS] before and [SEP] after each text."""
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    marks = [(mark, pieces.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=marks
    )


def for_transformers(pieces: Tokenizer, length: int) -> PreTrainedTokenizerFast:
    """Return a trained tokenizer as one of transformers, for texts of at most `length` tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=length,
        model_input_names=["input_ids", "attention_mask"],
    )


def bert_config(vocabulary: int, width: int, layers: int, length: int, **options) -> BertConfig:
    """Return the configuration of a BERT without dropout, its heads 32 wide.

    It reads texts of at most `length` tokens.
    """
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
        max_position_embeddings=length,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
        **options,
    )


def write_model(
    model: VisionTextDualEncoderModel,
    tokenizer: PreTrainedTokenizerFast,
    side: int,
    folder: Path,
    **options: object,
) -> None:
    """Write a model and its processor in half precision.

    Args:
        model: it is turned into half precision.
        tokenizer: that of the text encoder.
        side: the pictures' side in pixels.
        folder: where to; an older model there is replaced by the whole new one.
        options: what else the pictures' processor shall know, such as ``resample``.
    """
    model = model.half()
    finite = all(value.isfinite().all() for value in model.state_dict().values())
    assert finite, "a weight that half precision cannot hold"
    size, norm = {"height": side, "width": side}, {"image_mean": [MEAN] * 3, "image_std": [STD] * 3}
    images = CLIPImageProcessor(size=size, do_center_crop=False, crop_size=None, **norm, **options)
    with whole_folder(folder) as partial:
        model.save_pretrained(partial)
        VisionTextDualEncoderProcessor(images, tokenizer).save_pretrained(partial)
        # transformers 4 looks for the pictures' part in a file of its own.
        images.save_pretrained(partial)
        settle(partial)


def settle(folder: Path) -> None:
    """Let the model load in single precision, and its tokenizer in transformers 4 too.

    Half precision serves storage only.
    """
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for part in (config, config["vision_config"], config["text_config"]):
        part.pop("torch_dtype", None)
        part["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    portable(folder / "tokenizer_config.json", indent=2)


def portable(path: Path, indent: int) -> None:
    """Let a tokenizer's file name the class that transformers 4 knows."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")


def bundled_embeddings(folder: str) -> tuple:
    """Return functions from normalized pictures and from names to unit rows of a bundled model."""
    model = VisionTextDualEncoderModel.from_pretrained(BUNDLED / folder, dtype=torch.float32).eval()
    tokenizer = VisionTextDualEncoderProcessor.from_pretrained(BUNDLED / folder).tokenizer
    texts = functools.partial(model_texts, model, tokenizer)
    return functools.partial(model_pictures, model), texts


@torch.no_grad()
def model_texts(
    model: VisionTextDualEncoderModel, tokenizer: PreTrainedTokenizerFast, names: list[str]
) -> torch.Tensor:
    def embed(texts: list[str]) -> torch.Tensor:
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        return F.normalize(model.text_projection(model.text_model(**batch).pooler_output), dim=1)

    return ensemble(embed, names)


@torch.no_grad()
def model_pictures(model: VisionTextDualEncoderModel, pixels: torch.Tensor) -> torch.Tensor:
    pooled = torch.cat(
        [model.vision_model(part).pooler_output.flatten(1) for part in pixels.split(256)]
    )
    return F.normalize(model.visual_projection(pooled), dim=1)
