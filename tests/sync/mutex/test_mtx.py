"""The word of a mutex, and what is wrong with it."""

import pytest

import vmsmp
from lock_runs import alone
from vmsmp.sync.mutex.mtx import (
    MTX_EXCLUSIVE,
    MTX_EXWANTED,
    MTX_LINK_ACQUIRED,
    MTX_LINK_LINKED_EX,
    MTX_LINK_LINKED_SH,
    MTX_LINKSPIN,
    MTX_MASK,
    MTX_SHWANTED,
    MtxLink,
    word_text,
)

BITS = [MTX_EXCLUSIVE, MTX_SHWANTED, MTX_EXWANTED, MTX_LINKSPIN]


def test_bits_and_count_fill_the_word():
    assert 0xFFFFFFFF == sum(BITS) | MTX_MASK


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0, "0"),
        (3, "3"),
        (MTX_EXCLUSIVE | 1, "EX|1"),
        (MTX_EXWANTED | MTX_SHWANTED | MTX_LINKSPIN | 2, "SHWANTED|EXWANTED|LINKSPIN|2"),
        (MTX_LINKSPIN, "LINKSPIN"),
    ],
)
def test_a_report_shows_the_word_as(word, text):
    assert text == word_text(word)


@pytest.mark.parametrize(
    ("call", "word", "message"),
    [
        ("lock", 1, "EXCLUSIVE is clear while it is owned exclusively"),
        ("lock_shared", MTX_EXCLUSIVE | 1, "EXCLUSIVE is set while readers hold it"),
        ("lock_shared", 0, "1 holds but the word counts 0"),
        ("lock", MTX_EXCLUSIVE | MTX_EXWANTED | 1, "0 exclusive requests wait and the word is EX|EXWANTED|1"),
        ("lock", MTX_EXCLUSIVE | MTX_SHWANTED | 1, "0 shared requests wait and the word is EX|SHWANTED|1"),
        ("lock", MTX_EXCLUSIVE | MTX_LINKSPIN | 1, None),
        ("lock_shared", 2, None),
    ],
)
def test_a_word_against_one_hold(call, word, message):
    def program(m, seen):
        mtx = m.mutex("mtx")
        getattr(mtx, call)()
        right, mtx.mtx_lock.value = mtx.mtx_lock.value, word
        seen.append(mtx.check_word())
        mtx.mtx_lock.value = right
        mtx.unlock()

    assert [message] == alone(program)


def test_an_owner_that_owns_nothing_is_wrong():
    def program(m):
        mtx = m.mutex("mtx")

        def steals():
            m.wakeup("nobody")
            mtx.mtx_owner.store(m.curcpu.td)

        mtx.lock()
        m.spawn(steals).join()

    failure = vmsmp.explore(program, schedules=1, locks="exact").failure
    assert "state word of mutex 'mtx': mtx_owner is cpu1, which does not own it" == failure.message


def test_a_word_that_is_left_behind_is_wrong():
    def program(m):
        m.mutex("mtx").mtx_lock.store(MTX_LINKSPIN)

    failure = vmsmp.explore(program, schedules=1, locks="exact").failure
    assert "nobody uses it but mtx_lock is LINKSPIN" in failure.message


@pytest.mark.parametrize(
    ("state", "word", "why"),
    [
        (MTX_LINK_LINKED_EX, MTX_EXCLUSIVE | MTX_EXWANTED | 1, None),
        (MTX_LINK_LINKED_SH, MTX_EXCLUSIVE | MTX_SHWANTED | 1, None),
        (MTX_LINK_ACQUIRED, MTX_EXCLUSIVE | 1, "its request is acquired"),
        (MTX_LINK_LINKED_EX, MTX_EXCLUSIVE | 1, "the word does not say that it waits"),
        (MTX_LINK_LINKED_SH, MTX_EXCLUSIVE | MTX_EXWANTED | 1, "the word does not say that it waits"),
        (MTX_LINK_LINKED_EX, MTX_EXWANTED, "nobody is left to grant it the lock"),
    ],
)
def test_why_a_sleeper_should_not_sleep(state, word, why):
    def program(m, seen):
        mtx = m.mutex("mtx")
        link = MtxLink(m, mtx)
        link.link_state.value, mtx.mtx_lock.value = state, word
        seen.append(link.overdue())
        mtx.mtx_lock.value = 0

    assert [why] == alone(program)


def test_a_link_shows_its_mutex_and_its_state():
    def program(m, seen):
        link = MtxLink(m, m.mutex("mtx"))
        seen.extend([link.name, repr(link), link.state()])

    assert ["mtx", "link to mutex 'mtx'", "0 (free), its link idle"] == alone(program)
