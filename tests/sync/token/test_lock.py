"""What a token offers at either depth: exclusion, tries, recursion, statistics."""

import pytest

import vmsmp
from lock_runs import DEPTHS, SCHEDULES, alone, failure_of, once


def counting(m, rounds, cpus):
    token, cell = m.token("t"), m.cell(0)

    def adder():
        for _ in range(rounds):
            with token:
                cell.store(cell.load() + 1)

    for _ in range(cpus):
        m.spawn(adder)
    m.join()
    m.check(cell.load() == rounds * cpus, "every section counts")


@DEPTHS
@SCHEDULES
def test_sections_under_a_token_do_not_overlap(locks, sched):
    result = vmsmp.explore(lambda m: counting(m, 2, 2), sched=sched, schedules=150, locks=locks)
    assert [] == result.failures


@DEPTHS
def test_sections_under_a_token_do_not_overlap_between_parallel_cpus(locks):
    assert None is vmsmp.run(lambda m: counting(m, 60, 3), engine="free", locks=locks).failure


@DEPTHS
@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_shared_holders_see_whole_writes(locks, engine):
    def program(m):
        token, a, b = m.token("t"), m.cell(0), m.cell(0)

        def writer():
            for _ in range(4):
                with token:
                    a.store(a.load() + 1)
                    b.store(b.load() + 1)

        def reader():
            for _ in range(4):
                token.acquire_shared()
                m.check(a.load() == b.load(), "a reader sees whole writes")
                token.release()

        for fn in (writer, reader, reader):
            m.spawn(fn)
        m.join()

    if engine == "free":
        assert None is vmsmp.run(program, engine="free", locks=locks).failure
    else:
        assert [] == vmsmp.explore(program, sched="random", schedules=60, locks=locks).failures


@DEPTHS
def test_shared_holders_are_inside_at_the_same_time(locks):
    def program(m):
        token, inside = m.token("t"), m.atomic(0)

        def reader():
            token.acquire_shared()
            inside.fetchadd(1)
            while inside.load() != 2:
                m.pause()
            token.release()

        m.spawn(reader)
        m.spawn(reader)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=60, locks=locks).failures


@DEPTHS
@pytest.mark.parametrize(("holder", "gets"), [("acquire", False), ("acquire_shared", False), (None, True)])
def test_a_try_succeeds_only_on_a_free_token(locks, holder, gets):
    seen = []

    def program(m):
        token = m.token("t")

        def trier():
            if token.try_acquire():
                seen.append((True, token.held()))
                token.release()
            else:
                seen.append((False, token.held()))

        if holder:
            getattr(token, holder)()
        m.spawn(trier).join()
        if holder:
            token.release()

    once(program, locks)
    assert [(gets, gets)] == seen


@DEPTHS
def test_a_failed_try_leaves_nothing_on_the_stack(locks):
    def program(m, seen):
        token, other = m.token("t"), m.token("u")

        def trier():
            other.acquire()
            seen.append(token.try_acquire())
            other.release()  # panics if the failed ref were on top
            seen.append(len(m.curcpu.td.td_toks_array))

        token.acquire()
        m.spawn(trier).join()
        token.release()

    assert [False, 0] == alone(program, locks)


@DEPTHS
def test_a_try_on_the_own_token_recurses(locks):
    def program(m, seen):
        token = m.token("t")
        token.acquire()
        seen.append(token.try_acquire())
        token.release()
        seen.append(token.held())
        token.release()
        seen.append(token.held())

    assert [True, True, False] == alone(program, locks)


@DEPTHS
@pytest.mark.parametrize("inner", ["acquire", "acquire_shared"])
def test_a_recursive_hold_frees_the_token_only_with_the_outermost_release(locks, inner):
    seen = []

    def program(m):
        token = m.token("t")

        def trier():
            got = token.try_acquire()
            seen.append(got)
            if got:
                token.release()

        token.acquire()
        getattr(token, inner)()
        m.spawn(trier).join()
        token.release()
        m.spawn(trier).join()
        token.release()
        m.spawn(trier).join()

    once(program, locks)
    assert [False, False, True] == seen


@DEPTHS
def test_held_asks_for_exclusive_and_held_shared_for_any_mode(locks):
    def program(m, seen):
        token = m.token("t")

        def note():
            seen.append((token.held(), token.held_shared()))

        note()
        token.acquire_shared()
        note()
        token.release()
        token.acquire()
        note()
        m.spawn(note).join()
        token.release()

    assert [(False, False), (False, True), (True, True), (False, False)] == alone(program, locks)


@DEPTHS
def test_exclusive_over_the_own_shared_hold_is_misuse(locks):
    def program(m):
        token = m.token("t")
        token.acquire_shared()
        token.acquire()

    failure = failure_of(program, locks, schedules=1)
    assert "lock-misuse: token 't' wanted exclusive over the CPU's own shared hold" == failure.signature


@DEPTHS
def test_statistics_count_grants_and_those_that_had_to_wait(locks):
    seen = []

    def program(m):
        token = m.token("t")

        def waiter():
            with token:
                pass

        with token:
            m.spawn(waiter)
            m.yield_()
        m.join()
        found = token.statistics()
        seen.append((found.name, found.acquisitions, found.contested))

    once(program, locks)
    assert [("t", 2, 1)] == seen
