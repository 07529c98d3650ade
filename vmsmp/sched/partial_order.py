"""The partial order behind a run: which of its steps had to come before which.

Two runs of one program are the same *trace* (Mazurkiewicz, 1977) if one becomes the other by swapping
neighbouring steps that do not depend on each other.  `Trace` computes what happens before what: the
order of each CPU, of dependent operations, of a wait and what ended it.  `races` are the pairs that
could have come the other way round, which is what partial-order reduction lives on; `fingerprint`
names the trace of a log.

Waiting for a lock is special.  A release happens before the next acquire but cannot come after it, so
what races with an acquire is the acquire by which the lock was taken away from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from vmsmp.engine import ops

#: Operations that wait for nobody to hold the lock, and for no exclusive holder.
_EXCLUSIVE: Final = frozenset((ops.ACQUIRE, ops.REACQUIRE))
ACQUIRES: Final = _EXCLUSIVE | {ops.ACQUIRE_SHARED}
_GRANTS: Final = _EXCLUSIVE | ops.SHARED | {ops.TRY_ACQUIRE}
#: What a holder does to a lock, as seen by one who waits for it.
_HELD: Final = frozenset((ops.ACQUIRE, ops.ACQUIRE_SHARED, ops.RELEASE, ops.DOWNGRADE))
#: Operations that depend on others than those on their object (`ops.dependent`).
_EVERYWHERE: Final = frozenset((ops.IPI, ops.REACQUIRE, ops.SPAWN))
_SPECIAL: Final = _EVERYWHERE | {ops.CHOOSE}
#: After every step of any run.
_NEVER: Final = 1 << 62
_WORD: Final = (1 << 64) - 1
_TRIES: Final = frozenset((ops.CMPSET_FAILED, ops.TRY_FAILED, ops.TRY_SHARED_FAILED))


class Event(NamedTuple):
    """One step: the CPU and its operation."""

    cpu: int
    code: int


class Race(NamedTuple):
    """Two steps that could come the other way round; `second` may be one that was never performed."""

    first: int
    second: int


def as_tried(code: int) -> int:
    """The operation as it stands before it is performed: a try that failed might not have."""
    return code + 1 if code & ops.KIND_MASK in _TRIES else code


@dataclass(slots=True)
class _Holders:
    """Who holds one lock, and since which steps it is held, and held exclusively."""

    counts: dict[int, int] = field(default_factory=dict)
    owner: int | None = None
    busy_since: int = -1
    owned_since: int = -1
    owned_until: int = -1


class Trace:
    """The happens-before order of one run.

    `before[n]` is the set of steps before step n, as a bit mask.  `enabled_by` names, for a step whose
    CPU could not run for a while, the step that let it; `after_all` are steps that only came because
    nobody else could run.  `blocked` are operations that CPUs still stand before at the end; they get
    numbers after the last step.
    """

    def __init__(
        self,
        events: Iterable[Event],
        *,
        enabled_by: dict[int, int] | None = None,
        after_all: frozenset[int] = frozenset(),
        blocked: Iterable[Event] = (),
    ) -> None:
        self.events = list(events)
        self.performed = len(self.events)
        self.events += blocked
        self.before: list[int] = []
        self.races: list[Race] = []
        self._enabled_by = enabled_by or {}
        self._after_all = after_all
        self._last: dict[int, int] = {}
        self._on: dict[int, list[int]] = {}
        self._everywhere: list[int] = []
        self._holders: dict[int, _Holders] = {}
        self._regained: dict[int, int] = {}
        self._children: dict[int, int] = {}
        for n in range(len(self.events)):
            self._add(n)

    # -- happens before -------------------------------------------------------------------------

    def _add(self, n: int) -> None:
        cpu, code = self.events[n]
        kind = code & ops.KIND_MASK
        thing = code >> ops.KIND_BITS
        mine = self._past(self._last.get(cpu))
        if n in self._after_all:
            mine = (1 << n) - 1
        mine |= self._past(self._enabled_by.get(n))
        if kind == ops.START:
            self._children[thing] = cpu
        elif kind == ops.JOIN and n < self.performed:
            mine |= self._past(self._last.get(self._children.get(thing, -1)))
        for i in self._dependent_on(n, code) if n < self.performed else ():
            if mine >> i & 1 or self.events[i].cpu == cpu:
                continue
            if not self._could_not_precede(i, kind):
                self.races.append(Race(i, n))
            mine |= self._past(i)
        if kind in ACQUIRES:
            self._race_for_lock(n, cpu, kind, thing)
        self.before.append(mine)
        if n < self.performed:
            self._last[cpu] = n
            self._on.setdefault(thing, []).append(n)
            if kind in _EVERYWHERE:
                self._everywhere.append(n)
            if kind in ops.LOCKING:
                self._hold(n, cpu, kind, thing)

    def _past(self, n: int | None) -> int:
        return 0 if n is None else self.before[n] | 1 << n

    def _dependent_on(self, n: int, code: int) -> Iterator[int]:
        """Earlier steps that the operation depends on, latest first."""
        kind = code & ops.KIND_MASK
        if kind in _EVERYWHERE:
            candidates: Iterable[int] = range(min(n, self.performed) - 1, -1, -1)
        elif self._everywhere:
            candidates = sorted({*self._on.get(code >> ops.KIND_BITS, ()), *self._everywhere}, reverse=True)
        else:
            candidates = reversed(self._on.get(code >> ops.KIND_BITS, []))
        for i in candidates:
            if ops.dependent(self.events[i].code, code):
                yield i

    # -- locks ----------------------------------------------------------------------------------

    def _hold(self, n: int, cpu: int, kind: int, thing: int) -> None:
        """Keep the books of who holds what."""
        if kind == ops.REACQUIRE:
            self._regained[cpu] = n
        lock = self._holders.setdefault(thing, _Holders())
        counts = lock.counts
        if kind == ops.UPGRADE:
            if counts.keys() == {cpu}:
                lock.owner, lock.owned_since, lock.owned_until = cpu, n, _NEVER
        elif kind in _GRANTS:
            if not counts:
                lock.busy_since = n
            counts[cpu] = counts.get(cpu, 0) + 1
            if kind not in ops.SHARED and lock.owner != cpu:
                lock.owner, lock.owned_since, lock.owned_until = cpu, n, _NEVER
        elif kind == ops.DOWNGRADE:
            lock.owner, lock.owned_until = None, n
        elif kind == ops.RELEASE:
            if cpu not in counts and cpu in self._regained:  # taken back with others, in one step
                lock.busy_since = lock.owned_since = self._regained[cpu]
                lock.owned_until = n
            left = counts.get(cpu, 1) - 1
            if left > 0:
                counts[cpu] = left
            else:
                counts.pop(cpu, None)
                if lock.owner == cpu:
                    lock.owner, lock.owned_until = None, n

    def _could_not_precede(self, i: int, kind: int) -> bool:
        """Whether an operation of that kind has to wait for step i, or for one before it."""
        other = self.events[i].code & ops.KIND_MASK
        if kind in (ops.START, ops.JOIN):
            return other == ops.SPAWN
        if kind in _EXCLUSIVE:
            return other in _HELD
        if kind == ops.ACQUIRE_SHARED and other in _HELD:
            lock = self._holders[self.events[i].code >> ops.KIND_BITS]
            return lock.owned_since <= i <= lock.owned_until
        return False

    def _race_for_lock(self, n: int, cpu: int, kind: int, thing: int) -> None:
        """An acquire races with the step by which the lock was last taken away from it."""
        ahead = self._past(self._last.get(cpu))
        several = kind == ops.REACQUIRE
        for lock in self._holders.values() if several else [self._holders.get(thing, _Holders())]:
            first = lock.busy_since if kind in _EXCLUSIVE else lock.owned_since
            if first >= 0 and self.events[first].cpu != cpu and not ahead >> first & 1:
                self.races.append(Race(first, n))

    # -- what follows from it ---------------------------------------------------------------------

    def without(self, race: Race) -> list[int]:
        """The steps that do not happen after the race's first one and come later, then its second."""
        first, second = race
        kept = [
            n for n in range(first + 1, self.performed) if n != second and not self.before[n] >> first & 1
        ]
        return [*kept, second]


