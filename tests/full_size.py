"""Checkpoints as large as the real ones, in their publishers' layouts, with random weights: for the slow tests.

Nothing here is learnt. Names, shapes, number formats and file layouts are those of ``EleutherAI/gpt-neo-125m`` and
``-1.3B`` (here in shards) and of ``openai/clip-vit-base-patch32`` (torch's format alone).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, GPTNeoConfig, GPTNeoForCausalLM

__all__ = ["clip_checkpoint", "gpt_neo_checkpoint"]

GPT_NEO = {
    "125m": {"hidden_size": 768, "num_layers": 12, "num_heads": 12},
    "1.3B": {"hidden_size": 2048, "num_layers": 24, "num_heads": 16},
}
SHARD_BYTES = 10**9
SPREAD = 0.02  # standard deviation of a weight matrix
TILE = 2**20 - 3  # random numbers that are drawn; odd, so that no two rows of a matrix are equal
CLIP_TOKENS = 49_408


def gpt_neo_checkpoint(folder: Path, size: str, sharded: bool = False) -> int:
    """Write a GPT-Neo of one of the two sizes with a tokenizer of 50,257 tokens; return the bytes of its weights."""
    from fmcourse import bundle

    attention = [[["global", "local"], GPT_NEO[size]["num_layers"] // 2]]
    config = GPTNeoConfig(
        **GPT_NEO[size], attention_types=attention, architectures=["GPTNeoForCausalLM"]
    )
    config.save_pretrained(folder)
    _widen_tokenizer(bundle.path("ladder-large"), folder, config.vocab_size)
    with torch.device("meta"):
        state = GPTNeoForCausalLM(config).state_dict()
    state.pop("lm_head.weight")  # the embedding, once more
    return _write_shards(folder, state, SHARD_BYTES if sharded else 10**12)


def _widen_tokenizer(source: Path, folder: Path, size: int) -> None:
    """Copy the ladder's tokenizer and add words that no merge makes, so that every id of the large model can be decoded."""
    for file in source.glob("*token*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary |= {f"Ġw{place}": place for place in range(max(vocabulary.values()) + 1, size)}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


def _write_shards(folder: Path, state: dict[str, torch.Tensor], most: int) -> int:
    """Write random weights of the shapes in `state`, one shard in memory at a time, with an index when there are several."""
    shards = list(_shards(state, most))
    count = len(shards)
    names = (
        [f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
        if count > 1
        else ["model.safetensors"]
    )
    for name, part in zip(names, shards):
        save_file(
            {key: _weight(key, state[key].shape) for key in part}, folder / name, {"format": "pt"}
        )
    total = sum(4 * tensor.numel() for tensor in state.values())
    if count > 1:
        index = {
            "metadata": {"total_size": total},
            "weight_map": {key: name for name, part in zip(names, shards) for key in part},
        }
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return total


def _shards(state: dict[str, torch.Tensor], most: int) -> Iterator[list[str]]:
    part, size = [], 0
    for key, tensor in state.items():
        if part and size + 4 * tensor.numel() > most:
            yield part
            part, size = [], 0
        part.append(key)
        size += 4 * tensor.numel()
    yield part


def _weight(key: str, shape: torch.Size) -> torch.Tensor:
    """Return a norm's ones, a bias's zeros, or a matrix of random numbers, a million of which repeat."""
    if len(shape) < 2:
        return torch.full(shape, float(key.endswith("weight")))
    tile = torch.empty(TILE).normal_(0, SPREAD, generator=torch.Generator().manual_seed(len(key)))
    return tile.repeat(-(-shape.numel() // TILE))[: shape.numel()].reshape(shape)


def clip_checkpoint(folder: Path) -> int:
    """Write a CLIP ViT-B/32 in torch's format alone, with a tokenizer that spells bytes; return the bytes of its weights."""
    vision, text = {"patch_size": 32, "image_size": 224}, {"vocab_size": CLIP_TOKENS}
    ends = {
        "bos_token_id": CLIP_TOKENS - 2,
        "eos_token_id": CLIP_TOKENS - 1,
        "pad_token_id": CLIP_TOKENS - 1,
    }
    config = CLIPConfig(
        vision_config=vision,
        text_config=text | ends,
        projection_dim=512,
        architectures=["CLIPModel"],
    )
    for part in (config, CLIPImageProcessor()):
        part.save_pretrained(folder)
    _spell_bytes(folder)
    with torch.device("meta"):
        shapes = {
            key: tensor.shape
            for key, tensor in CLIPModel(config).state_dict().items()
            if tensor.is_floating_point()
        }
    state = {key: _weight(key, shape) for key, shape in shapes.items()}
    torch.save(state, folder / "pytorch_model.bin")
    return sum(tensor.nbytes for tensor in state.values())


def _spell_bytes(folder: Path) -> None:
    """Write CLIP's tokenizer without its merges: one token a byte, and fillers up to the size of the real vocabulary."""
    letters = [
        chr(code)
        for code in (*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324))
    ]
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += [f"w{place}</w>" for place in range(len(words), CLIP_TOKENS - 2)] + [
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    (folder / "vocab.json").write_text(
        json.dumps({word: place for place, word in enumerate(words)}), encoding="utf-8"
    )
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    about = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    about |= {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
