"""Wakeup trees: weak initials of a sequence, and where it is added."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops
from vmsmp.sched.partial_order import Event, PartialOrder, Race
from vmsmp.sched.wakeup_tree import Branch, WakeupSequence, chain, inserted

X, Y, Z = (ops.identity(0, n) for n in (1, 2, 3))


def store(cpu, obj):
    return Event(cpu, ops.op(obj, ops.STORE))


def load(cpu, obj):
    return Event(cpu, ops.op(obj, ops.LOAD))


def sequence(*events, race):
    return WakeupSequence(PartialOrder(events), Race(*race))


def reversed_race():
    """CPU 1 stores to x, CPU 2 loads y, CPU 3 stores to x: reversed, 2 and 3 come first."""
    return sequence(store(1, X), load(2, Y), store(3, X), race=(0, 2))


def test_a_sequence_is_a_tree_of_one_branch():
    one, other = store(1, X), load(2, Y)
    assert (Branch(one, (Branch(other, ()),)),) == chain([one, other])


def test_the_rest_of_a_sequence_ends_with_the_second_step_of_the_race():
    assert [load(2, Y), store(3, X)] == reversed_race().rest()


def test_a_step_taken_out_is_no_longer_in_the_rest():
    steps = reversed_race()
    steps.remove_first(2)
    assert [store(3, X)] == steps.rest()


def test_taking_out_a_step_of_a_cpu_that_has_none_changes_nothing():
    steps = reversed_race()
    steps.remove_first(1)
    assert [load(2, Y), store(3, X)] == steps.rest()


@pytest.mark.parametrize("event", [load(2, Y), store(3, X)])
def test_a_step_with_nothing_before_it_is_an_initial(event):
    assert reversed_race().is_weak_initial(event)


def test_a_step_with_another_one_before_it_is_no_initial():
    steps = sequence(store(1, X), store(2, Y), load(3, Y), store(3, X), race=(0, 3))
    assert not steps.is_weak_initial(load(3, Y))


def test_a_step_outside_that_depends_on_nothing_is_a_weak_initial():
    assert reversed_race().is_weak_initial(store(4, Z))


def test_a_step_outside_that_depends_on_one_inside_is_no_weak_initial():
    assert not reversed_race().is_weak_initial(store(4, Y))


def test_a_try_that_failed_may_succeed_when_it_comes_first():
    failed = Event(2, ops.op(X, ops.TRY_FAILED))
    steps = sequence(Event(1, ops.op(X, ops.ACQUIRE)), failed, race=(0, 1))
    assert [Event(2, ops.op(X, ops.TRY_ACQUIRE))] == steps.rest()


def test_a_sequence_becomes_the_only_branch_of_an_empty_tree():
    assert chain([load(2, Y), store(3, X)]) == inserted((), reversed_race())


def test_a_sequence_that_shares_no_initial_becomes_a_branch_of_its_own():
    tree = chain([store(4, Y)])
    assert (*tree, *chain([load(2, Y), store(3, X)])) == inserted(tree, reversed_race())


def test_a_sequence_goes_on_below_the_initials_that_it_shares():
    tree = chain([load(2, Y), store(4, X)])
    assert (Branch(load(2, Y), (*chain([store(4, X)]), *chain([store(3, X)]))),) == inserted(
        tree, reversed_race()
    )


def test_a_tree_covers_a_sequence_whose_beginning_is_one_of_its_leaves():
    assert None is inserted(chain([load(2, Y)]), reversed_race())


def test_a_tree_covers_the_sequence_that_it_holds():
    assert None is inserted(chain([load(2, Y), store(3, X)]), reversed_race())


def test_branches_that_are_explored_are_left_out():
    tree = chain([load(2, Y)])
    assert (*tree, *chain([load(2, Y), store(3, X)])) == inserted(tree, reversed_race(), start=1)


# -- long sequences --------------------------------------------------------------------------------


def long_order(*end):
    """CPU 1 stores to x, CPU 2 loads y many times; then that end."""
    return PartialOrder([store(1, X), *[load(2, Y)] * 1_000, *end], cpus=5)


def explicit(tree):
    """The same tree with every branch made."""
    return tuple(Branch(branch.event, explicit(branch.below)) for branch in tree)


def placed(*sequences):
    """The tree of these, placed one after another."""
    tree = ()
    for sequence in sequences:
        tree = inserted(tree, sequence) or tree
    return tree


def looks_at(monkeypatch):
    """The events that are looked at from now on: whether a sequence may begin with them."""
    looks = []
    real = WakeupSequence.is_weak_initial
    monkeypatch.setattr(
        WakeupSequence, "is_weak_initial", lambda self, event: looks.append(event) or real(self, event)
    )
    return looks


def test_a_sequence_of_the_same_run_is_not_followed_step_by_step(monkeypatch):
    order = long_order(store(3, X), store(4, X))
    looks = looks_at(monkeypatch)
    placed(WakeupSequence(order, Race(0, 1_001)), WakeupSequence(order, Race(0, 1_002)))
    assert len(looks) < 10


def test_a_sequence_of_a_fork_is_not_followed_step_by_step(monkeypatch):
    order = long_order()
    one, other = order.fork(), order.fork()
    one.extend([store(3, X)])
    other.extend([load(4, Y), store(4, X)])
    looks = looks_at(monkeypatch)
    placed(WakeupSequence(one, Race(0, 1_001)), WakeupSequence(other, Race(0, 1_002)))
    assert len(looks) < 10


@pytest.mark.parametrize("ends", [([store(3, X)], [load(4, Y), store(4, X)]), ([store(3, X)], [store(3, X)])])
def test_a_tree_of_forks_is_that_of_runs_made_one_by_one(ends):
    order = PartialOrder([store(1, X), load(2, Y), load(2, Z)], cpus=5)
    forks, whole = [], []
    for end in ends:
        fork = order.fork()
        fork.extend(end)
        forks.append(fork)
        whole.append(PartialOrder([store(1, X), load(2, Y), load(2, Z), *end], cpus=5))
    one, other = (
        placed(*(WakeupSequence(order, Race(0, len(order.events) - 1)) for order in orders))
        for orders in (forks, whole)
    )
    assert explicit(other) == explicit(one)
