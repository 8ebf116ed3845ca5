"""A sweep's table on paper, and the bundled sweeps complete."""

import math

import pytest
from doubles import refused

from fmcourse import emergence, stats
from fmcourse.emergence import Sweep


def run(width, seed, exact):
    records = [
        {"step": 100 * number, "exact": value, **dict.fromkeys(emergence.PLACES, value)}
        for number, value in enumerate(exact)
    ]
    settings = {"width": width, "seed": seed}
    return {"settings": settings, "parameters": width * 10, "seconds": 1.0, "records": records}


SWEEP = Sweep.of(
    [run(8, 0, [0.0, 0.0, 0.1]), run(8, 1, [0.0, 0.2, 0.4]), run(16, 0, [0.0, 0.4, 0.9])]
)


def test_values_and_choices():
    assert SWEEP.values("width") == [8, 16]
    assert SWEEP.only(width=8).runs["seed"].tolist() == [0, 1]
    assert SWEEP.runs["parameters"].tolist() == [80, 80, 160]
    with refused("name", "did you mean 'exact'"):
        SWEEP.curves("exakt")


def test_curves_on_paper():
    assert SWEEP.steps.tolist() == [0, 100, 200]
    assert SWEEP.only(width=8).curves("exact").tolist() == [[0.0, 0.0, 0.1], [0.0, 0.2, 0.4]]
    assert SWEEP.last("exact").tolist() == [0.1, 0.4, 0.9]
    assert SWEEP.intervals("exact")[2][1] == stats.wilson(400, 1_000)
    assert SWEEP.places()[..., 0].tolist() == SWEEP.curves("exact").tolist()


def test_turning_points_on_paper():
    assert SWEEP.turning_points() == pytest.approx([math.nan, math.nan, 120], nan_ok=True)
    assert SWEEP.turning_points(threshold=0.3).tolist()[1:] == [150, 75]


def test_the_bundled_forecast_is_older_than_its_target_and_knows_smaller_widths_only():
    said = emergence.load_forecast()
    target = emergence.load_sweep("target")
    assert max(said["widths"]) < said["target"] == target.values("width")[0]
    assert len(target.runs) == 5
    assert said["low"] <= said["estimate"] <= said["high"]
