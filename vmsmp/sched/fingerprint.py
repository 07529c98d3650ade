"""The fingerprint of a run: a number that all runs of one Mazurkiewicz trace share.

Searches count distinct traces by it.

Deviation: what a step does beside its operation (`effects`) is in no log, so runs that differ only in the
order of a hint and a silent store share a fingerprint unless the values read lead to other operations.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vmsmp.engine import ops

#: Operations that are named by more than their CPU and their object.
_SPECIAL: Final = ops.EVERYWHERE | {ops.SPAWN, ops.CHOOSE}
_WORD: Final = (1 << 64) - 1


class _Special:
    """Names special steps; keeps the last IPI or step, spawn and reacquire, which later steps depend on."""

    __slots__ = ("_draws", "_spawned", "interrupted", "reacquired", "written")

    def __init__(self, draws: Iterable[int]) -> None:
        self._draws = iter(draws)
        self._spawned = 0
        self.interrupted = 0
        self.reacquired = 0
        #: By object, the name of its last write.
        self.written: dict[int, int] = {}

    def name(self, cpu: int, code: int, past: int, total: int) -> int:
        """Name a step; `past` names the CPU's step before, `total` everything so far."""
        kind = code & ops.KIND_MASK
        if kind in ops.ON_ALL:
            self.interrupted = name = hash((cpu, code, total))
        elif kind == ops.SPAWN:
            self._spawned = name = hash((cpu, code, past, self._spawned))
            self.written[code >> ops.KIND_BITS] = name
        elif kind == ops.REACQUIRE:
            writes = sum(self.written.values()) & _WORD
            self.reacquired = name = hash((cpu, code, past, self.reacquired, writes))
        else:  # a choice of data
            name = hash((cpu, code, past, next(self._draws, 0)))
        return name


def fingerprint(log: list[int], draws: Iterable[int] = ()) -> int:
    """Return a number shared by all runs of one trace with the same data drawn, and hardly any other.

    Each step is named by what it depends on: its CPU's step before, the last write to its object and,
    for a write, the reads since; what readers do to a lock commutes with itself alone.  The sum over all
    steps does not depend on the order of the log.
    """
    total = cpu = interrupted = reacquired = 0
    special = _Special(draws)
    last: dict[int, int] = {}
    written = special.written
    read: dict[int, int] = {}
    shared: dict[int, int] = {}
    for code in log:
        if code < 0:
            cpu = -1 - code
            continue
        obj = code >> ops.KIND_BITS
        kind = code & ops.KIND_MASK
        past = last.get(cpu, interrupted)
        if kind in _SPECIAL:
            name = special.name(cpu, code, past, total)
            interrupted, reacquired = special.interrupted, special.reacquired
        elif code & 1 and kind not in ops.SHARED:
            name = hash((cpu, code, past, written.get(obj, interrupted), read.get(obj, 0), reacquired))
            if obj in shared:
                name = hash((name, shared.pop(obj)))
            written[obj] = name
            read[obj] = 0
        elif kind in ops.SHARED:
            name = hash((cpu, code, past, written.get(obj, interrupted), read.get(obj, 0), reacquired))
            shared[obj] = shared.get(obj, 0) + name * name & _WORD
        else:
            name = hash((cpu, code, past, written.get(obj, interrupted), shared.get(obj, 0)))
            read[obj] = read.get(obj, 0) + name * name & _WORD
        last[cpu] = name
        total = total + name * name & _WORD  # squares: sums of close hashes would collide
    return total
