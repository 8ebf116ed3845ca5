"""CLIP: zero-shot classification, linear probes, fine-tuning, interpolation, and the reading of
your own pictures.

Serves notebook 03. Every function takes the model and processor of :func:`fmcourse.load_clip`, the
bundled one or OpenAI's. Axes: n pictures or texts, d numbers per embedding, side pixels. Sources:
Radford et al. 2021 (CLIP), Kumar et al. 2022 (LP-FT), Wortsman et al. 2022 (WiSE-FT), Hu et al.
2022 (LoRA), Zhang et al. 2022 (Tip-Adapter), Goyal et al. 2023 (FLYP).
"""

from __future__ import annotations

from fmcourse.clip.adaptation import (
    batches_of,
    fine_tune,
    interpolate,
    lp_ft,
    optimizer_of,
    tip_adapter,
)
from fmcourse.clip.classifier import (
    Head,
    build_classifier,
    linear_probe,
    load_classifier,
    percent_right,
    random_head,
    save_classifier,
)
from fmcourse.clip.embedding import (
    TEMPLATES,
    contrastive_loss,
    embed_images,
    embed_texts,
    occlusion,
    pixels_of,
    retrieval_ranks,
    soft_targets,
    zero_shot_head,
)
from fmcourse.clip.mistakes import MISTAKES, Habits, fine_tune_pairs
from fmcourse.clip.pictures import read_pictures
from fmcourse.clip.results import (
    load_clinic,
    load_forgetting,
    load_retention,
)
from fmcourse.clip.tasks import (
    drawings_of,
    known_drawings,
    sample_folder,
    subgroup_task,
)

__all__ = [
    "MISTAKES",
    "TEMPLATES",
    "Habits",
    "Head",
    "batches_of",
    "build_classifier",
    "contrastive_loss",
    "drawings_of",
    "embed_images",
    "embed_texts",
    "fine_tune",
    "fine_tune_pairs",
    "interpolate",
    "known_drawings",
    "linear_probe",
    "load_classifier",
    "load_clinic",
    "load_forgetting",
    "load_retention",
    "lp_ft",
    "occlusion",
    "optimizer_of",
    "percent_right",
    "pixels_of",
    "random_head",
    "read_pictures",
    "retrieval_ranks",
    "sample_folder",
    "save_classifier",
    "soft_targets",
    "subgroup_task",
    "tip_adapter",
    "zero_shot_head",
]
