"""Optimal dynamic partial-order reduction (Abdulla, Aronis, Jonsson and Sagonas, POPL 2014).

One execution for each trace, that is for each order of dependent operations.  After a run its races
are looked at: where the second step of a race, with what leads to it, could come first, that sequence
goes into the *wakeup tree* of the node before the race's first step.  Branches already explored sleep
there (Godefroid, 1996) until something they depend on happens, so nothing is explored twice.

Deviations:
  * data (`choose`) is enumerated: a step that draws has one successor for each value.
  * a step that only came because no CPU could run (a timeout, a last look of the spinners) happens
    after everything before it.
  * what an operation finds out without touching it is no dependence: `try_upgrade` of a spinlock looks
    whether anybody waits for it.  A search that has seen one never says that it is exhaustive.
  * a sleep that the scheduler may end (`timeouts="any"`, `spurious`) ends for no operation's sake, so
    when it does is not enumerated, and such a search never says that it is exhaustive either.
  * tries of a lock beside its readers, and waits for several tokens, may repeat a trace.
  * of a run that comes into the fair half of its step limit the half before is explored, and what the
    other CPUs did in the next `AFTER` steps.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from vmsmp.engine import ops
from vmsmp.engine.scheduler import Scheduler
from vmsmp.sched.base import base_policy
from vmsmp.sched.history import History
from vmsmp.sched.partial_order import Event, Race, Trace
from vmsmp.sched.replay import gave_way

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import Machine

#: Steps on fair picks that are looked at.
AFTER: Final = 200


class Branch(NamedTuple):
    """A node of a wakeup tree: what is to be done first, then the sequences that go on from there.

    Trees share what they have in common, so they are never changed.
    """

    event: Event
    below: Branches


Branches = tuple[Branch, ...]


def chain(events: list[Event]) -> Branches:
    """One sequence as a tree."""
    below: Branches = ()
    for event in reversed(events):
        below = (Branch(event, below),)
    return below


class Node:
    """The state before one step of the run under way: who could run, who sleeps, what is still to come."""

    __slots__ = ("after_all", "candidates", "chosen", "sleeping", "todo", "value", "values")

    def __init__(self, candidates: frozenset[int], sleeping: dict[int, int], todo: list[Branch]) -> None:
        self.candidates = candidates
        #: CPU -> the operation it slept with.
        self.sleeping = sleeping
        self.todo = todo
        self.chosen = -1
        self.after_all = False
        #: If its step draws data: which value this time, and how many there are.
        self.value = 0
        self.values = 1


class Sequence:
    """Steps of a run that are to come first, with the order there is among them.

    `left` are those still to be placed, as a bit mask of their numbers in the run.
    """

    def __init__(self, trace: Trace, race: Race) -> None:
        self.events = trace.events
        self.before = trace.before
        self.second = race.second
        self.left = 0
        self._of: dict[int, deque[int]] = {}
        steps = trace.without(race)
        for n in steps:
            self.left |= 1 << n
            self._of.setdefault(self.events[n].cpu, deque()).append(n)
        # the second step is tried where it might have been refused
        cpu, code = self.events[race.second]
        self.tried = Event(cpu, ops.as_tried(code))
        self.before_tried = 0
        for n in steps[:-1]:
            if self.events[n].cpu == cpu or ops.dependent(self.events[n].code, self.tried.code):
                self.before_tried |= self.before[n] | 1 << n

    def may_begin_with(self, event: Event) -> bool:
        """Whether the rest, or the rest and the event, may begin with it: a weak initial."""
        mine = self._of.get(event.cpu)
        if mine:
            before = self.before_tried if mine[0] == self.second else self.before[mine[0]]
            return not before & self.left
        return not any(ops.dependent(left.code, event.code) for left in self.rest())

    def drop(self, cpu: int) -> None:
        """The CPU's first step has been done, if there is one."""
        mine = self._of.get(cpu)
        if mine:
            self.left ^= 1 << mine.popleft()

    def rest(self) -> list[Event]:
        """What is left, in order, the second step last."""
        numbers = sorted(n for mine in self._of.values() for n in mine if n != self.second)
        return [self.events[n] for n in numbers] + [self.tried] * (self.left >> self.second & 1)


