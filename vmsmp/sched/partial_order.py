"""The happens-before order of a run's steps, and the pairs of steps that race.

Two runs of one program have the same *trace* (Mazurkiewicz, 1977) if swapping neighbouring independent
steps turns one into the other.  `PartialOrder` computes what happens before what: the steps of each
CPU, dependent operations, a wait and what ended it.  `races` are the pairs that could have come the
other way round, which partial-order reduction reverses.

Waiting for a lock is special.  A release happens before the next acquire but cannot come after it, so
an acquire races with the acquire by which the last holder took the lock.

Every step has a vector clock, and every object a table of the last steps of each kind on it: what is
earlier of the same CPU comes before those.  So time and memory grow with the length of the run, not with
its square.
"""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Final, NamedTuple

from vmsmp.engine import ops
from vmsmp.sched.effects import Event, conflict
from vmsmp.sched.lock_holds import LockHolds

_CPUS: Final = frozenset((ops.START, ops.JOIN, ops.JOIN_ALL))

#: By CPU the number of its last step that came before, -1 for none.
Clock = tuple[int, ...]


class Race(NamedTuple):
    """Two steps that could come the other way round; `second` may never have been performed."""

    first: int
    second: int


class PartialOrder:
    """The happens-before order of one run.

    `clocks[n]` has step n and what happens before it, `steps[cpu]` the numbers of the CPU's steps.
    `cpus` is how many CPUs there may be, if there are more than events tell of.
    `enabled_by` maps a step whose CPU could not run for a while to the step that enabled it.
    `last_resort` are steps that came only because no CPU could run.  `blocked` are the operations that CPUs
    still wait in at the end; they are numbered after the last step.
    """

    def __init__(
        self,
        events: Iterable[Event] = (),
        *,
        cpus: int = 0,
        enabled_by: dict[int, int] | None = None,
        last_resort: frozenset[int] = frozenset(),
        blocked: Iterable[Event] = (),
    ) -> None:
        performed, waiting = list(events), list(blocked)
        cpus = max((cpus, *(event.cpu + 1 for event in (*performed, *waiting))))
        #: By CPU the clock of its last step.
        self._past: list[Clock] = [(-1,) * cpus] * cpus
        self.events: list[Event] = []
        self.clocks: list[Clock] = []
        self.steps: list[list[int]] = [[] for _ in range(cpus)]
        self.races: list[Race] = []
        #: The order that this one is a fork of, and how many steps of each CPU both have.
        self.root = object()
        self.common = (sys.maxsize,) * cpus
        self._enabled_by = enabled_by or {}
        self._last_resort = last_resort
        #: By object the steps that later ones may depend on: of steps that are alike the last.
        self._on: dict[int, dict[Event, int]] = {}
        #: The objects of steps' effects.
        self._affected: set[int] = set()
        # by CPU (and kind) the last step that may depend on everything, on every lock, on every spawn
        self._everywhere: dict[tuple[int, int], int] = {}
        self._locking: dict[int, int] = {}
        self._spawns: dict[int, int] = {}
        self._children: dict[int, int] = {}
        self._holds = LockHolds()
        self._meeting = _Meeting(self.events)
        self.extend(performed)
        self.block(waiting)

    def extend(self, events: Iterable[Event]) -> None:
        """Add steps that were performed."""
        for event in events:
            self._add(event)

    def block(self, events: Iterable[Event]) -> None:
        """Add operations that CPUs wait in at the end."""
        for event in events:
            self._add_blocked(event)

    def fork(self) -> PartialOrder:
        """A copy that can be extended in another way."""
        other = copy(self)
        other.events, other.clocks, other.races = self.events[:], self.clocks[:], self.races[:]
        other.steps, other._past = [mine[:] for mine in self.steps], self._past[:]
        other.common = tuple(map(min, map(len, self.steps), self.common))
        other._on = {thing: steps.copy() for thing, steps in self._on.items()}
        other._affected, other._children = self._affected.copy(), self._children.copy()
        other._everywhere, other._locking = self._everywhere.copy(), self._locking.copy()
        other._spawns, other._holds = self._spawns.copy(), self._holds.fork()
        other._meeting = self._meeting.fork(other.events)
        return other

    def follows(self, one: int, other: int) -> bool:
        """Whether step `one` comes after step `other` in every run of this trace."""
        return self.clocks[one][self.events[other].cpu] >= other

    # -- happens before -------------------------------------------------------------------------

    def _add(self, event: Event) -> None:
        n = len(self.events)
        cpu, code, _ = event
        kind = code & ops.KIND_MASK
        past = self._past[cpu]
        before = self._everything() if n in self._last_resort else past
        enabler = self._enabled_by.get(n)
        waits = kind in ops.WAITING or (kind == ops.SLEEP and enabler is not None)
        if enabler is not None and not waits:
            before = _join(before, self.clocks[enabler])
        if kind in _CPUS:
            before = self._joined(before, cpu, code)
        for i in self._dependences(event):
            one = self.events[i].cpu
            if before[one] >= i or one == cpu:
                continue
            by_operation = waits and ops.dependent(self.events[i].code, code)
            first = self._holds.reversible(i, kind) if by_operation else i
            if first >= 0 and past[self.events[first].cpu] < first and not first == enabler == i:
                self.races.append(Race(first, n))
            before = _join(before, self.clocks[i])
        if enabler is not None:
            before = _join(before, self.clocks[enabler])
        self._append(event, before)
        self._remember(n, event)

    def _add_blocked(self, event: Event) -> None:
        """Add an acquire that still waits: it races with the steps by which others hold the lock."""
        n = len(self.events)
        past = self._past[event.cpu]
        for first in self._holds.taken_by_others(event.cpu, event.code):
            if past[self.events[first].cpu] < first:
                self.races.append(Race(first, n))
        enabler = self._enabled_by.get(n)
        self._append(event, past if enabler is None else _join(past, self.clocks[enabler]))

    def _append(self, event: Event, before: Clock) -> None:
        cpu = event.cpu
        self.clocks.append((*before[:cpu], len(self.events), *before[cpu + 1 :]))
        self.events.append(event)

    def _everything(self) -> Clock:
        return tuple(mine[-1] if mine else -1 for mine in self.steps)

    def _remember(self, n: int, event: Event) -> None:
        """Note what later steps need to know of this one."""
        cpu, code, effects = event
        kind = code & ops.KIND_MASK
        obj = code >> ops.KIND_BITS
        self.steps[cpu].append(n)
        self._past[cpu] = self.clocks[n]
        if code & 1 and kind in ops.WORDS:
            self._on[obj] = {event: n}  # everything earlier on this object happens before it
        else:
            self._on.setdefault(obj, {})[event] = n
        for effect in effects:
            affected = effect >> ops.KIND_BITS
            self._affected.add(affected)
            self._on.setdefault(affected, {})[event] = n
        if kind in ops.EVERYWHERE:
            self._everywhere[cpu, kind] = n
        elif kind == ops.SPAWN:
            self._spawns[cpu] = n
        if kind in ops.LOCKING:
            self._locking[cpu] = n
        if kind in ops.LOCKING or kind == ops.SLEEP:
            self._holds.step(n, cpu, code)
        self._meeting.add(n, event)

    def _joined(self, before: Clock, cpu: int, code: int) -> Clock:
        """Note who started; add the steps of the CPUs that a join waited for."""
        child = code >> ops.KIND_BITS
        kind = code & ops.KIND_MASK
        if kind == ops.START:
            self._children[child] = cpu
            return before
        one = self._children.get(child)
        for ended in self._children.values() if kind == ops.JOIN_ALL else () if one is None else (one,):
            before = _join(before, self._past[ended])
        return before

    def _dependences(self, event: Event) -> Iterator[int]:
        """Yield earlier steps that the step depends on, latest first; the others come before one of those."""
        code = event.code
        kind = code & ops.KIND_MASK
        candidates = set(self._everywhere.values())
        if kind in ops.ON_ALL:
            candidates.update(mine[-1] for mine in self.steps if mine)
        if kind == ops.REACQUIRE:
            candidates.update(self._locking.values())
        elif kind == ops.SPAWN:
            candidates.update(self._spawns.values())
        candidates.update(self._on.get(code >> ops.KIND_BITS, {}).values())
        for effect in event.effects:
            candidates.update(self._on.get(effect >> ops.KIND_BITS, {}).values())
        for i in sorted(candidates, reverse=True):
            if self.events[i].cpu != event.cpu and conflict(self.events[i], event):
                yield i

    # -- reversing a race -------------------------------------------------------------------------

    def independent(self, first: int) -> list[tuple[int, int]]:
        """By CPU which of its steps come after step `first` and do not depend on it: from and to, in `steps`.

        `notdep(e, E)` of the DPOR papers.
        """
        cpu = self.events[first].cpu
        ranges = []
        for mine in self.steps:
            begin = bisect_left(mine, first + 1)
            end = bisect_left(mine, first, begin, key=lambda n: self.clocks[n][cpu])
            ranges.append((begin, end))
        return ranges

    def meeting(self, event: Event) -> dict[int, list[int]]:
        """By CPU the numbers of the steps that do not commute with the event."""
        return self._meeting.of(event)


