"""Sweeps of notebook 01: many runs that know nothing of each other, each kept when done.

A run that breaks off goes on from its checkpoint; one that is done is read.
"""

from fmcourse import emergence
from recipes.common import checkpoint, kept, ship

DECIMALS = 5  # of what was measured; counts of 1,000 need 3
SOURCES = ["trained from random weights on sums, strings and bits drawn by the recipe"]


def sweep(train, wanted, name, ships=False, **about):
    """Return one run per setting, in their order, and ship them when that is asked.

    Args:
        train: a function of the package such as ``emergence.train_adder``: it takes the settings
            and a checkpoint, and returns a model and a :class:`fmcourse.training.Run`.
        wanted: keyword arguments of each run, as JSON values; the most important first.
        name: of the folder that keeps runs and checkpoints, and, with hyphens, of the file.
        ships: that of the command line.
        about: ``recipe`` and ``settings``, as in :func:`recipes.common.ship`.
    """
    runs = []
    for setting in wanted:
        runs.append(kept(name, one_run, train, setting, name))
        checkpoint(name, one_run, train, setting, name).unlink(missing_ok=True)
    if ships:
        file = f"{name.replace('_', '-')}.parquet"
        seconds = sum(run["seconds"] for run in runs)
        ship(file, emergence.Sweep.of(runs).table, sources=SOURCES, seconds=seconds, **about)
    return runs


def one_run(train, setting, name):
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
