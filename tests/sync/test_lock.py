"""What all locks share: names and classes, holds, counters."""

import pytest

from lock_runs import DEPTHS, alone, delay, once, watched
from vmsmp.sync.lock import EXCLUSIVE, SHARED, Lock
from vmsmp.sync.observer import LockObserver

KINDS = pytest.mark.parametrize("kind", ["spinlock", "token", "lockmgr"])


@pytest.mark.parametrize(
    ("name", "klass"),
    [
        ("pq.active[3]", "pq.active[]"),
        ("pg#17", "pg[]"),
        ("pool[1].page#2", "pool[].page[]"),
        ("free", "free"),
    ],
)
def test_a_class_is_a_name_without_instance_numbers(name, klass):
    assert [klass] == alone(lambda m, seen: seen.append(m.spinlock(name).klass))


def test_two_locks_without_a_name_are_of_two_classes():
    one, other = alone(lambda m, seen: seen.extend(m.spinlock().klass for _ in range(2)))
    assert one != other


def test_a_lock_without_a_name_is_named_by_its_maker_and_number():
    named = alone(lambda m, seen: seen.extend((m.spinlock().name, m.token().name)))
    assert ["spinlock 0.1", "token 0.3"] == named


@DEPTHS
@KINDS
def test_a_lock_is_held_between_acquire_and_release(kind, locks):
    def program(m, seen):
        lock = getattr(m, kind)("l")
        seen.append(lock.held())
        with lock:
            seen.append(lock.held())
        seen.append(lock.held())

    assert [False, True, False] == alone(program, locks)


@DEPTHS
@KINDS
def test_a_lock_that_another_cpu_holds_is_not_held(kind, locks):
    seen = []

    def program(m):
        lock = getattr(m, kind)("l")
        with lock:
            m.spawn(lambda: seen.append(lock.held()))
            m.yield_()
        m.join()

    once(program, locks)
    assert [False] == seen


@DEPTHS
@KINDS
def test_the_holders_of_a_lock_are_its_holds_in_the_cpus_hands(kind, locks):
    def program(m, seen):
        lock = getattr(m, kind)("l")
        with lock:
            seen.append(lock.holders)
            seen.append([(m.curcpu, hold.mode) for hold in m.curcpu.held])
            seen[0] = list(seen[0])

    holders, held = alone(program, locks)
    assert held == holders


@DEPTHS
def test_the_mode_is_that_of_the_last_hold(locks):
    def program(m, seen):
        lock = m.lockmgr("l")
        seen.append(lock.mode_of(m.curcpu))
        lock.acquire_shared()
        seen.append(lock.mode_of(m.curcpu))
        lock.upgrade()
        seen.append(lock.mode_of(m.curcpu))
        lock.release()

    assert [None, SHARED, EXCLUSIVE] == alone(program, locks)


@KINDS
def test_the_state_names_the_holders(kind):
    def program(m, seen):
        lock = getattr(m, kind)("l")
        with lock:
            seen.append(lock.state())
        seen.append(lock.state())

    held, free = alone(program, "atomic")
    assert ("exclusive cpu0", "free") == (held, free)


def test_a_lock_is_shown_with_its_kind_once():
    def program(m, seen):
        seen.extend((repr(m.spinlock("s")), repr(m.spinlock()), repr(m.spinlock("spinlock a"))))

    assert ["spinlock 's'", "spinlock 0.3", "spinlock a"] == alone(program, "exact")


def test_a_lock_of_no_depth_finds_nothing_wrong_with_its_word():
    def program(m, seen):
        lock = Lock(m, "l")
        seen.extend((lock.check_word(), lock.check_rest()))

    assert [None, None] == alone(program)


class Grants(LockObserver):
    def __init__(self):
        self.seen = []

    def wants(self, cpu, lock, mode):
        self.seen.append(("wants", cpu.index, mode))

    def acquired(self, cpu, lock, mode, tried):
        self.seen.append(("tried" if tried else "acquired", cpu.index, mode))

    def released(self, cpu, lock, mode):
        self.seen.append(("released", cpu.index, mode))


@DEPTHS
@KINDS
def test_observers_see_the_wish_the_grant_and_the_release(kind, locks):
    grants = Grants()

    def program(m):
        with getattr(m, kind)("l"):
            pass

    watched(program, grants, locks)
    assert [("wants", 0, EXCLUSIVE), ("acquired", 0, EXCLUSIVE), ("released", 0, EXCLUSIVE)] == grants.seen


@DEPTHS
@pytest.mark.parametrize("kind", ["spinlock", "lockmgr"])
def test_a_grant_that_had_to_wait_counts_as_contested(kind, locks):
    seen = []

    def program(m):
        lock = getattr(m, kind)("l")

        def other():
            with lock:
                pass

        with lock:
            m.spawn(other)
            m.yield_() if kind == "spinlock" else delay(m, 1)
            seen.append(lock.contested)
        m.join()

    once(program, locks)
    assert [1] == seen
