"""Failures that deployers share, and defects that children inherit from a foundation.

Used by notebook 02. The measures take failure matrices, shape (individuals, deployers), from
wherever they come. What is public stands in the ``__all__`` of each module.
"""

from fmcourse.homogenization.census import *
from fmcourse.homogenization.defects import *
from fmcourse.homogenization.intervals import *
from fmcourse.homogenization.measures import *
from fmcourse.homogenization.people import *
from fmcourse.homogenization.results import *
from fmcourse.homogenization.transfer import *
