"""Observers are called for what they override, and for nothing else."""

from __future__ import annotations

import inspect

import pytest

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


class Declaring(Observer):
    """Has a hook of a room above, which nobody overrides yet."""

    interface = True

    def granted(self, cpu):
        """`cpu` was granted something."""


class Granting(Declaring):
    """Overrides it."""

    def granted(self, cpu):
        self.last = cpu


HOOKS = [what for name, what in vars(Observer).items() if inspect.isfunction(what)]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_every_hook_is_documented(hook):
    assert hook.__doc__


def test_an_observer_is_not_called_for_what_it_does_not_override():
    assert () == Hooks([Counting()]).idle


def test_an_observer_is_called_for_what_the_class_above_it_overrides():
    observer = CountingEnds()
    assert (observer.op,) == Hooks([observer]).op


def test_a_class_that_only_declares_a_hook_does_not_override_it():
    assert () == Hooks([Declaring()]).granted


def test_a_hook_of_a_room_above_is_sorted_like_any_other():
    observer = Granting()
    assert (observer.granted,) == Hooks([observer, Counting()]).granted


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
