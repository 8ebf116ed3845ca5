"""Fine-tuning under a true shift: a foundation that never saw the drawings of the test, for
notebook 03.

    python -m recipes.clip_shift               pre-train, run ten splits, each kept when done, and
                                               write the table
    python -m recipes.clip_shift --seeds 100   run this split alone, print it, write nothing

The foundation is trained as the bundled CLIP was, but for each concept one drawing style is left
out. The experiment is that of ``clip_retention``: concepts that the foundation knows, adapted on
OpenMoji, a style that it never saw. Scored are unseen OpenMoji drawings, the drawings that were
left out (a style that the foundation knows, a drawing that it never saw: robustness), and drawings
of the same concepts in one of the styles that it did see (retention).

The image encoder alone is needed, so no text encoder is taught: names are embedded by the sentence
encoder and the linear text head. Learning rates are not chosen again; every start is trained at
every rate of ``clip_retention``.

Sources: Kumar et al. 2022, arXiv 2202.10054; Wortsman et al. 2022, arXiv 2109.01903.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

import fmcourse
from recipes import emoji_clip
from recipes.clip_forgetting import known_drawings
from recipes.clip_retention import ALPHAS, GRID, RATES, SPLITS, STEPS, Split, compared
from recipes.common import checkpoint, command_line, ship_runs
from recipes.emoji_pairs import READ, SOURCES, Pictures, read_pictures, training_concepts
from recipes.text_tower import Captions, Student

PRETRAINING = emoji_clip.STEPS
# A style with its earlier version: what is left out, is left out of both.
FAMILIES = {
    "noto": ["noto", "noto-v1"],
    "fluent-emoji-flat": ["fluent-emoji-flat"],
    "twemoji": ["twemoji"],
    "emojione": ["emojione"],
}


def main(arguments=None):
    chosen = command_line(__doc__, arguments, seeds=SPLITS, steps=STEPS)
    fmcourse.setup()
    torch.set_flush_denormal(True)  # as for the bundled model
    ship_runs(
        "clip-shift.parquet",
        [(measured, split, chosen.steps) for split in chosen.seeds],
        chosen.ships,
        recipe="clip_shift",
        sources=["emoji-openmoji.parquet", *SOURCES],
        read=["emoji-openmoji.parquet", *READ],
        settings={
            "pretraining_steps": PRETRAINING,
            "rates": RATES,
            "grid": list(GRID),
            "alphas": list(ALPHAS),
        },
    )


@functools.cache
def drawings() -> dict[str, dict]:
    """Return the drawings of OpenMoji, those left out and those seen, by part and code points.

    Of each concept that several families draw, one family is left out and another one is seen.
    """
    styles = {family: known_drawings(family) for family in FAMILIES}
    parts: dict[str, dict] = {"openmoji": known_drawings("openmoji"), "left out": {}, "seen": {}}
    draw = np.random.default_rng(0)
    for code in sorted(set().union(*styles.values())):
        drawn = [family for family in FAMILIES if code in styles[family]]
        if len(drawn) > 1:
            left, seen = draw.choice(drawn, 2, replace=False)
            parts["left out"][code] = (*styles[left][code], left)
            parts["seen"][code] = (*styles[seen][code], seen)
    return parts


def without_left_out(pictures: Pictures) -> Pictures:
    """Return the pictures that the foundation may see, whatever their skin tone."""
    hidden = {
        (code, style)
        for code, (*_, family) in drawings()["left out"].items()
        for style in FAMILIES[family]
    }
    codes = [pictures.concepts[concept] for concept in pictures.concept.tolist()]
    shown = zip(codes, pictures.style)
    return pictures.only([place for place, pair in enumerate(shown) if pair not in hidden])


@functools.cache
def foundation() -> emoji_clip.Pairs:
    """Train the towers and fit the text head, as the bundled model's."""
    concepts = training_concepts()
    captions = Captions(concepts)
    styles = emoji_clip.TRAINING_STYLES
    file = checkpoint("clip_shift", foundation, PRETRAINING, sources=READ)
    pictures = without_left_out(read_pictures(styles, concepts))
    pairs, _ = emoji_clip.pretrain(pictures, captions, PRETRAINING, file)
    plain = without_left_out(read_pictures(styles, concepts, tones=False))
    emoji_clip.fit_head(pairs, plain, captions)
    return pairs


def measured(seed, steps) -> list[dict]:
    """Return one row per method, alpha and part of a split."""
    pairs = foundation()
    _, processor = fmcourse.load_clip("emoji-clip")
    text = Student(len(processor.tokenizer), emoji_clip.WIDTH)  # stays untrained and unused
    model = emoji_clip.assemble(pairs, text)

    @torch.no_grad()
    def words(names: list[str]) -> torch.Tensor:
        return pairs.embed_rows(emoji_clip.template_rows(names))

    return compared(Split(seed, (model, processor), drawings(), words), steps, GRID)


if __name__ == "__main__":
    main()
