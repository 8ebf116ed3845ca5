"""A sweep: many runs that know nothing of each other, one job each, kept on disk, on this machine or on a cluster.

joblib runs the jobs. With ``backend="dask"`` the same call runs on the Dask cluster that the last
``dask.distributed.Client`` of this process is connected to; its workers need this repository and, so that finished runs
are kept, its ``build`` folder. A job that breaks off goes on from its checkpoint; one that is done is read, not run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import joblib

from fmcourse import emergence, training
from recipes import common
from recipes.common import kept_json, work_folder

__all__ = ["arguments", "ship", "sweep"]

DECIMALS = 5  # of what was measured; counts of 1,000 need 3


def sweep(
    train: Callable, settings: Sequence[dict], folder: Path, backend: str = "loky", workers: int = 1
) -> list[dict]:
    """Return one run per setting, in their order; runs that are already kept in `folder` are not repeated.

    Args:
        train: a function of the package such as ``emergence.train_adder``: it takes the settings and a checkpoint, and returns
            a model and a :class:`fmcourse.training.Run`.
        settings: keyword arguments of each run, as JSON values; the most important first.
        folder: where runs and checkpoints are kept.
        backend: joblib's: ``loky`` (processes here), ``dask`` (a cluster), ``sequential``.
        workers: how many jobs at a time; a cluster decides for itself.
    """
    with joblib.parallel_config(backend=backend, n_jobs=workers):
        return joblib.Parallel()(
            joblib.delayed(kept_run)(train, setting, folder) for setting in settings
        )


def kept_run(train: Callable, setting: dict, folder: Path) -> dict:
    """Train with one setting, or read what an earlier call kept; the checkpoint goes when the run is kept."""
    import torch

    torch.set_num_threads(1)
    name = "-".join(f"{key}_{value}" for key, value in setting.items())
    checkpoint = folder / f"{name}.pt"

    def make() -> dict:
        model, run = train(**setting, checkpoint=checkpoint)
        print(f"{name}: {run.seconds:.0f} s", flush=True)
        return record_of(setting, model.parameters(), run)

    run = kept_json(folder / f"{name}.json", make)
    checkpoint.unlink(missing_ok=True)
    return run


def record_of(setting: dict, weights, run: training.Run) -> dict:
    """Return what ships of one run."""
    records = [
        {name: round(value, DECIMALS) for name, value in record.items()} for record in run.records
    ]
    parameters = sum(weight.numel() for weight in weights)
    return {
        "settings": setting,
        "parameters": parameters,
        "seconds": round(run.seconds, 1),
        "records": records,
    }


def arguments(description: str, stages: Sequence[str] = ("make",)) -> argparse.Namespace:
    """Read what every sweep's command line offers: a stage, where the jobs run, how many at a time, and a part to run first."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", nargs="?", default=stages[0], choices=stages)
    parser.add_argument(
        "--backend", default="loky", help="joblib's backend: loky, sequential or dask"
    )
    parser.add_argument(
        "--cluster", help="address of a Dask scheduler, for --backend dask; none starts one here"
    )
    parser.add_argument("--workers", type=int, default=1, help="jobs at a time")
    parser.add_argument(
        "--first", type=int, help="run only so many of the settings, and leave the writing out"
    )
    chosen = parser.parse_args()
    if chosen.backend == "dask":
        from dask.distributed import Client

        Client(chosen.cluster)  # joblib finds it
    return chosen


def ship(
    file: str, content: dict | list[dict], recipe: str, settings: dict, seconds: float
) -> None:
    """Write a sweep's runs, or a forecast, to the bundle and enter the file in the manifest."""
    about = {
        "sources": ["trained from random weights on sums, strings and bits drawn by the recipe"],
        "recipe": recipe,
        "settings": settings,
        "seconds": seconds,
    }
    if isinstance(content, dict):
        common.ship(file, content, **about)
    else:
        common.ship_table(file, emergence.Sweep.of(content).table, **about)


def work(name: str) -> Path:
    """Return the folder that keeps a sweep's runs."""
    return work_folder("emergence") / name
