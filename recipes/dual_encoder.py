"""CLIPs of transformers' VisionTextDualEncoder class: their parts, their files, what they embed.

Used by the recipes that train or read one.
"""

import contextlib
import json
import math

import torch
from tokenizers import normalizers, processors
from torch import nn
from transformers import (
    BertConfig,
    CLIPImageProcessor,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderProcessor,
)

import fmcourse
from fmcourse import clip, data
from fmcourse.files import read_toml, write_atomic
from recipes.common import ROOT, command_line, output, register, shipped_folder
from recipes.emoji_data import STYLES
from recipes.emoji_pairs import MEAN, STD, all_concepts, training_concepts

ENCODERS = read_toml(ROOT / "recipes" / "encoders.toml")
LARGEST_SCALE = math.log(100.0)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def as_bert_reads(pieces):
    """Let a tokenizer read lower case, and put [CLS] before and [SEP] after each text."""
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    marks = [(mark, pieces.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=marks
    )


def for_transformers(pieces, length):
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


def bert_config(vocabulary, width, layers, length, **options):
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


def padded(ids):
    """Return rows of token ids as one batch with its mask."""
    tokens = nn.utils.rnn.pad_sequence(ids, batch_first=True)  # [PAD] is 0
    return {"input_ids": tokens, "attention_mask": (tokens != 0).long()}


def run_stage(doc, arguments, make, folder, about):
    """Run the stage that the command line names: make a model, or report on the bundled one.

    Args:
        doc, arguments: as in :func:`recipes.common.command_line`.
        make: trains for so many steps, and writes the model when that is asked.
        folder: of the model.
        about: of its files, as in :func:`recipes.common.register`.
    """
    steps = about["settings"]["steps"]
    chosen = command_line(doc, arguments, stages=("make", "report"), steps=steps)
    about["settings"]["steps"] = chosen.steps
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if chosen.stage == "make":
        make(chosen.steps, chosen.ships)
        return
    text = json.dumps(figures(folder), indent=1)
    print(text)
    path = output() / folder / "report.json"
    write_atomic(path, text + "\n")
    register(path, **about, seconds=0.0)


def figures(folder):
    """Return a bundled model's figures on OpenMoji and on the held-out concepts.

    For once, when nothing is chosen any more.
    """
    model, processor = fmcourse.load_clip(folder)
    concepts = {code: row for code, row in all_concepts().items() if row["group"] != "flags"}
    names = {code: row["name"] for code, row in concepts.items()}
    subgroups = {code: row["subgroup"].replace("-", " ") for code, row in concepts.items()}
    hidden = {code: names[code] for code in sorted(data.held_out()[0])}
    trained = {code: names[code] for code in training_concepts() if code in names}

    def ranks(style, shown, gallery):
        """Return how many texts lie nearer to each drawing than the right one, by code points."""
        table = data.load_emoji(style)
        rows = [row for row, code in enumerate(table["codepoints"]) if code in shown]
        table = table.select(rows)
        right = [gallery.index(shown[code]) for code in table["codepoints"]]
        images = clip.embed_images(model, processor, table["image"])
        return clip.retrieval_ranks(images, clip.zero_shot_head(model, processor, gallery), right)

    among = "OpenMoji among all names"
    asked = {
        among: ("openmoji", names, names),
        f"{among}, trained concepts": ("openmoji", trained, names),
    }
    asked |= {f"held-out concepts, {style}": (style, hidden, hidden) for style in STYLES}
    found = {}
    for title, (style, shown, gallery) in asked.items():
        rank = ranks(style, shown, list(gallery.values()))
        recall = {f"recall@{k}": round((rank < k).float().mean().item(), 3) for k in (1, 5)}
        found[title] = {**recall, "n": len(rank)}
    classes = sorted(set(subgroups.values()))
    rank = ranks("openmoji", subgroups, classes)
    accuracy = round((rank < 1).float().mean().item(), 3)
    counts = {"classes": len(classes), "n": len(rank)}
    return found | {"OpenMoji subgroups": {"accuracy": accuracy, **counts}}


def ship_model(model, tokenizer, side, name, about, **options):
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
    with shipped_folder(name, about) as folder:
        model.save_pretrained(folder)
        VisionTextDualEncoderProcessor(images, tokenizer).save_pretrained(folder)
        # transformers 4 looks for the pictures' part in a file of its own.
        images.save_pretrained(folder)
        with edited(folder / "config.json") as config:
            # Half precision serves storage only.
            for part in (config, config["vision_config"], config["text_config"]):
                part.pop("torch_dtype", None)
                part["dtype"] = "float32"
        portable(folder)


def portable(folder, indent=2):
    """Let a tokenizer's file name the class that transformers 4 knows."""
    with edited(folder / "tokenizer_config.json", indent) as content:
        content["tokenizer_class"] = "PreTrainedTokenizerFast"


@contextlib.contextmanager
def edited(path, indent=2):
    """Give what a JSON file holds, and write it back."""
    content = json.loads(path.read_bytes())
    yield content
    write_atomic(path, json.dumps(content, indent=indent) + "\n")