class Dpor(Scheduler):
    """Explores every trace once.  `blocked` counts runs that turned out to be none of their own."""

    sees_all = True
    finishes = True
    systematic = True

    def __init__(self) -> None:
        # invariant: one node a step of the run under way
        self._nodes: list[Node] = []
        #: How many nodes are given; the run goes on by itself after them.
        self._given = 0
        self._history = History()
        self._events: list[Event] = []
        self._stale = False
        #: How many nodes this run has been asked about: after them its picks are fair.
        self._asked = 0
        self._first = True
        self.blocked = 0
        #: Whether a sleep may end early, so that one that ended last might as well have ended before.
        self._ends_sleeps = False

    # -- one run --------------------------------------------------------------------------------

    def spawned(self, cpu: Cpu) -> None:
        self._history.spawned(cpu)
        if cpu.index == 0:
            self._events = []
            self._stale = False
            options = cpu.machine.options
            self._ends_sleeps = options.spurious or options.timeouts == "any"
            self.complete = self.complete and not self._ends_sleeps

    def _catch_up(self) -> None:
        """Take in the steps performed since, and the nodes of those that nobody was asked about."""
        for event in map(Event._make, self._history.performed()):
            n = len(self._events)
            if n == len(self._nodes):
                self._nodes.append(self._next_node(frozenset((event.cpu,))))
            node = self._nodes[n]
            if node.chosen != event.cpu:
                node.chosen = event.cpu
                node.after_all = not self._ends_sleeps
            self._events.append(event)
            if event.code & ops.KIND_MASK == ops.UPGRADE:
                self.complete = False

    def _next_node(self, candidates: frozenset[int]) -> Node:
        """The node after the last event."""
        if not self._events or self._stale:
            return Node(candidates, {}, [])
        above = self._nodes[len(self._events) - 1]
        cpu, code = self._events[-1]
        sleeping = {
            other: slept
            for other, slept in above.sleeping.items()
            if other != cpu and not ops.dependent(slept, code)
        }
        todo = above.todo[0].below if above.todo and above.todo[0].event.cpu == cpu else ()
        return Node(candidates, sleeping, list(todo))

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        self._catch_up()
        n = len(self._events)
        self._asked = n + 1
        if n < self._given:
            wanted = self._nodes[n].chosen
            for cpu in run:
                if cpu.index == wanted:
                    return cpu
            self._stale = True
        node = self._next_node(frozenset(cpu.index for cpu in run))
        del self._nodes[n:]
        self._nodes.append(node)
        picked = self._begin_with(node, current, run)
        node.chosen = picked.index
        return picked

    def _begin_with(self, node: Node, current: Cpu, run: list[Cpu]) -> Cpu:
        """The first of the node's branches, or whoever needs no switch."""
        while node.todo:
            wanted = node.todo[0].event.cpu
            for cpu in run:
                if cpu.index == wanted:
                    return cpu
            node.todo.pop(0)  # it cannot run here after all
        awake = [cpu for cpu in run if cpu.index not in node.sleeping]
        if not awake:
            self._stale = True
            return current if current in run else run[0]
        picked = base_policy(current, awake, gave_way(current))
        node.todo = [Branch(Event(picked.index, picked.pending), ())]
        return picked

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        self._catch_up()
        node = self._nodes[len(self._events) - 1]
        node.values = n
        return node.value

    def ended(self, machine: Machine) -> None:
        self._catch_up()
        if self._stale:
            self.blocked += 1
            del self._nodes[self._given :]
            return
        blocked = [
            Event(cpu.index, cpu.pending)
            for cpu in machine.cpus
            if not cpu.done and cpu.pending & ops.KIND_MASK in ops.WAITING
        ]
        if len(self._history.log) <= machine.options.fair_from:
            self._asked = len(self._events)
            self._learn(blocked)
            return
        del self._nodes[self._asked :]
        after = self._events[self._asked : self._asked + AFTER]
        for still in sorted({event.cpu for event in after}) or [0]:
            self._events[self._asked :] = self._without(still, after)
            self._learn([])
        del self._events[self._asked :]

    @staticmethod
    def _without(still: int, events: list[Event]) -> list[Event]:
        """What of these steps would have come if that CPU had stood still: it may have held up the others."""
        away = {still}
        changes: list[int] = []
        kept: list[Event] = []
        for cpu, code in events:
            if cpu in away or any(ops.dependent(code, change) for change in changes):
                away.add(cpu)
                changes += [code] * (code & 1)
            else:
                kept.append(Event(cpu, code))
        return kept

    # -- between two runs -------------------------------------------------------------------------

    def begin(self) -> bool:
        if self._first:
            self._first = False
            return True
        return self._back()

    def _learn(self, blocked: list[Event]) -> None:
        """Put what the run's races ask for into the wakeup trees of its nodes."""
        nodes = self._nodes
        enabled_by: dict[int, int] = {}
        let_go: dict[int, int] = {}
        for n, (node, after) in enumerate(pairwise(nodes)):
            for cpu in after.candidates - node.candidates - {node.chosen}:
                let_go[cpu] = n
            if after.chosen in let_go:
                enabled_by[n + 1] = let_go.pop(after.chosen)
        trace = Trace(
            self._events,
            enabled_by=enabled_by,
            after_all=frozenset(n for n, node in enumerate(nodes) if node.after_all),
            blocked=blocked,
        )
        for race in trace.races:
            if race.first < self._asked and not nodes[race.first].after_all:
                self._insert(nodes[race.first], trace, race)

    def _insert(self, node: Node, trace: Trace, race: Race) -> None:
        sequence = Sequence(trace, race)
        if any(sequence.may_begin_with(Event(cpu, code)) for cpu, code in node.sleeping.items()):
            return
        path: list[tuple[Branches, int]] = []
        branches: Branches = tuple(node.todo)
        start = 1  # the first branch is the one just explored: the race's own first step
        while True:
            for at in range(start, len(branches)):
                if sequence.may_begin_with(branches[at].event):
                    break
            else:
                branches += chain(sequence.rest())
                break
            path.append((branches, at))
            sequence.drop(branches[at].event.cpu)
            branches = branches[at].below
            start = 0
            if not sequence.left or not branches:
                return
        for above, at in reversed(path):
            branches = (*above[:at], Branch(above[at].event, branches), *above[at + 1 :])
        node.todo = list(branches)

    def _back(self) -> bool:
        """Go back to the deepest node with a branch left; False if there is none."""
        nodes = self._nodes
        while nodes:
            node = nodes[-1]
            n = len(nodes) - 1
            if node.value + 1 < node.values:  # the same step with other data
                node.value += 1
                self._given = len(nodes)
                return True
            node.value, node.values = 0, 1
            if node.todo:
                node.todo.pop(0)
                if n < len(self._events):
                    node.sleeping[node.chosen] = self._events[n].code
            while node.todo and node.todo[0].event.cpu in node.sleeping:
                node.todo.pop(0)
            if node.todo:
                node.chosen = node.todo[0].event.cpu
                self._given = len(nodes)
                return True
            nodes.pop()
        self._given = 0
        return False
