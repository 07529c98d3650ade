"""Starvation: what stays hot on fair picks, and what is still hot at the end."""

import re

import pytest

import vmsmp
from verdicts import found, silent
from vmsmp.check.starvation import BYPASSES
from vmsmp.library import find_scenario

COMES_BACK = "the same steps come back, and what they use is as it was"
CHECKS = pytest.mark.parametrize("check", [True, False])
LIMIT = 1000
STARVES = "lock starves a CPU that wants it exclusive"
HOT = "'answer' stays hot though every CPU gets its turns"


def forgets(m):
    m.spawn(m.hot, "answer", name="asker")
    m.join()


def cools_after(turns):
    def program(m):
        m.hot("answer")
        for _ in range(turns):
            m.yield_()
        m.cold("answer")

    return program


# -- what a program owes --------------------------------------------------------------------------


@CHECKS
@pytest.mark.parametrize("sched", ["random", "dfs", "dpor"])
def test_what_is_hot_at_the_end_was_never_answered(sched, check):
    failure = found(forgets, "check", "'answer' is still hot when all is done", sched=sched, check=check)
    assert ("cpu1 asker made it hot",) == failure.facts


def test_a_search_that_never_stops_counts_what_is_hot_at_the_end_once_a_run():
    result = vmsmp.explore(forgets, sched="random", schedules=7, stop="never")
    assert {"check: 'answer' is still hot when all is done": 7} == result.counts


def test_the_free_engine_finds_what_is_hot_at_the_end():
    failure = vmsmp.run(forgets, engine="free").failure
    assert ("check", "'answer' is still hot when all is done") == (failure.kind, failure.message)


def test_the_free_engine_is_silent_about_what_was_cooled():
    assert vmsmp.run(cools_after(3), engine="free").failure is None


def test_what_was_cooled_by_another_cpu_is_silent():
    def program(m):
        m.hot("answer")
        m.spawn(m.cold, "answer")
        m.join()

    silent(program)


def test_cold_without_hot_is_silent():
    def program(m):
        m.cold("answer")
        m.hot("other")
        m.cold("other")
        m.cold("other")

    silent(program, schedules=3)


def test_what_is_made_hot_again_is_owed_again():
    def program(m):
        m.hot("answer")
        m.cold("answer")
        m.hot("answer")

    found(program, "check", "'answer' is still hot when all is done", schedules=1)


def test_one_thing_cooled_does_not_cool_another():
    def program(m):
        m.hot("one")
        m.hot("other")
        m.cold("one")

    found(program, "check", "'other' is still hot when all is done", schedules=1)


def test_only_what_was_hot_in_some_order_is_found():
    def program(m):
        word = m.atomic(0)

        def asker():
            m.hot("answer")
            word.store(1)

        def answerer():
            if word.load():
                m.cold("answer")

        m.spawn(asker)
        m.spawn(answerer)
        m.join()

    found(program, "check", "'answer' is still hot when all is done")


@CHECKS
def test_what_stays_hot_on_fair_picks_is_a_livelock(check):
    program = cools_after(LIMIT - 20)
    failure = found(program, "livelock", HOT, schedules=1, max_steps=LIMIT, check=check)
    (fact,) = failure.facts
    assert fact.startswith("cpu0 made it hot; ")
    since = int(re.search(r"(\d+) steps", fact)[1])
    assert since == LIMIT // 4 + 1
    other = vmsmp.explore(program, sched="random", schedules=1, max_steps=LIMIT, check=not check).failure
    assert (failure.signature, failure.digest) == (other.signature, other.digest)


