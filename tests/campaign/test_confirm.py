"""Predictions are brought about, or the report says that they were not."""

from __future__ import annotations

import re

import pytest

import reference
import vmsmp
from vmsmp.campaign import confirm
from vmsmp.campaign.confirm import NOT_MET, SIDE_BY_SIDE
from vmsmp.engine.schedule import Schedule

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
SORTS = pytest.mark.parametrize("sort", ["spinlock", "lockmgr"])


def found(program, **options):
    return vmsmp.explore(program, **{"sched": "random", "schedules": 300, **options}).failure


def line_of(failure):
    """The schedule line that a confirmed deadlock is replayed with."""
    line = re.fullmatch(
        r"confirmed, it deadlocks: vmsmp\.replay\(\w+, '([^']+)', check=False\)", failure.confirmation
    )
    assert line, failure.confirmation
    return line[1]


def nest(*locks):
    for lock in locks:
        lock.acquire()
    for lock in reversed(locks):
        lock.release()


def inversion(sort):
    def program(m):
        a, b, noise = getattr(m, sort)("a"), getattr(m, sort)("b"), m.cell(0)

        def role(outer, inner, turns):
            for _ in range(turns):
                noise.load()
            nest(outer, inner)

        m.spawn(role, a, b, 0)
        m.spawn(role, b, a, 20)
        m.join()

    return program


def kept_apart(m):
    """Both orders in one run; a cell that says whose turn it is keeps them apart."""
    a, b, turn = m.spinlock("a"), m.spinlock("b"), m.atomic(0)

    def second():
        while not turn.load():
            m.pause()
        nest(b, a)

    def first():
        nest(a, b)
        turn.store(1)

    m.spawn(first)
    m.spawn(second)
    m.join()


# -- lock order -----------------------------------------------------------------------------------


@DEPTHS
@SORTS
def test_a_cycle_of_lock_order_is_confirmed_by_a_line_that_deadlocks(locks, sort):
    program = inversion(sort)
    failure = found(program, locks=locks)
    assert "lock-order" == failure.kind
    assert "deadlock" == vmsmp.replay(program, line_of(failure), check=False).failure.kind


@DEPTHS
def test_the_reference_deadlock_is_confirmed(locks):
    failure = found(reference.deadlock01, locks=locks)
    again = vmsmp.replay(reference.deadlock01, line_of(failure), check=False)
    assert ("lock-order", "deadlock") == (failure.kind, again.failure.kind)


@DEPTHS
def test_a_cycle_of_three_is_confirmed(locks):
    def program(m):
        a, b, c = (m.spinlock(name) for name in "abc")
        for pair in ((a, b), (b, c), (c, a)):
            m.spawn(nest, *pair)
        m.join()

    failure = found(program, locks=locks)
    again = vmsmp.replay(program, line_of(failure), check=False)
    assert ("lock-order", "deadlock") == (failure.kind, again.failure.kind)


@DEPTHS
def test_a_cycle_of_classes_is_confirmed_by_its_instances(locks):
    def program(m):
        page, queue = m.spinlock("pg#7"), m.spinlock("pq[3]")
        m.spawn(nest, page, queue)
        m.spawn(nest, queue, page)
        m.join()

    failure = found(program, locks=locks)
    assert "deadlock" == vmsmp.replay(program, line_of(failure), check=False).failure.kind


@DEPTHS
def test_a_cycle_within_a_class_is_confirmed(locks):
    def program(m):
        a, b = m.lockmgr("pg#1"), m.lockmgr("pg#2")
        m.spawn(nest, a, b)
        m.spawn(nest, b, a)
        m.join()

    failure = found(program, locks=locks)
    assert "deadlock" == vmsmp.replay(program, line_of(failure), check=False).failure.kind


