"""A profile: how often each CPU, its descendants included, did something to each object.

Taken from a run that is over; CPUs go by their keys and objects by their identities, so that it holds
for every other run of the program.  The fields of one shared record are one object.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from vmsmp.engine import ops
from vmsmp.engine.identity import FIRST_BLOCK, FIRST_NAMED
from vmsmp.sched.history import History, Key

#: Fields of a reserved record lie this many bits apart.
_RECORD_BITS: Final = 5
#: Operations that are about CPUs, or only end what another began.
_NO_ACCESS: Final = ops.which(lambda kind: not kind.contends)


def target_of(code: int) -> int | None:
    """The object that an operation is an access to, as far as its order against others matters."""
    if code & ops.KIND_MASK in _NO_ACCESS:
        return None
    ident = code >> ops.KIND_BITS
    if FIRST_BLOCK <= ident >> ops.CPU_BITS < FIRST_NAMED >> ops.CPU_BITS:
        return -(ident >> ops.CPU_BITS + _RECORD_BITS)  # the record
    return ident


class Profile:
    """Counts of one run."""

    def __init__(self, history: History) -> None:
        self.events: Counter[Key] = Counter()
        self.accesses: dict[int, Counter[Key]] = {}
        own: Counter[Key] = Counter()
        users: dict[int, set[Key]] = {}
        written: set[int] = set()
        running = 0
        for code in history.log:
            if code < 0:
                running = -1 - code
                continue
            key = history.keys[running]
            own[key] += 1
            target = target_of(code)
            if target is not None:
                self.accesses.setdefault(target, Counter())[key] += 1
                users.setdefault(target, set()).add(key)
                if code & 1:
                    written.add(target)
        for key, count in own.items():
            for n in range(len(key) + 1):
                self.events[key[:n]] += count
        #: Objects whose order of accesses can matter, and how often they are accessed.
        self.targets = {
            target: sum(counts.values())
            for target, counts in self.accesses.items()
            if len(users[target]) > 1 and target in written
        }

    def accesses_of(self, target: int, key: Key) -> int:
        """How often that CPU and its descendants accessed the object."""
        return sum(count for other, count in self.accesses[target].items() if other[: len(key)] == key)
