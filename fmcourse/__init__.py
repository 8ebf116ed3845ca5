"""fmcourse: a notebook course on foundation models in which every claim becomes a number.

The doorway: :func:`setup`, :func:`doctor`, the loaders of models and tables, and one module per topic. Torch and
transformers are loaded when they are first used, so that ``import fmcourse`` is instant.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_FUNCTIONS = {
    "setup": "environment",
    "doctor": "health",
    "caught": "environment",
    "load_addresses": "hub",
    "load_adult": "hub",
    "load_clip": "hub",
    "load_emoji": "hub",
    "load_gpt_neo": "hub",
    "load_smollm2": "smollm2",
}
_MODULES = (
    "breadth",
    "bundle",
    "clip",
    "embeddings",
    "emergence",
    "environment",
    "evidence",
    "exercises",
    "generation",
    "health",
    "homogenization",
    "hub",
    "plotting",
    "predictions",
    "safeguards",
    "training",
    "uncertainty",
    "widgets",
)

__all__ = sorted([*_FUNCTIONS, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"fmcourse.{_FUNCTIONS[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"fmcourse.{name}")
    raise AttributeError(f"module 'fmcourse' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
