"""The sweep CLIP: of the bundled CLIP's class, trained from nothing in minutes on one core.

    python -m recipes.sweep_clip             train the bundled one
    python -m recipes.sweep_clip report      figures of the bundled one, once, at the end

Dozens can be trained. Pictures are reduced to 32x32; a narrow EfficientNet and a small BERT learn
together to find each other's embeddings in a batch. `train` is deterministic for its seed and takes
any pictures and captions: those with a planted trigger, biased or few.

The bundled one saw five styles. Neither OpenMoji nor a held-out concept is seen, in any style or
tone. Settings were chosen in runs of 1,000 steps without EmojiOne and without 300 more concepts.
"""

import torch
from PIL.Image import Resampling
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F
from transformers import EfficientNetConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

from fmcourse import training
from fmcourse.clip.embedding import contrastive_loss, encode_pixels, encode_tokens
from recipes.augmentation import move, outlined, painted, times_alpha
from recipes.common import checkpoint
from recipes.dual_encoder import (
    ENCODERS,
    LARGEST_SCALE,
    SPECIAL,
    as_bert_reads,
    bert_config,
    for_transformers,
    padded,
    run_stage,
    ship_model,
)
from recipes.emoji_data import TRAINING_STYLES, read_emoji
from recipes.emoji_pairs import (
    MEAN,
    READ,
    SOURCES,
    STD,
    Draws,
    captions_of,
    read_pictures,
    training_concepts,
)

SIDE = 32
WIDTH = 128  # of the space that both towers share
TEXT_LAYERS, TEXT_WIDTH, VOCABULARY, LENGTH = 2, 64, 1000, 32
BATCH, STEPS, LR, DECAY = 256, 2400, 3e-3, 0.05
LINE_ART = 0.3  # share of pictures with outlines
PAINTED = 0.3  # share of pictures with other colours, paper and noise


ABOUT = {
    "licence": "Apache-2.0",
    "attribution": "fmcourse; trained on Noto Emoji, Fluent Emoji Flat, Twemoji and EmojiOne",
    "sources": SOURCES,
    "recipe": "recipes/sweep_clip.py",
    "settings": {
        "steps": STEPS,
        "batch": BATCH,
        "lr": LR,
        "decay": DECAY,
        "line_art": LINE_ART,
        "painted": PAINTED,
        "seed": 0,
    },
}


def main(arguments=None):
    run_stage(__doc__, arguments, make, "sweep-clip", ABOUT)


def make(steps, ships):
    """Train the bundled sweep CLIP, write it, and enter its files in the manifest."""
    pictures = read_pictures(TRAINING_STYLES, training_concepts())
    file = checkpoint("sweep_clip", train, steps, sources=READ)
    model, tokenizer, run = train(pictures, own_captions(pictures), steps, checkpoint=file)
    if ships:
        about = ABOUT | {"seconds": run.seconds}
        ship_model(model, tokenizer, SIDE, "sweep-clip", about, resample=Resampling.BILINEAR)


def own_captions(pictures):
    """Return the captions of each picture; those of a picture with a skin tone name the tone."""
    rows = {row["name"]: row for row in read_emoji().values()}
    return [captions_of(rows[label]) for label in pictures.label]


# ---------------------------------------------------------------- training


def train(pictures, captions, steps=STEPS, seed=0, checkpoint=None, batch=BATCH):
    """Train a sweep CLIP from nothing; equal arguments give equal weights (on one machine with one
    number of threads).

    Args:
        pictures: what is seen, at least two concepts.
        captions: of each picture, one of which is drawn whenever the picture is; equal captions
            count as one text.
        steps: optimizer steps.
        seed: of the first weights, the outlines and all batches.
        checkpoint: a file to go on from when it exists, of this run alone: it does not know the
            pictures and captions.
        batch: pairs in a step, at most; no concept is in a batch twice.

    Returns:
        The model in evaluation mode, its tokenizer, which was trained on the captions, and what the
        loop did.
    """
    tokenizer = make_tokenizer(sorted({text for own in captions for text in own}))
    sampler = Sampler(pictures, captions, tokenizer, seed, batch)
    torch.manual_seed(seed)
    model = make_model(len(tokenizer))
    run = training.fit(
        model,
        sampler.batch,
        steps,
        optimizer=training.adamw(lr=LR, weight_decay=DECAY, betas=(0.9, 0.98)),
        loss=pair_loss,
        schedule=training.cosine(warmup=0.05, floor=0.0),
        checkpoint=checkpoint,
        seed=seed,
    )
    return model.eval(), tokenizer, run


