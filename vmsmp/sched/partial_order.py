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
from dataclasses import dataclass
from typing import Final, NamedTuple

from vmsmp.engine import ops

#: Operations by which a CPU may come to hold a lock, and those that are sure to add a hold.
_GRANTS: Final = ops.which(lambda kind: kind.takes is not ops.Takes.NO)
_ADD_A_HOLD: Final = ops.which(lambda kind: kind.takes is ops.Takes.ONE_MORE)
_SPECIAL: Final = ops.EVERYWHERE | {ops.SPAWN, ops.CHOOSE}
_HASH_MASK: Final = (1 << 64) - 1


class Event(NamedTuple):
    """One step: the CPU and its operation."""

    cpu: int
    code: int


class Race(NamedTuple):
    """Two steps that could come the other way round; `second` may be one that was never performed."""

    first: int
    second: int


@dataclass(slots=True)
class _Hold:
    """One CPU's hold of a lock: since which step, since which exclusively (-1: not), how often."""

    since: int
    owned_since: int = -1
    count: int = 0


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
        self._spawns: list[int] = []
        self._holds: dict[int, dict[int, _Hold]] = {}
        #: For the step that ends a hold: the steps since which there was one, and an exclusive one.
        self._undone: dict[int, tuple[int, int]] = {}
        self._regained: dict[int, int] = {}
        self._children: dict[int, int] = {}
        for n in range(len(self.events)):
            self._add(n)

    # -- happens before -------------------------------------------------------------------------

    def _add(self, n: int) -> None:
        cpu, code = self.events[n]
        kind = code & ops.KIND_MASK
        thing = code >> ops.KIND_BITS
        ahead = mine = self._past(self._last.get(cpu))
        if n in self._after_all:
            mine = (1 << n) - 1
        enabler = self._enabled_by.get(n)
        waits = kind in ops.WAITING or (kind == ops.SLEEP and enabler is not None)
        if not waits:
            mine |= self._past(enabler)
        if kind == ops.START:
            self._children[thing] = cpu
        elif kind == ops.JOIN and n < self.performed:
            mine |= self._past(self._last.get(self._children.get(thing, -1)))
        elif kind == ops.JOIN_ALL and n < self.performed:
            for child in self._children.values():
                mine |= self._past(self._last[child])
        for i in self._dependent_on(n, code) if n < self.performed else ():
            if mine >> i & 1 or self.events[i].cpu == cpu:
                continue
            first = self._could_come_before(i, kind) if waits else i
            if first >= 0 and not ahead >> first & 1 and not (first == enabler and first == i):
                self.races.append(Race(first, n))
            mine |= self._past(i)
        mine |= self._past(enabler)
        if n >= self.performed:
            self._race_with_holders(n, cpu, kind, thing, ahead)
        self.before.append(mine)
        if n < self.performed:
            self._last[cpu] = n
            if code & 1 and kind in ops.WORDS:
                self._on[thing] = [n]  # whatever came before it happens before it
            else:
                self._on.setdefault(thing, []).append(n)
            if kind in ops.EVERYWHERE:
                self._everywhere.append(n)
            elif kind == ops.SPAWN:
                self._spawns.append(n)
            if kind in ops.LOCKING or (kind == ops.SLEEP and thing in self._holds):
                self._hold(n, cpu, kind, thing)

    def _past(self, n: int | None) -> int:
        return 0 if n is None else self.before[n] | 1 << n

    def _dependent_on(self, n: int, code: int) -> Iterator[int]:
        """Earlier steps that the operation depends on, latest first."""
        kind = code & ops.KIND_MASK
        if kind in ops.EVERYWHERE:
            candidates: Iterable[int] = range(min(n, self.performed) - 1, -1, -1)
        elif kind == ops.SPAWN:
            candidates = sorted({*self._spawns, *self._everywhere}, reverse=True)
        elif self._everywhere:
            candidates = sorted({*self._on.get(code >> ops.KIND_BITS, ()), *self._everywhere}, reverse=True)
        else:
            candidates = reversed(self._on.get(code >> ops.KIND_BITS, []))
            if not code & 1 and kind in ops.WORDS:  # a read comes after the last write, the first entry
                candidates = self._on.get(code >> ops.KIND_BITS, [])[:1]
        for i in candidates:
            if ops.dependent(self.events[i].code, code):
                yield i

    # -- locks ----------------------------------------------------------------------------------

    def _hold(self, n: int, cpu: int, kind: int, thing: int) -> None:
        """Keep the books of who holds what, and which step undoes which."""
        holds = self._holds.setdefault(thing, {})
        hold = holds.get(cpu)
        if kind in _GRANTS:
            if kind == ops.REACQUIRE:
                self._regained[cpu] = n
            if hold is None:
                hold = holds[cpu] = _Hold(n)
            if kind in (ops.REQUEST, ops.SLEEP) and hold.count == 0:
                hold.since = n  # whether it was granted is not known; the last one counts
            if kind not in ops.SHARED and hold.owned_since < hold.since:
                hold.owned_since = n
            if kind in _ADD_A_HOLD:
                hold.count += 1
        elif kind == ops.DOWNGRADE and hold is not None:
            self._undone[n] = (hold.owned_since, hold.owned_since)
            hold.owned_since = -1
        elif kind in ops.RELEASING:
            if hold is None and cpu in self._regained:  # taken back with others, in one step
                hold = _Hold(self._regained[cpu], self._regained[cpu])
            if hold is not None and hold.count > 1:
                hold.count -= 1
            elif hold is not None:
                self._undone[n] = (hold.since, hold.owned_since)
                holds.pop(cpu, None)

    def _could_come_before(self, i: int, kind: int) -> int:
        """Which step an acquire of that kind races with, where it depends on step i; -1 for none.

        If step i let go of the lock, it is the step that had taken it.
        """
        if i not in self._undone:
            return i
        since, owned_since = self._undone[i]
        if kind == ops.ACQUIRE_SHARED:
            return owned_since
        return since

    def _race_with_holders(self, n: int, cpu: int, kind: int, thing: int, ahead: int) -> None:
        """An acquire that waits for ever races with the steps by which others hold the lock."""
        for holds in self._holds.values() if kind == ops.REACQUIRE else [self._holds.get(thing, {})]:
            for other, hold in holds.items():
                first = hold.owned_since if kind == ops.ACQUIRE_SHARED else hold.since
                if other != cpu and first >= 0 and not ahead >> first & 1:
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
                locked = name = hash((cpu, code, ahead, locked, sum(written.values()) & _HASH_MASK))
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
            read[thing] = read.get(thing, 0) + name * name & _HASH_MASK
        last[cpu] = name
        total = total + name * name & _HASH_MASK  # squares: sums of close hashes would meet
    return total
