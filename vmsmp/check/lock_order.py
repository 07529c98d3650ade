"""Lock order by class, from a run in which nothing deadlocked (lockdep, WITNESS, Goodlock).

A request for B that may wait, made while holding A, is an edge A -> B.  A cycle of edges is a deadlock that
another schedule may reach, unless one CPU made two of its edges, a lock is held around two of them (a gate),
a spawn or join orders them, or readers meet only readers.

Spinlocks are ordered among spinlocks, lockmgr locks among lockmgr locks, mutexes among mutexes.  A token is
never an edge: a CPU that waits for one gives up its own.  (Holding a spinlock while waiting for one of the
others is misuse, not order.)  A try makes no edge, but a lock that it took is held like any other.
Locks of one class are ordered by instance.  INV-DL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vmsmp.check.clocks import Clocks, known
from vmsmp.engine.cpu import Cpu
from vmsmp.engine.machine import Machine
from vmsmp.engine.wait import Hold
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


class _Request(NamedTuple):
    """`cpu` asked for `lock` in `mode` while holding `held`."""

    cpu: Cpu
    lock: Lock
    mode: str
    held: tuple[Hold, ...]


class LockOrder(LockObserver):
    """Builds the graph of one execution and fails the CPU whose request closes a cycle.

    Most executions have no cycle of lock names, so edges and clocks are made only when there is one.
    `parallel`: CPUs call the hooks at the same time.
    """

    def __init__(self, *, parallel: bool = False) -> None:
        self._parallel = parallel
        self._edges: dict[str, list[_Edge]] = {}
        self._known: set[tuple[str, str, str, str, int, frozenset[tuple[str, str]], int]] = set()
        self._clocks = Clocks()
        # requests seen since the last spawn or join, with all locks held then
        self._seen: set[tuple[Any, ...]] = set()
        # which names were asked for while which were held, and whether that graph has a cycle
        self._targets: dict[str, set[str]] = {}
        self._cyclic = False
        # spawns, joins and requests that are not in the edges and clocks yet
        self._untold: list[tuple[Callable[[Clocks, Cpu, Cpu], None], Cpu, Cpu] | _Request] = []

    def begin(self, machine: Machine) -> None:
        self._edges = {}
        self._known = set()
        self._clocks = Clocks()
        self._seen = set()
        self._targets = {}
        self._cyclic = self._parallel  # there only a CPU's own thread may use its clock
        self._untold = []

    def spawned(self, cpu: Cpu, child: Cpu) -> None:
        self._tell(Clocks.spawned, cpu, child)

    def joined(self, cpu: Cpu, child: Cpu) -> None:
        self._tell(Clocks.joined, cpu, child)

    def _tell(self, what: Callable[[Clocks, Cpu, Cpu], None], cpu: Cpu, child: Cpu) -> None:
        self._seen = set()
        if self._parallel:
            what(self._clocks, cpu, child)
        else:
            self._untold.append((what, cpu, child))

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
        # CPUs repeat the same requests, and names cost more than the locks themselves
        parts: list[Any] = [cpu, lock, mode]
        for hold in cpu.held:
            parts += (hold.lock, hold.mode)
        request = tuple(parts)
        if request not in self._seen:
            self._seen.add(request)
            self._note(_Request(cpu, lock, mode, tuple(cpu.held)))

    def _note(self, request: _Request) -> None:
        """Add the request to the graph of names, and to that of edges if there may be a cycle."""
        if self._parallel:
            self._add_edges(request)
            return
        self._untold.append(request)
        if not self._cyclic:
            for hold in request.held:
                if _ordered(hold.lock, request.lock):
                    source, target = _names(hold.lock, request.lock)
                    targets = self._targets.setdefault(source, set())
                    if target not in targets:
                        targets.add(target)
                        self._cyclic |= self._leads(target, source)
        if self._cyclic:
            untold, self._untold = self._untold, []
            for entry in untold:
                if isinstance(entry, _Request):
                    self._add_edges(entry)
                else:
                    what, cpu, child = entry
                    what(self._clocks, cpu, child)

    def _leads(self, start: str, end: str) -> bool:
        """Whether the graph of names has a path from `start` to `end`."""
        reached, left = {start}, [start]
        while left:
            name = left.pop()
            if name == end:
                return True
            new = self._targets.get(name, set()) - reached
            reached |= new
            left.extend(new)
        return False

    def _add_edges(self, request: _Request) -> None:
        """Add an edge to the lock from each lock of its kind that the CPU holds, if it is new."""
        cpu, lock, mode, in_hand = request
        for hold in in_hand:
            held: Lock = hold.lock
            if not _ordered(held, lock):
                continue
            source, target = _names(held, lock)
            gates = frozenset(
                (h.lock.name, h.mode)
                for h in in_hand
                # waiting for a lockmgr lock drops the tokens, so they exclude no other CPU
                if h.lock is not held and not (lock.sleepable and h.lock.kind == "token")
            )
            clock = self._clocks.of(cpu)
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


def _ordered(held: Lock, lock: Lock) -> bool:
    """Whether a held lock and another one must be taken in one order."""
    return held is not lock and held.kind == lock.kind


def _names(held: Lock, lock: Lock) -> tuple[str, str]:
    """The two ends of an edge: classes, or instances of one class."""
    return (held.name, lock.name) if held.klass == lock.klass else (held.klass, lock.klass)


def _together(a: _Edge, b: _Edge) -> bool:
    """Whether two CPUs could be in these two waits at the same time."""
    if a.cpu == b.cpu:
        return False
    for name, mode in a.gates:
        if (name, EXCLUSIVE) in b.gates or (mode == EXCLUSIVE and (name, SHARED) in b.gates):
            return False
    a_before_b = a.epoch <= known(b.knows, a.cpu)
    b_before_a = b.epoch <= known(a.knows, b.cpu)
    return not a_before_b and not b_before_a
