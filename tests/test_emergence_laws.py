"""A law that knows of runs that never turned; a forecast beside the textbook, and its coverage."""

import math

import numpy as np
import pytest
from doubles import refused
from scipy.special import ndtr
from statsmodels.api import OLS, add_constant

from fmcourse.emergence import fit_law, forecast, laws

WIDTHS = np.repeat([8, 16, 32, 64], 5)


def lawful(spread=0.1, seed=0):
    """Return turning points that follow a power law of slope -1.5, with lognormal noise."""
    noise = np.random.default_rng(seed).standard_normal(len(WIDTHS))
    return np.exp(12 - 1.5 * np.log(WIDTHS) + spread * noise)


def test_runs_that_agree_too_well_are_not_believed():
    exact = lawful(spread=0)
    assert 0.01 <= fit_law(WIDTHS, exact, limit=1e9).spread < 0.02
    found = forecast(WIDTHS, exact, 1e9, target=128)
    assert found.high / found.low > 1.02


def test_a_forecast_is_the_prediction_interval_of_a_line_where_every_run_turned():
    x, y = np.log(WIDTHS), np.log(lawful(spread=0.3))
    line = OLS(y, add_constant(x)).fit()
    ends = line.get_prediction([1, math.log(128)]).conf_int(obs=True, alpha=0.1)[0]
    found = forecast(WIDTHS, np.exp(y), 1e9, target=128)
    # The least spread, 0.01, is added; 1.7 errors of it.
    assert np.log([found.low, found.high]) == pytest.approx(ends, abs=0.02)
    assert fit_law(WIDTHS, np.exp(y), 1e9).spread == pytest.approx(line.mse_resid**0.5, abs=0.015)


# With the second limit, about 12 of 20 runs turned.
@pytest.mark.parametrize("limit", [1e9, 2_500.0])
def test_a_forecast_holds_the_promised_share_of_new_runs(limit):
    # The chance of a new run, from the law behind the sweep, to fall between the ends.
    held, middle = [], 12 - 1.5 * math.log(128)
    for seed in range(150):
        turning = lawful(0.2, seed)
        found = forecast(WIDTHS, np.where(turning > limit, np.nan, turning), limit, target=128)
        low, high = ((math.log(end) - middle) / 0.2 for end in (found.low, found.high))
        held.append(ndtr(high) - ndtr(low))
    assert 0.87 < np.mean(held) < 0.93  # 90% promised; the mean of 150 has a standard error of .009


def test_a_fit_that_does_not_arrive_is_refused(monkeypatch):
    monkeypatch.setitem(laws.SEARCH, "maxiter", 2)
    with refused("turning", "runs that a power law can be fitted"):
        fit_law(WIDTHS, lawful(0.3), 2_500.0 * 100)
