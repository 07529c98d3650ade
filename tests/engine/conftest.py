"""One execution under a chosen engine; the machine that comes back has all it left behind."""

from __future__ import annotations

import pytest

from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.free import FreeEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.sched.random_walk import RandomWalk


@pytest.fixture
def controlled():
    """Run a program once under the controlled engine; `machine.engine.log` is the run."""

    def execute(program, scheduler=None, *, observers=(), options=None, seed=0, max_steps=10_000):
        with WorkerPool(current_core()) as pool:
            engine = ControlledEngine(pool, max_steps=max_steps)
            execution = engine.prepare(scheduler or RandomWalk(0))
            machine = Machine(execution, seed=seed, options=options, hooks=Hooks(observers))
            pool.drive(lambda: execution.execute(machine, program))
        return machine

    return execute


@pytest.fixture
def free():
    """Run a program once under the free engine; `machine.engine` says how it ended."""

    def execute(program, *, observers=(), options=None, seed=0, seconds=5.0, hang_s=0.3, **bounds):
        with WorkerPool() as pool:
            engine = FreeEngine(pool, seconds=seconds, hang_s=hang_s, **bounds)
            execution = engine.prepare()
            machine = Machine(execution, seed=seed, options=options, hooks=Hooks(observers))
            execution.execute(machine, program)
        return machine

    return execute
