"""Observers are called for what they override, and for nothing else."""

from __future__ import annotations

import inspect

from vmsmp.engine.hooks import HOOKS, Hooks
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


def test_every_hook_has_a_method_with_its_story():
    told = [name for name, what in vars(Observer).items() if inspect.isfunction(what) and name in HOOKS]
    assert list(HOOKS) == told


def test_every_hook_is_documented():
    assert [] == [name for name in HOOKS if not getattr(Observer, name).__doc__]


def test_an_observer_sees_what_it_overrides():
    assert {"begin", "op"} == Counting.sees


def test_an_observer_sees_what_the_class_above_it_overrides():
    assert {"begin", "op", "end"} == CountingEnds.sees


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
