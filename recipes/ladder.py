"""The ladder: three GPT-Neo language models of one family and one tokenizer, trained on the
addresses.

Architecture, tokenizer, data, batch and schedule are the same for all; width, depth and learning
rate differ. Nothing was chosen on the test addresses; `benchmarks/ladder.py` reads them.
"""

import math

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast

from fmcourse import data, generation, training
from recipes.common import checkpoint, command_line, kept, shipped_folder
from recipes.dual_encoder import portable

VOCABULARY = 2048
CONTEXT = 256
WINDOW = 64
BATCH = 4
STEPS = 8_500
# The cosine is that of 11,000 steps; the last 1,000 steps fall straight to 0.
HORIZON, LANDING = 11_000, 1_000
MEASURED = 60_000  # validation tokens behind each point of the curve
MEASURE_EVERY = 1_833  # steps between points
SOURCES = ["addresses.parquet"]
END = "<|endoftext|>"
SHARED = {
    "vocabulary": VOCABULARY,
    "context": CONTEXT,
    "window": WINDOW,
    "batch": BATCH,
}
SIZES = {
    "small": {"width": 40, "layers": 2, "heads": 4, "lr": 3e-3},
    "medium": {"width": 96, "layers": 3, "heads": 4, "lr": 2e-3},
    "large": {"width": 192, "layers": 4, "heads": 6, "lr": 1.2e-3},
}


def main(arguments=None):
    chosen = command_line(__doc__, arguments, names=SIZES, steps=STEPS)
    torch.set_num_threads(1)
    for size in chosen.only:
        make(size, chosen.steps, chosen.ships)


def make(size, steps, ships):
    """Train one size and write it to the bundle."""
    model, tokenizer, run = trained(size, steps)
    for record in run.records:
        print(f"step {record['step']}: {record['validation_bits_per_byte']:.3f} bits per byte")
    if not ships:
        return
    about = {
        "licence": "Apache-2.0",
        "attribution": "fmcourse; trained on the addresses (The American Presidency Project)",
        "sources": SOURCES,
        "recipe": "recipes/ladder.py",
        "settings": {"size": size, **SIZES[size], **SHARED, "steps": steps, "seed": 0},
        "seconds": run.seconds,
    }
    with shipped_folder(f"ladder-{size}", about) as folder:
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        portable(folder, indent=1)


def trained(size, steps):
    """Train one size, or read it; return model, tokenizer and what the loop did."""
    tokenizer = make_tokenizer()
    train, validation = tokens(tokenizer, "train"), tokens(tokenizer, "validation")[:MEASURED]

    def measure(model):
        return {"validation_bits_per_byte": bits_per_byte(model, tokenizer, validation)}

    torch.manual_seed(0)
    model = GPTNeoForCausalLM(configuration(tokenizer, size))
    run = training.fit(
        model,
        lambda step: training.crops(train, BATCH, CONTEXT),
        steps,
        optimizer=training.adamw(lr=SIZES[size]["lr"], betas=(0.9, 0.99)),
        schedule=schedule,
        checkpoint=checkpoint("ladder", trained, size, steps, sources=SOURCES),
        measure=measure,
        measure_every=MEASURE_EVERY,
    )
    return model, tokenizer, run


def schedule(step, steps):
    """Return the factor on the learning rate.

    It is warm-up and cosine over HORIZON, then a straight line to 0 at the last step.
    """
    falling = training.cosine(warmup=0.03, floor=0.02)
    if step < steps - LANDING:
        return falling(step, HORIZON)
    return falling(steps - LANDING, HORIZON) * (steps - step) / LANDING


def make_tokenizer():
    """Return the byte-level BPE of the training addresses; it is trained once."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(kept("ladder", byte_pairs, sources=SOURCES)),
        bos_token=END,
        eos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
    )


def byte_pairs():
    """Train the tokenizer and return it as JSON."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(addresses("train"), trainer)
    return bpe.to_str()


def tokens(tokenizer, split):
    """Return the token ids of a split, shape (tokens,), an end mark before each address."""
    ids = [tokenizer.eos_token_id]
    for text in addresses(split):
        ids += [*tokenizer.backend_tokenizer.encode(text).ids, tokenizer.eos_token_id]
    return torch.tensor(ids)


def addresses(split):
    """Return the texts of a split, oldest first."""
    return [row["text"] for row in data.load_addresses() if row["split"] == split]


def configuration(tokenizer, size):
    """Return a GPT-Neo configuration with alternating global and local layers, as published."""
    width, layers = SIZES[size]["width"], SIZES[size]["layers"]
    return GPTNeoConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_layers=layers,
        num_heads=SIZES[size]["heads"],
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


def bits_per_byte(model, tokenizer, ids):
    """Return the bits per byte that the model needs for tokens that start with an end mark."""
    text = tokenizer.decode(ids[1:].tolist(), skip_special_tokens=True)
    return generation.token_losses(model, ids).sum().item() / math.log(2) / len(text.encode())


if __name__ == "__main__":
    main()
