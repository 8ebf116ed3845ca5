"""fmcourse: a notebook course on foundation models in which every claim becomes a number.

The doorway: :func:`setup`, :func:`doctor`, the loaders of models and tables, and one module per
topic. Torch and transformers are loaded when they are first used: ``import fmcourse`` is instant.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence

__version__ = "0.2.0"

_FUNCTIONS = {
    "setup": "runtime",
    "doctor": "health",
    "caught": "runtime",
    "load_addresses": "data",
    "load_adult": "data",
    "load_clip": "models",
    "load_digits": "data",
    "load_emoji": "data",
    "load_gpt_neo": "models",
    "load_smollm2": "models",
}
_MODULES = (
    "clip",
    "data",
    "embeddings",
    "emergence",
    "evidence",
    "exercises",
    "generation",
    "health",
    "homogenization",
    "models",
    "plots",
    "predictions",
    "prompting",
    "report",
    "results",
    "runtime",
    "safeguards",
    "stats",
    "training",
    "widgets",
)

# Module names of the first edition, and where each is found now: importing the old name gives the
# new module.
_MOVED = {
    "batches": "training",
    "breadth": "report",
    "bundle": "data",
    "clip.contrast": "clip.embedding",
    "clip.files": "clip.folders",
    "download": "models",
    "embeddings.provenance": "embeddings.versions",
    "embeddings.relatives": "embeddings.rows",
    "environment": "runtime",
    "hub": "models",
    "progress": "training",
    "smollm2": "models",
    "plotting": "plots",
    "plotting.canvas": "plots",
    "uncertainty": "stats",
    "exercises": "quiz.exercises",
    "predictions": "quiz.predictions",
}

__all__ = sorted([*_FUNCTIONS, *_MODULES])  # noqa: PLE0605 (a list, and all strings)


class _OldNames(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module by its name of the first edition."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if package == __name__ and name in _MOVED:
            return importlib.machinery.ModuleSpec(fullname, self)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = importlib.import_module(f"{__name__}.{_MOVED[spec.name.partition('.')[2]]}")
        self._spec = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        # The import system has put the old name's spec on the module; give it back its own.
        module.__spec__ = self._spec


# First, so that no older copy of the course that is installed beside this one is found instead.
sys.meta_path.insert(0, _OldNames())


def __getattr__(name: str):
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"fmcourse.{_FUNCTIONS[name]}"), name)
    if name in _MODULES or name in _MOVED:
        return importlib.import_module(f"fmcourse.{name}")
    raise AttributeError(
        f"module 'fmcourse' has no attribute {name!r}; it has {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return __all__
