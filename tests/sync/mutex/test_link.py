"""Links: states that they go through, and the lists that they leave."""

import pytest

from lock_runs import alone, delay, once
from vmsmp import EWOULDBLOCK
from vmsmp.sync.mutex import MtxLink, mtx_abort_link, mtx_lock_ex, mtx_lock_sh
from vmsmp.sync.mutex.link import mtx_delete_link
from vmsmp.sync.mutex.mtx import MTX_LINK_ABORTED, MTX_LINK_IDLE, MTX_LINK_LINKED_EX, MTX_LINK_LINKED_SH


@pytest.mark.parametrize(
    ("request_of", "state"), [(mtx_lock_ex, MTX_LINK_LINKED_EX), (mtx_lock_sh, MTX_LINK_LINKED_SH)]
)
def test_a_link_is_linked_while_it_waits_and_idle_after_that(request_of, state):
    seen = []

    def program(m):
        mtx = m.mutex("mtx")
        link = MtxLink(m, mtx)

        def waiter():
            request_of(mtx, link)
            mtx.unlock()

        with mtx:
            m.spawn(waiter)
            delay(m, 1)
            seen.append(link.link_state.peek())
        m.join()
        seen.append(link.link_state.peek())

    once(program)
    assert [state, MTX_LINK_IDLE] == seen


def test_an_abort_before_the_request_is_kept():
    def program(m, seen):
        mtx = m.mutex("mtx")
        link = MtxLink(m, mtx)
        mtx_abort_link(mtx, link)
        seen.append(link.link_state.peek())

    assert [MTX_LINK_ABORTED] == alone(program)


def test_deleting_a_link_that_is_on_no_list_does_nothing():
    def program(m, seen):
        mtx = m.mutex("mtx")
        mtx_delete_link(mtx, MtxLink(m, mtx))
        seen.append(mtx.mtx_lock.peek())

    assert [0] == alone(program)


@pytest.mark.parametrize("request_of", [mtx_lock_ex, mtx_lock_sh])
@pytest.mark.parametrize("others", [0, 1])
def test_the_word_says_that_others_wait_after_one_gave_up(request_of, others):
    """The writer in front of it or the reader beside it is still there."""
    seen = []

    def program(m):
        mtx = m.mutex("mtx")

        def stays():
            request_of(mtx)
            mtx.unlock()

        def gives_up():
            seen.append(request_of(mtx, timo=2))

        with mtx:
            for _ in range(others):
                m.spawn(stays)
                delay(m, 1)
            m.spawn(gives_up)
            delay(m, 5)
            seen.append(mtx.mtx_lock.state())
        m.join()

    once(program)
    wanted = "EXWANTED" if request_of is mtx_lock_ex else "SHWANTED"
    assert [EWOULDBLOCK, f"EX|{wanted}|1" if others else "EX|1"] == seen
