"""The command; see the package's own text."""

import sys

from tools.environments import main

sys.exit(main())
