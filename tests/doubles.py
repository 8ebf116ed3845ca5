"""Stand-ins that several tests share: a tiny GPT-Neo, a tokenizer of letters, two tiny CLIPs."""

import math
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
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

HERE = Path(__file__).parent


def toml(name):
    """Return what a TOML file of this folder holds."""
    return tomllib.loads((HERE / name).read_text("utf-8"))


CASES = toml("cases.toml")
SIZES = toml("doubles.toml")
END = 0  # the end token of the doubles
VOCABULARY = SIZES["gpt_neo"]["vocab_size"]
CONTEXT = SIZES["gpt_neo"]["max_position_embeddings"]
SIDE = SIZES["efficientnet"]["image_size"]  # pixels of the CLIP doubles
WIDTH = 8  # of the space that their towers share


def tiny_gpt_neo(seed=0, dropout=0.0, end=END):
    """Return a random GPT-Neo with one global and one local layer, and end tokens that occur."""
    config = GPTNeoConfig(
        **SIZES["gpt_neo"],
        resid_dropout=dropout,
        embed_dropout=dropout,
        attention_dropout=dropout,
        eos_token_id=end,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GPTNeoForCausalLM(config).eval()


def theirs(model, prompt, **options):
    """Return what transformers' own generate gives, greedily unless told otherwise."""
    ids = torch.as_tensor(prompt).reshape(1, -1)
    options = {"do_sample": False, "pad_token_id": END} | options
    return model.generate(ids, attention_mask=torch.ones_like(ids), **options)


def random_ids(length, seed=0, least=1):
    """Return random token ids of the doubles, by default without end tokens."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(least, VOCABULARY, (length,), generator=generator)


class Letters:
    """A tokenizer with one token a letter: a-p are 1-16, 0 is the end, and blanks are none."""

    eos_token_id = END
    letters = "abcdefghijklmnop"

    def __call__(self, text, **options):
        letters = text.replace(" ", "")
        return {"input_ids": [self.letters.index(letter) + 1 for letter in letters]}

    def decode(self, ids):
        return "".join("<end>" if token == END else self.letters[token - 1] for token in ids)


def tiny_clip(seed=0, dropout=0.0):
    """Return a random CLIP like the bundled one: EfficientNet, with used batch norms, and BERT."""
    pictures = EfficientNetConfig(
        **SIZES["efficientnet"], dropout_rate=dropout, drop_connect_rate=dropout
    )
    texts = BertConfig(
        **SIZES["bert"],
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = VisionTextDualEncoderConfig.from_vision_text_configs(
            pictures, texts, projection_dim=WIDTH
        )
        model = VisionTextDualEncoderModel(config).train()
        with torch.no_grad():
            model.vision_model(torch.randn(32, 3, SIDE, SIDE))
    return model.eval(), VisionTextDualEncoderProcessor(
        CLIPImageProcessor(**SIZES["pixels"], crop_size=None), word_tokenizer()
    )


def tiny_vit_clip(seed=0, dropout=0.0):
    """Return a random CLIP like OpenAI's: a vision transformer and a causal text transformer."""
    tower = SIZES["tower"] | {"attention_dropout": dropout}
    config = CLIPConfig(
        vision_config=tower | SIZES["vision"],
        text_config=tower | SIZES["text"],
        projection_dim=WIDTH,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CLIPModel(config).eval(), CLIPProcessor(
            CLIPImageProcessor(**SIZES["pixels"], crop_size=None), word_tokenizer()
        )


def word_tokenizer():
    """Return a tokenizer with one token a word, between [CLS] and [SEP]."""
    return PreTrainedTokenizerFast(tokenizer_file=str(HERE / "words.json"), **SIZES["words"])


def drawings(count, seed=0, mode="RGB"):
    """Return pictures of 24x24 pixels, each of 4x4 squares in random colours."""
    draw = np.random.default_rng(seed)
    squares = draw.integers(0, 256, (count, 4, 4, len(mode)), dtype=np.uint8)
    return [Image.fromarray(square.repeat(6, 0).repeat(6, 1)) for square in squares]


def unit_rows(count, width=WIDTH, seed=0):
    """Return random rows of length 1."""
    rows = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def python(*words, **environment):
    """Run a Python of its own, and return what it printed."""
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def without(*beginnings):
    """Return this process's environment without the variables whose names begin like this."""
    return {name: value for name, value in os.environ.items() if not name.startswith(beginnings)}


def free_port():
    """Return the number of a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def same(one, other):
    """Tell whether two modules have the same weights and statistics, bit for bit."""
    state, others = one.state_dict(), other.state_dict()
    return state.keys() == others.keys() and all(torch.equal(state[n], others[n]) for n in state)


def refused(argument, words="expected"):
    """Return a block that must end in a ValueError: its message names the argument, then words."""
    return pytest.raises(ValueError, match=rf"(?s)^{argument}[:\[].*{words}")


def refusals(*cases):
    """Return a test of calls that are refused: an argument's name, a function and its arguments."""

    @pytest.mark.parametrize("case", cases)
    def test(case):
        name, function, *arguments = case
        with refused(name):
            function(*arguments)

    return test


def textbook(parts, loss, steps, betas, floor):
    """Train as a textbook would: unfused AdamW, warm-up, half a cosine, clipping at 1.

    Args:
        parts: parameters, learning rate and weight decay of each; the decay is for matrices only.
        loss: called with each step.
    """
    groups = []
    for parameters, lr, decay in parts:
        parameters = list(parameters)
        for matrices in (True, False):
            chosen = [number for number in parameters if (number.ndim >= 2) == matrices]
            groups.append({"params": chosen, "lr": lr, "weight_decay": decay * matrices})
    optimizer = torch.optim.AdamW(groups, betas=betas, fused=False, foreach=False)
    rise, losses = steps // 10, []

    def factor(step):
        if step < rise:
            return (step + 1) / rise
        return floor + (1 - floor) * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for step in range(steps):
        optimizer.zero_grad()
        value = loss(step)
        value.backward()
        torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        optimizer.step()
        schedule.step()
        losses.append(value.item())
    return losses


def stop_at(monkeypatch, step):
    """Let Ctrl-C be pressed in this step of a training, before any weight moves."""
    steps, clip = iter(range(step)), torch.nn.utils.clip_grad_norm_

    def stopping(*given, **options):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return clip(*given, **options)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", stopping)


def forget_bundle():
    """Empty what the bundle remembers: its manifest and the files already compared."""
    for value in vars(data).values():
        getattr(value, "cache_clear", lambda: None)()
