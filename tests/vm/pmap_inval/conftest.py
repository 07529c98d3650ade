"""Address spaces with page tables of their own, and the steps of one CPU."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.scenarios.pmap_inval import _tables as tables

MEMORY = {"pages": 24, "l2_size": 1}


@pytest.fixture
def memory():
    """The sizes of a machine."""
    return MEMORY


@pytest.fixture
def kit():
    """The helpers of the scenarios of invalidation."""
    return tables


@pytest.fixture
def waits():
    """The failure of `program(m, vm)`, run once, every CPU as long as it can."""

    def run(program):
        return vmsmp.explore(
            lambda m: program(m, m.boot(**MEMORY)), sched="dfs:0", schedules=1, check=False
        ).failure

    return run


@pytest.fixture
def traced():
    """The operations of CPU `cpu` in `program(m, vm)`, in words, from its start on."""

    def told(act, cpu=1):
        def program(m):
            act(m, m.boot(**MEMORY))

        outcome = vmsmp.replay(program, "v1:program:0:")
        assert None is outcome.failure, outcome.failure.report()
        return [row.text.strip() for row in outcome.story.rows if row.cpu == cpu]

    return told
