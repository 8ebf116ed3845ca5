"""The ladder: three GPT-Neo language models of one family and one tokenizer, trained on the addresses.

Architecture, tokenizer, data, batch and schedule are the same for all; width, depth and learning rate differ.
Nothing was chosen on the test addresses: they are read once, at the end, to print the table.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import shutil
import time

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast

from fmcourse import hub, training
from recipes.common import BUNDLED, register, work_folder

VOCABULARY = 2048
CONTEXT = 256
WINDOW = 64
BATCH = 4
STEPS = 11_000
MEASURED = 60_000  # validation tokens behind each point of the curve
END = "<|endoftext|>"
SIZES = {
    "small": {"width": 40, "layers": 2, "heads": 4, "lr": 3e-3},
    "medium": {"width": 96, "layers": 3, "heads": 4, "lr": 2e-3},
    "large": {"width": 192, "layers": 4, "heads": 6, "lr": 1.2e-3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default="all", choices=[*SIZES, "all"], metavar="size", help="small, medium, large or all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for size in SIZES if "all" in arguments.sizes else arguments.sizes:
        make(size, **SIZES[size])


def make(size: str, width: int, layers: int, heads: int, lr: float) -> None:
    """Train one rung and write it to the bundle."""
    tokenizer = make_tokenizer()
    train, validation, test = (tokens(tokenizer, split) for split in ("train", "validation", "test"))
    torch.manual_seed(0)
    model = GPTNeoForCausalLM(configuration(tokenizer, width, layers, heads))
    run = training.fit(
        model,
        lambda step: crops(train),
        STEPS,
        optimizer=training.adamw(lr=lr, betas=(0.9, 0.99)),
        schedule=training.cosine(warmup=0.03, floor=0.02),
        checkpoint=work_folder("ladder") / f"{size}.pt",
        measure=lambda model: {"validation_bits_per_byte": bits_per_byte(model, tokenizer, validation[:MEASURED])},
        measure_every=STEPS // 6,
    )
    folder = BUNDLED / f"ladder-{size}"
    save(model, tokenizer, folder)
    curve = {
        "size": size,
        "parameters": model.num_parameters(),
        "validation": [[r["step"], round(r["validation_bits_per_byte"], 4)] for r in run.records],
        "test_bits_per_byte": round(bits_per_byte(model, tokenizer, test), 4),
        "test_xz_bits_per_byte": round(8 * len(lzma.compress(text("test").encode(), preset=9)) / len(text("test").encode()), 4),
    }
    (folder / "training.json").write_text(json.dumps(curve, indent=1) + "\n")
    print(curve)
    for file in sorted(folder.iterdir()):
        register(
            file,
            licence="Apache-2.0",
            attribution="fmcourse; trained on the addresses (The American Presidency Project)",
            source="addresses.parquet",
            recipe="recipes/ladder.py",
            settings={"size": size, **SIZES[size], "vocabulary": VOCABULARY, "context": CONTEXT, "window": WINDOW, "batch": BATCH, "steps": STEPS, "seed": 0},
            seconds=run.seconds,
        )


def text(split: str) -> str:
    """Return the addresses of a split as one text."""
    return "\n\n".join(row["text"] for row in hub.load_addresses() if row["split"] == split)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train the byte-level BPE once; later calls read it."""
    path = work_folder("ladder") / "tokenizer.json"
    if not path.exists():
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
        bpe.train_from_iterator((r["text"] for r in hub.load_addresses() if r["split"] == "train"), trainer)
        bpe.save(str(path))
    return PreTrainedTokenizerFast(tokenizer_file=str(path), bos_token=END, eos_token=END, pad_token=END, model_max_length=CONTEXT)


def tokens(tokenizer: PreTrainedTokenizerFast, split: str) -> torch.Tensor:
    """Return the token ids of a split, shape (tokens,), an end mark before each address."""
    ids = [tokenizer.eos_token_id]
    for row in hub.load_addresses():
        if row["split"] == split:
            ids += tokenizer.backend_tokenizer.encode(row["text"]).ids + [tokenizer.eos_token_id]
    return torch.tensor(ids)


def crops(ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Draw a batch of random windows, shape (BATCH, CONTEXT); the loop has seeded the generator by the step."""
    starts = torch.randint(len(ids) - CONTEXT, (BATCH, 1))
    window = ids[starts + torch.arange(CONTEXT)]
    return {"input_ids": window, "labels": window}


def configuration(tokenizer: PreTrainedTokenizerFast, width: int, layers: int, heads: int) -> GPTNeoConfig:
    """Return a GPT-Neo configuration with alternating global and local layers, as EleutherAI's models have."""
    return GPTNeoConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=CONTEXT,
        window_size=WINDOW,
        attention_types=[[["global", "local"], (layers + 1) // 2]] if layers % 2 == 0 else [[["global", "local"], layers // 2], [["global"], 1]],
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )


@torch.no_grad()
def bits_per_byte(model: GPTNeoForCausalLM, tokenizer: PreTrainedTokenizerFast, ids: torch.Tensor, stride: int = 128) -> float:
    """Return the bits that the model needs for each byte of a split; every token sees at least `stride` tokens before it."""
    nats = 0.0
    starts = list(range(0, len(ids) - CONTEXT, stride))
    for first in range(0, len(starts), 32):
        block = torch.stack([ids[s : s + CONTEXT] for s in starts[first : first + 32]])
        logits = model(block).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), block[:, 1:], reduction="none")
        nats += losses[:, -stride:].sum().item() + (losses[0, :-stride].sum().item() if first == 0 else 0.0)
    scored = starts[-1] + CONTEXT - 1
    scored_bytes = len(tokenizer.decode(ids[1 : scored + 1].tolist(), skip_special_tokens=True).encode())
    return nats / math.log(2) / scored_bytes


def save(model: GPTNeoForCausalLM, tokenizer: PreTrainedTokenizerFast, folder) -> None:
    """Write half-precision weights and the tokenizer; a broken-off write leaves no half-made folder."""
    partial = folder.with_name(folder.name + ".partial")
    model.half().save_pretrained(partial)
    model.float()
    tokenizer.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


if __name__ == "__main__":
    main()
