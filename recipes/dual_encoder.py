"""CLIPs of transformers' VisionTextDualEncoder class: their parts, their files, what they embed.

Used by the recipes that train or read one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, normalizers, processors
from torch import nn
from torch.nn import functional as F
from transformers import (
    BertConfig,
    CLIPImageProcessor,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)

from fmcourse.clip.embedding import encode_pixels, encode_tokens
from recipes.common import BUNDLED, command_line, output, register, whole_folder
from recipes.emoji_pairs import MEAN, STD, ensemble

ENCODERS = tomllib.loads(Path(__file__).with_name("encoders.toml").read_text(encoding="utf-8"))
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
        **ENCODERS["text"],
        **options,
    )


def padded(ids: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return rows of token ids as one batch with its mask."""
    tokens = nn.utils.rnn.pad_sequence(ids, batch_first=True)  # [PAD] is 0
    return {"input_ids": tokens, "attention_mask": (tokens != 0).long()}


def run_stage(
    about: str | None,
    arguments: Sequence[str] | None,
    steps: int,
    make: Callable[[int, bool], None],
    report: Callable[[], None],
) -> None:
    """Run the stage that the command line names."""
    chosen = command_line(about, arguments, stages=("make", "report"), steps=steps)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if chosen.stage == "make":
        make(chosen.steps, chosen.ships)
    else:
        report()


def ship_model(
    model: VisionTextDualEncoderModel,
    tokenizer: PreTrainedTokenizerFast,
    side: int,
    name: str,
    about: dict,
    **options: object,
) -> None:
    """Write a model and its processor in half precision, and enter their files in the manifest.

    Args:
        model: it is turned into half precision.
        tokenizer: that of the text encoder.
        side: the pictures' side in pixels.
        name: of the folder; an older model there is replaced by the whole new one.
        about: of each file, as in :func:`recipes.common.register`.
        options: what else the pictures' processor shall know, such as ``resample``.
    """
    model = model.half()
    finite = all(value.isfinite().all() for value in model.state_dict().values())
    assert finite, "a weight that half precision cannot hold"
    size, norm = {"height": side, "width": side}, {"image_mean": [MEAN] * 3, "image_std": [STD] * 3}
    images = CLIPImageProcessor(size=size, do_center_crop=False, crop_size=None, **norm, **options)
    folder = output() / name
    with whole_folder(folder) as partial:
        model.save_pretrained(partial)
        VisionTextDualEncoderProcessor(images, tokenizer).save_pretrained(partial)
        # transformers 4 looks for the pictures' part in a file of its own.
        images.save_pretrained(partial)
        with edited(partial / "config.json") as config:
            # Half precision serves storage only.
            for part in (config, config["vision_config"], config["text_config"]):
                part.pop("torch_dtype", None)
                part["dtype"] = "float32"
        portable(partial / "tokenizer_config.json", indent=2)
    for file in sorted(folder.iterdir()):
        register(file, **about)


def portable(path: Path, indent: int) -> None:
    """Let a tokenizer's file name the class that transformers 4 knows."""
    with edited(path, indent) as content:
        content["tokenizer_class"] = "PreTrainedTokenizerFast"


@contextlib.contextmanager
def edited(path: Path, indent: int = 2) -> Iterator[dict]:
    """Give what a JSON file holds, and write it back."""
    content = json.loads(path.read_text(encoding="utf-8"))
    yield content
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
    options = {"padding": True, "truncation": True, "return_tensors": "pt"}
    return ensemble(lambda texts: encode_tokens(model, tokenizer(texts, **options)), names)


@torch.no_grad()
def model_pictures(model: VisionTextDualEncoderModel, pixels: torch.Tensor) -> torch.Tensor:
    """Embed pictures of any side, reduced as the bundled processors do it."""
    side = model.config.vision_config.image_size
    small = F.interpolate(pixels, size=side, mode="bilinear", antialias=True)
    return torch.cat([encode_pixels(model, part) for part in small.split(256)])
