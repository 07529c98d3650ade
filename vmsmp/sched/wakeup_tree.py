"""Wakeup trees and weak initials (Abdulla, Aronis, Jonsson and Sagonas, POPL 2014).

A wakeup tree holds the sequences of steps that a node of the search still has to be continued with.  A
sequence may be as long as a run, so it is kept as the part of each CPU's steps that belongs to it, and its
branches are made when somebody looks at them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vmsmp.engine import ops
from vmsmp.sched.effects import Event, conflict
from vmsmp.sched.partial_order import PartialOrder, Race


class Branch:
    """A branch of a wakeup tree: its first step, and the tree that goes on from there.

    Trees share their parts, so they are never changed.
    """

    __slots__ = ("event", "rest")

    def __init__(self, event: Event, rest: WakeupTree | _Rest) -> None:
        self.event = event
        #: What goes on from there, perhaps not made yet.
        self.rest = rest

    @property
    def below(self) -> WakeupTree:
        """What goes on from there."""
        return self.rest if isinstance(self.rest, tuple) else self.rest.tree()

    def led_by(self, event: Event) -> Branch:
        """The same with another first step."""
        return Branch(event, self.rest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Branch) and (self.event, self.below) == (other.event, other.below)

    __hash__ = None  # type: ignore[assignment]  # nobody looks one up

    def __repr__(self) -> str:
        return f"Branch({self.event}, {self.below})"


WakeupTree = tuple[Branch, ...]


def chain(events: list[Event]) -> WakeupTree:
    """Return one sequence as a tree."""
    below: WakeupTree = ()
    for event in reversed(events):
        below = (Branch(event, below),)
    return below


@dataclass(frozen=True, slots=True)
class _Rest:
    """Steps of a run in order, by CPU from where to where, and the tree that goes on after them."""

    order: PartialOrder
    ranges: tuple[tuple[int, int], ...]
    after: WakeupTree

    def tree(self) -> WakeupTree:
        """It as a tree of one branch, or what comes after if nothing is left."""
        steps = self.order.steps
        firsts = ((steps[cpu][at], cpu) for cpu, (at, end) in enumerate(self.ranges) if at < end)
        first = min(firsts, default=None)
        if first is None:
            return self.after
        n, cpu = first
        at, end = self.ranges[cpu]
        ranges = (*self.ranges[:cpu], (at + 1, end), *self.ranges[cpu + 1 :])
        return (Branch(self.order.events[n], _Rest(self.order, ranges, self.after)),)

    def parted(self, at: list[int]) -> tuple[_Rest, _Rest]:
        """Those before these places, and those from there on."""
        begin = tuple((start, to) for (start, _), to in zip(self.ranges, at, strict=True))
        end = tuple((to, end) for (_, end), to in zip(self.ranges, at, strict=True))
        return _Rest(self.order, begin, ()), _Rest(self.order, end, self.after)


class WakeupSequence:
    """The steps that reverse a race: those after its first that do not depend on it, then its second.

    Steps are taken out one by one as they are placed in a tree.
    """

    def __init__(self, order: PartialOrder, race: Race) -> None:
        self._order = order
        #: By CPU from where to where in its steps.
        self._ranges = order.independent(race.first)
        # The second step may have been a try that failed; reversed, it may succeed.
        self._cpu, code, effects = order.events[race.second]
        self._tried = Event(self._cpu, ops.as_tried(code), effects)
        self._second_left = True

    @property
    def left(self) -> bool:
        """Whether there are steps that are not placed."""
        return self._second_left or any(at < end for at, end in self._ranges)

    def is_weak_initial(self, event: Event) -> bool:
        """Whether the rest, or the rest followed by the event, may begin with the event."""
        at, end = self._ranges[event.cpu] if event.cpu < len(self._ranges) else (0, 0)
        if at < end:
            return self._begins_with(self._order.steps[event.cpu][at])
        if self._second_left and event.cpu == self._cpu:
            return not self._meets(self._tried)
        return not (self._second_left and conflict(self._tried, event)) and not self._meets(event)

    def _begins_with(self, n: int) -> bool:
        """Whether nothing that is left comes before step n."""
        clock, steps = self._order.clocks[n], self._order.steps
        firsts = ((cpu, steps[cpu][at]) for cpu, (at, end) in enumerate(self._ranges) if at < end)
        return not any(first != n and first <= clock[cpu] for cpu, first in firsts)

    def _meets(self, event: Event) -> bool:
        """Whether the event fails to commute with a step that is left, the second of the race aside."""
        for cpu, numbers in self._order.meeting(event).items():
            at, end = self._ranges[cpu]
            if at < end:
                mine = self._order.steps[cpu]
                found = bisect_left(numbers, mine[at])
                if found < len(numbers) and numbers[found] <= mine[end - 1]:
                    return True
        return False

    def remove_first(self, cpu: int) -> None:
        """Take out the CPU's first step, if it has one."""
        at, end = self._ranges[cpu] if cpu < len(self._ranges) else (0, 0)
        if at < end:
            self._ranges[cpu] = (at + 1, end)
        elif cpu == self._cpu:
            self._second_left = False

    def tree(self) -> WakeupTree:
        """What is left, in order, the race's second step last, as a tree of one branch."""
        after = (Branch(self._tried, ()),) if self._second_left else ()
        return _Rest(self._order, tuple(self._ranges), after).tree()

    def along(self, rest: _Rest) -> list[int] | None:
        """By CPU how far `rest` goes the same way; None if it does not at all."""
        order = self._order
        if order.root is not rest.order.root:
            return None
        ends = []
        for mine, other, *lengths in zip(
            self._ranges, rest.ranges, order.common, rest.order.common, strict=True
        ):
            common = min(lengths)
            end = min(mine[1], common)
            if mine[0] != other[0] or end != min(other[1], common):
                return None
            ends.append(max(mine[0], end))
        return ends if any(to > at for to, (at, _) in zip(ends, self._ranges, strict=True)) else None

    def remove_up_to(self, ends: list[int]) -> None:
        """Take out the steps before these places, by CPU."""
        self._ranges = [(to, end) for to, (_, end) in zip(ends, self._ranges, strict=True)]

    def rest(self) -> list[Event]:
        """What is left, in order, the race's second step last."""
        return list(_along(self.tree()))