def make_tokenizer(texts):
    """Train byte pairs on the texts; unlike word pieces they come out the same in every process."""
    pieces = Tokenizer(models.BPE(unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace()]
    )
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False
    )
    pieces.train_from_iterator(texts, trainer)
    as_bert_reads(pieces)
    return for_transformers(pieces, LENGTH)


class Sampler:
    """Draws batches: concepts without repetition, for each a style, at times a tone, and one of the
    picture's captions."""

    def __init__(self, pictures, captions, tokenizer, seed, batch=BATCH):
        self.draws = Draws(pictures)
        self.count = min(batch, int((self.draws.weights > 0).sum()))
        torch.manual_seed(seed)
        self.plain = reduced_bytes(pictures.pixels, lined=False)
        self.lined = reduced_bytes(pictures.pixels, lined=True)
        texts = list(dict.fromkeys(text for own in captions for text in own))
        place = {text: index for index, text in enumerate(texts)}
        self.ids = [torch.tensor(row) for row in tokenizer(texts, truncation=True)["input_ids"]]
        self.choices = [[place[text] for text in own] for own in captions]

    def batch(self, step):
        """Return pixels, each picture's caption as padded token ids with their mask, and which
        captions are equal."""
        concepts, chosen = self.draws.draw(self.count)
        captions = [self.choices[index] for index in chosen.tolist()]
        texts = [own[torch.randint(len(own), ()).item()] for own in captions]
        lined = torch.rand(self.count, 1, 1, 1) < LINE_ART
        seen = torch.where(lined, self.lined[chosen], self.plain[chosen])
        x = move(seen.float() / 255, self.draws.may_flip[concepts])
        pixels = some_painted(x).contiguous(memory_format=torch.channels_last)
        tokens = padded([self.ids[index] for index in texts])
        return tokens | {"pixels": pixels, "text": torch.tensor(texts)}


def some_painted(x):
    """Lay pictures on white and normalize them; a share is distorted: more than PAINTED slows the
    learning down."""
    pixels = (x[:, :3] + 1 - x[:, 3:] - MEAN) / STD
    chosen = (torch.rand(len(x)) < PAINTED).nonzero()[:, 0]
    if len(chosen):
        pixels[chosen] = painted(x[chosen])
    return pixels


def reduced_bytes(pixels, lined):
    """Reduce RGBA bytes (n, 4, 64, 64) to bytes (n, 4, 32, 32), as the bundled processor does,
    colours times alpha, with or without outlines."""
    found = []
    for part in pixels.split(256):
        x = times_alpha(part)
        x = outlined(x, 1.0) if lined else x
        x = F.interpolate(x, size=SIDE, mode="bilinear", antialias=True)
        found.append((255 * x).round().byte())
    return torch.cat(found)


def pair_loss(model, batch):
    """Return the contrastive loss among the pictures and captions of a batch."""
    with torch.no_grad():
        model.logit_scale.clamp_(max=LARGEST_SCALE)
    images, texts = encode_pixels(model, batch["pixels"]), encode_tokens(model, batch)
    return contrastive_loss(images, texts, model.logit_scale.exp(), batch["text"])


# ---------------------------------------------------------------- the model


def make_model(vocabulary):
    """Return a fresh model, laid out for speed on one core."""
    text_config = bert_config(
        vocabulary, TEXT_WIDTH, TEXT_LAYERS, LENGTH, initializer_range=TEXT_WIDTH**-0.5
    )
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision_config(), text_config, projection_dim=WIDTH
    )
    model = VisionTextDualEncoderModel(config)
    prepare_pictures(model.vision_model)
    prepare_texts(model.text_model)
    return model.to(memory_format=torch.channels_last)


def prepare_pictures(tower):
    """Give the picture tower first weights that it can learn from; transformers' own are near 0,
    batch norms included."""
    for module in tower.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)


def prepare_texts(tower):
    """Let [CLS] start as the mean of the words' rows; else it hardly sees them for hundreds of
    steps."""
    for layer in tower.encoder.layer:
        attention = layer.attention
        nn.init.eye_(attention.self.value.weight)
        nn.init.eye_(attention.output.dense.weight)
        with torch.no_grad():
            attention.self.query.weight.mul_(0.2)  # nearly even attention
            attention.self.key.weight.mul_(0.2)


def vision_config():
    """Return a narrow EfficientNet: 16 channels at 16x16, 32 at 8x8, 64 and 96 at 4x4, and 384
    numbers."""
    return EfficientNetConfig(image_size=SIDE, **ENCODERS["sweep"])


if __name__ == "__main__":
    main()
