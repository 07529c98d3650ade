"""The machine makes each primitive once, at the depth of its options."""

import time

import vmsmp
import vmsmp.machine
from lock_runs import DEPTHS
from vmsmp.sync import machine as sync_machine


@DEPTHS
def test_parallel_cpus_that_sleep_for_the_first_time_share_one_set_of_queues(locks, monkeypatch):
    """A constructor that takes its time shows what two CPUs at once would make of it."""
    name = {"atomic": "AtomicSleepQueues", "exact": "ExactSleepQueues"}[locks]
    make = getattr(sync_machine, name)

    def slowly(machine):
        time.sleep(0.02)
        return make(machine)

    monkeypatch.setattr(sync_machine, name, slowly)
    seen = []

    def program(m):
        for _ in range(2):
            m.spawn(lambda: seen.append(m.sleepq))
        m.join()

    assert None is vmsmp.run(program, engine="free", locks=locks).failure
    assert seen[0] is seen[1]
