"""Optimal dynamic partial-order reduction (Abdulla, Aronis, Jonsson and Sagonas, POPL 2014).

One execution for each trace, that is for each order of dependent operations.  After a run its races
are reversed: where the second step of a race, with what leads to it, could come first, that sequence
goes into the *wakeup tree* of the node before the race's first step.  Branches already explored are in
the node's *sleep set* (Godefroid, 1996) until a dependent operation happens, so nothing is explored twice.

Deviations:
  * data (`choose`) is enumerated: a step that draws has one successor for each value.
  * a step that came only because no CPU could run (a timeout, a last look of the spinners) happens
    after everything before it.
  * silent stores to fields that are read as hints, and arrivals before locks, belong to the step in which
    they happen (`effects`).  A search that meets a hint of a field for the first time starts again.
  * a sleep that the scheduler may end (`timeouts="any"`, `spurious`) ends for no operation's sake, so
    when it ends is not enumerated, and such a search never says that it is exhaustive either.
  * waits for several tokens may repeat a trace.
  * of a run that reaches the fair half of its step limit the half before is explored, and what the
    other CPUs did in the next `FAIR_STEPS` steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from vmsmp.engine import ops
from vmsmp.engine.scheduler import Scheduler
from vmsmp.errors import ReplayDiverged
from vmsmp.sched.effects import Effects, Event, conflict
from vmsmp.sched.log_cursor import LogCursor
from vmsmp.sched.partial_order import PartialOrder
from vmsmp.sched.policy import base_policy, gave_way
from vmsmp.sched.wakeup_tree import Branch, WakeupSequence, inserted

if TYPE_CHECKING:
    from vmsmp.engine.cpu import Cpu
    from vmsmp.engine.machine import Machine

#: Steps on fair picks whose races are looked for.
FAIR_STEPS: Final = 200
#: Steps that are put in order before it is asked whether the search is over.
PART: Final = 1_000


class Node:
    """The state before one step of the run: who could run, its sleep set, what is still to explore."""

    __slots__ = ("chosen", "enabled", "explored", "last_resort", "sleep", "value", "values", "wakeup")

    def __init__(self, enabled: frozenset[int], sleep: dict[int, Event], wakeup: list[Branch]) -> None:
        self.enabled = enabled
        #: The sleep set: CPU -> its step.
        self.sleep = sleep
        #: The branches of the wakeup tree; the first is the one being explored.
        self.wakeup = wakeup
        #: How many branches have been explored.
        self.explored = 0
        self.chosen = -1
        #: Whether its step came only because no CPU could run.
        self.last_resort = False
        #: If its step draws data: which value this time, and how many there are.
        self.value = 0
        self.values = 1

    def next_branch(self, explored: Event | None) -> bool:
        """Put the operation explored to sleep and go to the next value or branch; False if there is none."""
        if self.value + 1 < self.values:  # the same step with other data
            self.value += 1
            return True
        self.value, self.values = 0, 1
        if self.wakeup:
            self.wakeup.pop(0)
            self.explored += 1
            if explored is not None:
                self.sleep[self.chosen] = explored
        while self.wakeup and self.wakeup[0].event.cpu in self.sleep:
            self.wakeup.pop(0)
        if self.wakeup:
            self.chosen = self.wakeup[0].event.cpu
        return bool(self.wakeup)


class Dpor(Scheduler):
    """Explores every trace once.  `sleep_set_blocked` counts runs that turned out to be redundant."""

    sees_all = True
    finishes = True
    systematic = True

    def __init__(self) -> None:
        # invariant: one node a step of the run under way
        self._nodes: list[Node] = []
        #: How many nodes are to be followed; the run is free after them.
        self._prefix = 0
        self._cursor = LogCursor()
        self._effects = Effects()
        self._machine: Any = None
        self._events: list[Event] = []
        self._redundant = False
        #: How many nodes this run has been asked about: picks are fair after them.
        self._asked = 0
        self._first = True
        self.sleep_set_blocked = 0
        #: Whether a sleep may end early, so that one that ended last might as well have ended before.
        self._ends_sleeps = False
        #: Whether the races of the last run have not all been looked at.
        self._unfinished = False

    # -- one run --------------------------------------------------------------------------------

    def spawned(self, cpu: Cpu) -> None:
        self._cursor.spawned(cpu)
        if cpu.index == 0:
            self._events = []
            self._redundant = False
            self._machine = cpu.machine
            self._effects.begin()
            self._unfinished = False
            options = cpu.machine.options
            self._ends_sleeps = options.spurious or options.timeouts == "any"
            self.complete = self.complete and not self._ends_sleeps

    def _catch_up(self) -> None:
        """Take in the steps performed since, and add nodes for those that left no choice."""
        for event in self._effects.add(self._machine, list(self._cursor.advance())):
            n = len(self._events)
            if n == len(self._nodes):
                self._nodes.append(self._next_node(frozenset((event.cpu,))))
            node = self._nodes[n]
            if node.chosen != event.cpu:
                node.chosen = event.cpu
                node.last_resort = not self._ends_sleeps
            self._events.append(event)
            if event.effects and node.wakeup and node.wakeup[0].event.cpu == event.cpu:
                node.wakeup[0] = node.wakeup[0].led_by(event)

    def _next_node(self, enabled: frozenset[int]) -> Node:
        """Return the node after the last event."""
        if not self._events or self._redundant:
            return Node(enabled, {}, [])
        above = self._nodes[len(self._events) - 1]
        last = self._events[-1]
        cpu = last.cpu
        sleep = {
            other: slept for other, slept in above.sleep.items() if other != cpu and not conflict(slept, last)
        }
        wakeup = above.wakeup[0].below if above.wakeup and above.wakeup[0].event.cpu == cpu else ()
        return Node(enabled, sleep, list(wakeup))

    def pick(self, current: Cpu, run: list[Cpu]) -> Cpu:
        self._catch_up()
        n = len(self._events)
        self._asked = n + 1
        if n < self._prefix:
            wanted = self._nodes[n].chosen
            for cpu in run:
                if cpu.index == wanted:
                    return cpu
            if n < self._prefix - 1:
                raise ReplayDiverged(f"step {n}: cpu{wanted} ran there and cannot run now")
            self._redundant = True
        node = self._next_node(frozenset(cpu.index for cpu in run))
        del self._nodes[n:]
        self._nodes.append(node)
        picked = self._first_branch(node, current, run)
        node.chosen = picked.index
        return picked

    def _first_branch(self, node: Node, current: Cpu, run: list[Cpu]) -> Cpu:
        """Pick the first step of the node's wakeup tree, or else one that takes no switch."""
        while node.wakeup:
            wanted = node.wakeup[0].event.cpu
            for cpu in run:
                if cpu.index == wanted:
                    return cpu
            node.wakeup.pop(0)  # it cannot run here after all
        awake = [cpu for cpu in run if cpu.index not in node.sleep]
        if not awake:
            self._redundant = True
            return current if current in run else run[0]
        picked = base_policy(current, awake, gave_way(current))
        node.wakeup = [Branch(Event(picked.index, picked.pending), ())]
        return picked

    def choose(self, cpu: Cpu, n: int, drawn: int) -> int:
        self._catch_up()
        node = self._nodes[len(self._events) - 1]
        if node.value >= n:
            raise ReplayDiverged(f"step {len(self._events) - 1} draws below {n} and drew {node.value} before")
        node.values = n
        return node.value

    def ended(self, machine: Machine) -> None:
        self._catch_up()
        if self._effects.learned:  # what was explored before did not take the hint into account
            self._nodes = []
            self._prefix = 0
            self._first = True
        elif self._redundant:
            self.sleep_set_blocked += 1
            del self._nodes[self._prefix :]
        elif len(self._cursor.log) <= machine.options.fair_from:
            self._asked = len(self._events)
            self._reverse_races(self._order(self._events, _blocked(machine)))
        else:
            self._reverse_races_of_fair_run()

    def _reverse_races_of_fair_run(self) -> None:
        """Explore the half with choices, and for each CPU what would have come next without it."""
        del self._nodes[self._asked :]
        after = self._events[self._asked : self._asked + FAIR_STEPS]
        del self._events[self._asked :]
        order = self._order(self._events)
        self._reverse_races(order)
        for stopped in sorted({event.cpu for event in after}):
            longer = order.fork()
            longer.extend(_without(stopped, after))
            self._reverse_races(longer, len(order.races))

    def share(self) -> float:
        """As `Scheduler.share`, over the branches known so far: races of runs to come may add more."""
        share, left = 0.0, 1.0
        for node in self._nodes:
            left /= node.explored + max(1, len(node.wakeup))
            share += node.explored * left
            left /= node.values
            share += node.value * left
        return share + left if self._nodes and not self._unfinished else 0.0

    # -- between two runs -------------------------------------------------------------------------

    def begin(self) -> bool:
        if self._first:
            self._first = False
            return True
        return self._backtrack()

    def _order(self, events: list[Event], blocked: Iterable[Event] = ()) -> PartialOrder:
        order = PartialOrder(
            cpus=len(self._machine.cpus),
            enabled_by=self._enablers(),
            last_resort=frozenset(n for n, node in enumerate(self._nodes) if node.last_resort),
        )
        for at in range(0, len(events), PART):
            if self.is_over():
                self._unfinished = True
                return order
            order.extend(events[at : at + PART])
        order.block(blocked)
        return order

    def _reverse_races(self, order: PartialOrder, start: int = 0) -> None:
        """Put the sequences that reverse races, from number `start` on, into the nodes' wakeup trees."""
        for race in order.races[start:]:
            if self.is_over():
                self._unfinished = True
                return
            if race.first < self._asked and not self._nodes[race.first].last_resort:
                _insert(self._nodes[race.first], WakeupSequence(order, race))

    def _enablers(self) -> dict[int, int]:
        """For steps of CPUs that could not run for a while, the steps that enabled them."""
        enabled_by: dict[int, int] = {}
        pending: dict[int, int] = {}
        for n, (node, after) in enumerate(pairwise(self._nodes)):
            for cpu in after.enabled - node.enabled - {node.chosen}:
                pending[cpu] = n
            if after.chosen in pending:
                enabled_by[n + 1] = pending.pop(after.chosen)
        return enabled_by

    def _backtrack(self) -> bool:
        """Go back to the deepest node with a branch left; False if there is none."""
        nodes = self._nodes
        while nodes:
            n = len(nodes) - 1
            explored = self._events[n] if n < len(self._events) else None
            if nodes[n].next_branch(explored):
                self._prefix = len(nodes)
                return True
            nodes.pop()
        self._prefix = 0
        return False


def _blocked(machine: Machine) -> list[Event]:
    """The acquires that CPUs still wait in."""
    return [
        Event(cpu.index, cpu.pending)
        for cpu in machine.cpus
        if not cpu.done and cpu.pending & ops.KIND_MASK in ops.WAITING
    ]


def _without(stopped: int, events: list[Event]) -> list[Event]:
    """The steps that would have come if that CPU had stopped: it may have held up the others."""
    away = {stopped}
    changes: list[Event] = []
    kept: list[Event] = []
    for event in events:
        if event.cpu in away or any(conflict(event, change) for change in changes):
            away.add(event.cpu)
            changes += [event] * (event.code & 1 or bool(event.effects))
        else:
            kept.append(event)
    return kept


def _insert(node: Node, sequence: WakeupSequence) -> None:
    """Add the sequence to the node's wakeup tree, unless it is explored already."""
    if any(sequence.is_weak_initial(slept) for slept in node.sleep.values()):
        return
    # The first branch is the one just explored: it is the race's own first step.
    tree = inserted(tuple(node.wakeup), sequence, start=1)
    if tree is not None:
        node.wakeup = list(tree)
