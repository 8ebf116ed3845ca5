"""What must be kept so that a lost connection loses nothing? The state of a run, written whole or not at all.

Serves :func:`fmcourse.training.fit`.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["State", "fingerprint"]


@dataclass
class State:
    """A run at one moment: all that a checkpoint holds. While weights move it is not `whole`, and must not be saved.

    Attributes:
        model, optimizer: what is trained, and what moves it.
        scaler: of the loss; one that is switched off holds nothing.
        fingerprint: what tells this run from others; see :func:`fingerprint`.
        path: the checkpoint's file, or None.
        writes: whether this process writes it; of several that train together, one does.
        step: steps taken so far.
        losses, records: those of :class:`fmcourse.training.Run`, so far.
        earlier_seconds: what earlier, interrupted calls took.
    """

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    fingerprint: dict[str, Any]
    path: Path | None
    writes: bool = True
    step: int = 0
    losses: list[float] = field(default_factory=list)
    records: list[dict[str, float]] = field(default_factory=list)
    earlier_seconds: float = 0.0
    whole: bool = True
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    @property
    def seconds(self) -> float:
        """Wall-clock time over all calls, in seconds."""
        return self.earlier_seconds + time.monotonic() - self.started

    def advance(self, loss: float) -> None:
        """Count a step whose weights have moved."""
        self.step += 1
        self.losses.append(loss)
        self.whole = True

    def save(self) -> None:
        """Write the checkpoint atomically: a reader sees the old file or the new one, never half of one."""
        import torch

        if self.path is None or not self.writes:
            return
        partial = self.path.with_name(self.path.name + ".partial")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            torch.save(self._content(), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.path)

    def _content(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "losses": self.losses,
            "records": self.records,
            "seconds": self.seconds,
        }

    def resume(self) -> None:
        """Load the checkpoint when there is one; a ValueError refuses that of another run, or one that cannot be read."""
        if self.path is None or not self.path.exists():
            return
        content = self._read()
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(content["scaler"])
        self.step, self.losses, self.records = (
            content["step"],
            content["losses"],
            content["records"],
        )
        self.earlier_seconds = content["seconds"]

    def _read(self) -> dict[str, Any]:
        import torch

        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            theirs, ours = content["fingerprint"], self.fingerprint
            changed = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
        except Exception as error:  # a damaged file can fail in any way
            raise ValueError(
                f"checkpoint: {self.path} cannot be read ({error}); delete it to start afresh"
            ) from error
        if changed:
            raise ValueError(
                f"checkpoint: {self.path} belongs to a run with other {' and '.join(changed)}; "
                "delete it to start afresh, or name another file"
            )
        return content


def fingerprint(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    seed: int,
    data: str,
    **special: Any,
) -> dict[str, Any]:
    """Return what tells a run from others; `special` settings that are None count as absent, as in older checkpoints."""
    shapes = {name: list(p.shape) for name, p in model.named_parameters()}
    chosen = [
        {k: v for k, v in group.items() if k not in ("params", "initial_lr")}
        for group in optimizer.param_groups
    ]
    plain = {
        "steps": steps,
        "seed": seed,
        "data": data,
        "weights": shapes,
        "optimizer": f"{type(optimizer).__name__} {chosen}",
    }
    return plain | {name: value for name, value in special.items() if value is not None}
