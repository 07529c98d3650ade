"""The fingerprint of a run: a number that all runs of one Mazurkiewicz trace share.

Searches count distinct traces by it.  What a step does beside its operation is in no log, so whoever wants
it to count says so (`effects.Witness`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


class _Beside:
    """Names what steps do beside their operations, in the tables of the others.

    The arrivals before a lock are reads of a place of its own, and upgrades write to it.
    """

    __slots__ = ("_read", "_written", "effects")

    def __init__(
        self, effects: Mapping[int, Iterable[int]], written: dict[int, int], read: dict[int, int]
    ) -> None:
        self.effects = effects
        self._written = written
        self._read = read

    def past(self, n: int, code: int, past: int) -> int:
        """Name what comes before step n: `past` on its CPU, and what its effects depend on."""
        for effect in self.effects.get(n, ()):
            place = _place(effect)
            read = self._read.get(place, 0) if effect & ops.KIND_MASK == ops.STORE else 0
            past = hash((past, effect, self._written.get(place, 0), read))
        if code & ops.KIND_MASK == ops.UPGRADE:
            past = hash((past, self._read.get(_place(code), 0)))
        return past

    def done(self, n: int, code: int, name: int) -> None:
        """Step n, of that name, is done."""
        for effect in self.effects.get(n, ()):
            place = _place(effect)
            if effect & ops.KIND_MASK != ops.STORE:
                self._read[place] = self._read.get(place, 0) + name * name & _WORD
            else:
                self._written[place] = name
                self._read[place] = 0
        if code & ops.KIND_MASK == ops.UPGRADE:
            self._written[_place(code)] = name
            self._read[_place(code)] = 0


def _place(code: int) -> int:
    """What is stored to or looked at, or the place where arrivals before a lock and its upgrades meet."""
    thing = code >> ops.KIND_BITS
    return thing if code & ops.KIND_MASK in (ops.STORE, ops.LOAD) else -1 - thing


def fingerprint(
    log: list[int], draws: Iterable[int] = (), effects: Mapping[int, Iterable[int]] | None = None
) -> int:
    """Return a number shared by all runs of one trace with the same data drawn, and hardly any other.

    Each step is named by what it depends on: its CPU's step before, the last write to its object and,
    for a write, the reads since; what readers do to a lock commutes with itself alone.  The sum over all
    steps does not depend on the order of the log.  `effects` are by number of step what it does beside its
    operation (`effects.Event`); None if nobody has looked.
    """
    total = cpu = interrupted = reacquired = 0
    special = _Special(draws)
    last: dict[int, int] = {}
    written = special.written
    read: dict[int, int] = {}
    shared: dict[int, int] = {}
    beside = None if effects is None else _Beside(effects, written, read)
    n = -1
    for code in log:
        if code < 0:
            cpu = -1 - code
            continue
        n += 1
        obj = code >> ops.KIND_BITS
        kind = code & ops.KIND_MASK
        past = last.get(cpu, interrupted)
        aside = beside if beside is not None and (n in beside.effects or kind == ops.UPGRADE) else None
        if aside is not None:
            past = aside.past(n, code, past)
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
        if aside is not None:
            aside.done(n, code, name)
        last[cpu] = name
        total = total + name * name & _WORD  # squares: sums of close hashes would collide
    return total
