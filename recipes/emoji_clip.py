"""The bundled CLIP: a picture tower and a text tower that agree on which drawing has which name.

Four stages, each of which goes on where it was stopped:

1. ``pretrain``: the picture tower starts as an ImageNet EfficientNet-Lite0 and learns, with a linear text head, to find
   a drawing's caption among one caption of every concept; captions are rows of the sentence encoder MiniLM.
2. ``fit_head``: the picture tower is locked, and a text head is fitted to its rows of the drawings as they are.
3. ``distil``: a small BERT learns to give what MiniLM and the head give, on phrases that hold no held-out name.
4. ``save``: both towers as one VisionTextDualEncoderModel with its processor, in half precision.

    python -m recipes.emoji_clip             all four
    python -m recipes.emoji_clip text        2 to 4 for the picture tower that is bundled
    python -m recipes.emoji_clip validate    1 to 3 in small, without one style and more families of concepts
    python -m recipes.emoji_clip report      figures of the bundled model, once, when nothing is chosen any more

Five styles train. Neither OpenMoji nor a held-out concept is seen, in any style or tone. The picture tower's rates and steps
follow an earlier trial. What ``validate`` says (250 steps, EmojiOne and 300 concepts left out; recall@5 of the unseen style and
of the unseen concepts in the four others): line art on half of the pictures 41% and 23%, on none 47% and 23%; with line art, a
head fitted to the locked tower 49% and 22%, the joint one 40% and 23%. Line art was kept all the same: no training style is made
of outlines, and such styles exist. That is knowledge from outside, and the notebook says so.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import shutil
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    CLIPImageProcessor,
    PreTrainedTokenizerFast,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
)

from fmcourse import training
from recipes.augmentation import augment
from recipes.common import BUNDLED, register, work_folder
from recipes.emoji import SIZE, TRAINING_STYLES
from recipes.emoji_pairs import (
    MEAN,
    STD,
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
LARGEST_SCALE = math.log(100.0)
LINE_ART = 0.5  # share of pictures that get outlines; a third of these loses its fills
RIDGE, LOCKED_STEPS, LOCKED_BATCH, LOCKED_LR = 0.1, 300, 512, 3e-4
DISTIL_STEPS, DISTIL_LR = 2000, 1e-3
FOLDER = "emoji-clip"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "stage", nargs="?", default="make", choices=["make", "text", "validate", "report"]
    )
    parser.add_argument(
        "--without", default="emojione", help="the style that `validate` leaves out"
    )
    parser.add_argument("--steps", type=int, default=250, help="pre-training steps of `validate`")
    parser.add_argument(
        "--distil-steps", type=int, default=600, help="distilling steps of `validate`"
    )
    parser.add_argument(
        "--line-art",
        type=float,
        default=LINE_ART,
        help="share of pictures with outlines in `validate`",
    )
    parser.add_argument(
        "--tower-lr",
        type=float,
        default=TOWER_LR,
        help="learning rate of the picture tower in `validate`",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if arguments.stage == "make":
        make()
    elif arguments.stage == "text":
        finish(bundled_pairs(), seconds_so_far())
    elif arguments.stage == "validate":
        validate(
            arguments.without,
            arguments.steps,
            arguments.distil_steps,
            arguments.line_art,
            arguments.tower_lr,
        )
    else:
        report()


def make() -> None:
    """Run all stages and write the bundled model."""
    pictures, concepts = read_pictures(TRAINING_STYLES, training_concepts()), training_concepts()
    pairs, run = pretrain(
        pictures, Captions.of(concepts), STEPS, work_folder("emoji_clip") / "pretrain.pt"
    )
    finish(pairs, run.seconds)


def finish(pairs: Pairs, seconds: float) -> None:
    """Fit the text head, teach the text tower, and write the model; `seconds` were needed before."""
    start, concepts = time.time(), training_concepts()
    captions = Captions.of(concepts)
    fit_head(pairs, read_pictures(TRAINING_STYLES, concepts, tones=False), captions)
    corpus = Corpus.of(captions, concepts, held_out_names())
    text = distil(pairs, corpus, DISTIL_STEPS, work_folder("emoji_clip") / "distil.pt")
    save(pairs, text, corpus.tokenizer, seconds + time.time() - start)


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
    files = json.loads((BUNDLED / "manifest.json").read_text())["files"]
    return next(
        entry["seconds"] for entry in files if entry["file"] == f"{FOLDER}/model.safetensors"
    )


# ---------------------------------------------------------------- stage 1


HEADS = ("visual_projection", "text_head", "logit_scale")


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
            parts=dict.fromkeys(HEADS, {"lr": HEAD_LR}),
        ),
        loss=pair_loss,
        schedule=training.cosine(warmup=0.1, floor=0.0),
        checkpoint=checkpoint,
    )
    return pairs.eval(), run


class Sampler:
    """Draws batches: concepts without repetition, for each a style, at times a tone, and a caption of every concept."""

    def __init__(self, pictures: Pictures, captions: Captions, line_art: float) -> None:
        self.pictures, self.captions, self.line_art = pictures, captions, line_art
        self.draws = Draws(pictures)
        self.label = torch.tensor(
            [captions.place[label] if label in captions.place else -1 for label in pictures.label]
        )

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
    targets = 0.5 * F.one_hot(batch["own"], len(texts)) + 0.5 * F.one_hot(
        batch["concept"], len(texts)
    )
    return 0.5 * (
        F.cross_entropy(logits, targets)
        + F.cross_entropy(logits[:, batch["own"]].T, torch.arange(len(images)))
    )


# ---------------------------------------------------------------- stages 2 and 3


def fit_head(pairs: Pairs, pictures: Pictures, captions: Captions) -> None:
    """Fit the text head to the locked picture tower: by ridge regression first, then by the contrastive loss."""
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


def distil(pairs: Pairs, corpus: Corpus, steps: int, checkpoint: Path) -> Student:
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
        data=training.digest(targets),
    )
    return student.eval()


# ---------------------------------------------------------------- stage 4


def save(pairs: Pairs, text: Student, tokenizer: PreTrainedTokenizerFast, seconds: float) -> None:
    """Write both towers as one model, and enter its files in the manifest."""
    write_model(assemble(pairs, text), tokenizer, SIZE, BUNDLED / FOLDER)
    for file in sorted((BUNDLED / FOLDER).iterdir()):
        register_model(file, seconds)


def write_model(
    model: VisionTextDualEncoderModel,
    tokenizer: PreTrainedTokenizerFast,
    side: int,
    folder: Path,
    **options,
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
    assert all(value.isfinite().all() for value in model.state_dict().values()), (
        "a weight that half precision cannot hold"
    )
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    size, norm = {"height": side, "width": side}, {"image_mean": [MEAN] * 3, "image_std": [STD] * 3}
    images = CLIPImageProcessor(size=size, do_center_crop=False, crop_size=None, **norm, **options)
    VisionTextDualEncoderProcessor(images, tokenizer).save_pretrained(partial)
    images.save_pretrained(
        partial
    )  # transformers 4 looks for the pictures' part in a file of its own
    settle(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


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
        sources=[
            f"PyPI {' '.join(LITE0)}",
            f"PyPI {' '.join(MINILM)}",
            *(f"emoji-{style}.parquet" for style in TRAINING_STYLES),
        ],
        recipe="recipes/emoji_clip.py",
        settings={
            "steps": STEPS,
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


def validate(without: str, steps: int, distil_steps: int, line_art: float, lr: float) -> None:
    """Train without one style and some families, and print what the towers make of both; for choosing settings."""
    styles, concepts, hidden = left_out(without)
    pictures, captions = read_pictures(styles, concepts), Captions.of(concepts)
    kept = f"validate-{without}-{steps}-{line_art}-{lr}"
    pairs, run = pretrain(
        pictures, captions, steps, work_folder("emoji_clip") / f"{kept}.pt", line_art, lr
    )
    figures = functools.partial(
        validation_figures, pairs.embed_pictures, without=without, hidden=hidden
    )
    say = {
        "without": without,
        "steps": steps,
        "line_art": line_art,
        "lr": lr,
        "loss": round(sum(run.losses[-50:]) / 50, 3),
    }
    print(
        json.dumps(say | {"head": "joint"} | figures(functools.partial(embed_with_teacher, pairs))),
        flush=True,
    )
    fit_head(pairs, read_pictures(styles, concepts, tones=False), captions)
    print(
        json.dumps(
            say | {"head": "locked"} | figures(functools.partial(embed_with_teacher, pairs))
        ),
        flush=True,
    )
    corpus = Corpus.of(
        captions,
        concepts,
        held_out_names() | {all_concepts()[code]["name"].lower() for code in hidden},
    )
    student = distil(
        pairs, corpus, distil_steps, work_folder("emoji_clip") / f"{kept}-{distil_steps}.pt"
    )
    embed = functools.partial(ensemble, functools.partial(student_rows, student, corpus.tokenizer))
    print(
        json.dumps(say | {"head": f"distilled in {distil_steps} steps"} | figures(embed)),
        flush=True,
    )


def report() -> None:
    """Print the bundled model's figures on OpenMoji and on the held-out concepts: once, when nothing is chosen any more."""
    register_model(final_figures(FOLDER, *bundled_embeddings(FOLDER)), 0.0)


