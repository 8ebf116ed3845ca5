"""A sweep keeps each run when done, goes on where it broke off, and gives the same table on a real
Dask cluster."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from doubles import says

from fmcourse import emergence

SETTINGS = [
    {"width": width, "reverse": False, "seed": seed, "steps": 4}
    for width in (4, 8)
    for seed in range(2)
]
TIMES = ("seconds",)


@pytest.fixture(scope="module")
def sweeps():
    from recipes import sweeps

    return sweeps


def table(runs):
    """Return the runs without what a clock said."""
    return [{name: value for name, value in run.items() if name not in TIMES} for run in runs]


@pytest.fixture(scope="module")
def here(sweeps, tmp_path_factory):
    """The sweep, run one job after the other in this process, and its folder."""
    folder = tmp_path_factory.mktemp("here")
    return sweeps.sweep(emergence.train_adder, SETTINGS, folder, backend="sequential"), folder


def test_a_run_per_setting_in_their_order(here):
    runs, folder = here
    assert [run["settings"] for run in runs] == SETTINGS
    assert runs[0]["parameters"] == sum(
        p.numel() for p in emergence.small_gpt_neo(12, 4, 2, 12).parameters()
    )
    assert [record["step"] for record in runs[0]["records"]] == [0, 4]
    assert len(list(folder.glob("*.json"))) == 4 and not list(folder.glob("*.pt"))


def test_what_is_kept_is_not_run_again(sweeps, here, monkeypatch):
    runs, folder = here

    def never(**setting):
        raise AssertionError("trained again")

    assert sweeps.sweep(never, SETTINGS, folder, backend="sequential") == runs


def test_a_job_that_broke_off_goes_on_from_its_checkpoint(sweeps, here, tmp_path):
    def stopping(**setting):
        def stop(record):
            seen.append(record)
            if len(seen) == 2:
                raise KeyboardInterrupt

        return emergence.train_adder(**setting, measure_every=2, on_measure=stop)

    seen = []
    with pytest.raises(KeyboardInterrupt):
        sweeps.sweep(stopping, SETTINGS[:1], tmp_path, backend="sequential")
    assert [path.suffix for path in tmp_path.iterdir()] == [".pt"]
    resumed = sweeps.sweep(emergence.train_adder, SETTINGS[:1], tmp_path, backend="sequential")
    assert resumed[0]["records"][-1] == here[0][0]["records"][-1]
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_a_cluster_of_two_workers_gives_the_same_table(sweeps, here, tmp_path):
    distributed = pytest.importorskip("dask.distributed", reason="dask is in the extra `test`")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        with distributed.Client(cluster) as client:
            runs = sweeps.sweep(emergence.train_adder, SETTINGS, tmp_path, backend="dask")
            assert len(client.scheduler_info()["workers"]) == 2
    assert table(runs) == table(here[0])
    assert len(list(tmp_path.glob("*.json"))) == 4


def test_a_sweep_reads_back_from_the_bundle(sweeps, here, tmp_path, monkeypatch):
    entered = []
    monkeypatch.setattr(sweeps.common, "BUNDLED", tmp_path)
    monkeypatch.setattr(
        sweeps.common, "register", lambda path, **entry: entered.append((path, entry))
    )
    sweeps.ship("emergence-autopsy.parquet", here[0], "emergence_autopsy", {"seeds": 2}, 1.0)
    assert (
        entered[0][0] == tmp_path / "emergence-autopsy.parquet"
        and entered[0][1]["recipe"] == "recipes/emergence_autopsy.py"
    )
    read = emergence.Sweep(pd.read_parquet(entered[0][0]))
    assert read.values("width") == [4, 8] and read.curves("exact").shape == (4, 2)


@pytest.mark.parametrize("name", ["autopsy", "dose"])
def test_settings_are_asked_once_each(name):
    from recipes import emergence_autopsy, emergence_dose

    settings = {"autopsy": emergence_autopsy, "dose": emergence_dose}[name].SETTINGS
    assert len({json.dumps(setting, sort_keys=True) for setting in settings}) == len(settings)


# The blinded forecast.


def learner(width, seed):
    """Return a made-up run of 3,000 steps that turns at 40,000 / width, a little earlier or later
    by its seed."""
    turns = 40_000 / width * (1 + 0.1 * (seed - 2))
    records = [{"step": step, "exact": min(1.0, step / turns / 2)} for step in range(0, 3_001, 75)]
    return {
        "settings": {"width": width, "reverse": False, "seed": seed},
        "parameters": width,
        "seconds": 1.0,
        "records": records,
    }


@pytest.fixture
def blinded(monkeypatch, tmp_path):
    from recipes import emergence_forecast

    monkeypatch.setattr(emergence_forecast.sweeps, "work", lambda name: tmp_path)
    return emergence_forecast, [
        learner(width, seed) for width in (16, 24, 32, 48, 64) for seed in range(5)
    ]


def test_a_forecast_follows_the_law_and_is_made_once(blinded, monkeypatch):
    recipe, runs = blinded
    said = recipe.stored_forecast(runs)
    assert (
        abs(said["estimate"] / (40_000 / 96) - 1) < 0.1
        and said["low"] < said["estimate"] < said["high"]
    )
    assert said["widths"] == [16, 24, 32, 48, 64]
    monkeypatch.setattr(recipe, "make_forecast", None)
    assert recipe.stored_forecast([]) == said


@pytest.mark.parametrize("ending", ["json", "pt"])
def test_a_forecast_after_the_fact_is_refused(blinded, tmp_path, ending):
    recipe, runs = blinded
    (tmp_path / f"width_96-reverse_False-seed_0-steps_3000.{ending}").write_text("{}")
    words = (
        f"{tmp_path} holds a run of width 96 and no forecast: whatever is said now is no forecast"
    )
    with says(RuntimeError, words):
        recipe.stored_forecast(runs)


def test_a_forecast_may_not_see_its_target(blinded):
    recipe, runs = blinded
    with says(ValueError, "widths: expected widths below 96, got 96"):
        recipe.make_forecast(emergence.Sweep.of([*runs, learner(96, 0)]))
