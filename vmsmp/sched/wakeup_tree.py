"""Wakeup trees and weak initials (Abdulla, Aronis, Jonsson and Sagonas, POPL 2014).

A wakeup tree holds the sequences of steps that a node of the search still has to be continued with.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from vmsmp.engine import ops
from vmsmp.sched.effects import Event, conflict
from vmsmp.sched.partial_order import PartialOrder, Race


class Branch(NamedTuple):
    """A branch of a wakeup tree: its first step, and the tree that goes on from there.

    Trees share their parts, so they are never changed.
    """

    event: Event
    below: WakeupTree


WakeupTree = tuple[Branch, ...]


def chain(events: list[Event]) -> WakeupTree:
    """Return one sequence as a tree."""
    below: WakeupTree = ()
    for event in reversed(events):
        below = (Branch(event, below),)
    return below


class WakeupSequence:
    """The steps that reverse a race, in their partial order; `left` are those not yet placed.

    `left` is a bit mask of numbers of steps.
    """

    def __init__(self, order: PartialOrder, race: Race) -> None:
        self.events = order.events
        self.before = order.before
        self.second = race.second
        self.left = 0
        self._by_cpu: dict[int, deque[int]] = {}
        steps = order.reversal(race)
        for n in steps:
            self.left |= 1 << n
            self._by_cpu.setdefault(self.events[n].cpu, deque()).append(n)
        # The second step may have been a try that failed; reversed, it may succeed.
        cpu, code, effects = self.events[race.second]
        self.tried = Event(cpu, ops.as_tried(code), effects)
        self._before_tried = 0
        for n in steps[:-1]:
            if self.events[n].cpu == cpu or conflict(self.events[n], self.tried):
                self._before_tried |= self.before[n] | 1 << n

    def is_weak_initial(self, event: Event) -> bool:
        """Whether the rest, or the rest followed by the event, may begin with the event."""
        mine = self._by_cpu.get(event.cpu)
        if mine:
            before = self._before_tried if mine[0] == self.second else self.before[mine[0]]
            return not before & self.left
        return not any(conflict(left, event) for left in self.rest())

    def remove_first(self, cpu: int) -> None:
        """Take out the CPU's first step, if it has one."""
        mine = self._by_cpu.get(cpu)
        if mine:
            self.left ^= 1 << mine.popleft()

    def rest(self) -> list[Event]:
        """Return what is left, in order, the race's second step last."""
        numbers = sorted(n for mine in self._by_cpu.values() for n in mine if n != self.second)
        return [self.events[n] for n in numbers] + [self.tried] * (self.left >> self.second & 1)


def inserted(tree: WakeupTree, sequence: WakeupSequence, start: int = 0) -> WakeupTree | None:
    """Return the tree with the sequence added, or None if it covers it already.

    The first `start` branches are left out: they are explored.  Uses the sequence up.
    """
    path: list[tuple[WakeupTree, int]] = []
    branches = tree
    while True:
        for at in range(start, len(branches)):
            if sequence.is_weak_initial(branches[at].event):
                break
        else:
            branches += chain(sequence.rest())
            break
        path.append((branches, at))
        sequence.remove_first(branches[at].event.cpu)
        branches = branches[at].below
        start = 0
        if not sequence.left or not branches:
            return None
    for above, at in reversed(path):
        branches = (*above[:at], Branch(above[at].event, branches), *above[at + 1 :])
    return branches
