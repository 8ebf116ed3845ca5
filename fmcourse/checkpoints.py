"""What a training run keeps in its checkpoint, and how it is told from every different run.

Used by :mod:`fmcourse.training`, and so by all notebooks that train.
"""

import contextlib
import dataclasses
import dis
import hashlib
import numbers
import os
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from fmcourse.arguments import require
from fmcourse.files import say, user_path, write_atomic
from fmcourse.stats import Interval

FORMAT = 2  # of the file; 1, of the first edition, did not note all that decides a result
LONGEST = 60  # characters that a message shows of a value
REMEDY = "name a different file, or rename this one to keep it"
# Where a model came from, its hash in this process and its warnings do not decide what it computes.
# The first kind that fits counts: a truth value is a whole number to Python.
KINDS = {str: str, bool: bool, np.bool_: bool, numbers.Integral: int, numbers.Real: float}
PASSING = ("name_or_path", "_name_or_path", "_original_object_hash", "warnings_issued")


def digest(*parts: Tensor | str) -> str:
    """Return a short name of some tensors and texts that changes when any number, shape or letter
    does.

    >>> digest(torch.zeros(2)) == digest(torch.zeros(2))
    True
    >>> digest(torch.zeros(2)) == digest(torch.zeros(2, 1))
    False
    """
    found = hashlib.sha256()
    for part in parts:
        described = part if isinstance(part, str) else f"{part.dtype} {tuple(part.shape)}"
        found.update(described.encode("utf-8", "backslashreplace") + b"\0")
        if not isinstance(part, str):
            # As bytes, since NumPy has no bfloat16.
            found.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


def describe(value, known: Mapping[int, str] | None = None) -> str:
    """Return a text that changes when anything does that `value` computes with, and that is the
    same in a new process.

    Functions are described by their code, defaults, and the closure and global values that they
    use; objects of the user's classes, dataclasses and modules by their values; objects of
    libraries by their simple values.

    Args:
        value: anything.
        known: names of objects, by their id, that are described elsewhere.

    >>> describe([1, "a"]), describe(lambda x: x + 1) == describe(lambda x: x + 2)
    ("[1, 'a']", False)
    """
    return _Description(known or {})(value)


class _Description:
    def __init__(self, known: Mapping[int, str]) -> None:
        self.texts = dict(known)
        self.kept: list[Any] = []  # so that no id is given twice

    def __call__(self, value) -> str:
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            # NumPy's numbers are those of Python.
            return repr(int(value) if isinstance(value, numbers.Integral) else float(value))
        if value is None or isinstance(value, (str, bytes, bool)):
            return _short(repr(value))
        if id(value) not in self.texts:
            self.kept.append(value)
            self.texts[id(value)] = "itself"
            self.texts[id(value)] = _short(self._parts(value))
        return self.texts[id(value)]

    def _parts(self, value) -> str:
        if isinstance(value, Tensor):
            return f"#{digest(value)}"
        if isinstance(value, Mapping):
            kept = [name for name in value if name not in PASSING]
            pairs = sorted(f"{self(name)}: {self(value[name])}" for name in kept)
            return "{" + ", ".join(pairs) + "}"
        if isinstance(value, (list, tuple)):
            return "[" + ", ".join(map(self, value)) + "]"
        if isinstance(value, (set, frozenset)):
            return "{" + ", ".join(sorted(map(self, value))) + "}"
        if isinstance(value, types.ModuleType):
            return value.__name__
        if isinstance(value, types.CodeType):
            return f"{value.co_code.hex()} {value.co_names} {self(value.co_consts)}"
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(value)
        return self._object(value)

    def _function(self, function: types.FunctionType) -> str:
        code = function.__code__
        cells = dict(zip(code.co_freevars, map(_content, function.__closure__ or ())))
        given = self([function.__defaults__, function.__kwdefaults__, cells])
        if _of_a_library(function.__module__):
            return f"{function.__module__}.{function.__qualname__} {given}"
        found = {}
        for part in _codes(code):
            for name in _global_names(part) & function.__globals__.keys():
                found[name] = own = function.__globals__[name]
                if isinstance(own, types.ModuleType) and not _of_a_library(own.__name__):
                    for used in set(part.co_names) & vars(own).keys():
                        found[f"{name}.{used}"] = vars(own)[used]
        return f"{self(code)} {given} {self(found)}"

    def _class(self, kind: type) -> str:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if _of_a_library(kind.__module__):
            return name
        members = {}
        for key, member in vars(kind).items():
            if isinstance(member, types.FunctionType) or not key.startswith("__"):
                members[key] = member
        return f"{kind.__qualname__} {self(kind.__bases__)} {self(members)}"

    def _object(self, value) -> str:
        """Describe what pickle would keep of an object; of one that it does not take, the class."""
        parts: list[Any] = [type(value)]
        reduced: Any = ""
        # A class may refuse any name in its own way.
        with contextlib.suppress(Exception):
            parts += [getattr(value, name, None) for name in ("__wrapped__", "fget")]
        with contextlib.suppress(Exception):
            reduced = value.__reduce_ex__(4)
        # Behind the state stand iterators over items.
        parts += [reduced[:3], *map(list, filter(None, reduced[3:5]))]
        return self(parts)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"#{digest(text)}"


