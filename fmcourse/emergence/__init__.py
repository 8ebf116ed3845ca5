"""Abilities that appear in training: curves, the models that draw them, and a forecast.

Used by notebook 01. Small GPT-Neos add three-digit numbers and copy strings; each curve is scored
in several ways, turned into BIG-bench's two numbers, and forecast from smaller models.

Sources: Wei et al. 2022 (emergent abilities), Schaeffer et al. 2023 (mirage), Olsson et al. 2022
(induction heads), Chan et al. 2022 (burstiness), Michaud et al. 2023 (quanta), Nanda et al.
2023 (grokking), Snell et al. 2024 (forecasts), Srivastava et al. 2023 (linearity and
breakthroughness).
"""

from __future__ import annotations

from fmcourse.emergence.addition import (
    PLACES,
    draw_sums,
    encode_sums,
    score_sums,
    show_sum,
    train_adder,
)
from fmcourse.emergence.curves import (
    breakthroughness,
    independent_exact,
    linearity,
    sharpness,
    turning_point,
)
from fmcourse.emergence.figures import (
    attention_map,
    beside_diagonal,
    small_panels,
    training_curves,
)
from fmcourse.emergence.induction import (
    Strings,
    ablated,
    draw_strings,
    in_context_score,
    prefix_matching_score,
    score_induction,
    train_induction,
)
from fmcourse.emergence.laws import Law, fit_law, forecast
from fmcourse.emergence.models import attention_only, small_gpt_neo
from fmcourse.emergence.quanta import task_shares, train_modular, train_parity
from fmcourse.emergence.results import Sweep, load_forecast, load_sweep

__all__ = [
    "PLACES",
    "Law",
    "Strings",
    "Sweep",
    "ablated",
    "attention_map",
    "attention_only",
    "beside_diagonal",
    "breakthroughness",
    "draw_strings",
    "draw_sums",
    "encode_sums",
    "fit_law",
    "forecast",
    "in_context_score",
    "independent_exact",
    "linearity",
    "load_forecast",
    "load_sweep",
    "prefix_matching_score",
    "score_induction",
    "score_sums",
    "sharpness",
    "show_sum",
    "small_gpt_neo",
    "small_panels",
    "task_shares",
    "train_adder",
    "train_induction",
    "train_modular",
    "train_parity",
    "training_curves",
    "turning_point",
]
