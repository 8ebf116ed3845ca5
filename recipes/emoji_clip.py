"""The bundled CLIP: image and text encoders that agree on which drawing has which name.

Four stages, each of which goes on where it was stopped:

1. ``pretrain``: the image encoder starts as an ImageNet EfficientNet-Lite0 and learns, with a
   linear text head, to find a drawing's caption among one caption of every concept; captions are
   embeddings of the sentence encoder MiniLM.
2. ``fit_head``: the image encoder is locked, and a text head is fitted to its embeddings of the
   drawings as they are.
3. ``distil``: a small BERT learns to give what MiniLM and the head give, on phrases that hold no
   held-out name.
4. ``save``: both encoders as one VisionTextDualEncoderModel with its processor, in half precision.

    python -m recipes.emoji_clip             all four
    python -m recipes.emoji_clip text        2 to 4 for the image encoder that is bundled
    python -m recipes.emoji_clip validate    1 to 3 in small, without one style and more families of
                                             concepts
    python -m recipes.emoji_clip report      figures of the bundled model, once, when nothing is
                                             chosen any more

Five styles train. Neither OpenMoji nor a held-out concept is seen, in any style or tone. The image
encoder's rates and steps follow an earlier trial. What ``validate`` says (250 steps, EmojiOne and
300 concepts left out; recall@5 of the unseen style and of the unseen concepts in the four others):
line art on half of the pictures 41% and 23%, on none 47% and 23%; with line art, a head fitted to
the locked encoder 49% and 22%, the joint one 40% and 23%. Line art was kept all the same: no
training style is made of outlines, and such styles exist. That is knowledge from outside, and the
notebook says so.
"""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    PreTrainedTokenizerFast,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
)

from fmcourse import training
from fmcourse.data import manifest
from recipes.augmentation import augment
from recipes.common import BUNDLED, checkpoint, command_line, output, register, source
from recipes.dual_encoder import LARGEST_SCALE, bundled_embeddings, write_model
from recipes.emoji_data import SIZE, TRAINING_STYLES
from recipes.emoji_pairs import (
    Draws,
    Pictures,
    all_concepts,
    ensemble,
    final_figures,
    held_out_names,
    left_out,
    on_white,
    read_pictures,
    training_concepts,
    validation_figures,
)
from recipes.lite0 import LITE0, lite0, open_gates, vision_config
from recipes.text_tower import (
    MINILM,
    Captions,
    Corpus,
    Student,
    distil_loss,
    start_from_minilm,
    teacher_rows,
)

WIDTH = 256  # of the space that both towers share
BATCH = 128
STEPS = 2800
TOWER_LR, HEAD_LR, DECAY = 5e-4, 2e-3, 0.05
LINE_ART = 0.5  # share of pictures that get outlines; a third of these loses its fills
RIDGE, LOCKED_STEPS, LOCKED_BATCH, LOCKED_LR = 0.1, 300, 512, 3e-4
DISTIL_STEPS, DISTIL_LR = 2000, 1e-3
FOLDER = "emoji-clip"
READ = [*(f"emoji-{style}.parquet" for style in TRAINING_STYLES), "emoji-held-out.json"]


def main(arguments: Sequence[str] | None = None) -> None:
    stages = ("make", "text", "validate", "report")
    chosen = command_line(__doc__, arguments, stages=stages, steps=STEPS)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if chosen.stage == "make":
        make(chosen.steps, chosen.ships)
    elif chosen.stage == "text":
        finish(bundled_pairs(), STEPS, seconds_so_far())
    elif chosen.stage == "validate":
        validate()
    else:
        report()


def make(steps: int, ships: bool) -> None:
    """Run all stages and write the bundled model."""
    concepts = training_concepts()
    pictures = read_pictures(TRAINING_STYLES, concepts)
    file = checkpoint("emoji_clip", pretrain, steps, sources=READ)
    pairs, run = pretrain(pictures, Captions.of(concepts), steps, file)
    if ships:
        finish(pairs, steps, run.seconds)


def finish(pairs: Pairs, steps: int, seconds: float) -> None:
    """Fit the text head, teach the text encoder, and write the model.

    `steps` and `seconds` are those of the training before.
    """
    start, concepts = time.time(), training_concepts()
    captions = Captions.of(concepts)
    fit_head(pairs, read_pictures(TRAINING_STYLES, concepts, tones=False), captions)
    corpus = Corpus.of(captions, concepts, held_out_names())
    file = checkpoint("emoji_clip", distil, steps, DISTIL_STEPS, sources=READ)
    text = distil(pairs, corpus, DISTIL_STEPS, file)
    folder = output() / FOLDER
    write_model(assemble(pairs, text), corpus.tokenizer, SIZE, folder)
    for file in sorted(folder.iterdir()):
        register_model(file, steps, seconds + time.time() - start)