def _join(one: Clock, other: Clock) -> Clock:
    """The clock of what comes after both."""
    return tuple(map(max, one, other))


class _Meeting:
    """An index of steps by what they touch: which of them conflict with a given event."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._touching: dict[int, list[int]] = {}
        self._everywhere: list[int] = []
        self._known: dict[Event, dict[int, list[int]]] = {}

    def add(self, n: int, event: Event) -> None:
        """Add step n, the last one."""
        for thing in {code >> ops.KIND_BITS for code in (event.code, *event.effects)}:
            self._touching.setdefault(thing, []).append(n)
        if event.code & ops.KIND_MASK in _MEETING_OTHERS:
            self._everywhere.append(n)
        if self._known:
            self._known = {}

    def fork(self, events: Sequence[Event]) -> _Meeting:
        other = _Meeting(events)
        other._touching = {thing: steps[:] for thing, steps in self._touching.items()}
        other._everywhere = self._everywhere[:]
        return other

    def of(self, event: Event) -> dict[int, list[int]]:
        """By CPU the numbers of the steps that conflict with the event."""
        alike = Event(0, event.code, event.effects)  # whose it is does not matter
        found = self._known.get(alike)
        if found is None:
            found = self._known[alike] = {}
            for n in self._candidates(event):
                if conflict(self._events[n], event):
                    found.setdefault(self._events[n].cpu, []).append(n)
        return found

    def _candidates(self, event: Event) -> Iterable[int]:
        if event.code & ops.KIND_MASK in _MEETING_OTHERS:
            return range(len(self._events))
        things = {code >> ops.KIND_BITS for code in (event.code, *event.effects)}
        return sorted({n for thing in things for n in self._touching.get(thing, ())}.union(self._everywhere))


#: Operations that may conflict with one on another object.
_MEETING_OTHERS: Final = ops.EVERYWHERE | {ops.SPAWN}
