"""Which scenarios of the library are run as they are, at which depths, and with which repairs."""

from __future__ import annotations

import pytest

from vmsmp.library import all_scenarios
from vmsmp.patches.catalogue import REPAIR_BY_NAME

EVERY = [s for s in all_scenarios().values() if "finding" not in s.tags]
#: Both depths, where one of them says little more than the other.
EXACT_FIRST = ("exact", pytest.param("atomic", marks=pytest.mark.nightly))


def alone(scenario):
    """Whether one CPU runs the scenario: its executions differ in what it draws, and in nothing else."""
    return scenario.cpus == 1


def repairs_for(scenario):
    """Timeouts, waits, dying objects, runs and invalidations show findings of the kernel's own."""
    shows = scenario.timeouts == "any" or scenario.tags & {"wait", "object", "contig", "map", "tlb"}
    return REPAIR_BY_NAME if shows else []


def by_name(scenario):
    return scenario.__name__
