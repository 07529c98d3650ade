"""Observers are called for what they override, and for nothing else."""

from __future__ import annotations

import inspect

from vmsmp.engine.hooks import Hooks
from vmsmp.engine.observer import Observer


class Counting(Observer):
    """Counts operations."""

    def __init__(self):
        self.begun = 0
        self.count = 0

    def begin(self, machine):
        self.begun += 1

    def op(self, cpu, code):
        self.count += 1


class CountingEnds(Counting):
    """And ends."""

    def end(self, machine):
        self.ended = True


class Interface(Observer):
    """Declares a hook of a room above the engine."""

    interface = True

    def painted(self, colour):
        """A wall was painted."""


class Painter(Interface):
    """Overrides it."""

    def painted(self, colour):
        self.colour = colour


def test_every_hook_is_documented():
    hooks = [what for name, what in vars(Observer).items() if inspect.isfunction(what)]
    assert [] == [hook.__name__ for hook in hooks if not hook.__doc__]


def test_a_hook_that_is_only_declared_is_called_for_nobody():
    assert () == Hooks([Interface(), Counting()]).painted


def test_a_hook_of_a_room_above_is_called_for_the_class_that_overrides_it():
    painter = Painter()
    assert (painter.painted,) == Hooks([painter, Counting()]).painted


def test_a_hook_is_called_for_a_class_below_the_one_that_overrides_it():
    observer = CountingEnds()
    assert (observer.op,) == Hooks([observer]).op


def test_hooks_are_sorted_by_what_observers_see():
    one, other = Counting(), CountingEnds()
    hooks = Hooks([one, other])
    assert ([one.op, other.op], [other.end], []) == (list(hooks.op), list(hooks.end), list(hooks.idle))


def test_an_observer_is_begun_in_every_run(controlled):
    observer = Counting()
    for _ in range(2):
        controlled(lambda m: None, observers=[observer])
    assert 2 == observer.begun


def test_an_observer_is_called_at_every_operation(controlled):
    observer = Counting()
    controlled(lambda m: [m.yield_() for _ in range(3)] and None, observers=[observer])
    assert 3 == observer.count
