"""Starvation: an expected event never happens, although every CPU gets its turns.

Two things can be *hot*: an obligation that a program declares (`m.hot`, until `m.cold`), and a CPU that
waits for a lock.  Their temperature is the number of steps that they have been hot under fair picks, that is,
in the second half of the step limit; an unfair schedule proves nothing.  A quarter of the limit is too hot;
for a waiter only if others have got the lock at least `BYPASSES` times meanwhile.  An obligation that is
still hot when all CPUs have ended was never met.  INV-PG2, as far as a run can show it.

Hot and cold states as in Coyote's liveness monitors (Deligiannis et al., FAST 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmsmp.engine.observer import Observer
from vmsmp.sync.lock import Lock

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import Debt, Machine
    from vmsmp.engine.wait import Wait

#: How often others must have got a lock before its waiter counts as starving.
BYPASSES: Final = 100


class Starvation(Observer):
    """Measures the temperature of obligations and of lock waiters."""

    def __init__(self) -> None:
        # the log entry since which each is hot on fair picks, and the lock's grants up to then
        self._owed: dict[str, tuple[Debt, int]] = {}
        self._waits: dict[Cpu, tuple[Wait, int, int]] = {}

    def begin(self, machine: Machine) -> None:
        self._owed = {}
        self._waits = {}

    def late(self, machine: Machine) -> None:
        now = len(machine.engine.log)
        limit = machine.options.max_steps // 4
        for what, debt in machine.owed.items():
            known, since = self._owed.get(what, (None, now))
            if known is not debt:
                self._owed[what] = debt, now
            elif now - since > limit:
                machine.fail(
                    "livelock",
                    f"{what!r} stays hot though every CPU gets its turns",
                    [f"{debt.cpu} made it hot; {now - since} steps on fair picks did not cool it"],
                )
        for cpu in machine.cpus:
            self._waiter(machine, cpu, now, limit)

    def _waiter(self, machine: Machine, cpu: Cpu, now: int, limit: int) -> None:
        wait = cpu.wants
        if wait is None or not isinstance(wait.what, Lock):
            self._waits.pop(cpu, None)
            return
        lock = wait.what
        known = self._waits.get(cpu)
        if known is None or known[0] is not wait:
            self._waits[cpu] = (wait, now, lock.acquisitions)
            return
        _, since, grants = known
        passed = lock.acquisitions - grants
        if now - since > limit and passed >= BYPASSES:
            machine.fail(
                "livelock",
                f"{lock.klass} starves a CPU that wants it {wait.mode}",
                [f"{cpu} waits {now - since} steps on fair picks; others got it {passed} times meanwhile"],
            )

    def end(self, machine: Machine) -> None:
        for what, debt in machine.owed.items():
            machine.fail("check", f"{what!r} is still hot when all is done", [f"{debt.cpu} made it hot"])