def test_what_is_cooled_within_a_quarter_of_the_limit_is_silent():
    silent(cools_after(LIMIT * 3 // 4 - 10), schedules=2, max_steps=LIMIT)


def test_what_is_made_hot_late_has_a_quarter_of_its_own():
    def program(m):
        for _ in range(LIMIT * 3 // 4):
            m.yield_()
        m.hot("answer")
        for _ in range(LIMIT // 5):
            m.yield_()
        m.cold("answer")

    silent(program, schedules=2, max_steps=LIMIT)


def test_what_is_cold_now_and_then_is_silent():
    def program(m):
        for _ in range(LIMIT * 4 // 9):
            m.hot("answer")
            m.yield_()
            m.cold("answer")
            m.yield_()

    silent(program, schedules=2, max_steps=LIMIT)


def test_what_is_cooled_and_asked_again_in_one_step_is_silent():
    def program(m):
        for _ in range(LIMIT * 9 // 10):
            m.hot("answer")
            m.yield_()
            m.cold("answer")

    silent(program, schedules=2, max_steps=LIMIT)


def test_what_cools_and_reheats_only_early_is_hot_from_the_last_time_on():
    def program(m):
        for _ in range(LIMIT // 2):
            m.hot("answer")
            m.yield_()
            m.cold("answer")
        m.hot("answer")
        m.hot("answer")  # it is owed once
        for _ in range(LIMIT * 2 // 5):
            m.yield_()
            m.hot("answer")
        m.cold("answer")

    failure = found(program, "livelock", HOT, schedules=1, max_steps=LIMIT)
    assert (f"cpu0 made it hot; {LIMIT // 4 + 1} steps on fair picks did not cool it",) == failure.facts


def test_who_made_it_hot_last_is_named():
    def program(m):
        m.hot("answer")
        m.cold("answer")
        m.spawn(m.hot, "answer", name="second")
        m.join()

    failure = found(program, "check", "'answer' is still hot when all is done", schedules=1)
    assert ("cpu1 second made it hot",) == failure.facts


# -- who waits for a lock -------------------------------------------------------------------------


def readers(kind):
    """Two readers that overlap for ever and a writer that waits until neither is there."""

    def program(m):
        lock, done = getattr(m, kind)("lock"), m.atomic(0, "done")
        release = lock.release_shared if kind == "spinlock" else lock.release

        def reader(late):
            for _ in range(late):
                m.yield_()
            while not done.load():
                lock.acquire_shared()
                for _ in range(4):
                    m.yield_()
                release()

        def writer():
            lock.acquire()
            done.store(1)
            lock.release()

        m.spawn(reader, 0)
        m.spawn(reader, 3)
        m.spawn(writer, name="writer")
        m.join()

    return program


@CHECKS
@pytest.mark.parametrize("kind", ["spinlock", "token"])
def test_a_writer_that_overlapping_readers_pass_by_starves(kind, check):
    options = {"sched": "rr", "schedules": 1, "max_steps": 4000, "check": check}
    failure = found(readers(kind), "livelock", STARVES, **options)
    (fact,) = failure.facts
    waited, passed = map(
        int, re.fullmatch(r"cpu3 writer waits (\d+) .* got it (\d+) times meanwhile", fact).groups()
    )
    assert waited > 1000
    assert passed >= BYPASSES


@CHECKS
@pytest.mark.parametrize("kind", ["spinlock", "token"])
def test_a_writer_that_is_not_passed_by_often_enough_is_named_where_the_loop_is(kind, check):
    options = {"sched": "rr", "schedules": 1, "max_steps": LIMIT, "check": check}
    same = COMES_BACK if kind == "spinlock" else "no end in sight after the step limit"
    failure = found(readers(kind), "livelock", same, **options)
    told = rf"cpu3 writer wants: exclusive {kind} 'lock', which others got (\d+) times meanwhile: it starves"
    (often,) = [int(said[1]) for said in (re.fullmatch(told, fact) for fact in failure.facts) if said]
    # Two grants in a turn of 14 steps, looked at for an eighth of the limit; each step changes the CPU.
    assert LIMIT // 8 // 28 * 2 <= often <= (LIMIT // 8 // 28 + 1) * 2
    assert ["cpu1", "cpu2"] == [fact.split()[0] for fact in failure.facts if "goes round" in fact]
    assert "the same 14 steps go round" in failure.facts[0]


def test_a_lockmgr_lock_lets_the_writer_in():
    silent(readers("lockmgr"), sched="rr", schedules=2, max_steps=4000)


windowed = find_scenario("windowed_reader_starves_writer")
EXACT = {"sched": "pct:3", "schedules": 200, "locks": "exact", "max_steps": 2000}


@CHECKS
def test_readers_in_their_window_starve_the_writer(check):
    failure = found(windowed, "livelock", STARVES, check=check, **EXACT)
    assert any(fact.startswith("cpu3 waits ") for fact in failure.facts)
    other = vmsmp.explore(windowed, check=not check, **EXACT).failure
    assert (failure.signature, failure.digest, failure.schedule) == (
        other.signature,
        other.digest,
        other.schedule,
    )


@CHECKS
def test_readers_in_their_window_are_a_loop_in_which_the_writer_starves(check):
    options = {**EXACT, "max_steps": 1000, "check": check}
    failure = found(windowed, "livelock", COMES_BACK, **options)
    told = r"cpu\d wants: exclusive spinlock 'lock', which others got [1-9]\d* times meanwhile: it starves"
    assert any(re.fullmatch(told, fact) for fact in failure.facts)
    assert {"cpu1", "cpu2", "cpu3"} == {fact.split()[0] for fact in failure.facts if "goes round" in fact}


def test_a_minimized_starvation_has_a_short_line_and_the_same_signature():
    failure = vmsmp.explore(windowed, **EXACT).failure
    small = vmsmp.minimize(windowed, failure.schedule)
    assert failure.signature == vmsmp.replay(windowed, small).failure.signature
    assert len(small.preemptions) <= 4


def test_a_reader_in_its_window_starves_nobody_with_the_repair():
    silent(windowed, repairs=("window-leaves-shared-clear",), **EXACT)


def test_a_waiter_of_a_lock_that_its_holder_keeps_is_not_called_starving():
    # Nobody passes it by: it is slow, or it is a plain livelock.
    def program(m):
        lock = m.spinlock("lock")

        def keeper():
            with lock:
                for _ in range(LIMIT * 9 // 10):
                    m.yield_()

        def waiter():
            with lock:
                pass

        m.spawn(keeper)
        m.spawn(waiter)
        m.join()

    silent(program, schedules=3, max_steps=LIMIT)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_a_waiter_in_a_loop_of_a_lock_that_its_holder_keeps_is_not_called_starving(locks):
    def program(m):
        lock, flag = m.spinlock("lock"), m.atomic(0, "flag")

        def keeper():
            with lock:
                while not flag.load():
                    m.yield_()

        m.spawn(keeper)
        m.spawn(lock.acquire)
        m.join()

    options = {"sched": "rr", "schedules": 1, "max_steps": LIMIT, "locks": locks}
    failure = found(program, "livelock", "the same st", whole=False, **options)
    assert "cpu2 wants: exclusive spinlock 'lock'" in failure.facts
    assert [] == [fact for fact in failure.facts if "starves" in fact]


def test_many_that_want_one_lock_all_get_it():
    def program(m):
        lock = m.spinlock("lock")

        def worker():
            for _ in range(60):
                with lock:
                    m.yield_()

        for _ in range(4):
            m.spawn(worker)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=3, max_steps=1400)
    assert result.failure is None
    assert 700 < result.longest
