"""Checkpoints as large as the real ones, in their publishers' layouts, with random weights.

Nothing here is learnt. Names, shapes, number formats and file layouts are those of
``EleutherAI/gpt-neo-125m`` and ``-1.3B`` (here in shards) and of ``openai/clip-vit-base-patch32``
(torch's format alone).
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, GPTNeoConfig, GPTNeoForCausalLM

from fmcourse import data

__all__ = ["clip_checkpoint", "gpt_neo_checkpoint"]

GPT_NEO = {
    "125m": {"hidden_size": 768, "num_layers": 12, "num_heads": 12},
    "1.3B": {"hidden_size": 2048, "num_layers": 24, "num_heads": 16},
}
CLIP_TOKENS = 49_408
MARKS = ["<|startoftext|>", "<|endoftext|>"]


def gpt_neo_checkpoint(folder: Path, size: str, sharded: bool = False) -> int:
    """Write a GPT-Neo with a tokenizer of 50,257 tokens; return the bytes of its weights."""
    attention = [[["global", "local"], GPT_NEO[size]["num_layers"] // 2]]
    model = GPTNeoForCausalLM(GPTNeoConfig(**GPT_NEO[size], attention_types=attention))
    model.save_pretrained(folder, max_shard_size="1GB" if sharded else "10GB")
    source = data.path("ladder-large")
    for file in source.glob("*token*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    # Words that no merge makes, so that every id of the large model can be decoded.
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    more = range(max(vocabulary.values()) + 1, model.config.vocab_size)
    vocabulary |= {f"Ġw{index}": index for index in more}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return 4 * model.num_parameters()


def clip_checkpoint(folder: Path) -> int:
    """Write a CLIP ViT-B/32 whose tokenizer spells bytes; return the bytes of its weights."""
    text = {"vocab_size": CLIP_TOKENS, "bos_token_id": CLIP_TOKENS - 2}
    text |= {"eos_token_id": CLIP_TOKENS - 1, "pad_token_id": CLIP_TOKENS - 1}
    vision = {"patch_size": 32, "image_size": 224}
    model = CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=512))
    for part in (model.config, CLIPImageProcessor()):
        part.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    # CLIP's tokenizer without its merges: one token a byte, and fillers up to the real size.
    codes = [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]
    words = [chr(code) + end for end in ("", "</w>") for code in codes]
    words += [f"w{index}</w>" for index in range(len(words), CLIP_TOKENS - 2)] + MARKS
    indices = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(indices), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    about = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    start, end = MARKS
    about |= {"bos_token": start, "eos_token": end, "pad_token": end, "unk_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    return 4 * model.num_parameters()
