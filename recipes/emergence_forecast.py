"""The blinded forecast of notebook 01: where will width 96 turn, said from widths 8 to 64 before width 96 is trained.

    python -m recipes.emergence_forecast predict    fit the law on the autopsy's runs, and store the forecast
    python -m recipes.emergence_forecast            the same, then train the target, hold the inquest, and write all three files

The forecast is stored once and never again: a second call reads it. The target's runs are refused while no forecast
is stored, and the forecast is refused when a run of the target is already there. So it cannot have seen its answer.
The inquest trains the target once more at a third of the learning rate. It came after the answer, which was far from the
forecast: was it the width, or the one learning rate for all?
"""

from __future__ import annotations

import argparse
import datetime

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import addition
from recipes import emergence_autopsy, sweeps
from recipes.common import kept_json

TARGET = 96
REVERSE = False
THRESHOLD = 0.5  # of exact match; fixed before the first run
LEVEL = 0.9
SETTINGS = [
    {"width": TARGET, "reverse": REVERSE, "seed": seed, "steps": addition.STEPS}
    for seed in range(5)
]
FILES = ("emergence-forecast.json", "emergence-target.parquet")
INQUEST, INQUEST_FILE = (
    [{**setting, "lr": addition.LR / 3} for setting in SETTINGS[:3]],
    "emergence-inquest.parquet",
)


def main() -> None:
    chosen = sweeps.arguments(__doc__, ("make", "predict"))
    fmcourse.setup()
    settings = [setting for setting in emergence_autopsy.SETTINGS if setting["reverse"] == REVERSE]
    runs = sweeps.sweep(
        emergence.train_adder, settings, sweeps.work("autopsy"), chosen.backend, chosen.workers
    )
    stored = stored_forecast(runs)
    print(
        f"width {TARGET} should turn at step {stored['estimate']:.0f} [{stored['low']:.0f}, {stored['high']:.0f}]"
    )
    if chosen.stage == "predict":
        return
    found = sweeps.sweep(
        emergence.train_adder,
        SETTINGS[: chosen.first],
        sweeps.work("target"),
        chosen.backend,
        chosen.workers,
    )
    if chosen.first is None:
        shown = {
            "target": TARGET,
            "threshold": THRESHOLD,
            "level": LEVEL,
            "seeds": len(SETTINGS),
            "steps": addition.STEPS,
        }
        for file, content in zip(FILES, (stored, found)):
            sweeps.ship(
                file, content, "emergence_forecast", shown, sum(run["seconds"] for run in found)
            )
        inquest(chosen)


def inquest(chosen: argparse.Namespace) -> None:
    """Train the target at the lower rate and write the runs."""
    runs = sweeps.sweep(
        emergence.train_adder, INQUEST, sweeps.work("inquest"), chosen.backend, chosen.workers
    )
    shown = {
        "target": TARGET,
        "lr": INQUEST[0]["lr"],
        "seeds": len(INQUEST),
        "steps": addition.STEPS,
    }
    sweeps.ship(
        INQUEST_FILE, runs, "emergence_forecast", shown, sum(run["seconds"] for run in runs)
    )


def stored_forecast(runs: list[dict]) -> dict:
    """Return the forecast that is stored, or make and store it from the runs of smaller widths.

    Raises:
        RuntimeError: a run of the target is there, and no forecast.
    """
    folder = sweeps.work("target")
    path = folder / "forecast.json"
    if not path.exists() and (list(folder.glob("width_*.json")) or list(folder.glob("width_*.pt"))):
        raise RuntimeError(
            f"{folder} holds a run of width {TARGET} and no forecast: whatever is said now is no forecast"
        )
    return kept_json(path, lambda: make_forecast(emergence.Sweep.of(runs)))


def make_forecast(small: emergence.Sweep) -> dict:
    """Fit the law on runs of smaller widths and say where the target turns."""
    widths = small.runs["width"].tolist()
    if max(widths) >= TARGET:
        raise ValueError(f"widths: expected widths below {TARGET}, got {max(widths)}")
    turning = small.turning_points("exact", THRESHOLD)
    law = emergence.fit_law(widths, turning, addition.STEPS)
    interval = emergence.forecast(widths, turning, addition.STEPS, TARGET, LEVEL)
    said = {
        "estimate": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "level": LEVEL,
        "threshold": THRESHOLD,
    }
    fitted = {
        "law": {"intercept": law.intercept, "slope": law.slope, "spread": law.spread},
        "widths": sorted(set(widths)),
    }
    return {
        "target": TARGET,
        **said,
        **fitted,
        "made": datetime.datetime.now().isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    main()