def bundled_embeddings(folder: str) -> tuple:
    """Return functions from normalized pictures and from names to unit rows of a bundled model."""
    model = VisionTextDualEncoderModel.from_pretrained(BUNDLED / folder, dtype=torch.float32).eval()
    tokenizer = VisionTextDualEncoderProcessor.from_pretrained(BUNDLED / folder).tokenizer
    return functools.partial(model_pictures, model), functools.partial(
        model_texts, model, tokenizer
    )


@torch.no_grad()
def embed_with_teacher(pairs: Pairs, names: list[str]) -> torch.Tensor:
    return ensemble(lambda texts: pairs.embed_rows(teacher_rows(texts)), names)


@torch.no_grad()
def student_rows(
    student: Student, tokenizer: PreTrainedTokenizerFast, texts: list[str]
) -> torch.Tensor:
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return student(batch["input_ids"], batch["attention_mask"])


@torch.no_grad()
def model_texts(
    model: VisionTextDualEncoderModel, tokenizer: PreTrainedTokenizerFast, names: list[str]
) -> torch.Tensor:
    def embed(texts: list[str]) -> torch.Tensor:
        batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        return F.normalize(model.text_projection(model.text_model(**batch).pooler_output), dim=1)

    return ensemble(embed, names)


@torch.no_grad()
def model_pictures(model: VisionTextDualEncoderModel, pixels: torch.Tensor) -> torch.Tensor:
    pooled = torch.cat(
        [model.vision_model(part).pooler_output.flatten(1) for part in pixels.split(256)]
    )
    return F.normalize(model.visual_projection(pooled), dim=1)


if __name__ == "__main__":
    main()