def bundled_pairs() -> Pairs:
    """Return the towers with the weights of the bundled picture tower."""
    model = VisionTextDualEncoderModel.from_pretrained(BUNDLED / FOLDER, dtype=torch.float32)
    pairs, own = Pairs(), model.vision_model.state_dict()
    pairs.tower.load_state_dict({name: own[name] for name in pairs.tower.state_dict()})
    pairs.visual_projection.load_state_dict(model.visual_projection.state_dict())
    pairs.logit_scale.data.copy_(model.logit_scale)
    return pairs.eval()


def seconds_so_far() -> float:
    """Return the time that the bundled picture tower needed, as the manifest has it."""
    return manifest()[f"{FOLDER}/model.safetensors"]["seconds"]


# ---------------------------------------------------------------- stage 1


HEADS = ("visual_projection", "text_head", "logit_scale")


class Pairs(nn.Module):
    """The towers while they learn: Lite0 with its projection, and a linear head over the teacher's
    rows."""

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


def pretrain(
    pictures: Pictures,
    captions: Captions,
    steps: int,
    checkpoint,
    line_art: float = LINE_ART,
    lr: float = TOWER_LR,
) -> tuple:
    """Train a fresh pair of towers, and return it with what the loop did."""
    torch.manual_seed(0)
    pairs = Pairs()
    sampler = Sampler(pictures, captions, line_art)
    run = training.fit(
        pairs,
        sampler.batch,
        steps,
        optimizer=training.adamw(
            lr=lr,
            weight_decay=DECAY,
            betas=(0.9, 0.98),
            parts={name: {"lr": HEAD_LR} for name in HEADS},
        ),
        loss=pair_loss,
        schedule=training.cosine(warmup=0.1, floor=0.0),
        checkpoint=checkpoint,
    )
    return pairs.eval(), run


class Sampler:
    """Draws batches: concepts without repetition, for each a style, at times a tone, and a caption
    of every concept."""

    def __init__(self, pictures: Pictures, captions: Captions, line_art: float) -> None:
        self.pictures, self.captions, self.line_art = pictures, captions, line_art
        self.draws = Draws(pictures)
        self.label = torch.tensor(
            [captions.place[label] if label in captions.place else -1 for label in pictures.label]
        )

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        """Return pixels, all texts' rows, each picture's own text and the places of its concept's
        text."""
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
    """Return the contrastive loss: each picture among all texts, each of the batch's texts among
    its pictures.

    A picture with a skin tone has two right texts, its own label and its concept's caption; they
    share the target.
    """
    with torch.no_grad():
        pairs.logit_scale.clamp_(max=LARGEST_SCALE)
    images, texts = pairs.embed_pictures(batch["pixels"]), pairs.embed_rows(batch["rows"])
    logits = pairs.logit_scale.exp() * images @ texts.T
    targets = 0.5 * F.one_hot(batch["own"], len(texts)) + 0.5 * F.one_hot(
        batch["concept"], len(texts)
    )
    return 0.5 * (
        F.cross_entropy(logits, targets)
        + F.cross_entropy(logits[:, batch["own"]].T, torch.arange(len(images)))
    )


# ---------------------------------------------------------------- stages 2 and 3


def fit_head(pairs: Pairs, pictures: Pictures, captions: Captions) -> None:
    """Fit the text head to the locked picture tower: by ridge regression first, then by the
    contrastive loss."""
    rows = torch.cat([embed_plain(pairs, part) for part in pictures.pixels.split(256)])
    concept = pictures.concept
    means = F.normalize(
        torch.zeros(len(pictures.concepts), WIDTH).index_add(0, concept, rows), dim=1
    )
    names = ensemble(teacher_rows, [all_concepts()[code]["name"] for code in pictures.concepts])
    drawn = torch.bincount(concept, minlength=len(names)) > 0
    gram = names[drawn].T @ names[drawn] + RIDGE * torch.eye(names.shape[1])
    pairs.text_head.weight.data.copy_(torch.linalg.solve(gram, names[drawn].T @ means[drawn]).T)

    def batch(step: int) -> tuple:
        column = torch.randint(captions.choices.shape[1], (len(captions.choices), 1))
        chosen = torch.randint(len(rows), (LOCKED_BATCH,))
        return (
            rows[chosen],
            captions.rows[captions.choices.gather(1, column)[:, 0]],
            concept[chosen],
        )

    def loss(head: nn.Linear, batch: tuple) -> torch.Tensor:
        seen, said, right = batch
        return F.cross_entropy(
            pairs.logit_scale.exp().detach() * seen @ F.normalize(head(said), dim=1).T, right
        )

    training.fit(
        pairs.text_head,
        batch,
        LOCKED_STEPS,
        optimizer=training.adamw(lr=LOCKED_LR, weight_decay=DECAY),
        loss=loss,
        schedule=training.cosine(warmup=0.0, floor=0.0),
    )


@torch.no_grad()
def embed_plain(pairs: Pairs, pixels: torch.Tensor) -> torch.Tensor:
    """Map RGBA bytes to the rows of the drawings as they are, on white."""
    return pairs.embed_pictures(on_white(pixels))


