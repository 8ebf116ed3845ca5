"""Stand-ins for packages that the GPU check does not need, where they are not installed.

Importing this module puts them in place; :func:`remove` takes them away after the imports.
"""

import importlib.util
import sys
from unittest.mock import MagicMock

NOT_NEEDED = """IPython IPython.display datasets datasketch peft platformdirs sacrebleu
    sacrebleu.metrics statsmodels statsmodels.stats statsmodels.stats.multitest
    statsmodels.stats.proportion""".split()

absent = [name for name in NOT_NEEDED if not importlib.util.find_spec(name.partition(".")[0])]
for name in absent:
    sys.modules[name] = MagicMock()


def remove():
    """Take the stand-ins away, so that other libraries do not find them."""
    for name in absent:
        sys.modules.pop(name, None)
