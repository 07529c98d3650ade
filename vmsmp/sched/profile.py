"""A profile of a run: how often each CPU and its descendants accessed each object.

CPUs are named by their spawn paths and objects by their identities, so the profile applies to every
other run of the program.  The fields of one shared record count as one object.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from vmsmp.engine import ops
from vmsmp.engine.identity import FIRST_BLOCK, FIRST_NAMED, RECORD_BITS
from vmsmp.sched.log_cursor import LogCursor, SpawnPath

#: Operations that are about CPUs, or only end what another began.
_NO_ACCESS: Final = ops.which(lambda kind: not kind.contends)


def target_of(code: int) -> int | None:
    """Return the object that the operation accesses; None if its order against others does not matter."""
    if code & ops.KIND_MASK in _NO_ACCESS:
        return None
    ident = code >> ops.KIND_BITS
    if FIRST_BLOCK <= ident >> ops.CPU_BITS < FIRST_NAMED >> ops.CPU_BITS:
        return -(ident >> ops.CPU_BITS + RECORD_BITS)  # the record
    return ident


class Profile:
    """Counts of one run."""

    def __init__(self, cursor: LogCursor) -> None:
        #: By object, how often each CPU accessed it.
        self.accesses: dict[int, Counter[SpawnPath]] = {}
        written: set[int] = set()
        running = 0
        for code in cursor.log:
            if code < 0:
                running = -1 - code
                continue
            target = target_of(code)
            if target is not None:
                self.accesses.setdefault(target, Counter())[cursor.paths[running]] += 1
                if code & 1:
                    written.add(target)
        #: Objects whose order of accesses can matter, and how often they are accessed.
        self.targets = {
            target: sum(counts.values())
            for target, counts in self.accesses.items()
            if len(counts) > 1 and target in written
        }

    def accesses_of(self, target: int, path: SpawnPath) -> int:
        """How often that CPU and its descendants accessed the object."""
        return sum(count for other, count in self.accesses[target].items() if other[: len(path)] == path)