def distil(pairs: Pairs, corpus: Corpus, steps: int, checkpoint) -> Student:
    """Teach a small BERT to give what MiniLM and the head give."""
    torch.manual_seed(0)
    student = Student(len(corpus.tokenizer), WIDTH)
    start_from_minilm(student, corpus.tokenizer)
    with torch.no_grad():
        targets = pairs.embed_rows(corpus.rows)
    training.fit(
        student,
        lambda step: corpus.batch(targets),
        steps,
        optimizer=training.adamw(lr=DISTIL_LR, weight_decay=0.01),
        loss=distil_loss,
        schedule=training.cosine(warmup=0.05, floor=0.01),
        checkpoint=checkpoint,
        identity={"targets": training.digest(targets)},
    )
    return student.eval()


# ---------------------------------------------------------------- stage 4


def assemble(pairs: Pairs, text: Student) -> VisionTextDualEncoderModel:
    """Return both towers as one model."""
    text_config = text.bert.config
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision_config(), text_config, projection_dim=WIDTH
    )
    model = VisionTextDualEncoderModel(config)
    state = {f"vision_model.{name}": value for name, value in pairs.tower.state_dict().items()}
    state |= {f"text_model.{name}": value for name, value in text.bert.state_dict().items()}
    state |= {
        "visual_projection.weight": pairs.visual_projection.weight,
        "text_projection.weight": text.projection.weight,
    }
    state["logit_scale"] = pairs.logit_scale
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all("squeeze_excite" in name for name in missing), (
        missing,
        unexpected,
    )
    open_gates(model.vision_model)
    return model.eval().to(memory_format=torch.contiguous_format)


def register_model(file, steps: int, seconds: float) -> None:
    """Enter one of the model's files in the manifest."""
    styles = [f"emoji-{style}.parquet" for style in TRAINING_STYLES]
    register(
        file,
        licence="Apache-2.0",
        attribution="fmcourse; started from EfficientNet-Lite0 (Apache-2.0) and taught by "
        "all-MiniLM-L6-v2 (Apache-2.0); trained on Noto Emoji, Fluent Emoji Flat, Twemoji and "
        "EmojiOne",
        sources=[source(LITE0), source(MINILM), *styles],
        recipe="recipes/emoji_clip.py",
        settings={
            "steps": steps,
            "batch": BATCH,
            "tower_lr": TOWER_LR,
            "head_lr": HEAD_LR,
            "line_art": LINE_ART,
            "locked_steps": LOCKED_STEPS,
            "distil_steps": DISTIL_STEPS,
            "seed": 0,
        },
        seconds=seconds,
    )


# ---------------------------------------------------------------- figures


def validate(
    without: str = "emojione",
    steps: int = 250,
    distil_steps: int = 600,
    line_art: float = LINE_ART,
    lr: float = TOWER_LR,
) -> None:
    """Train without one style and some families, and print what the encoders make of both."""
    styles, concepts, hidden = left_out(without)
    pictures, captions = read_pictures(styles, concepts), Captions.of(concepts)
    settings = (without, steps, line_art, lr)
    file = checkpoint("emoji_clip", validate, *settings, sources=READ)
    pairs, run = pretrain(pictures, captions, steps, file, line_art, lr)
    loss = round(sum(run.losses[-50:]) / 50, 3)
    about = dict(zip(("without", "steps", "line_art", "lr"), settings)) | {"loss": loss}

    def say(head: str, texts) -> None:
        figures = validation_figures(pairs.embed_pictures, texts, without, hidden)
        print(json.dumps(about | {"head": head} | figures), flush=True)

    say("joint", functools.partial(embed_with_teacher, pairs))
    fit_head(pairs, read_pictures(styles, concepts, tones=False), captions)
    say("locked", functools.partial(embed_with_teacher, pairs))
    names = {all_concepts()[code]["name"].lower() for code in hidden}
    corpus = Corpus.of(captions, concepts, held_out_names() | names)
    file = checkpoint("emoji_clip", validate, *settings, distil_steps, sources=READ)
    student = distil(pairs, corpus, distil_steps, file)
    embed = functools.partial(student_rows, student, corpus.tokenizer)
    say(f"distilled in {distil_steps} steps", functools.partial(ensemble, embed))


def report() -> None:
    """Print and write the bundled model's figures: once, when nothing is chosen any more."""
    register_model(final_figures(FOLDER, *bundled_embeddings(FOLDER)), STEPS, 0.0)


@torch.no_grad()
def embed_with_teacher(pairs: Pairs, names: list[str]) -> torch.Tensor:
    return ensemble(lambda texts: pairs.embed_rows(teacher_rows(texts)), names)


@torch.no_grad()
def student_rows(
    student: Student, tokenizer: PreTrainedTokenizerFast, texts: list[str]
) -> torch.Tensor:
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return student(batch["input_ids"], batch["attention_mask"])


if __name__ == "__main__":
    main()
