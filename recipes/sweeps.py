"""Sweeps: many runs that know nothing of each other, each kept when done, some at a time.

A run that breaks off goes on from its checkpoint; one that is done is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import joblib
import torch

from fmcourse import emergence
from recipes import common
from recipes.common import checkpoint, kept

__all__ = ["ship", "sweep"]

DECIMALS = 5  # of what was measured; counts of 1,000 need 3


def sweep(train: Callable, settings: Sequence[dict], name: str, workers: int = 1) -> list[dict]:
    """Return one run per setting, in their order.

    Args:
        train: a function of the package such as ``emergence.train_adder``: it takes the settings
            and a checkpoint, and returns a model and a :class:`fmcourse.training.Run`.
        settings: keyword arguments of each run, as JSON values; the most important first.
        name: of the folder that keeps runs and checkpoints.
        workers: how many runs at a time, each in a process of its own.
    """
    jobs = [joblib.delayed(kept_run)(train, setting, name) for setting in settings]
    return joblib.Parallel(n_jobs=workers)(jobs)


def kept_run(train: Callable, setting: dict, name: str) -> dict:
    """Return what ships of one run, now or as kept; the checkpoint goes when the run is kept."""
    torch.set_num_threads(1)
    run = kept(name, one_run, train, setting, name)
    checkpoint(name, one_run, train, setting, name).unlink(missing_ok=True)
    return run


def one_run(train: Callable, setting: dict, name: str) -> dict:
    """Train with one setting and return what ships of it."""
    model, run = train(**setting, checkpoint=checkpoint(name, one_run, train, setting, name))
    print(f"{name}, {setting}: {run.seconds:.0f} s", flush=True)
    records = [{key: round(value, DECIMALS) for key, value in row.items()} for row in run.records]
    return {
        "settings": setting,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "seconds": round(run.seconds, 1),
        "records": records,
    }


def ship(
    file: str, content: dict | list[dict], recipe: str, settings: dict, seconds: float | None = None
) -> None:
    """Write a sweep's runs, or a forecast, to the bundle and enter the file in the manifest; None
    means the seconds of all runs.
    """
    if seconds is None:
        seconds = sum(run["seconds"] for run in content)
    about = {
        "sources": ["trained from random weights on sums, strings and bits drawn by the recipe"],
        "recipe": recipe,
        "settings": settings,
        "seconds": seconds,
    }
    if isinstance(content, list):
        common.ship_table(file, emergence.Sweep.of(content).table, **about)
    else:
        common.ship(file, content, **about)
