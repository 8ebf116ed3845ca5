"""The blinded forecast of notebook 01: where will width 96 turn, said before it is trained.

    python -m recipes.emergence_forecast predict    fit the law on the autopsy's runs of widths 8 to
                                                    64, and store the forecast
    python -m recipes.emergence_forecast            the same, then train the target, hold the
                                                    inquest, and write all three files

The forecast is stored once and never again: a second call reads it. It is refused when a run of the
target is already there, and when the runs or settings behind it have changed since. So it cannot
have seen its answer. The inquest trains the target once more at a third of the learning rate. It
came after the answer, which was far from the forecast: was it the width, or the one learning rate
for all?
"""

import datetime
import functools
import json
from dataclasses import asdict

import fmcourse
from fmcourse import emergence
from fmcourse.emergence import addition
from fmcourse.files import write_atomic
from recipes import emergence_autopsy, sweeps
from recipes.common import command_line, ship, work_folder

TARGET = 96
THRESHOLD = 0.5  # of exact match; fixed before the first run
LEVEL = 0.9
SEEDS = range(5)
INQUEST_SEEDS = 3  # the first of them
INQUEST_LR = addition.LR / 3
trained = functools.partial(sweeps.sweep, emergence.train_adder)


def main(arguments=None):
    stages = ("make", "predict")
    chosen = command_line(__doc__, arguments, stages=stages, seeds=SEEDS, steps=addition.STEPS)
    fmcourse.setup()
    settings = emergence_autopsy.settings_of(emergence_autopsy.SEEDS, chosen.steps)
    smaller = [setting for setting in settings if not setting["reverse"]]
    stored = stored_forecast(trained(smaller, emergence_autopsy.RECIPE))
    between = f"[{stored['low']:.0f}, {stored['high']:.0f}]"
    print(f"width {TARGET} should turn at step {stored['estimate']:.0f} {between}")
    if chosen.stage == "predict":
        return
    shown = {"target": TARGET}
    about = {"recipe": "emergence_forecast", "settings": shown}
    targets = [
        {"width": TARGET, "reverse": False, "seed": seed, "steps": chosen.steps}
        for seed in chosen.seeds
    ]
    trained(targets, "emergence_target", chosen.ships, **about)
    inquest = [{**setting, "lr": INQUEST_LR} for setting in targets[:INQUEST_SEEDS]]
    asked = {**about, "settings": shown | {"lr": INQUEST_LR}}
    trained(inquest, "emergence_inquest", chosen.ships, **asked)
    if chosen.ships:
        ship("emergence-forecast.json", stored, sources=sweeps.SOURCES, seconds=0.0, **about)


def stored_forecast(runs):
    """Return the forecast that is stored, or store that of the runs of smaller widths.

    Raises:
        RuntimeError: a run of the target is there and no forecast, or the stored forecast is not
            that of these runs and settings.
    """
    folder = work_folder("emergence_target")
    path = folder / "forecast.json"
    said = make_forecast(emergence.Sweep.of(runs))
    if path.exists():
        stored = json.loads(path.read_bytes())
        if stored != said | {"made": stored["made"]}:
            raise RuntimeError(
                f"{path} was made from different runs or settings; to begin anew, remove {folder}"
            )
        return stored
    if any(folder.iterdir()):
        raise RuntimeError(
            f"{folder} holds a run of width {TARGET} and no forecast: whatever is said now is no "
            "forecast"
        )
    said["made"] = datetime.datetime.now().isoformat(timespec="seconds")
    write_atomic(path, json.dumps(said))
    return said


def make_forecast(small):
    """Fit the law on runs of smaller widths and say where the target turns."""
    widths = small.runs["width"].tolist()
    steps = int(small.runs["steps"].iloc[0])
    turning = small.turning_points("exact", THRESHOLD)
    law = emergence.fit_law(widths, turning, steps)
    interval = emergence.forecast(widths, turning, steps, TARGET, LEVEL)
    asked = {"target": TARGET, "level": LEVEL, "threshold": THRESHOLD}
    return asked | asdict(interval) | {"law": asdict(law), "widths": sorted(set(widths))}


if __name__ == "__main__":
    main()