def _along(tree: WakeupTree) -> Iterator[Event]:
    """The events of a tree's first branch."""
    while tree:
        yield tree[0].event
        tree = tree[0].below


def inserted(tree: WakeupTree, sequence: WakeupSequence, start: int = 0) -> WakeupTree | None:
    """Return the tree with the sequence added, or None if it covers it already.

    The first `start` branches are left out: they are explored.  Uses the sequence up.
    """
    path: list[tuple[WakeupTree, int] | _Rest] = []
    branches = tree
    while True:
        at = next(
            (n for n in range(start, len(branches)) if sequence.is_weak_initial(branches[n].event)), None
        )
        if at is None:
            return _rebuilt(path, branches + sequence.tree())
        path.append((branches, at))
        sequence.remove_first(branches[at].event.cpu)
        rest = branches[at].rest
        ends = sequence.along(rest) if isinstance(rest, _Rest) else None
        if isinstance(rest, _Rest) and ends is not None:  # no need to look at each step
            sequence.remove_up_to(ends)
            same, rest = rest.parted(ends)
            path.append(same)
        branches = rest.tree() if isinstance(rest, _Rest) else rest
        start = 0
        if not sequence.left or not branches:
            return None


def _rebuilt(path: list[tuple[WakeupTree, int] | _Rest], end: WakeupTree) -> WakeupTree:
    """The tree along that path, with another end."""
    rest: WakeupTree | _Rest = end
    for part in reversed(path):
        if isinstance(part, _Rest):
            assert isinstance(rest, tuple)
            rest = replace(part, after=rest)
        else:
            branches, at = part
            rest = (*branches[:at], Branch(branches[at].event, rest), *branches[at + 1 :])
    assert isinstance(rest, tuple)
    return rest
