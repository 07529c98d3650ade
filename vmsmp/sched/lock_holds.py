"""Who holds which lock in a run, read off its steps, and by which step each hold began.

Partial-order reduction needs it to reverse the order in which CPUs get a lock: what can be reversed is
the step that took the lock, not the release that an acquire waited for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from vmsmp.engine import ops

#: Operations by which a CPU may come to hold a lock, those that are sure to add a hold, and those of which
#: the log does not say whether they did.
_GRANTS: Final = ops.which(lambda kind: kind.takes is not ops.Takes.NO)
_ADD_A_HOLD: Final = ops.which(lambda kind: kind.takes is ops.Takes.ONE_MORE)
_UNCERTAIN: Final = frozenset((ops.REQUEST, ops.SLEEP))


@dataclass(slots=True)
class _Hold:
    """One CPU's hold of a lock: the step it began at, the step it became exclusive at (-1: shared)."""

    since: int
    owned_since: int = -1
    count: int = 0


class LockHolds:
    """Follows the steps of one run."""

    def __init__(self) -> None:
        self._holds: dict[int, dict[int, _Hold]] = {}
        #: For the step that ends a hold: the steps at which the hold, and its exclusive part, began.
        self._ended: dict[int, tuple[int, int]] = {}
        self._reacquired: dict[int, int] = {}

    def fork(self) -> LockHolds:
        """A copy that can follow other steps from here."""
        other = LockHolds()
        other._holds = {
            lock: {cpu: replace(hold) for cpu, hold in holds.items()} for lock, holds in self._holds.items()
        }
        other._ended, other._reacquired = self._ended.copy(), self._reacquired.copy()
        return other

    def step(self, n: int, cpu: int, code: int) -> None:
        """Take in step n, an operation on a lock or a sleep."""
        kind = code & ops.KIND_MASK
        lock = code >> ops.KIND_BITS
        if kind == ops.SLEEP and lock not in self._holds:
            return  # not on a lock
        holds = self._holds.setdefault(lock, {})
        if kind in _GRANTS:
            self._grant(n, cpu, kind, holds)
        elif kind == ops.DOWNGRADE and cpu in holds:
            hold = holds[cpu]
            self._ended[n] = (hold.owned_since, hold.owned_since)
            hold.owned_since = -1
        elif kind in ops.RELEASING:
            self._release(n, cpu, holds)

    def _grant(self, n: int, cpu: int, kind: int, holds: dict[int, _Hold]) -> None:
        if kind == ops.REACQUIRE:
            self._reacquired[cpu] = n
        hold = holds.get(cpu)
        if hold is None:
            hold = holds[cpu] = _Hold(n)
        if kind in _UNCERTAIN and hold.count == 0:
            hold.since = n  # of several requests the last one counts
        if kind not in ops.SHARED and hold.owned_since < hold.since:
            hold.owned_since = n
        if kind in _ADD_A_HOLD:
            hold.count += 1

    def _release(self, n: int, cpu: int, holds: dict[int, _Hold]) -> None:
        hold = holds.get(cpu)
        if hold is None and cpu in self._reacquired:  # taken back with others, in one step
            hold = _Hold(self._reacquired[cpu], self._reacquired[cpu])
        if hold is not None and hold.count > 1:
            hold.count -= 1
        elif hold is not None:
            self._ended[n] = (hold.since, hold.owned_since)
            holds.pop(cpu, None)

    def reversible(self, n: int, kind: int) -> int:
        """The step that an acquire of that kind races with if it depends on step n; -1 for none.

        If step n released the lock, that is the step that had taken it.
        """
        if n not in self._ended:
            return n
        since, owned_since = self._ended[n]
        return owned_since if kind == ops.ACQUIRE_SHARED else since

    def taken_by_others(self, cpu: int, code: int) -> Iterator[int]:
        """Yield the steps by which other CPUs took what the acquire waits for."""
        kind = code & ops.KIND_MASK
        one = self._holds.get(code >> ops.KIND_BITS, {})
        for holds in self._holds.values() if kind == ops.REACQUIRE else (one,):
            for other, hold in holds.items():
                first = hold.owned_since if kind == ops.ACQUIRE_SHARED else hold.since
                if other != cpu and first >= 0:
                    yield first