def fingerprint(log: list[int], draws: Iterable[int] = ()) -> int:
    """A number that all runs of one trace, with the same data drawn, share, and hardly any other.

    Every step is named by what came before it: its CPU's step before, the last write to its object
    and, for a write, the reads since.  The sum over all does not depend on the order of the log.
    """
    total = cpu = everything = spawned = locked = 0
    drawn = iter(draws)
    last: dict[int, int] = {}
    written: dict[int, int] = {}
    read: dict[int, int] = {}
    for code in log:
        if code < 0:
            cpu = -1 - code
            continue
        thing = code >> ops.KIND_BITS
        kind = code & ops.KIND_MASK
        ahead = last.get(cpu, everything)
        if kind in _SPECIAL:
            if kind == ops.IPI:
                everything = name = hash((cpu, code, total))
            elif kind == ops.SPAWN:
                spawned = written[thing] = name = hash((cpu, code, ahead, spawned))
            elif kind == ops.REACQUIRE:
                locked = name = hash((cpu, code, ahead, locked, sum(written.values()) & _WORD))
            else:  # a choice of data
                name = hash((cpu, code, ahead, next(drawn, 0)))
        elif code & 1 and kind not in ops.SHARED:
            name = hash((cpu, code, ahead, written.get(thing, everything), read.get(thing, 0), locked))
            written[thing] = name
            read[thing] = 0
        else:
            name = hash(
                (cpu, code, ahead, written.get(thing, everything), locked if kind in ops.SHARED else 0)
            )
            read[thing] = read.get(thing, 0) + name * name & _WORD
        last[cpu] = name
        total = total + name * name & _WORD  # squares: sums of close hashes would meet
    return total