def _content(cell: types.CellType):
    try:
        return cell.cell_contents
    except ValueError:  # nothing is in it yet
        return None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Give the code of a function and of the functions inside it."""
    yield code
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            yield from _codes(part)


def _global_names(code: types.CodeType) -> set[str]:
    wanted = ("LOAD_GLOBAL", "LOAD_NAME")
    return {part.argval for part in dis.get_instructions(code) if part.opname in wanted}


def _of_a_library(module: str | None) -> bool:
    """Return whether a module is Python's own or an installed one, not code of the user."""
    if module is None or module.partition(".")[0] in sys.stdlib_module_names:
        return module is not None
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return "site-packages" in file or "dist-packages" in file


def plain(name: str, value):
    """Return a figure as numbers, texts, None, intervals, and lists and mappings of these: what a
    checkpoint can hold.

    NumPy's numbers, arrays and tensors become Python's numbers and lists; other dataclasses than
    intervals become mappings.

    Raises:
        TypeError: anything else; the message begins with `name`.
    """
    if value is None:
        return None
    for kind, made in KINDS.items():
        if isinstance(value, kind):
            return made(value)
    if isinstance(value, Interval):
        return Interval(**plain(name, vars(value)))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, Mapping):
        return {plain(name, key): plain(f"{name}[{key!r}]", part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(name, part) for part in value]
    if hasattr(value, "tolist"):
        return plain(name, value.tolist())
    raise TypeError(
        f"{name}: expected numbers, texts, None, intervals, or lists and mappings of these, "
        f"got {type(value).__name__}"
    )


def checkpoint_file(path: str | Path | None) -> Path | None:
    """Return the whole path of a checkpoint that a user named, and make its folder.

    Raises:
        ValueError: a folder, or anything else that is no file.
    """
    if path is None:
        return None
    # The working folder may change during the run.
    file = user_path(path).absolute()
    fits = os.path.isfile(file) or not os.path.exists(file)
    require(fits, "checkpoint", "a file, no folder", str(file))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _say_unsaved(file, error)
    return file


@dataclass
class State:
    """A run at one moment: all that a checkpoint holds. While weights move it is not `whole`, and
    must not be saved.

    Attributes:
        model, optimizer: what is trained, and what moves it.
        scaler: of the loss; one that is switched off holds nothing.
        path: the checkpoint's file, or None.
        writes: whether this process writes it; of several that train together, one does.
        identity: all that decides the result of this run: names that a user knows, and short
            descriptions.
        functions: a function to more of the same, for what may change by itself while the run goes
            on, such as a list in which the loss function collects values.
        step: steps taken so far.
        losses, records: those of :class:`fmcourse.training.Run`, so far; records are plain.
        earlier_seconds: what earlier, interrupted calls took.
        saved: whether the file holds the run as it stands.
    """

    model: Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    path: Path | None
    identity: dict[str, str]
    functions: Callable[[], dict[str, str]]
    writes: bool = True
    step: int = 0
    losses: list[float] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    earlier_seconds: float = 0.0
    whole: bool = True
    saved: bool = False
    started: float = field(default_factory=time.monotonic)
    _stamp: tuple[int, ...] | None = None
    _complained: bool = False

    @property
    def seconds(self) -> float:
        """Wall-clock time over all calls, in seconds."""
        return self.earlier_seconds + time.monotonic() - self.started

    def advance(self, loss: float) -> None:
        """Count a step whose weights have moved."""
        self.step += 1
        self.losses.append(loss)
        self.whole = True
        self.saved = False

    def save(self) -> None:
        """Write the checkpoint; where that fails, a sentence says so, and the run goes on."""
        if self.path is None or not self.writes or self.saved or not self.step:
            return
        try:
            self._check_owner(self.path)
            if not self.path.parent.exists():
                # A Drive that is gone must not be replaced by a folder of the same name.
                raise FileNotFoundError(0, "its folder is gone")
            write_atomic(self.path, lambda file: torch.save(self._content(), file))
        except (OSError, RuntimeError, ValueError) as error:  # torch: RuntimeError for a full disk
            if not self._complained:
                _say_unsaved(self.path, error)
            self._complained = True
        else:
            self._stamp = _stamp(self.path)
            self.saved = True
            self._complained = False

    def _check_owner(self, path: Path) -> None:
        stamp = _stamp(path)
        if stamp not in (None, self._stamp) and _read(path)["identity"] != self.identity:
            raise FileExistsError(0, "a different run has written it meanwhile")

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "identity": self.identity,
            "functions": self.functions(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "losses": self.losses,
            "records": self.records,
            "seconds": self.seconds,
        }

    def resume(self) -> None:
        """Go on from the file when there is one, and say so.

        Raises:
            ValueError: it is the checkpoint of a different run, or cannot be read.
        """
        if self.path is None or not os.path.exists(self.path):
            return
        stamp = _stamp(self.path)
        content = _read(self.path)
        began = content["identity"]
        # A value may have changed by itself since the run began: its state at the last save counts.
        left = began | content["functions"]
        names = began | self.identity
        changed = [n for n in names if self.identity.get(n) not in (began.get(n), left.get(n))]
        if "first weights" in changed and describe(self.model.state_dict()) == describe(
            content["model"]
        ):
            # The same cell is run again, and its model has been trained in place.
            changed.remove("first weights")
        if set(changed) - {"measure"}:
            raise ValueError(_difference(self.path, changed, began, self.identity))
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(content["scaler"])
        self.step, self.losses = content["step"], content["losses"]
        self.earlier_seconds = content["seconds"]
        self.records, self.identity = content["records"], began
        self.saved, self._stamp = True, stamp
        if changed and self.records and self.writes:
            say(f"measure has changed: the records up to step {self.step} are those of before.")

    def go_back(self) -> None:
        """Give the model the weights of the file again, after an interruption while they moved."""
        if self.path is not None and self._stamp is not None:
            self.model.load_state_dict(_read(self.path)["model"])


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is written anew, or None without a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> dict[str, Any]:
    try:
        with torch.serialization.safe_globals([Interval]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any way
        raise ValueError(
            f"checkpoint: {path} cannot be read: it is damaged, or no checkpoint; {REMEDY}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"checkpoint: {path} was written by a different version of this course, or by another "
            f"program; {REMEDY}"
        )
    return content


def _difference(path: Path, changed: list[str], theirs: dict[str, str], own: dict[str, str]) -> str:
    """Say what tells the run of a file from this one."""
    found = []
    for name in changed:
        values = [where.get(name, "none") for where in (theirs, own)]
        hidden = any("#" in value for value in values)
        found.append(f"other {name}" if hidden else f"{name} {values[0]} there, {values[1]} here")
    text = f"checkpoint: {path} belongs to a different run ({'; '.join(found)}); {REMEDY}"
    if "first weights" in changed:
        text += ". First weights are the same again when the seed is set before the model is made"
    return text


def _say_unsaved(path: Path, error: Exception) -> None:
    reason = getattr(error, "strerror", None) or "the disk may be full"
    say(
        f"checkpoint: {path} could not be written ({reason}). The run goes on, but is not kept "
        "there: make room, or name a file in a different place."
    )
