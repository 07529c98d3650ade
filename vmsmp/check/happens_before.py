"""Data races on plain cells: two unordered accesses, at least one of them a store.

FastTrack (Flanagan and Freund, PLDI 2009): every CPU has a vector clock; each cell keeps its last store
and the reads since, each as an epoch (a CPU and its count).  Order comes from spawn and join, locks and
tokens by mode, wakeups, and atomic words (a load acquires, a store releases, the others do both).
The words inside exact locks order nothing by themselves; the locks do.

In addition, the lock sets of Eraser (TOCS 1997): a cell that several CPUs access, with at least one store and
without a lock that is held at every access, is a hint, even if this run happened to order the accesses.

Fields of shared records are checked by the letters that name their locks (`field_locks`); hints, and
stores that hint readers may miss, race by design.  So do cells that are declared sloppy, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vmsmp.check.clocks import Clock, Clocks, join, known
from vmsmp.engine import ops, source
from vmsmp.engine.wait import WaitEnd
from vmsmp.sched.rendezvous import Breakpoint
from vmsmp.sync.cell import Cell
from vmsmp.sync.ident import ident_name
from vmsmp.sync.lock import EXCLUSIVE
from vmsmp.sync.observer import LockObserver

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import Machine
    from vmsmp.engine.wait import Hold

#: Operations that are not accesses to an atomic word; hooks report what they order.
_ELSEWHERE: Final = ops.which(lambda kind: kind.order is ops.Order.ELSEWHERE)
_ACQUIRES: Final = ops.which(lambda kind: kind.order in (ops.Order.ACQUIRE, ops.Order.BOTH))
_RELEASES: Final = ops.which(lambda kind: kind.order in (ops.Order.RELEASE, ops.Order.BOTH))
_RACES: Final = ops.which(lambda kind: kind.order is ops.Order.NOTHING)


class _Access(NamedTuple):
    """One access: its CPU, the epoch of that CPU's clock, and its place in the source."""

    cpu: int
    epoch: int
    code: int
    place: str
    held: tuple[Hold, ...]

    def told(self) -> str:
        locks = ", ".join(f"{hold.mode} {hold.lock}" for hold in self.held) or "nothing"
        return f"cpu{self.cpu} {ops.NAMES[ops.kind_of(self.code)]} at {self.place}, holding {locks}"


class _Variable:
    """The state kept for one cell: the last store, the reads since, and the locks held at every access."""

    __slots__ = ("candidates", "name", "reads", "stored", "users", "written")

    def __init__(self, name: str) -> None:
        self.name = name
        self.written: _Access | None = None
        self.reads: dict[int, _Access] = {}
        #: Locks held at every access since a second CPU used the cell (None: none has yet).
        self.candidates: list[Any] | None = None
        self.users: set[int] = set()
        self.stored = False


