"""The softclock thread: it ends when nothing is queued, and nobody who queues meanwhile is forgotten."""

from __future__ import annotations

import threading

import vmsmp
from vmsmp.sync.callout import softclock
from vmsmp.sync.callout.softclock import Softclock


def test_what_is_queued_while_the_thread_ends_is_called_in_the_free_engine(monkeypatch):
    """It has looked at the wheel for the last time when the second callout is queued, and is not done yet."""
    looked, queued = threading.Event(), threading.Event()
    wanted, schedule = Softclock.wanted, softclock.lwkt_schedule

    def late(self):
        found = wanted(self)
        if not found and self.machine.engine._verdict.locked() and not looked.is_set():  # it ends
            looked.set()
            queued.wait(20)
        return found

    def scheduled(td):
        schedule(td)
        if looked.is_set():  # who queues has seen by now that the thread is not done
            queued.set()

    monkeypatch.setattr(Softclock, "wanted", late)
    monkeypatch.setattr(softclock, "lwkt_schedule", scheduled)

    def program(m):
        first, second = m.refcount(1, "first"), m.refcount(1, "second")
        m.callout("one").reset(1, first.release_wakeup)
        first.wait("first")
        looked.wait(20)
        m.callout("two").reset(1, second.release_wakeup)
        second.wait("second")

    assert vmsmp.run(program, engine="free", seed=1).failure is None
    assert queued.is_set()