def test_a_cycle_of_classes_is_confirmed_though_others_use_other_instances():
    def program(m):
        pages, queues = [m.spinlock(f"pg#{n}") for n in (1, 2)], [m.spinlock(f"pq[{n}]") for n in (1, 2)]
        noise = m.cell(0)

        def role(outer, inner, turns):
            for _ in range(turns):
                noise.load()
            nest(outer, inner)

        m.spawn(role, pages[0], queues[0], 0)
        m.spawn(role, pages[1], queues[1], 20)
        m.spawn(role, queues[1], pages[1], 60)
        m.join()

    failure = found(program)
    assert "deadlock" == vmsmp.replay(program, line_of(failure), check=False).failure.kind


def test_the_line_of_the_confirmation_has_the_options_of_the_search():
    line = line_of(found(inversion("spinlock"), locks="exact", timeouts="any", cpus=2))
    assert ["exact", "any", "cpus=2"] == Schedule.parse(line).options.words()


def test_the_line_of_the_failure_is_still_its_own():
    failure = found(inversion("spinlock"))
    assert failure.digest == vmsmp.replay(inversion("spinlock"), failure.schedule).digest


@DEPTHS
def test_a_cycle_kept_apart_by_what_is_no_lock_is_not_confirmed(locks):
    failure = found(kept_apart, locks=locks)
    assert ("lock-order", NOT_MET) == (failure.kind, failure.confirmation)


@DEPTHS
@SORTS
def test_a_cycle_under_a_gate_is_not_reported_at_all(locks, sort):
    def program(m):
        gate, a, b = (getattr(m, sort)(name) for name in ("gate", "a", "b"))
        m.spawn(nest, gate, a, b)
        m.spawn(nest, gate, b, a)
        m.join()

    assert None is found(program, locks=locks)


@DEPTHS
@SORTS
def test_a_cycle_that_a_join_keeps_apart_is_not_reported_at_all(locks, sort):
    def program(m):
        a, b = getattr(m, sort)("a"), getattr(m, sort)("b")
        m.spawn(nest, a, b).join()
        m.spawn(nest, b, a).join()

    assert None is found(program, locks=locks)


@DEPTHS
@SORTS
def test_a_cycle_that_a_spawn_keeps_apart_is_not_reported_at_all(locks, sort):
    def program(m):
        a, b = getattr(m, sort)("a"), getattr(m, sort)("b")
        nest(a, b)
        m.spawn(nest, b, a)
        m.join()

    assert None is found(program, locks=locks)


def test_a_prediction_is_tried_once_a_search(monkeypatch):
    tried = []

    class Seen(confirm.Rendezvous):
        def __init__(self, places, seed):
            super().__init__(places, seed)
            tried.append(places)

    monkeypatch.setattr(confirm, "Rendezvous", Seen)
    result = vmsmp.explore(kept_apart, sched="random", schedules=30, stop="never")
    assert (30, 1) == (result.executions, len(tried))


def test_targeted_runs_are_bounded(monkeypatch):
    met = []
    monkeypatch.setattr(
        confirm.Rendezvous, "begin", lambda self, begin=confirm.Rendezvous.begin: met.append(0) or begin(self)
    )
    found(kept_apart)
    assert confirm.TARGETED_RUNS == len(met)


# -- data races -----------------------------------------------------------------------------------


def racy(m):
    """A store at the beginning of one CPU's life, a load at the end of another's."""
    x, noise = m.cell(0, name="x"), m.cell(0, name="noise")

    def writer():
        x.store(1)
        for _ in range(10):
            noise.load()

    def reader():
        for _ in range(10):
            noise.load()
        x.load()

    m.spawn(writer)
    m.spawn(reader)
    m.join()


@pytest.mark.parametrize("seed", range(5))
@DEPTHS
def test_a_confirmed_race_shows_both_accesses_side_by_side(locks, seed):
    failure = found(racy, races=True, locks=locks, seed=seed)
    assert ("data-race", SIDE_BY_SIDE) == (failure.kind, failure.confirmation)
    outcome = vmsmp.replay(racy, failure.schedule)
    at = [n for n, row in enumerate(outcome.story.rows) if re.search(r"\bx\b", row.text)]
    assert (2, 1) == (len(at), at[-1] - at[0])