class HappensBefore(LockObserver):
    """Orders the accesses of one run.  `hints` are pairs of operations worth scheduling side by side."""

    free = False

    def __init__(self) -> None:
        self._start_over()

    def _start_over(self) -> None:
        self.hints: list[tuple[Breakpoint, Breakpoint]] = []
        self._clocks = Clocks()
        self._cells: dict[int, _Variable | None] = {}
        self._words: dict[int, Clock] = {}
        self._stores: dict[Any, Clock] = {}
        self._readers: dict[Any, Clock] = {}
        self._channels: dict[Any, Clock] = {}
        # the atomic operation in progress: whether it fails is known only at the next one
        self._open: tuple[Cpu, int] | None = None

    def begin(self, machine: Machine) -> None:
        self._start_over()

    # -- clocks ---------------------------------------------------------------------------------

    def _acquire(self, cpu: Cpu, theirs: Clock | None) -> None:
        if theirs is not None:
            join(self._clocks.of(cpu), theirs)

    def _release(self, cpu: Cpu, into: dict[Any, Clock], key: Any) -> None:
        mine = self._clocks.of(cpu)
        join(into.setdefault(key, []), mine)
        mine[cpu.index] += 1

    def spawned(self, cpu: Cpu, child: Cpu) -> None:
        self._clocks.spawned(cpu, child)

    def joined(self, cpu: Cpu, child: Cpu) -> None:
        self._clocks.joined(cpu, child)

    def acquired(self, cpu: Cpu, lock: Any, mode: str, tried: bool) -> None:
        self._acquire(cpu, self._stores.get(lock))
        if mode == EXCLUSIVE:
            self._acquire(cpu, self._readers.get(lock))

    def released(self, cpu: Cpu, lock: Any, mode: str) -> None:
        self._release(cpu, self._stores if mode == EXCLUSIVE else self._readers, lock)

    def wakeup(self, cpu: Cpu, ident: Any, domain: int, woke: int) -> None:
        self._release(cpu, self._channels, _key(ident))

    def woken(self, cpu: Cpu, ident: Any, why: WaitEnd) -> None:
        if why in (WaitEnd.WAKEUP, WaitEnd.BEFORE):
            self._acquire(cpu, self._channels.get(_key(ident)))
            self._acquire(cpu, self._words.get(cpu.td.ident))  # its IPIs

    def _settle(self) -> None:
        """Apply the ordering of the previous atomic operation, which is now complete."""
        if self._open is None:
            return
        cpu, code = self._open
        self._open = None
        ident = ops.object_of(code)
        log = cpu.machine.engine.log
        done = next(entry for entry in reversed(log) if entry >= 0)
        if code & ops.KIND_MASK in _ACQUIRES:
            self._acquire(cpu, self._words.get(ident))
        if done & ops.KIND_MASK in _RELEASES:
            self._release(cpu, self._words, ident)

    # -- accesses -------------------------------------------------------------------------------

    def op(self, cpu: Cpu, code: int) -> None:
        self._settle()
        kind = code & ops.KIND_MASK
        if kind in _RACES:
            variable = self._variable(cpu, ops.object_of(code))
            if variable is not None:
                self._access(cpu, code, variable)
        elif kind == ops.IPI:
            self._release(cpu, self._words, ops.object_of(code))
        elif kind not in _ELSEWHERE and ops.object_of(code) not in cpu.machine.words:
            self._open = (cpu, code)

    def accessed(self, cpu: Cpu, code: int) -> None:
        """Within a step even plain cells are accessed as atomic words are."""
        self._settle()
        kind, ident = code & ops.KIND_MASK, ops.object_of(code)
        if ident in cpu.machine.words:
            return
        if kind in _RACES or kind in _ACQUIRES:
            self._acquire(cpu, self._words.get(ident))
        if kind in _RACES:
            variable = self._variable(cpu, ident)
            if variable is not None:
                self._access(cpu, code, variable)
        if kind in _RACES or kind in _RELEASES:
            self._release(cpu, self._words, ident)

    def _variable(self, cpu: Cpu, ident: int) -> _Variable | None:
        if ident not in self._cells:
            thing = cpu.machine.find(ident)
            races = isinstance(thing, Cell) and thing.sloppy is None
            self._cells[ident] = _Variable(thing.name) if races else None
        return self._cells[ident]

    def _access(self, cpu: Cpu, code: int, variable: _Variable) -> None:
        clock = self._clocks.of(cpu)
        here = source.standing(limit=1)
        access = _Access(
            cpu.index, clock[cpu.index], code, str(here[0]) if here else "the program", tuple(cpu.held)
        )
        before = [variable.written] if variable.written is not None else []
        if code & 1:
            before += variable.reads.values()
            variable.written, variable.reads = access, {}
        else:
            variable.reads[cpu.index] = access
        self._narrow(variable, access)
        for other in before:
            if other.cpu != cpu.index and other.epoch > known(clock, other.cpu):
                self._report(cpu, variable, other, access)
                return

    def _narrow(self, variable: _Variable, access: _Access) -> None:
        """Narrow the cell's lock set to the locks held at this access too (Eraser)."""
        variable.users.add(access.cpu)
        variable.stored |= bool(access.code & 1)
        if len(variable.users) < 2:
            return
        held = [hold.lock for hold in access.held if hold.mode == EXCLUSIVE or not access.code & 1]
        if variable.candidates is None:
            variable.candidates = held
        elif variable.candidates:
            variable.candidates = [lock for lock in variable.candidates if lock in held]
        if variable.stored and not variable.candidates:
            store = access.code | 1
            pair = (Breakpoint(store), Breakpoint(store - 1))
            if pair not in self.hints:
                self.hints.append(pair)

    def _report(self, cpu: Cpu, variable: _Variable, first: _Access, second: _Access) -> None:
        words = sorted(ops.NAMES[ops.kind_of(access.code)] for access in (first, second))
        cpu.machine.warn(
            "data-race",
            f"{variable.name}: {words[0]} and {words[1]}, with nothing to order them",
            [first.told(), second.told()],
            hold_at=(Breakpoint(first.code), Breakpoint(second.code)),
        )


def _key(ident: Any) -> Any:
    """Return a hashable key for a wait channel, whose ident may be any comparable value."""
    try:
        hash(ident)
    except TypeError:
        return ident_name(ident)
    return ident
