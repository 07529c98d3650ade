"""Releases and changes of mode, seen in the word and in the order of steps."""

import pytest

import vmsmp
from lock_runs import alone, delay, once
from vmsmp.sync.errno import EDEADLK
from vmsmp.sync.mutex.release import mtx_upgrade_try


def waited_for(m, *modes, hold="lock"):
    """A mutex that the boot CPU holds, and others wait for."""
    mtx = m.mutex("mtx")

    def take(mode):
        getattr(mtx, mode)()
        delay(m, 1)
        mtx.unlock()

    getattr(mtx, hold)()
    for mode in modes:
        m.spawn(take, mode)
        delay(m, 1)
    return mtx


@pytest.mark.parametrize(
    ("hold", "modes", "before", "after"),
    [
        ("lock", ["lock"], "EX|EXWANTED|1", "EX|1"),
        ("lock", ["lock", "lock"], "EX|EXWANTED|1", "EX|EXWANTED|1"),
        ("lock", ["lock_shared"], "EX|SHWANTED|1", "1"),
        ("lock", ["lock_shared"] * 3, "EX|SHWANTED|1", "3"),
        ("lock", ["lock_shared", "lock"], "EX|SHWANTED|EXWANTED|1", "EX|SHWANTED|1"),
        ("lock_shared", ["lock"], "EXWANTED|1", "EX|1"),
        ("lock_shared", ["lock", "lock_shared"], "SHWANTED|EXWANTED|1", "EX|SHWANTED|1"),
    ],
)
def test_the_last_release_hands_the_word_to_those_who_wait(hold, modes, before, after):
    seen = []

    def program(m):
        mtx = waited_for(m, *modes, hold=hold)
        seen.append(mtx.mtx_lock.state())
        mtx.unlock()
        seen.append(mtx.mtx_lock.state())
        m.join()
        seen.append(mtx.mtx_lock.state())

    once(program)
    assert [before, after, "0"] == seen


def test_a_grant_names_the_owner_before_it_runs():
    seen = []

    def program(m):
        mtx = waited_for(m, "lock")
        mtx.unlock()
        seen.append(mtx.mtx_owner.state())
        m.join()

    once(program)
    assert ["cpu1"] == seen


@pytest.mark.parametrize(
    ("waits", "error"), [([], 0), (["lock"], 0), (["lock", "lock_shared"], EDEADLK)], ids=str
)
def test_a_reader_that_waits_stops_an_upgrade(waits, error):
    seen = []

    def program(m):
        mtx = waited_for(m, *waits, hold="lock_shared")
        seen.append(mtx_upgrade_try(mtx))
        mtx.unlock()
        m.join()

    once(program)
    assert [error] == seen


def test_a_release_that_finds_the_lists_busy_waits_for_them():
    def program(m):
        mtx = waited_for(m)
        m.spawn(mtx.lock)
        mtx.unlock()

    kinds = {failure.kind for failure in vmsmp.explore(program, schedules=300, locks="exact").failures}
    assert {"leak"} == kinds  # the waiter's own, whatever the order of steps: it always gets the mutex


@pytest.mark.parametrize("mode", ["lock", "lock_shared"])
def test_a_hold_that_is_not_the_last_leaves_those_who_wait_alone(mode):
    def program(m, seen):
        mtx = waited_for(m)
        if mode == "lock_shared":
            mtx.downgrade()
        getattr(mtx, mode)()
        mtx.unlock()
        seen.append(mtx.mtx_lock.state())
        mtx.unlock()

    assert ["EX|1" if mode == "lock" else "1"] == alone(program)
