"""Locks of the atomic depth: what they say of themselves fits who owns them, or is said to be wrong."""

import pytest

from verdicts import found, silent
from vmsmp.patches.patch import Mutant

MAKERS = {
    "spinlock": lambda m: m.spinlock("l"),
    "token": lambda m: m.token("l"),
    "lockmgr": lambda m: m.lockmgr("l"),
    "mutex": lambda m: m.mutex("l"),
    "rwlock": lambda m: m.rwlock("l"),
}
KINDS = pytest.mark.parametrize("kind", MAKERS)


def using(kind, how="acquire"):
    """Two CPUs that take and release a lock of that kind."""

    def program(m):
        lock = MAKERS[kind](m)

        def section():
            getattr(lock, how)()
            m.yield_()
            lock.release()

        m.spawn(section)
        m.spawn(section)
        m.join()

    return program


@KINDS
@pytest.mark.parametrize("how", ["acquire", "acquire_shared"])
def test_a_lock_that_is_used_as_it_should_be_is_passed(kind, how):
    silent(using(kind, how), schedules=100, locks="atomic")


def caught(program, function, old, new, message):
    with Mutant("planted", function, old, new, "", "").plant():
        return found(program, "check", message, whole=False, locks="atomic")


@pytest.mark.parametrize(
    ("kind", "how", "function", "old", "new", "message"),
    [
        (
            *("spinlock", "acquire", "vmsmp.sync.spinlock:AtomicSpinlock._take"),
            *("self._owner = cpu", "self._owner = None", "state of spinlock 'l': None is its owner"),
        ),
        (
            *("spinlock", "acquire_shared", "vmsmp.sync.spinlock:AtomicSpinlock._take_shared"),
            *("self._readers += 1", "self._readers += 2", "state of spinlock 'l': it has 2 readers"),
        ),
        (
            *("token", "acquire", "vmsmp.sync.token.atomic:AtomicToken._take_ref"),
            *("self._owner = cpu", "pass", "state of token 'l': None is its owner"),
        ),
        (
            *("token", "acquire_shared", "vmsmp.sync.token.atomic:AtomicToken._take_ref"),
            *(
                "self._users[cpu.index] = self._users.get(cpu.index, 0) + 1",
                "self._users[cpu.index] = 2",
                "state of token 'l': it is used",
            ),
        ),
        (
            *("lockmgr", "acquire", "vmsmp.sync.lockmgr.atomic:AtomicLockmgr._take"),
            *("self._depth = 1", "self._depth = 2", "state of lockmgr 'l': cpu"),
        ),
        (
            *("lockmgr", "acquire_shared", "vmsmp.sync.lockmgr.atomic:AtomicLockmgr._unshare"),
            *("self._readers.pop(cpu.index, None)", "pass", "state of lockmgr 'l': it is read"),
        ),
        (
            *("mutex", "acquire_shared", "vmsmp.sync.mutex.atomic:AtomicMutex._share"),
            *("self._count += 1", "self._count += 2", "state of mutex 'l': nobody uses it"),
        ),
        (
            *("rwlock", "acquire_shared", "vmsmp.sync.rwlock:AtomicRwLock._share"),
            *("self._readers += 1", "self._readers += 2", "state of rwlock 'l': it has 2 readers"),
        ),
    ],
)
def test_a_lock_that_says_something_else_is_caught(kind, how, function, old, new, message):
    caught(using(kind, how), function, old, new, message)


def test_a_request_that_is_left_behind_is_caught_at_the_end():
    caught(
        using("lockmgr"),
        "vmsmp.sync.lockmgr.atomic:AtomicLockmgr._withdraw",
        "self._writers_waiting -= 1",
        "pass",
        "state of lockmgr 'l': nobody uses it but it counts requests",
    )