def test_the_line_of_a_confirmed_race_brings_it_back():
    failure = found(racy, races=True)
    again = vmsmp.replay(racy, failure.schedule)
    assert (failure.signature, failure.digest) == (again.failure.signature, again.digest)


def test_a_confirmed_race_keeps_the_number_of_its_execution():
    result = vmsmp.explore(racy, sched="random", schedules=300, races=True)
    assert result.executions == result.failure.execution


def test_a_race_between_stores_is_confirmed():
    def program(m):
        x = m.cell(0, name="x")
        m.spawn(x.store, 1)
        m.spawn(x.store, 2)
        m.join()

    assert SIDE_BY_SIDE == found(program, races=True).confirmation


def test_a_race_with_a_cpu_that_loads_and_stores_is_confirmed():
    def program(m):
        x, noise = m.cell(0, name="x"), m.cell(0)

        def adder():
            x.store(x.load() + 1)

        def reader():
            for _ in range(40):
                noise.load()
            x.load()

        m.spawn(adder)
        m.spawn(reader)
        m.join()

    assert SIDE_BY_SIDE == found(program, races=True).confirmation


def test_a_race_is_confirmed_under_dpor_too():
    assert SIDE_BY_SIDE == found(racy, races=True, sched="dpor").confirmation


# -- where it is told -----------------------------------------------------------------------------


def test_the_confirmation_is_in_the_plain_data():
    failure = found(kept_apart)
    assert NOT_MET == failure.as_dict()["confirmation"]


@pytest.mark.parametrize("program", [kept_apart, inversion("spinlock")])
def test_the_confirmation_is_in_the_report(program):
    failure = found(program)
    assert failure.confirmation in failure.report()


def test_what_did_happen_needs_no_confirmation():
    assert "" == found(lambda m: m.check(False, "down")).confirmation


def test_a_deadlock_that_happened_needs_no_confirmation():
    failure = found(reference.deadlock01, check=False)
    assert ("deadlock", "") == (failure.kind, failure.confirmation)


def test_what_is_nondeterministic_has_no_confirmation():
    runs = []

    def program(m):
        runs.append(0)
        a, b = m.spinlock("a"), m.spinlock("b")
        for _ in range(len(runs)):
            m.yield_()
        m.spawn(nest, a, b)
        m.spawn(nest, b, a)
        m.join()

    failure = found(program)
    assert ("nondeterminism", "") == (failure.kind, failure.confirmation)


# -- lost wakeups -----------------------------------------------------------------------------------


def sleeps_too_late(m):
    flag = m.cell(False)

    def sleeper():
        if not flag.load():
            m.tsleep("bed", 0, "late")

    def waker():
        flag.store(True)
        m.wakeup("bed")

    m.spawn(sleeper)
    m.spawn(waker)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_a_lost_wakeup_is_proven_by_one_more(locks):
    failure = vmsmp.explore(sleeps_too_late, locks=locks, schedules=300, sched="random").failure
    assert ("lost-wakeup", True) == (failure.kind, failure.confirmation.startswith("proven: "))


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_one_more_wakeup_that_helps_nobody_proves_nothing(locks):
    def program(m):
        flag = m.cell(False)

        def sleeper():
            if not flag.load():
                m.tsleep("bed", 0, "late")
                while True:
                    m.tsleep("again", 0, "again")

        def waker():
            flag.store(True)
            m.wakeup("bed")

        m.spawn(sleeper)
        m.spawn(waker)

    failures = vmsmp.explore(program, locks=locks, schedules=300, sched="random", stop="never").failures
    (failure,) = [failure for failure in failures if failure.kind == "lost-wakeup"]
    assert failure.confirmation.startswith("one more wakeup for the sleeper does not")


def test_a_run_without_its_sleeper_s_end_is_never_taken_for_the_failure():
    failure = vmsmp.explore(sleeps_too_late, schedules=300, sched="random").failure
    assert failure.signature == vmsmp.replay(sleeps_too_late, failure.schedule).failure.signature
