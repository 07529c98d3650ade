"""Fingerprints: equal for all runs of one trace, different for different traces."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops
from vmsmp.sched.fingerprint import fingerprint

X, Y, LOCK = (ops.identity(0, n) for n in (1, 2, 3))


def log_of(steps):
    """The log of steps (CPU, kind, object): a negative entry wherever the CPU changes."""
    log, current = [], 0
    for cpu, kind, *obj in steps:
        if cpu != current:
            log.append(-1 - cpu)
            current = cpu
        log.append(ops.op(obj[0] if obj else 0, kind))
    return log


def named(*steps, draws=()):
    return fingerprint(log_of(steps), draws)


INDEPENDENT = {
    "reads": ((1, ops.LOAD, X), (2, ops.LOAD, X)),
    "writes to two objects": ((1, ops.STORE, X), (2, ops.STORE, Y)),
    "a read and a write of two objects": ((1, ops.LOAD, X), (2, ops.STORE, Y)),
    "failed tries": ((1, ops.TRY_FAILED, LOCK), (2, ops.TRY_FAILED, LOCK)),
    "shared acquires": ((1, ops.ACQUIRE_SHARED, LOCK), (2, ops.ACQUIRE_SHARED, LOCK)),
    "a shared acquire and a shared try": ((1, ops.ACQUIRE_SHARED, LOCK), (2, ops.TRY_ACQUIRE_SHARED, LOCK)),
    "ways to give way": ((1, ops.YIELD), (2, ops.PAUSE)),
}
DEPENDENT = {
    "a read and a write": ((1, ops.LOAD, X), (2, ops.STORE, X)),
    "writes": ((1, ops.STORE, X), (2, ops.STORE, X)),
    "acquires": ((1, ops.ACQUIRE, LOCK), (2, ops.ACQUIRE, LOCK)),
    "a shared acquire and a release": ((1, ops.ACQUIRE_SHARED, LOCK), (2, ops.RELEASE, LOCK)),
    "a failed try and a release": ((1, ops.TRY_FAILED, LOCK), (2, ops.RELEASE, LOCK)),
    "a failed try and a shared acquire": ((1, ops.TRY_FAILED, LOCK), (2, ops.ACQUIRE_SHARED, LOCK)),
    "a failed try and a shared release": ((1, ops.TRY_FAILED, LOCK), (2, ops.RELEASE_SHARED, LOCK)),
    "spawns": ((1, ops.SPAWN, X), (2, ops.SPAWN, Y)),
    "an interrupt and anything": ((1, ops.IPI), (2, ops.LOAD, X)),
    "taking all back and a release": ((1, ops.REACQUIRE, X), (2, ops.RELEASE, Y)),
    "taking all back twice": ((1, ops.REACQUIRE, X), (2, ops.REACQUIRE, Y)),
    "a sleep and a wakeup": ((1, ops.SLEEP), (2, ops.WAKEUP)),
}
#: What comes before and after the two steps: other CPUs' and their own.
AROUND = [(), ((3, ops.STORE, X),), ((1, ops.LOAD, Y), (2, ops.LOAD, X))]
around = pytest.mark.parametrize("edge", AROUND, ids=["alone", "beside another CPU", "after steps of theirs"])


@around
@pytest.mark.parametrize("steps", INDEPENDENT.values(), ids=INDEPENDENT)
def test_independent_steps_may_swap_and_the_trace_keeps_its_name(steps, edge):
    one, other = steps
    assert named(*edge, one, other, *edge) == named(*edge, other, one, *edge)


@around
@pytest.mark.parametrize("steps", DEPENDENT.values(), ids=DEPENDENT)
def test_dependent_steps_that_swap_make_another_trace(steps, edge):
    one, other = steps
    assert named(*edge, one, other, *edge) != named(*edge, other, one, *edge)


def test_a_write_is_named_by_the_reads_since_the_last():
    first, second = (1, ops.LOAD, X), (2, ops.LOAD, X)
    store = (3, ops.STORE, X)
    names = {named(*order) for order in ((first, second, store), (second, first, store))}
    others = {named(first, store, second), named(second, store, first), named(store, first, second)}
    assert (1, 4) == (len(names), len(names | others))


def test_the_order_of_one_cpu_is_part_of_the_name():
    assert named((1, ops.LOAD, X), (1, ops.LOAD, Y)) != named((1, ops.LOAD, Y), (1, ops.LOAD, X))


def test_the_cpu_is_part_of_the_name():
    assert named((1, ops.LOAD, X)) != named((2, ops.LOAD, X))


def test_a_trace_that_goes_on_has_another_name():
    assert named((1, ops.LOAD, X)) != named((1, ops.LOAD, X), (1, ops.LOAD, X))


def test_the_data_drawn_are_part_of_the_name():
    assert 3 == len({named((1, ops.CHOOSE), draws=(n,)) for n in range(3)})


def test_a_draw_is_named_with_the_cpu_that_made_it():
    steps = (1, ops.CHOOSE), (2, ops.CHOOSE)
    assert named(*steps, draws=(0, 1)) == named(*reversed(steps), draws=(1, 0))


# -- what steps do beside their operations ----------------------------------------------------------

STORED, ARRIVED = ops.op(X, ops.STORE), ops.op(LOCK, ops.ACQUIRE)
MEETING = {
    "a silent store and a hint": ((1, ops.ACQUIRE, Y), (2, ops.LOAD, X), STORED),
    "a silent store and a store": ((1, ops.ACQUIRE, Y), (2, ops.STORE, X), STORED),
    "an arrival and an upgrade": ((1, ops.RELEASE, Y), (2, ops.UPGRADE, LOCK), ARRIVED),
}
APART = {
    "a silent store and a hint of another field": ((1, ops.ACQUIRE, LOCK), (2, ops.LOAD, Y), STORED),
    "an arrival and an acquire": ((1, ops.RELEASE, Y), (2, ops.ACQUIRE, LOCK), ARRIVED),
    "an arrival and an upgrade of another lock": ((1, ops.RELEASE, X), (2, ops.UPGRADE, Y), ARRIVED),
}


def both_ways(one, other, effect):
    """The names of two steps in both orders; the first of them has the effect."""
    return (
        fingerprint(log_of((one, other)), (), {0: (effect,)}),
        fingerprint(log_of((other, one)), (), {1: (effect,)}),
    )


@pytest.mark.parametrize("steps", MEETING.values(), ids=MEETING)
def test_a_step_does_not_swap_with_what_its_effect_meets(steps):
    before, after = both_ways(*steps)
    assert before != after


@pytest.mark.parametrize("steps", APART.values(), ids=APART)
def test_a_step_swaps_with_what_its_effect_does_not_meet(steps):
    before, after = both_ways(*steps)
    assert before == after


def test_two_silent_stores_to_a_field_do_not_swap():
    one, other = (1, ops.ACQUIRE, Y), (2, ops.ACQUIRE, LOCK)
    effects = {0: (STORED,), 1: (STORED,)}
    assert fingerprint(log_of((one, other)), (), effects) != fingerprint(log_of((other, one)), (), effects)


def test_two_arrivals_before_a_lock_swap():
    one, other = (1, ops.RELEASE, X), (2, ops.RELEASE, Y)
    effects = {0: (ARRIVED,), 1: (ARRIVED,)}
    assert fingerprint(log_of((one, other)), (), effects) == fingerprint(log_of((other, one)), (), effects)
