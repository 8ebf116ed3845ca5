"""The ladder: three GPT-Neo language models of one family and one tokenizer, trained on the addresses.

Architecture, tokenizer, data, batch and schedule are the same for all; width, depth and learning rate differ.
Nothing was chosen on the test addresses; `benchmarks/ladder.py` reads them.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast

from fmcourse import generation, hub, training
from recipes.common import BUNDLED, register, work_folder

VOCABULARY = 2048
CONTEXT = 256
WINDOW = 64
BATCH = 4
STEPS = 8_500
HORIZON, LANDING = (
    11_000,
    1_000,
)  # the cosine is that of 11,000 steps; the last 1,000 steps fall straight to 0
MEASURED, MEASURE_EVERY = (
    60_000,
    1_833,
)  # validation tokens behind each point of the curve, and steps between points
END = "<|endoftext|>"
SHARED = {
    "vocabulary": VOCABULARY,
    "context": CONTEXT,
    "window": WINDOW,
    "batch": BATCH,
    "steps": STEPS,
    "seed": 0,
}
SIZES = {
    "small": {"width": 40, "layers": 2, "heads": 4, "lr": 3e-3},
    "medium": {"width": 96, "layers": 3, "heads": 4, "lr": 2e-3},
    "large": {"width": 192, "layers": 4, "heads": 6, "lr": 1.2e-3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default="all", choices=[*SIZES, "all"], metavar="size")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for size in SIZES if "all" in arguments.sizes else arguments.sizes:
        make(size, **SIZES[size])


def make(size: str, width: int, layers: int, heads: int, lr: float) -> None:
    """Train one rung and write it to the bundle."""
    tokenizer = make_tokenizer()
    train, validation = tokens(tokenizer, "train"), tokens(tokenizer, "validation")[:MEASURED]
    torch.manual_seed(0)
    model = GPTNeoForCausalLM(configuration(tokenizer, width, layers, heads))
    run = training.fit(
        model,
        lambda step: crops(train),
        STEPS,
        optimizer=training.adamw(lr=lr, betas=(0.9, 0.99)),
        schedule=schedule,
        checkpoint=work_folder("ladder") / f"{size}.pt",
        measure=lambda model: {
            "validation_bits_per_byte": bits_per_byte(model, tokenizer, validation)
        },
        measure_every=MEASURE_EVERY,
    )
    folder = BUNDLED / f"ladder-{size}"
    save(model, tokenizer, folder)
    print(
        f"{size}: {model.num_parameters():,} parameters, {run.seconds:.0f} s; bits per byte on validation addresses by step:"
    )
    print(*(f"{r['step']}: {r['validation_bits_per_byte']:.3f}" for r in run.records), sep=", ")
    for file in sorted(folder.iterdir()):
        register(
            file,
            licence="Apache-2.0",
            attribution="fmcourse; trained on the addresses (The American Presidency Project)",
            sources=["addresses.parquet"],
            recipe="recipes/ladder.py",
            settings={"size": size, **SIZES[size], **SHARED},
            seconds=run.seconds,
        )


def schedule(step: int, steps: int) -> float:
    """Return the factor on the learning rate: warm-up and cosine over HORIZON, then a straight line to 0 at the last step."""
    falling = training.cosine(warmup=0.03, floor=0.02)
    if step < steps - LANDING:
        return falling(step, HORIZON)
    return falling(steps - LANDING, HORIZON) * (steps - step) / LANDING


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train the byte-level BPE once; later calls read it."""
    path = work_folder("ladder") / "tokenizer.json"
    if not path.exists():
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        bpe.train_from_iterator(
            (r["text"] for r in hub.load_addresses() if r["split"] == "train"), trainer
        )
        bpe.save(str(path.with_suffix(".partial")))
        path.with_suffix(".partial").replace(path)
    return PreTrainedTokenizerFast(
        tokenizer_file=str(path),
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
    )


def tokens(tokenizer: PreTrainedTokenizerFast, split: str) -> torch.Tensor:
    """Return the token ids of a split, shape (tokens,), an end mark before each address."""
    ids = [tokenizer.eos_token_id]
    for row in hub.load_addresses():
        if row["split"] == split:
            ids += tokenizer.backend_tokenizer.encode(row["text"]).ids + [tokenizer.eos_token_id]
    return torch.tensor(ids)


def crops(ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Draw a batch of random windows, shape (BATCH, CONTEXT); the loop has seeded the generator by the step."""
    return training.crops(ids, BATCH, CONTEXT)


def configuration(
    tokenizer: PreTrainedTokenizerFast, width: int, layers: int, heads: int
) -> GPTNeoConfig:
    """Return a GPT-Neo configuration with alternating global and local layers, as EleutherAI's models have."""
    return GPTNeoConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=CONTEXT,
        window_size=WINDOW,
        attention_types=[[["local" if layer % 2 else "global"], 1] for layer in range(layers)],
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )


def bits_per_byte(
    model: GPTNeoForCausalLM, tokenizer: PreTrainedTokenizerFast, ids: torch.Tensor
) -> float:
    """Return the bits that the model needs for each byte of a run of tokens that starts with an end mark."""
    text = tokenizer.decode(ids[1:].tolist(), skip_special_tokens=True)
    return generation.token_losses(model, ids).sum().item() / math.log(2) / len(text.encode())


def save(model: GPTNeoForCausalLM, tokenizer: PreTrainedTokenizerFast, folder) -> None:
    """Write half-precision weights and the tokenizer; a broken-off write leaves no half-made folder."""
    partial = folder.with_name(folder.name + ".partial")
    model.half().save_pretrained(partial)
    model.float()
    tokenizer.save_pretrained(partial)
    config = partial / "tokenizer_config.json"
    portable = json.loads(config.read_text()) | {
        "tokenizer_class": "PreTrainedTokenizerFast"
    }  # as transformers 4 knows it
    config.write_text(json.dumps(portable, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


if __name__ == "__main__":
    main()
