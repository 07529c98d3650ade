"""Runs of small programs on locks and sleeps of either depth."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp import LK_EXCLUSIVE, LK_SHARED
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.options import Options
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.sched.dfs import DepthFirst

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
MODES = pytest.mark.parametrize("mode", [LK_SHARED, LK_EXCLUSIVE])
SCHEDULES = pytest.mark.parametrize("sched", ["random", "dfs:2", "pct:3"])


def once(program, locks="exact", **options):
    """The one run in which every CPU goes on until it cannot or gives way."""
    result = vmsmp.explore(program, sched="dfs:0", schedules=1, locks=locks, **options)
    assert [] == [(f.message, f.facts) for f in result.failures]


def alone(program, locks="exact", **options):
    """Run `program` on one CPU and return what it appended to its list."""
    seen = []
    once(lambda m: program(m, seen), locks, **options)
    return seen


def delay(m, ticks):
    """Let every other CPU get as far as it can, then `ticks` more."""
    m.tsleep(f"delay of cpu{m.curcpu.index}", 0, "delay", ticks)


def failure_of(program, locks, **options):
    """The first failure that a search finds, or None."""
    return vmsmp.explore(program, locks=locks, **options).failure


def against(locks, holds, flags, timo=0):
    """What a request by another CPU returns at once while the boot CPU `holds` a lockmgr lock."""
    seen = []

    def program(m):
        lock = m.lockmgr("l", timo)

        def asks():
            seen.append(lock.lock(flags))
            if not seen[0]:
                lock.release()

        if holds:
            lock.lock(holds)
        m.spawn(asks).join()
        if holds:
            lock.release()

    once(program, locks)
    return seen[0]


def watched(program, observer, locks="exact"):
    """Run `program` once, each CPU as far as it can go, seen by `observer`; the machine of the run."""
    with WorkerPool(current_core()) as pool:
        execution = ControlledEngine(pool, max_steps=10_000).prepare(DepthFirst(0))
        machine = Machine(execution, options=Options(locks=locks), hooks=Hooks((observer,)))
        pool.drive(lambda: execution.execute(machine, program))
    return machine
