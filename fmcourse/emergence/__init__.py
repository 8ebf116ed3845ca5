"""Abilities that appear in training: curves, the models that draw them, and a forecast.

Used by notebook 01. Small GPT-Neos add three-digit numbers and copy strings; each curve is scored
in several ways, turned into BIG-bench's two numbers, and forecast from smaller models. What is
public stands in the ``__all__`` of each module.

Sources: Wei et al. 2022 (emergent abilities), Schaeffer et al. 2023 (mirage), Olsson et al. 2022
(induction heads), Chan et al. 2022 (burstiness), Michaud et al. 2023 (quanta), Nanda et al.
2023 (grokking), Snell et al. 2024 (forecasts), Srivastava et al. 2023 (linearity and
breakthroughness).
"""

from fmcourse.emergence.addition import *
from fmcourse.emergence.curves import *
from fmcourse.emergence.figures import *
from fmcourse.emergence.induction import *
from fmcourse.emergence.laws import *
from fmcourse.emergence.models import *
from fmcourse.emergence.quanta import *
from fmcourse.emergence.results import *
