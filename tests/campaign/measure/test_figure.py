"""Where the time of a step goes, by the figures of one run."""

from __future__ import annotations

import pytest

from vmsmp.campaign.measure.figure import Figure, ledger


def figures(**rates):
    return [Figure(name, rate, "steps/s") for name, rate in rates.items()]


def test_the_ledger_adds_up_to_a_step():
    told = ledger(
        figures(**{"bare step loop, 3 CPUs": 1e6, "cells, checkers off": 5e5, "cells, checkers on": 4e5})
    )
    assert [
        "cells: 2,500 ns a step: 1,000 pick and hand-off, 1,000 point, log and operation, 500 checkers"
    ] == told


@pytest.mark.parametrize("left_out", ["bare step loop, 3 CPUs", "cells, checkers off", "cells, checkers on"])
def test_the_ledger_says_nothing_of_what_was_not_measured(left_out):
    rates = {"bare step loop, 3 CPUs": 1e6, "cells, checkers off": 5e5, "cells, checkers on": 4e5}
    del rates[left_out]
    assert [] == ledger(figures(**rates))
