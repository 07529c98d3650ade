"""Livelock: CPUs run and nothing comes of it."""

import pytest

import vmsmp
from verdicts import found, silent

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


@DEPTHS
def test_a_spin_on_what_nobody_will_write_is_found_at_once(locks):
    def program(m):
        word = m.atomic(0, "word")

        def spinner():
            while not word.load():
                m.pause()

        m.spawn(spinner)
        m.join()

    failure = found(
        program, "livelock", "every CPU that could run spins on what nobody will write", locks=locks
    )
    assert any("load word" in fact for fact in failure.facts)


@DEPTHS
def test_two_cpus_that_undo_each_others_work_are_found_by_the_state_that_comes_back(locks):
    def program(m):
        word = m.atomic(0, "word")

        def setter(me):
            while word.swap(me) != 3:
                m.yield_()

        m.spawn(setter, 1)
        m.spawn(setter, 2)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=1, locks=locks, max_steps=2000)
    failure = result.failure
    assert ("livelock", "the same state comes back again and again") == (failure.kind, failure.message)
    again = vmsmp.replay(program, failure.schedule)
    assert (failure.signature, failure.digest) == (again.failure.signature, again.digest)
    assert any("swap word" in fact for fact in failure.facts)


@DEPTHS
def test_a_spin_that_somebody_ends_is_silent(locks):
    def program(m):
        word = m.atomic(0)

        def spinner():
            while not word.load():
                m.pause()

        for _ in range(3):
            m.spawn(spinner)
        word.store(1)
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_a_spin_that_a_timeout_ends_is_silent(locks):
    def program(m):
        word = m.atomic(0)

        def spinner():
            while not word.load():
                m.pause()

        m.spawn(spinner)
        m.tsleep("nap", 0, "", 5)
        word.store(1)
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_a_long_run_that_ends_before_the_limit_is_silent(locks):
    def program(m):
        word = m.atomic(0)

        def worker():
            for _ in range(150):
                word.fetchadd(1)

        m.spawn(worker)
        m.spawn(worker)
        m.join()

    silent(program, locks=locks, schedules=5, max_steps=900)


def test_contention_for_exact_locks_is_no_livelock():
    def program(m):
        spin, token = m.spinlock("s"), m.token("t")

        def worker():
            for _ in range(3):
                with token, spin:
                    pass

        for _ in range(4):
            m.spawn(worker)
        m.join()

    silent(program, locks="exact", schedules=40, max_steps=5000)
