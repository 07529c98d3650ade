"""Links at both depths: requests that are aborted, and requests that are called back."""

import pytest

import vmsmp
from lock_runs import DEPTHS, alone, delay, failure_of, once
from vmsmp import EWOULDBLOCK
from vmsmp.sync.errno import EINPROGRESS, ENOLCK

FORMS = pytest.mark.parametrize("form", ["lock_ex_link", "lock_sh_link"])
SEARCHES = pytest.mark.parametrize("sched", ["random", "dpor"])


def outcomes(program, locks, sched="random", schedules=1000):
    """What runs of the program appended to their list."""
    seen = set()

    def run(m):
        mine = []
        program(m, mine)
        m.join()
        seen.add(tuple(mine))

    result = vmsmp.explore(run, sched=sched, schedules=schedules, locks=locks)
    assert [] == [(f.message, f.facts) for f in result.failures]
    return seen


@DEPTHS
@FORMS
def test_a_link_s_request_takes_a_free_mutex(form, locks):
    def program(m, seen):
        mtx = m.mutex("mtx")
        seen.append(getattr(mtx, form)(mtx.link()))
        seen.append(mtx.held())
        mtx.unlock()

    assert [0, True] == alone(program, locks)


@DEPTHS
@FORMS
def test_an_abort_before_a_request_that_has_to_wait_fails_it_once(form, locks):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")
        link = mtx.link()

        def waiter():
            seen.append(getattr(mtx, form)(link))
            seen.append(getattr(mtx, form)(link))
            mtx.unlock()

        with mtx:
            mtx.abort_link(link)
            m.spawn(waiter)
            delay(m, 1)
        m.join()

    once(program, locks)
    assert [ENOLCK, 0] == seen


@DEPTHS
@FORMS
def test_an_abort_ends_the_wait(form, locks):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")
        link = mtx.link()
        with mtx:
            m.spawn(lambda: seen.append(getattr(mtx, form)(link)))
            delay(m, 1)
            mtx.abort_link(link)
            m.join()

    once(program, locks)
    assert [ENOLCK] == seen


@DEPTHS
@FORMS
def test_a_request_may_be_late(form, locks):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")
        with mtx:
            m.spawn(lambda: seen.append(getattr(mtx, form)(mtx.link(), 3))).join()

    once(program, locks)
    assert [EWOULDBLOCK] == seen


@DEPTHS
@FORMS
@SEARCHES
def test_an_abort_beside_a_release_has_both_ends(form, sched, locks):
    def program(m, seen):
        mtx = m.mutex("mtx")
        link = mtx.link()

        def waiter():
            seen.append(getattr(mtx, form)(link))
            if not seen[0]:
                mtx.unlock()

        mtx.lock()
        m.spawn(waiter)
        m.spawn(mtx.abort_link, link)
        mtx.unlock()

    assert {(0,), (ENOLCK,)} == outcomes(program, locks, sched)


# -- with a callback ------------------------------------------------------------------------------


@DEPTHS
@FORMS
def test_a_callback_is_not_called_by_a_request_that_takes_the_mutex_at_once(form, locks):
    def program(m, seen):
        mtx = m.mutex("mtx")
        seen.append(getattr(mtx, form)(mtx.link(seen.append)))
        mtx.unlock()

    assert [0] == alone(program, locks)


@DEPTHS
@FORMS
def test_whoever_hands_it_over_calls_back_and_it_is_the_requester_s(form, locks):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")

        def requester():
            called = m.atomic(0)

            def callback(error, word):
                seen.append((error, word, m.curcpu.index))
                called.store(1)

            seen.append(getattr(mtx, form)(mtx.link(callback, "x")))
            while not called.load():
                m.pause()
            seen.append(mtx.held())
            mtx.unlock()

        mtx.lock()
        m.spawn(requester)
        delay(m, 1)
        mtx.unlock()
        m.join()

    once(program, locks)
    assert [EINPROGRESS, (0, "x", 0), True] == seen


@DEPTHS
@FORMS
def test_an_abort_calls_back_with_enolck(form, locks):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")
        link = mtx.link(lambda error: seen.append((error, m.curcpu.index)))
        with mtx:
            m.spawn(lambda: seen.append(getattr(mtx, form)(link))).join()
            mtx.abort_link(link)

    once(program, locks)
    assert [EINPROGRESS, (ENOLCK, 0)] == seen


@DEPTHS
@SEARCHES
def test_a_callback_beside_a_release_and_an_abort_comes_once(sched, locks):
    def program(m, seen):
        mtx = m.mutex("mtx")
        called = m.atomic(0)

        def callback(error):
            seen.append(error)
            called.store(1)

        link = mtx.link(callback)

        def requester():
            error = mtx.lock_ex_link(link)
            while error == EINPROGRESS and not called.load():
                m.pause()
            if not error or seen == [0]:
                mtx.unlock()

        mtx.lock()
        m.spawn(requester)
        m.spawn(mtx.abort_link, link)
        mtx.unlock()

    assert {(), (0,), (ENOLCK,)} == outcomes(program, locks, sched)


@DEPTHS
def test_a_mutex_that_was_handed_over_and_is_never_unlocked_is_a_leak(locks):
    def program(m):
        mtx = m.mutex("mtx")

        def requester():
            mtx.lock_ex_link(mtx.link(lambda error: None))
            m.tsleep("x", 0, "x", 5)

        mtx.lock()
        m.spawn(requester)
        delay(m, 1)
        mtx.unlock()

    assert "leak" == failure_of(program, locks, sched="dfs:0", schedules=1).kind
