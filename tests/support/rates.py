"""From a measured rate of failing schedules to how many a search is given."""

import math

import pytest


def budget(hits, over):
    """Schedules within which a miss is less likely than one in a million; `hits` of `over` failed."""
    return math.ceil(math.log(1e-6) / math.log1p(-min(hits, over - 1) / over))


def by_rate(measured, over):
    """The mutants of `measured` as parameters: those that most schedules show run always.

    All others are left to the gate.
    """
    return [
        pytest.param(ident, marks=() if hits > over // 2 else pytest.mark.ci)
        for ident, (hits, _) in measured.items()
    ]
