"""Livelock: CPUs run and nothing comes of it."""

import re

import pytest

import vmsmp
from verdicts import found, silent

COMES_BACK = "the same steps come back, and what they use is as it was"
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
def test_two_cpus_that_undo_each_others_work_go_round(locks):
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
    assert ("livelock", COMES_BACK) == (
        failure.kind,
        failure.message,
    )
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


@pytest.mark.parametrize("sched", ["dpor", "dfs", "dfs:2", "delay:2"])
def test_a_search_with_runs_into_the_second_half_of_the_limit_is_not_exhausted(sched):
    def program(m):
        flag = m.atomic(0)

        def spinner():
            while not flag.load():
                pass

        m.spawn(spinner)
        m.spawn(flag.store, 1)
        m.join()

    result = vmsmp.explore(program, sched=sched, schedules=400, max_steps=60)
    assert (None, False) == (result.failure, result.exhausted)
    assert 60 // 2 - 10 < result.longest  # the limit counts every change of CPU, too


@pytest.mark.parametrize("sched", ["dpor", "dfs", "dfs:2"])
def test_a_search_whose_runs_all_end_in_the_first_half_is_exhausted(sched):
    def program(m):
        word = m.atomic(0)
        m.spawn(word.fetchadd, 1)
        m.spawn(word.fetchadd, 1)
        m.join()

    whole = vmsmp.explore(program, sched=sched, schedules=400, max_steps=1000)
    tight = vmsmp.explore(program, sched=sched, schedules=400, max_steps=20)
    assert (True, False) == (whole.exhausted, tight.exhausted)
    assert (None, None) == (whole.failure, tight.failure)


def beside_a_spin(before):
    """A spin without pause, and a CPU that ends it after so many steps: the spinner is never first."""

    def program(m):
        flag, other = m.atomic(0, "flag"), m.atomic(0, "other")

        def spinner():
            turns = 0
            while not flag.load():
                turns += 1
            m.check(turns, "the store is first")

        def setter():
            for _ in range(before):
                other.load()
            flag.store(1)

        m.spawn(spinner)
        m.spawn(setter)
        m.join()

    return program


@pytest.mark.parametrize("before", [0, 1, 2])
def test_dpor_tries_the_other_order_of_a_spin_without_pause(before):
    program = beside_a_spin(before)
    assert vmsmp.explore(program, sched="random", schedules=60, max_steps=60).failure is not None
    assert vmsmp.explore(program, sched="dpor", schedules=60, max_steps=60).failure is not None


def test_dpor_tries_both_ends_of_a_spin_without_pause():
    turns = set()

    def program(m):
        flag = m.atomic(0)

        def spinner():
            n = 0
            while not flag.load():
                n += 1
            turns.add(n)

        m.spawn(spinner)
        m.spawn(flag.store, 1)
        m.join()

    result = vmsmp.explore(program, sched="dpor", schedules=60, max_steps=60, stop="never")
    assert (None, False) == (result.failure, result.exhausted)
    assert set(range(20)) <= turns


def counting(m):
    word = m.atomic(0, "word")

    def counter():
        while True:
            word.fetchadd(1)

    m.spawn(counter)
    m.join()


def wandering(m):
    """The ones in a number's binary digits never repeat three times."""
    words = [m.atomic(0, "even"), m.atomic(0, "odd")]

    def wanderer():
        n = 0
        while True:
            words[n.bit_count() % 2].load()
            n += 1

    m.spawn(wanderer)
    m.join()


@pytest.mark.parametrize(
    ("program", "message", "fact"),
    [
        (counting, "no end in sight after the step limit", "cpu1 goes round: fetchadd word"),
        (
            wandering,
            "no end in sight after the step limit",
            r"cpu1 repeats: load \w+ x2\d\d, load \w+ x2\d\d",
        ),
    ],
)
def test_a_run_without_end_names_who_repeats_what(program, message, fact):
    failure = found(program, "livelock", message, schedules=1, max_steps=600)
    assert any(re.match(fact, said) for said in failure.facts)
    assert "cpu0 wants: join cpu1" in failure.facts
    bare = vmsmp.explore(program, sched="random", schedules=1, max_steps=600, check=False).failure
    assert (failure.signature, failure.digest) == (bare.signature, bare.digest)


MAY_END = "it may end all the same after more than 600 steps and hand-offs (max_steps, --max-steps)"


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("program", [counting, wandering])
def test_a_run_that_its_limit_ended_is_said_to_end_maybe(program, check):
    failure = vmsmp.explore(program, sched="random", schedules=1, max_steps=600, check=check).failure
    assert MAY_END == failure.facts[-1]


def test_a_run_that_comes_back_is_not():
    def program(m):
        while True:
            m.yield_()

    failure = found(program, "livelock", COMES_BACK, schedules=1, max_steps=600)
    assert MAY_END not in failure.facts


def test_nor_is_one_that_only_spins():
    def program(m):
        flag = m.atomic(0)
        while not flag.load():
            m.pause()

    failure = vmsmp.explore(program, schedules=1, max_steps=600).failure
    assert ("every CPU that could run spins on what nobody will write", False) == (
        failure.message,
        MAY_END in failure.facts,
    )
