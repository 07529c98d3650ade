"""The partial order of a run: what happens before what, which steps race, how a race is reversed."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops
from vmsmp.sched import partial_order
from vmsmp.sched.effects import conflict
from vmsmp.sched.partial_order import Event, PartialOrder, Race

X, Y, LOCK, CHILD = (ops.identity(0, n) for n in (1, 2, 3, 4))


def events(*steps):
    """Events from (CPU, kind, object); without an object the operation touches nothing."""
    return [Event(cpu, ops.op(thing[0] if thing else 0, kind)) for cpu, kind, *thing in steps]


def before(order, n):
    """The steps that happen before step n."""
    return [i for i in range(len(order.events)) if i != n and order.follows(n, i)]


def reversal(order, first, second):
    """The steps that come before `second` where a race is reversed, and it."""
    ranges = zip(order.steps, order.independent(first), strict=True)
    return [*sorted(n for mine, (at, end) in ranges for n in mine[at:end]), second]


# -- happens before --------------------------------------------------------------------------------


def test_the_steps_of_one_cpu_are_in_order():
    assert [0, 1] == before(PartialOrder(events((0, ops.LOAD, X), (0, ops.LOAD, Y), (0, ops.LOAD, X))), 2)


@pytest.mark.parametrize(
    ("one", "other", "ordered"),
    [
        ((ops.LOAD, X), (ops.LOAD, X), False),
        ((ops.LOAD, X), (ops.STORE, X), True),
        ((ops.STORE, X), (ops.LOAD, X), True),
        ((ops.STORE, X), (ops.STORE, X), True),
        ((ops.STORE, X), (ops.STORE, Y), False),
        ((ops.CMPSET_FAILED, X), (ops.ATOMIC_LOAD, X), False),
        ((ops.CMPSET, X), (ops.CMPSET_FAILED, X), True),
        ((ops.YIELD,), (ops.YIELD,), False),
        ((ops.CHOOSE,), (ops.CHOOSE,), False),
        ((ops.SLEEP,), (ops.WAKEUP,), True),
        ((ops.IPI,), (ops.LOAD, X), True),
        ((ops.LOAD, X), (ops.IPI,), True),
        ((ops.SPAWN, X), (ops.SPAWN, Y), True),
        ((ops.ACQUIRE_SHARED, LOCK), (ops.ACQUIRE_SHARED, LOCK), False),
        ((ops.ACQUIRE_SHARED, LOCK), (ops.TRY_ACQUIRE_SHARED, LOCK), False),
        ((ops.RELEASE, X), (ops.REACQUIRE, Y), True),
    ],
)
def test_steps_of_two_cpus_are_in_order_exactly_if_they_depend_on_each_other(one, other, ordered):
    assert [0] * ordered == before(PartialOrder(events((1, *one), (2, *other))), 1)


def test_what_happens_before_a_step_also_happens_before_what_depends_on_that():
    order = PartialOrder(events((1, ops.STORE, X), (2, ops.LOAD, X), (2, ops.STORE, Y), (3, ops.LOAD, Y)))
    assert [0, 1, 2] == before(order, 3)


def test_a_spawn_comes_before_the_start_it_makes_possible():
    order = PartialOrder(events((0, ops.LOAD, Y), (0, ops.SPAWN, CHILD), (1, ops.START, CHILD)))
    assert [0, 1] == before(order, 2)


def test_all_that_a_cpu_did_comes_before_its_join():
    order = PartialOrder(
        events(
            (0, ops.SPAWN, CHILD),
            (1, ops.START, CHILD),
            (1, ops.STORE, X),
            (2, ops.STORE, Y),
            (0, ops.JOIN, CHILD),
        )
    )
    assert [0, 1, 2] == before(order, 4)


def test_all_that_all_did_comes_before_a_join_of_all():
    order = PartialOrder(
        events(
            *((0, ops.SPAWN, CHILD), (1, ops.START, CHILD)),
            *((0, ops.SPAWN, X), (2, ops.START, X)),
            *((2, ops.STORE, Y), (1, ops.LOAD, LOCK)),
            (0, ops.JOIN_ALL, 0),
        )
    )
    assert [0, 1, 2, 3, 4, 5] == before(order, 6)
    assert 6 not in {step for race in order.races for step in race}


def test_what_ended_a_wait_comes_before_it():
    steps = events((1, ops.SLEEP, X), (2, ops.STORE, Y), (1, ops.RESUME, X))
    assert ([0], [0, 1]) == (
        before(PartialOrder(steps), 2),
        before(PartialOrder(steps, enabled_by={2: 1}), 2),
    )


def test_a_step_that_came_because_nobody_could_run_comes_after_all():
    steps = events((1, ops.LOAD, X), (2, ops.LOAD, Y), (3, ops.LOAD, X), (4, ops.LOAD, Y))
    assert [0, 1, 2] == before(PartialOrder(steps, last_resort=frozenset((3,))), 3)


# -- races -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [(ops.LOAD, ops.STORE), (ops.STORE, ops.LOAD), (ops.STORE, ops.STORE)])
def test_dependent_steps_with_nothing_between_them_race(kinds):
    order = PartialOrder(events((1, kinds[0], X), (2, kinds[1], X)))
    assert [Race(0, 1)] == order.races


def test_steps_that_another_puts_in_order_do_not_race():
    order = PartialOrder(events((1, ops.STORE, X), (2, ops.FETCHADD, X), (2, ops.LOAD, Y), (2, ops.STORE, X)))
    assert [Race(0, 1)] == order.races


def test_a_write_races_with_each_read_since_the_last_write():
    order = PartialOrder(events((1, ops.LOAD, X), (2, ops.LOAD, X), (3, ops.STORE, X)))
    assert {Race(0, 2), Race(1, 2)} == set(order.races)


def test_a_chain_of_writes_races_link_by_link():
    order = PartialOrder(events((1, ops.STORE, X), (2, ops.STORE, X), (3, ops.STORE, X)))
    assert [Race(0, 1), Race(1, 2)] == order.races


def test_a_start_and_a_join_race_with_nothing():
    steps = events((0, ops.SPAWN, CHILD), (1, ops.START, CHILD), (0, ops.JOIN, CHILD))
    assert [] == PartialOrder(steps, enabled_by={1: 0}).races


def test_a_step_after_what_ended_its_wait_does_not_race_with_it():
    steps = events((1, ops.SLEEP, X), (2, ops.WAKEUP, X), (1, ops.RESUME, X))
    assert [Race(0, 1)] == PartialOrder(steps, enabled_by={2: 1}).races


def test_an_acquire_races_with_the_acquire_before_it_and_not_with_the_release():
    order = PartialOrder(events((1, ops.ACQUIRE, LOCK), (1, ops.RELEASE, LOCK), (2, ops.ACQUIRE, LOCK)))
    assert ([Race(0, 2)], [0, 1]) == (order.races, before(order, 2))


def test_an_acquire_races_with_the_last_holder_only():
    steps = [(cpu, kind, LOCK) for cpu in (1, 2) for kind in (ops.ACQUIRE, ops.RELEASE)]
    assert [Race(0, 2), Race(2, 4)] == PartialOrder(events(*steps, (3, ops.ACQUIRE, LOCK))).races


def test_a_shared_acquire_races_with_the_exclusive_acquire_before_it():
    order = PartialOrder(
        events((1, ops.ACQUIRE, LOCK), (1, ops.RELEASE, LOCK), (2, ops.ACQUIRE_SHARED, LOCK))
    )
    assert [Race(0, 2)] == order.races


def test_an_exclusive_acquire_races_with_the_shared_acquire_before_it():
    order = PartialOrder(
        events((1, ops.ACQUIRE_SHARED, LOCK), (1, ops.RELEASE, LOCK), (2, ops.ACQUIRE, LOCK))
    )
    assert [Race(0, 2)] == order.races


def test_shared_acquires_do_not_race():
    order = PartialOrder(events((1, ops.ACQUIRE_SHARED, LOCK), (2, ops.ACQUIRE_SHARED, LOCK)))
    assert [] == order.races


def test_a_recursive_acquire_leaves_the_race_with_the_first():
    mine = [(1, ops.ACQUIRE, LOCK)] * 2 + [(1, ops.RELEASE, LOCK)] * 2
    assert [Race(0, 4)] == PartialOrder(events(*mine, (2, ops.ACQUIRE, LOCK))).races


@pytest.mark.parametrize("kind", [ops.TRY_FAILED, ops.TRY_ACQUIRE])
def test_a_try_races_with_the_release_as_it_waits_for_nobody(kind):
    order = PartialOrder(events((1, ops.ACQUIRE, LOCK), (1, ops.RELEASE, LOCK), (2, kind, LOCK)))
    assert [Race(1, 2)] == order.races


def test_a_failed_try_races_with_the_acquire_it_found():
    order = PartialOrder(events((1, ops.ACQUIRE, LOCK), (2, ops.TRY_FAILED, LOCK), (1, ops.RELEASE, LOCK)))
    assert [Race(0, 1), Race(1, 2)] == order.races


@pytest.mark.parametrize("kind", [ops.ACQUIRE, ops.ACQUIRE_SHARED])
def test_an_acquire_that_is_still_waited_for_races_with_the_holders(kind):
    order = PartialOrder(events((1, ops.ACQUIRE, LOCK)), blocked=events((2, kind, LOCK)))
    assert [Race(0, 1)] == order.races


def test_an_acquire_that_is_still_waited_for_happens_before_nothing():
    order = PartialOrder(
        events((1, ops.ACQUIRE, LOCK)), blocked=events((2, ops.ACQUIRE, LOCK), (3, ops.ACQUIRE, LOCK))
    )
    assert {Race(0, 1), Race(0, 2)} == set(order.races)


def test_taking_everything_back_races_with_the_acquires_of_all():
    order = PartialOrder(
        events(
            (1, ops.ACQUIRE, X),
            (2, ops.ACQUIRE, Y),
            (1, ops.RELEASE, X),
            (2, ops.RELEASE, Y),
            (3, ops.REACQUIRE, X),
        )
    )
    assert {Race(0, 4), Race(1, 4)} == set(order.races)


# -- what would come first -------------------------------------------------------------------------


def test_the_second_step_comes_after_all_that_does_not_follow_the_first():
    order = PartialOrder(
        events((1, ops.STORE, X), (2, ops.LOAD, Y), (1, ops.LOAD, Y), (3, ops.LOAD, Y), (2, ops.STORE, X))
    )
    assert [1, 3, 4] == reversal(order, 0, 4)


def test_steps_after_the_second_come_before_it_if_they_do_not_follow_the_first():
    order = PartialOrder(events((1, ops.STORE, X), (2, ops.LOAD, X), (3, ops.LOAD, Y)))
    assert [2, 1] == reversal(order, 0, 1)


def test_what_is_still_waited_for_is_not_among_the_steps_before_it():
    order = PartialOrder(
        events((1, ops.ACQUIRE, LOCK), (2, ops.LOAD, Y)),
        blocked=events((2, ops.ACQUIRE, LOCK), (3, ops.ACQUIRE, LOCK)),
    )
    assert [1, 3] == reversal(order, 0, 3)


# -- effects ------------------------------------------------------------------------------------------

HELD, HINTED = ops.identity(0, 61), ops.identity(0, 62)
STORES = (ops.op(HINTED, ops.STORE),)


def test_a_silent_store_happens_before_a_later_hint_and_races_with_it():
    order = PartialOrder([Event(1, ops.op(HELD, ops.ACQUIRE), STORES), Event(2, ops.op(HINTED, ops.LOAD))])
    assert ([0], [Race(0, 1)]) == (before(order, 1), order.races)


def test_a_hint_races_with_a_later_silent_store_under_a_lock():
    order = PartialOrder([Event(2, ops.op(HINTED, ops.LOAD)), Event(1, ops.op(HELD, ops.ACQUIRE), STORES)])
    assert [Race(0, 1)] == order.races


def test_a_hint_does_not_race_with_a_lock_alone():
    order = PartialOrder([Event(2, ops.op(HINTED, ops.LOAD)), Event(1, ops.op(HELD, ops.ACQUIRE))])
    assert [] == order.races


def test_an_arrival_before_a_lock_races_with_an_upgrade_of_it():
    arriving = Event(2, ops.op(HINTED, ops.RELEASE), (ops.op(HELD, ops.ACQUIRE),))
    order = PartialOrder([arriving, Event(1, ops.op(HELD, ops.UPGRADE))])
    assert [Race(0, 1)] == order.races


# -- long runs ----------------------------------------------------------------------------------------

TURNS = {
    "waits": [(1, ops.PAUSE), (1, ops.ATOMIC_LOAD, X), (2, ops.YIELD), (2, ops.LOAD, Y)],
    "locks": [(cpu, kind, LOCK) for cpu in (1, 2) for kind in (ops.ACQUIRE, ops.RELEASE)],
    "readers": [(cpu, kind, LOCK) for cpu in (1, 2) for kind in (ops.ACQUIRE_SHARED, ops.RELEASE_SHARED)],
    "words": [(1, ops.STORE, X), (2, ops.FETCHADD, X), (1, ops.LOAD, X)],
    "tokens": [(1, ops.ACQUIRE, X), (1, ops.RELEASE, X), (2, ops.REACQUIRE, Y), (2, ops.RELEASE, Y)],
    "interrupts": [(1, ops.IPI, CHILD), (2, ops.LOAD, X), (2, ops.IPI, CHILD)],
}


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_the_work_for_a_run_grows_with_its_length_alone(turn, monkeypatch):
    looks = []
    real = partial_order.conflict
    monkeypatch.setattr(partial_order, "conflict", lambda *two: looks.append(two) or real(*two))

    def work(turns):
        looks.clear()
        PartialOrder(events(*turn * turns))
        return len(looks)

    assert work(800) <= 4.1 * work(200)


def test_a_fork_has_the_order_of_a_run_made_at_once():
    steps = events(*TURNS["locks"] * 3)
    fork = PartialOrder(steps[:5], cpus=3).fork()
    fork.extend(steps[5:])
    whole = PartialOrder(steps)
    assert (whole.clocks, whole.races, whole.steps) == (fork.clocks, fork.races, fork.steps)


def test_a_fork_leaves_what_it_was_made_of_alone():
    steps = events(*TURNS["locks"] * 3)
    order = PartialOrder(steps[:5])
    order.fork().extend(steps[5:])
    assert (PartialOrder(steps[:5]).clocks, PartialOrder(steps[:5]).steps) == (order.clocks, order.steps)
    order.extend(steps[5:])
    assert PartialOrder(steps).races == order.races


def test_the_steps_that_meet_an_event_are_those_that_conflict_with_it():
    steps = events(*(step for turn in TURNS.values() for step in turn), (1, ops.SPAWN, Y), (2, ops.SLEEP))
    order = PartialOrder(steps)
    assert all(
        [n for n, other in enumerate(steps) if conflict(other, one)]
        == sorted(n for numbers in order.meeting(one).values() for n in numbers)
        for one in steps
    )
