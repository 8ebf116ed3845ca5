"""Who looks after rows of numbers? Embeddings as data: versions, slices, relatives, the tail, drift
and provenance.

Serves notebook 05. Axes: n items, d numbers per row. Everything here takes arrays, never models.
Source: Orr, Goel & Ré 2022, who name three challenges, as summaries tell: integration with
provenance, monitoring, patching. Versions and the tail are the course's own reading of what belongs
to them.
"""

from fmcourse.embeddings.drift import cut_passages, drift_detector, ring_rate, runs
from fmcourse.embeddings.rows import alike, mutual_nearest, nearest
from fmcourse.embeddings.slices import cluster_slices, error_slices, precision_at, random_slices
from fmcourse.embeddings.versions import (
    check_version,
    fingerprint,
    flips,
    licences,
    lineage,
    load_versions,
)

__all__ = [
    "alike",
    "check_version",
    "cluster_slices",
    "cut_passages",
    "drift_detector",
    "error_slices",
    "fingerprint",
    "flips",
    "licences",
    "lineage",
    "load_versions",
    "mutual_nearest",
    "nearest",
    "precision_at",
    "random_slices",
    "ring_rate",
    "runs",
]
