"""One run of a program under a given scheduler, told with its schedule."""

from __future__ import annotations

import pytest

from vmsmp.campaign.runner import Runner
from vmsmp.engine.options import Options
from vmsmp.engine.workers import WorkerPool, current_core


@pytest.fixture
def tell():
    """Run `program` under `scheduler`; gives (outcome with schedule, log, draws)."""

    def execute(program, scheduler, *, seed=0, options=None, check=False, max_steps=10_000):
        told = []
        with WorkerPool(current_core()) as pool:
            runner = Runner(pool, program, options or Options(), check=check)
            runner.engine.max_steps = max_steps

            def job():
                assert scheduler.begin()
                outcome, _, log = runner.tell(scheduler, seed)
                told.append((outcome, log, list(runner.engine.execution.draws)))

            pool.drive(job)
        return told[0]

    return execute
