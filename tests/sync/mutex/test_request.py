"""Requests step by step, and what they return."""

import pytest

import vmsmp
from lock_runs import alone, delay, once
from vmsmp import EAGAIN, EWOULDBLOCK
from vmsmp.sync.errno import ENOLCK
from vmsmp.sync.mutex import MtxLink, mtx_abort_link, mtx_lock_ex, mtx_lock_sh
from vmsmp.sync.mutex.request import mtx_lock_ex_try, mtx_lock_sh_try

REQUESTS = pytest.mark.parametrize("request_of", [mtx_lock_ex, mtx_lock_sh])


@pytest.mark.parametrize("attempt", [mtx_lock_ex_try, mtx_lock_sh_try])
def test_a_try_of_what_another_cpu_owns_is_eagain(attempt):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")
        with mtx:
            m.spawn(lambda: seen.append(attempt(mtx))).join()

    once(program)
    assert [EAGAIN] == seen


@REQUESTS
def test_a_request_that_is_late_says_so_and_leaves_nothing(request_of):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")

        def waiter():
            seen.append(request_of(mtx, timo=3))

        mtx.lock()
        m.spawn(waiter)
        delay(m, 10)
        mtx.unlock()
        m.join()
        seen.append(mtx.mtx_lock.peek())

    once(program)
    assert [EWOULDBLOCK, 0] == seen


@REQUESTS
def test_a_request_of_an_aborted_link_fails_if_it_has_to_wait(request_of):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")
        link = MtxLink(m, mtx)

        def waiter():
            seen.append(request_of(mtx, link))

        mtx.lock()
        mtx_abort_link(mtx, link)
        m.spawn(waiter)
        m.join()
        mtx.unlock()

    once(program)
    assert [ENOLCK] == seen


@REQUESTS
def test_a_request_that_waits_may_be_aborted(request_of):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")
        link = MtxLink(m, mtx)

        def waiter():
            seen.append(request_of(mtx, link))

        mtx.lock()
        m.spawn(waiter)
        delay(m, 1)
        mtx_abort_link(mtx, link)
        m.join()
        mtx.unlock()

    once(program)
    assert [ENOLCK] == seen


def test_an_abort_beside_a_request_and_a_release_leaves_the_word_right():
    ends = set()

    def program(m):
        mtx = m.mutex("mtx")
        link = MtxLink(m, mtx)

        def waiter():
            error = mtx_lock_ex(mtx, link)
            ends.add(error)
            if not error:
                mtx.unlock()

        mtx.lock()
        m.spawn(waiter)
        m.spawn(mtx_abort_link, mtx, link)
        mtx.unlock()
        m.join()

    assert [] == vmsmp.explore(program, schedules=400, locks="exact").failures
    assert {0, ENOLCK} == ends


def test_a_grant_after_a_late_sleeper_s_look_is_lost_as_in_the_kernel():
    def program(m):
        mtx = m.mutex("mtx")

        def waiter():
            if mtx_lock_ex(mtx, timo=1) == 0:
                mtx.unlock()

        mtx.lock()
        m.spawn(waiter)
        mtx.unlock()
        m.join()

    failure = vmsmp.explore(program, schedules=3000, locks="exact", timeouts="any").failure
    assert "state word of mutex 'mtx': nobody uses it but mtx_lock is EX|1" == failure.message


def test_the_owner_s_request_does_not_wait():
    def program(m, seen):
        mtx = m.mutex("mtx")
        seen.extend([mtx_lock_ex(mtx), mtx_lock_ex(mtx), mtx_lock_ex_try(mtx)])
        for _ in range(3):
            mtx.unlock()

    assert [0, 0, 0] == alone(program)
