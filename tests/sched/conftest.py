"""One run of a program under a given scheduler, told with its schedule."""

from __future__ import annotations

import pytest

from vmsmp.campaign.search import Bench
from vmsmp.engine.crew import Crew, current_core
from vmsmp.engine.schedule import Options


@pytest.fixture
def tell():
    """Run `program` under `scheduler`; gives (outcome with schedule, log, draws)."""

    def execute(program, scheduler, *, seed=0, options=None, check=False, max_steps=10_000):
        told = []
        with Crew(current_core()) as crew:
            bench = Bench(crew, program, options or Options(), check=check)
            bench.engine.max_steps = max_steps

            def job():
                assert scheduler.begin()
                outcome, _, log = bench.tell(scheduler, seed)
                told.append((outcome, log, list(bench.engine.draws)))

            crew.drive(job)
        return told[0]

    return execute
