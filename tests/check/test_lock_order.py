"""Lock order: cycles of classes are found in runs that did not deadlock."""

import pytest

import vmsmp
from verdicts import found, silent
from vmsmp import LK_CANRECURSE, LK_EXCLUSIVE, LK_NOWAIT, LK_SHARED

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


SORTS = pytest.mark.parametrize("sort", ["spinlock", "lockmgr"])


def nest(*locks):
    """Take them in this order, release them in the other."""
    for lock in locks:
        lock.acquire()
    for lock in reversed(locks):
        lock.release()


def one_after_the_other(m, *programs):
    """Both orders in one run, but never at the same time, unordered by anything but luck."""
    turn = m.atomic(0)

    def when(n, program):
        while turn.load() != n:
            m.pause()
        program()
        turn.store(n + 1)

    for n, program in enumerate(programs):
        m.spawn(when, n, program)
    m.join()


@DEPTHS
@SORTS
def test_opposite_orders_are_found_though_nothing_deadlocked(locks, sort):
    def program(m):
        a, b = getattr(m, sort)("a"), getattr(m, sort)("b")
        one_after_the_other(m, lambda: nest(a, b), lambda: nest(b, a))

    failure = found(program, "lock-order", "a -> b -> a", locks=locks)
    assert 2 == len(failure.facts)


@DEPTHS
@SORTS
def test_a_cycle_of_three_is_found(locks, sort):
    def program(m):
        a, b, c = (getattr(m, sort)(name) for name in "abc")
        one_after_the_other(m, lambda: nest(a, b), lambda: nest(b, c), lambda: nest(c, a))

    found(program, "lock-order", "a -> b -> c -> a", locks=locks)


@DEPTHS
def test_locks_are_ordered_by_class(locks):
    def program(m):
        pages, queues = [m.spinlock(f"pg#{n}") for n in (1, 2)], [m.spinlock(f"pq[{n}]") for n in (1, 2)]
        one_after_the_other(m, lambda: nest(pages[0], queues[0]), lambda: nest(queues[1], pages[1]))

    found(program, "lock-order", "pg[] -> pq[] -> pg[]", locks=locks)


@DEPTHS
def test_locks_of_one_class_are_ordered_by_instance(locks):
    def program(m):
        a, b, c = (m.spinlock(f"pg#{n}") for n in (1, 2, 3))
        one_after_the_other(m, lambda: nest(a, b), lambda: nest(b, c))

    silent(program, locks=locks)


@DEPTHS
def test_opposite_orders_within_a_class_are_found(locks):
    def program(m):
        a, b = m.spinlock("pg#1"), m.spinlock("pg#2")
        one_after_the_other(m, lambda: nest(a, b), lambda: nest(b, a))

    found(program, "lock-order", "pg#1 -> pg#2 -> pg#1", locks=locks)


@DEPTHS
@SORTS
def test_an_inversion_under_a_gate_is_none(locks, sort):
    def program(m):
        gate, a, b = (getattr(m, sort)(name) for name in ("gate", "a", "b"))
        m.spawn(nest, gate, a, b)
        m.spawn(nest, gate, b, a)
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_a_gate_that_both_hold_shared_is_none(locks):
    def program(m):
        gate, a, b = (m.lockmgr(name) for name in ("gate", "a", "b"))

        def guarded(*order):
            gate.acquire_shared()
            nest(*order)
            gate.release()

        one_after_the_other(m, lambda: guarded(a, b), lambda: guarded(b, a))

    found(program, "lock-order", "a -> b -> a", locks=locks)


@DEPTHS
def test_a_token_is_no_gate_for_locks_that_sleep(locks):
    """Whoever waits for the second lock has lost the token."""

    def program(m):
        gate, a, b = m.token("gate"), m.lockmgr("a"), m.lockmgr("b")
        one_after_the_other(m, lambda: nest(gate, a, b), lambda: nest(gate, b, a))

    found(program, "lock-order", "a -> b -> a", locks=locks)


