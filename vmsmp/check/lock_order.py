"""Lock order by class, from a run in which nothing deadlocked (lockdep, WITNESS, Goodlock).

Asking for B while holding A, ready to wait, is an edge A -> B.  A cycle of edges is a deadlock that
another schedule may reach, unless one CPU made two of its edges, the edges share a lock held around
both (a gate), a spawn or join orders them, or readers meet readers only.

Spinlocks are ordered among spinlocks, lockmgr locks among lockmgr locks.  A token is never an edge:
a CPU that waits for one gives up its own.  (A spinlock held while waiting for a lockmgr lock or a token is
misuse, not order.)  A try makes no edge, but what it took is held like anything else.
Locks of one class are ordered by instance.  INV-DL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vmsmp.check.clocks import Clock, Clocks, known
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.sched.rendezvous import Breakpoint
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.observer import LockObserver


class _Edge(NamedTuple):
    """`cpu` asked for `target` in `mode` while holding `source`, which it held in `held_mode`."""

    source: str
    target: str
    held_mode: str
    mode: str
    cpu: int
    #: Other locks held around it, and how.
    gates: frozenset[tuple[str, str]]
    #: The CPU's own count of spawns and joins then, and what it knew of the others' counts.
    epoch: int
    knows: tuple[int, ...]


class LockOrder(LockObserver):
    """Builds the graph of one execution and fails the CPU whose request closes a cycle.

    `parallel`: CPUs call its hooks at the same time.
    """

    def __init__(self, *, parallel: bool = False) -> None:
        self._parallel = parallel
        self._edges: dict[str, list[_Edge]] = {}
        self._known: set[tuple[str, str, str, str, int, frozenset[tuple[str, str]], int]] = set()
        self._clocks = Clocks()
        # requests that were looked at since the last spawn or join, with all that was held then
        self._seen: set[tuple[Any, ...]] = set()
        # invariant: what the clocks have not been told yet; most runs have no edge to be ordered
        self._untold: list[tuple[Callable[[Clocks, Cpu, Cpu], None], Cpu, Cpu]] = []

    def begin(self, machine: Machine) -> None:
        self._edges = {}
        self._known = set()
        self._clocks = Clocks()
        self._seen = set()
        self._untold = []

    def spawned(self, cpu: Cpu, child: Cpu) -> None:
        self._tell(Clocks.spawned, cpu, child)

    def joined(self, cpu: Cpu, child: Cpu) -> None:
        self._tell(Clocks.joined, cpu, child)

    def _tell(self, what: Callable[[Clocks, Cpu, Cpu], None], cpu: Cpu, child: Cpu) -> None:
        self._seen = set()
        if self._parallel:  # only this CPU's own thread may do it
            what(self._clocks, cpu, child)
        else:
            self._untold.append((what, cpu, child))

    def _clock(self, cpu: Cpu) -> Clock:
        if self._untold:
            for what, other, child in self._untold:
                what(self._clocks, other, child)
            self._untold = []
        return self._clocks.of(cpu)

    # -- edges ----------------------------------------------------------------------------------

    def wants(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        kind = lock.kind
        if kind == "token" or not cpu.held:
            return
        for hold in cpu.held:
            if hold.lock.kind == kind and hold.lock is not lock:
                break
        else:
            return
        # CPUs ask for the same again and again, and names cost more than the locks themselves
        request = (cpu, lock, mode, *[part for hold in cpu.held for part in (hold.lock, hold.mode)])
        if request not in self._seen:
            self._seen.add(request)
            self._add_edges(cpu, lock, mode)

    def _add_edges(self, cpu: Cpu, lock: Lock, mode: str) -> None:
        """An edge to the lock from each one of its kind that the CPU holds, if it is new."""
        for hold in cpu.held:
            held: Lock = hold.lock
            if held is lock or held.kind != lock.kind:
                continue
            same = held.klass == lock.klass
            source = held.name if same else held.klass
            target = lock.name if same else lock.klass
            gates = frozenset(
                (h.lock.name, h.mode)
                for h in cpu.held
                # waiting for a lockmgr lock drops the tokens, so they exclude no other CPU
                if h.lock is not held and not (lock.sleepable and h.lock.kind == "token")
            )
            clock = self._clock(cpu)
            epoch = clock[cpu.index]
            key = (source, target, hold.mode, mode, cpu.index, gates, epoch)
            if key in self._known:
                continue
            self._known.add(key)
            edge = _Edge(source, target, hold.mode, mode, cpu.index, gates, epoch, tuple(clock))
            cycle = self._cycle([edge])
            self._edges.setdefault(source, []).append(edge)
            if cycle is not None:
                self._report(cpu, cycle)

    def _cycle(self, path: list[_Edge]) -> list[_Edge] | None:
        """Extend the path by edges that could be waited in at the same time, back to its start."""
        last = path[-1]
        for edge in list(self._edges.get(last.target, ())):
            if not all(_together(edge, other) for other in path):
                continue
            if last.mode == SHARED and edge.held_mode == SHARED:
                continue
            if edge.target == path[0].source:
                if edge.mode == SHARED and path[0].held_mode == SHARED:
                    continue
                return [*path, edge]
            if len(path) < 8:
                found = self._cycle([*path, edge])
                if found is not None:
                    return found
        return None

    @staticmethod
    def _report(cpu: Cpu, cycle: list[_Edge]) -> None:
        names = [edge.source for edge in cycle]
        first = names.index(min(names))
        order = names[first:] + names[:first]
        cpu.machine.warn(
            "lock-order",
            " -> ".join([*order, order[0]]),
            [
                f"cpu{edge.cpu} wanted {edge.target!r} {edge.mode} while holding "
                f"{edge.source!r} {edge.held_mode}"
                for edge in cycle
            ],
            hold_at=tuple(Breakpoint(holds=edge.source, wants=edge.target) for edge in cycle),
        )


def _together(a: _Edge, b: _Edge) -> bool:
    """Whether two CPUs could stand in these two waits at the same time."""
    if a.cpu == b.cpu:
        return False
    for name, mode in a.gates:
        if (name, EXCLUSIVE) in b.gates or (mode == EXCLUSIVE and (name, SHARED) in b.gates):
            return False
    a_before_b = a.epoch <= known(b.knows, a.cpu)
    b_before_a = b.epoch <= known(a.knows, b.cpu)
    return not a_before_b and not b_before_a
