"""What the steps of a run do beside their operations, written down for those who tell traces apart.

Watching it takes a look at every step, so it is left out while no run has shown that it can matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmsmp.engine import ops
from vmsmp.engine.observer import Observer
from vmsmp.sched.effects import Effects
from vmsmp.sched.log_cursor import LogCursor
from vmsmp.sched.replay import Wrapper

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import Machine
    from vmsmp.engine.scheduler import Scheduler


class Witness(Observer):
    """Follows runs and says by number of step what it did beside its operation, where that can matter.

    It matters once a run has read a hint, upgraded a lock, or changed a word that starts look at; the first
    run is followed in any case.  A run that is followed has it among its observers, and the scheduler that
    `around` returns.
    """

    free = False

    def __init__(self) -> None:
        self._effects = Effects()
        #: Whether no run has been observed, and whether one has upgraded a lock or changed what starts see.
        self._first = True
        self._upgrades = False
        self._cursor = LogCursor()
        self._following = False
        self._seen: dict[int, tuple[int, ...]] = {}
        self._steps = 0
        #: Whether the last run was the first that showed something that matters, so that it and those before
        #: were not seen whole.
        self.learned = False

    @property
    def needed(self) -> bool:
        """Whether it is to observe the next run."""
        return self._first or self._upgrades or self._effects.any_hint

    def around(self, scheduler: Scheduler) -> Scheduler:
        """The scheduler under which a run is to be observed: it says when the run is over."""
        return _Witnessed(scheduler, self)

    def begin(self, machine: Any) -> None:
        self._effects.begin()
        self._cursor = LogCursor()
        self._cursor.log = machine.engine.log
        self._first = False
        self._following = True
        self._seen = {}
        self._steps = 0

    def op(self, cpu: Cpu, code: int) -> None:
        self.catch_up(cpu.machine)

    def catch_up(self, machine: Any) -> None:
        """Take in the steps performed since, while every CPU stands before its next one."""
        for event in self._effects.add(machine, list(self._cursor.advance())):
            if event.effects:
                self._seen[self._steps] = event.effects
            self._steps += 1

    def finish(self, machine: Any) -> dict[int, tuple[int, ...]] | None:
        """Return what the steps of the run just made did beside them, None if it was not observed."""
        followed, self._following = self._following, False
        if not followed:
            self._effects.begin()
        log = machine.engine.log
        seen = {code >> ops.KIND_BITS for code in machine.seen_at_start}
        upgrades = any(
            code & ops.KIND_MASK == ops.UPGRADE or (code & 1 and code >> ops.KIND_BITS in seen)
            for code in log
            if code >= 0
        )
        hints = self._effects.look_for_hints(machine, log)
        self.learned = hints or (upgrades and not self._upgrades and not followed)
        self._upgrades = self._upgrades or upgrades
        return self._seen if followed else None


class _Witnessed(Wrapper):
    """Tells a witness when a run is over, as long as every CPU still stands before its next step."""

    def __init__(self, inner: Scheduler, witness: Witness) -> None:
        super().__init__(inner)
        self.pick = inner.pick  # type: ignore[method-assign]  # nothing to add to it
        self.choose = inner.choose  # type: ignore[method-assign]  # likewise
        self.ended = self._ended  # type: ignore[method-assign]  # it is the inner one's otherwise
        self._witness = witness

    def _ended(self, machine: Machine) -> None:
        self._witness.catch_up(machine)
        self.inner.ended(machine)