@DEPTHS
def test_orders_before_and_after_a_join_do_not_meet(locks):
    def program(m):
        a, b = m.spinlock("a"), m.spinlock("b")
        nest(a, b)
        m.spawn(nest, b, a).join()
        nest(a, b)
        m.spawn(nest, b, a).join()

    silent(program, locks=locks)


@DEPTHS
def test_orders_of_two_children_of_which_the_first_is_joined_do_not_meet(locks):
    def program(m):
        a, b = m.spinlock("a"), m.spinlock("b")
        m.spawn(nest, a, b).join()
        m.spawn(nest, b, a).join()

    silent(program, locks=locks)


@DEPTHS
def test_an_order_after_a_spawn_meets_the_childs(locks):
    def program(m):
        a, b = m.spinlock("a"), m.spinlock("b")
        done = m.atomic(0)

        def child():
            nest(b, a)
            done.store(1)

        m.spawn(child)
        while not done.load():
            m.pause()
        nest(a, b)

    found(program, "lock-order", "a -> b -> a", locks=locks)


@DEPTHS
def test_one_cpu_alone_may_use_both_orders(locks):
    def program(m):
        a, b = m.spinlock("a"), m.spinlock("b")
        nest(a, b)
        nest(b, a)

    silent(program, locks=locks, schedules=1)


@DEPTHS
def test_a_try_that_backs_off_makes_no_edge(locks):
    def program(m):
        a, b = m.spinlock("a"), m.spinlock("b")

        def backwards():
            b.acquire()
            if a.try_acquire():
                a.release()
            b.release()

        one_after_the_other(m, lambda: nest(a, b), backwards)

    silent(program, locks=locks)


@DEPTHS
def test_a_lockmgr_request_that_must_not_wait_makes_no_edge(locks):
    def program(m):
        a, b = m.lockmgr("a"), m.lockmgr("b")

        def backwards():
            b.acquire()
            if a.lock(LK_EXCLUSIVE | LK_NOWAIT) == 0:
                a.release()
            b.release()

        one_after_the_other(m, lambda: nest(a, b), backwards)

    silent(program, locks=locks)


@DEPTHS
def test_what_a_try_took_is_held_like_anything_else(locks):
    def program(m):
        a, b = m.spinlock("a"), m.spinlock("b")

        def backwards():
            if b.try_acquire():
                nest(a)
                b.release()

        one_after_the_other(m, lambda: nest(a, b), backwards)

    found(program, "lock-order", "a -> b -> a", locks=locks)


@DEPTHS
def test_a_recursive_request_makes_no_edge(locks):
    def program(m):
        a, b = m.lockmgr("a"), m.lockmgr("b")

        def recursive():
            a.acquire()
            b.acquire()
            a.lock(LK_EXCLUSIVE | LK_CANRECURSE)  # granted whoever waits for it
            a.release()
            b.release()
            a.release()

        one_after_the_other(m, recursive, lambda: nest(a, b))

    silent(program, locks=locks)


@DEPTHS
def test_readers_who_meet_readers_only_are_no_cycle(locks):
    def program(m):
        a, b = m.lockmgr("a"), m.lockmgr("b")

        def readers(*order):
            for lock in order:
                lock.lock(LK_SHARED)
            for lock in order:
                lock.release()

        one_after_the_other(m, lambda: readers(a, b), lambda: readers(b, a))

    silent(program, locks=locks)


@DEPTHS
def test_tokens_may_be_taken_in_any_order(locks):
    def program(m):
        a, b = m.token("a"), m.token("b")
        m.spawn(nest, a, b)
        m.spawn(nest, b, a)
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_a_failure_names_who_wanted_what_while_holding_what(locks):
    def program(m):
        a, b = m.spinlock("a"), m.spinlock("b")
        one_after_the_other(m, lambda: nest(a, b), lambda: nest(b, a))

    failure = vmsmp.explore(program, sched="random", schedules=1, locks=locks).failure
    assert {
        "cpu1 wanted 'b' exclusive while holding 'a' exclusive",
        "cpu2 wanted 'a' exclusive while holding 'b' exclusive",
    } == set(failure.facts)
