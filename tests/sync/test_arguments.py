"""What primitives refuse, and what misuse of them is called: the same at both depths."""

import pytest

import vmsmp
from lock_runs import DEPTHS, failure_of
from vmsmp.sync.arguments import ticks, whole


def test_a_timeout_of_no_ticks_or_more_is_taken_as_it_is():
    assert [0, 7] == [ticks(0), ticks(7)]


def test_a_negative_timeout_is_refused():
    with pytest.raises(ValueError, match=r"timo -1: a timeout is a number of ticks, or 0 for none"):
        ticks(-1)


def test_what_is_no_whole_number_is_refused():
    with pytest.raises(TypeError, match=r"barrier\(1\.5\): a whole number is needed"):
        whole("barrier", 1.5)


#: What cannot be meant, and what is said of it.
REFUSED = {
    "a signal to nobody": (lambda m: m.signal(None), "TypeError: a CPU is needed, not None"),
    "a wakeup on nobody": (lambda m: m.wakeup_oncpu(None, "c"), "TypeError: a CPU is needed, not None"),
    "a condvar without a lock": (
        lambda m: m.condvar("cv").wait(None),
        "TypeError: condvar 'cv': wait() needs a lock, not None",
    ),
    "one and a half units": (lambda m: m.semaphore(1.5), "TypeError: semaphore(1.5): a whole number"),
    "less than no units": (lambda m: m.semaphore(-1), "ValueError: semaphore(-1)"),
    "one and a half CPUs": (lambda m: m.barrier(1.5), "TypeError: barrier(1.5): a whole number"),
    "a barrier for nobody": (lambda m: m.barrier(0), "ValueError: barrier(0)"),
    "half a choice": (lambda m: m.choose(1.5), "TypeError: choose(1.5): a whole number"),
    "a wait on a cell": (
        lambda m: m.futex_wait(m.cell(0, "w"), 0),
        "TypeError: a futex is a machine's atomic, not w",
    ),
    "a wake on a cell": (lambda m: m.futex_wake(m.cell(0, "w")), "TypeError: a futex is"),
    "a requeue to a cell": (
        lambda m: m.futex_requeue(m.atomic(0), m.cell(0, "w")),
        "TypeError: a futex is",
    ),
    "a sleep until before": (lambda m: m.tsleep("c", 0, "", -1), "ValueError: timo -1"),
    "a lock until before": (lambda m: m.lockmgr("l", timo=-1), "ValueError: timo -1"),
    "a futex until before": (lambda m: m.futex_wait(m.atomic(0), 0, timo=-1), "ValueError: timo -1"),
    "a unit until before": (lambda m: m.semaphore(0).acquire(timo=-1), "ValueError: timo -1"),
    "a mutex until before": (lambda m: m.mutex("x").lock_timed(-1), "ValueError: timo -1"),
}


@DEPTHS
@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_meant_is_refused_with_one_line(what, locks):
    program, message = REFUSED[what]
    assert failure_of(program, locks).message.startswith(message)


def held_by_another(m, lock, take, then):
    """Another CPU takes the lock and keeps it, until this one has done `then`."""
    done = m.atomic(0, "done")

    def owner():
        take()
        while not done.load():
            m.pause()

    m.spawn(owner)
    while not lock.holders:
        m.pause()
    then()
    done.store(1)
    m.join()


#: Primitive, what a program does with a free one, and the failure's kind.
MISUSES = [
    ("spinlock", "release", "lock-misuse"),
    ("spinlock", "acquire acquire", "lock-misuse"),
    ("spinlock", "acquire_shared acquire", "lock-misuse"),
    ("token", "release", "check"),
    ("token", "acquire_shared acquire", "lock-misuse"),
    ("lockmgr", "release", "check"),
    ("lockmgr", "downgrade", "check"),
    ("lockmgr", "upgrade", "check"),
    ("lockmgr", "acquire acquire", "check"),
    ("lockmgr", "acquire_shared acquire", "lock-misuse"),
    ("lockmgr", "acquire_shared downgrade", "check"),
    ("mutex", "unlock", "check"),
    ("mutex", "lock_shared lock", "lock-misuse"),
    ("rwlock", "release", "lock-misuse"),
    ("rwlock", "acquire acquire", "deadlock"),
    ("rwlock", "acquire acquire_shared", "deadlock"),
    ("rwlock", "acquire_shared acquire", "lock-misuse"),
]


@pytest.mark.parametrize(("primitive", "calls", "kind"), MISUSES)
def test_misuse_has_the_same_kind_and_message_at_both_depths(primitive, calls, kind):
    def program(m):
        lock = getattr(m, primitive)("l")
        for call in calls.split():
            getattr(lock, call)()

    atomic, exact = (failure_of(program, locks) for locks in ("atomic", "exact"))
    assert (kind, atomic.message) == (atomic.kind, exact.message)
    assert atomic.kind == exact.kind


#: Primitive, how another CPU takes it, and how this one lets go of it.
STOLEN = [
    ("spinlock", "acquire", "release"),
    ("token", "acquire", "release"),
    ("lockmgr", "acquire", "release"),
    ("mutex", "lock", "unlock"),
    ("rwlock", "acquire", "release"),
]


@pytest.mark.parametrize(("primitive", "take", "release"), STOLEN)
def test_the_release_of_another_cpu_s_lock_has_the_same_kind_and_message_at_both_depths(
    primitive, take, release
):
    def program(m):
        lock = getattr(m, primitive)("l")
        held_by_another(m, lock, getattr(lock, take), getattr(lock, release))

    atomic, exact = (failure_of(program, locks) for locks in ("atomic", "exact"))
    assert (atomic.kind, atomic.message) == (exact.kind, exact.message)


def test_an_announcement_by_a_free_cpu_does_not_serve_another():
    def program(m):
        m.tsleep_interlock("c")
        m.spawn(lambda: m.tsleep("c", vmsmp.PINTERLOCKED, "", 2))
        m.join()

    assert "lock-misuse" == failure_of(program, "atomic").kind
