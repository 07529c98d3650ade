"""From a measured rate of failing schedules to how many a search is given."""

import math


def budget(hits, over):
    """Schedules within which a miss is less likely than one in a million; `hits` of `over` failed."""
    return math.ceil(math.log(1e-6) / math.log1p(-min(hits, over - 1) / over))
