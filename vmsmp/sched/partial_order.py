"""The happens-before order of a run's steps, and the pairs of steps that race.

Two runs of one program have the same *trace* (Mazurkiewicz, 1977) if swapping neighbouring independent
steps turns one into the other.  `PartialOrder` computes what happens before what: the steps of each
CPU, dependent operations, a wait and what ended it.  `races` are the pairs that could have come the
other way round, which partial-order reduction reverses.

Waiting for a lock is special.  A release happens before the next acquire but cannot come after it, so
an acquire races with the acquire by which the last holder took the lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from vmsmp.engine import ops
from vmsmp.sched.effects import Event, conflict
from vmsmp.sched.lock_holds import LockHolds

_CPUS: Final = frozenset((ops.START, ops.JOIN, ops.JOIN_ALL))


class Race(NamedTuple):
    """Two steps that could come the other way round; `second` may never have been performed."""

    first: int
    second: int


class PartialOrder:
    """The happens-before order of one run.

    `before[n]` is the set of steps before step n, as a bit mask.  `enabled_by` maps a step whose CPU
    could not run for a while to the step that enabled it.  `last_resort` are steps that came only
    because no CPU could run.  `blocked` are the operations that CPUs still wait in at the end; they are
    numbered after the last step.
    """

    def __init__(
        self,
        events: Iterable[Event],
        *,
        enabled_by: dict[int, int] | None = None,
        last_resort: frozenset[int] = frozenset(),
        blocked: Iterable[Event] = (),
    ) -> None:
        self.events = list(events)
        self.performed = len(self.events)
        self.events += blocked
        self.before: list[int] = []
        self.races: list[Race] = []
        self._enabled_by = enabled_by or {}
        self._last_resort = last_resort
        #: By CPU its last step; by object the steps that later ones may depend on.
        self._last: dict[int, int] = {}
        self._on: dict[int, list[int]] = {}
        #: The objects of steps' effects.
        self._affected: set[int] = set()
        self._everywhere: list[int] = []
        self._spawns: list[int] = []
        self._children: dict[int, int] = {}
        self._holds = LockHolds()
        for n in range(self.performed):
            self._add(n)
        for n in range(self.performed, len(self.events)):
            self._add_blocked(n)

    # -- happens before -------------------------------------------------------------------------

    def _add(self, n: int) -> None:
        """Add a step that was performed."""
        event = self.events[n]
        cpu, code, _ = event
        kind = code & ops.KIND_MASK
        past = self._upto(self._last.get(cpu))
        before = (1 << n) - 1 if n in self._last_resort else past
        enabler = self._enabled_by.get(n)
        waits = kind in ops.WAITING or (kind == ops.SLEEP and enabler is not None)
        if not waits:
            before |= self._upto(enabler)
        if kind in _CPUS:
            before |= self._joined(cpu, code)
        for i in self._dependences(n, event):
            if before >> i & 1 or self.events[i].cpu == cpu:
                continue
            by_operation = waits and ops.dependent(self.events[i].code, code)
            first = self._holds.reversible(i, kind) if by_operation else i
            if first >= 0 and not past >> first & 1 and not (first == enabler and first == i):
                self.races.append(Race(first, n))
            before |= self._upto(i)
        self.before.append(before | self._upto(enabler))
        self._remember(n, event)

    def _add_blocked(self, n: int) -> None:
        """Add an acquire that still waits: it races with the steps by which others hold the lock."""
        cpu, code, _ = self.events[n]
        past = self._upto(self._last.get(cpu))
        for first in self._holds.taken_by_others(cpu, code):
            if not past >> first & 1:
                self.races.append(Race(first, n))
        self.before.append(past | self._upto(self._enabled_by.get(n)))

    def _remember(self, n: int, event: Event) -> None:
        """Note what later steps need to know of this one."""
        cpu, code, effects = event
        kind = code & ops.KIND_MASK
        obj = code >> ops.KIND_BITS
        self._last[cpu] = n
        if code & 1 and kind in ops.WORDS:
            self._on[obj] = [n]  # everything earlier on this object happens before it
        else:
            self._on.setdefault(obj, []).append(n)
        for effect in effects:
            affected = effect >> ops.KIND_BITS
            self._affected.add(affected)
            steps = self._on.setdefault(affected, [])
            if n not in steps[-1:]:
                steps.append(n)
        if kind in ops.EVERYWHERE:
            self._everywhere.append(n)
        elif kind == ops.SPAWN:
            self._spawns.append(n)
        if kind in ops.LOCKING or kind == ops.SLEEP:
            self._holds.step(n, cpu, code)

    def _upto(self, n: int | None) -> int:
        """The step and all before it; nothing for None."""
        return 0 if n is None else self.before[n] | 1 << n

    def _joined(self, cpu: int, code: int) -> int:
        """Note who started; return the steps of the CPUs that a join waited for."""
        child = code >> ops.KIND_BITS
        kind = code & ops.KIND_MASK
        if kind == ops.START:
            self._children[child] = cpu
            return 0
        if kind == ops.JOIN:
            return self._upto(self._last.get(self._children.get(child, -1)))
        steps = 0
        for ended in self._children.values():
            steps |= self._upto(self._last[ended])
        return steps

    def _dependences(self, n: int, event: Event) -> Iterator[int]:
        """Yield earlier steps that the step depends on, latest first."""
        code = event.code
        kind = code & ops.KIND_MASK
        if kind in ops.EVERYWHERE:
            candidates: Iterable[int] = range(n - 1, -1, -1)
        elif event.effects or code >> ops.KIND_BITS in self._affected:
            things = {step >> ops.KIND_BITS for step in (code, *event.effects)}
            spawns = self._spawns if kind == ops.SPAWN else ()
            met = (i for thing in things for i in self._on.get(thing, ()))
            candidates = sorted({*met, *spawns, *self._everywhere}, reverse=True)
        elif kind == ops.SPAWN:
            candidates = sorted({*self._spawns, *self._everywhere}, reverse=True)
        elif self._everywhere:
            candidates = sorted({*self._on.get(code >> ops.KIND_BITS, ()), *self._everywhere}, reverse=True)
        else:
            candidates = reversed(self._on.get(code >> ops.KIND_BITS, []))
            if not code & 1 and kind in ops.WORDS:  # a read comes after the last write, the first entry
                candidates = self._on.get(code >> ops.KIND_BITS, [])[:1]
        for i in candidates:
            if conflict(self.events[i], event):
                yield i

    # -- reversing a race -------------------------------------------------------------------------

    def reversal(self, race: Race) -> list[int]:
        """The steps that reverse the race: those after its first that do not depend on it, then its second.

        `notdep(e, E).e'` of the DPOR papers.
        """
        first, second = race
        kept = [
            n for n in range(first + 1, self.performed) if n != second and not self.before[n] >> first & 1
        ]
        return [*kept, second]
