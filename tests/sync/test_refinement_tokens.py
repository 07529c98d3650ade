"""The exact and the atomic depth of tokens and spinlocks have the same outcomes.

An outcome is who did what in which order.  All outcomes of the atomic depth come from a search that ends;
those of the exact depth from samples that are large enough to see every one of them.  One outcome is the
exact depth's alone: a try may fail on the count of a reader who is backing off from an owner that has gone.
"""

import pytest

import vmsmp
from diary import Diary

pytestmark = pytest.mark.ci  # whole searches of two depths

#: Searches of the exact depth that together see every outcome of these bodies.
SAMPLES = (("random", 1500), ("pct:3", 500), ("pos", 500))


def outcomes(body, locks, sched, schedules):
    seen = set()

    def program(m):
        log = []
        body(m, log)
        m.join()
        seen.add(tuple(log))

    result = vmsmp.explore(program, sched=sched, schedules=schedules, locks=locks)
    assert [] == result.failures
    return seen, result.exhausted


def both(body):
    """The outcomes of both depths."""
    atomic, all_of_them = outcomes(body, "atomic", "dfs", 60_000)
    assert all_of_them
    exact = set()
    for sched, schedules in SAMPLES:
        exact |= outcomes(body, "exact", sched, schedules)[0]
    return atomic, exact


# -- roles: what one CPU does with a lock ---------------------------------------------------------------


def writer(lock, diary, name):
    lock.acquire()
    diary.note(f"{name}+")
    lock.release()
    diary.note(f"{name}-")


def reader(lock, diary, name):
    lock.acquire_shared()
    diary.note(f"{name}+")
    lock.release()
    diary.note(f"{name}-")


def brief_writer(lock, diary, name):
    lock.acquire()
    diary.note(name)
    lock.release()


def brief_reader(lock, diary, name):
    lock.acquire_shared()
    diary.note(name)
    lock.release()


def trier(lock, diary, name):
    got = lock.try_acquire()
    diary.note(f"{name}{'+' if got else '!'}")
    if got:
        lock.release()


def upgrader(lock, diary, name):
    lock.acquire_shared()
    got = lock.try_upgrade()
    diary.note(f"{name}{'^' if got else '!'}")
    lock.release()


def together(sort, *roles):
    """Each role on a CPU, the last on the boot CPU, all on one lock."""

    def body(m, log):
        lock, diary = getattr(m, sort)("l"), Diary(m, log)
        for n, role in enumerate(roles[:-1]):
            m.spawn(role, lock, diary, "abc"[n])
        roles[-1](lock, diary, "z")

    return body


COMMON = {
    "two writers": (writer, writer),
    "writer and reader": (writer, reader),
    "two readers": (reader, reader),
    "writer and try": (writer, trier),
    "reader and try": (reader, trier),
    "two tries": (trier, trier),
    "writer, reader, try": (brief_writer, brief_reader, trier),
    "writer, writer, reader": (brief_writer, brief_writer, brief_reader),
    "writer, reader, reader": (brief_writer, brief_reader, brief_reader),
}


@pytest.mark.parametrize("sort", ["spinlock", "token"])
@pytest.mark.parametrize("name", COMMON)
def test_locks_of_both_depths_have_the_same_outcomes(sort, name):
    atomic, exact = both(together(sort, *COMMON[name]))
    assert atomic == exact
    assert 1 < len(atomic)


UPGRADES = {
    "writer": (upgrader, writer),
    "reader": (upgrader, reader),
    "try": (upgrader, trier),
    "another": (upgrader, upgrader),
    "writer and reader": (upgrader, brief_writer, brief_reader),
}


@pytest.mark.parametrize("name", UPGRADES)
def test_upgrades_of_spinlocks_of_both_depths_have_the_same_outcomes(name):
    atomic, exact = both(together("spinlock", *UPGRADES[name]))
    assert atomic == exact
    assert 2 < len(atomic)


# -- stacks of tokens -----------------------------------------------------------------------------------


def stacked(lower, upper, *others):
    """One CPU takes two tokens in those modes; the others use the upper one, at depth one."""

    def body(m, log):
        a, b, diary = m.token("a"), m.token("b"), Diary(m, log)

        def both_tokens():
            getattr(a, lower)()
            diary.note("1")
            getattr(b, upper)()
            diary.note("2")
            b.release()
            a.release()

        m.spawn(both_tokens)
        for n, role in enumerate(others[:-1]):
            m.spawn(role, b, diary, "abc"[n])
        others[-1](b, diary, "z")

    return body


STACKS = {
    "exclusive, and a writer": ("acquire", "acquire", brief_writer),
    "exclusive, and a try": ("acquire", "acquire", trier),
    "shared on top, and a writer": ("acquire", "acquire_shared", brief_writer),
    # The writer's EXCLREQ holds off the reader at depth one outside its window, never the one at depth two.
    "shared on top, a writer, a reader": ("acquire", "acquire_shared", brief_writer, brief_reader),
}


@pytest.mark.parametrize("name", STACKS)
def test_stacks_of_tokens_of_both_depths_have_the_same_outcomes(name):
    atomic, exact = both(stacked(*STACKS[name]))
    assert atomic == exact
    assert 2 < len(atomic)


def test_what_others_see_of_a_stack_that_waits_is_the_same_at_both_depths():
    """Who waits for its upper token has lost the lower one, though it takes that for a moment."""

    def body(m, log):
        a, b, diary = m.token("a"), m.token("b"), Diary(m, log)

        def both_tokens():
            with a, b:
                diary.note("x")

        m.spawn(both_tokens)
        m.spawn(trier, a, diary, "a")
        brief_writer(b, diary, "b")

    atomic, exact = both(body)
    assert atomic == exact


@pytest.mark.parametrize("lower", ["acquire", "acquire_shared"])
def test_two_tokens_in_opposite_orders_have_the_same_outcomes_at_both_depths(lower):
    def body(m, log):
        a, b, diary = m.token("a"), m.token("b"), Diary(m, log)

        def nest(first, second, name):
            getattr(first, lower)()
            diary.note(f"{name}1")
            second.acquire()
            diary.note(f"{name}2")
            second.release()
            first.release()

        m.spawn(nest, a, b, "x")
        nest(b, a, "y")

    atomic, exact = both(body)
    assert atomic == exact


@pytest.mark.parametrize(("locks", "fails"), [("exact", True), ("atomic", False)])
@pytest.mark.parametrize("sort", ["spinlock", "token"])
def test_a_try_fails_on_a_reader_who_backs_off_at_the_exact_depth_only(sort, locks, fails):
    """Nobody holds the lock, and a try fails before another succeeds: a deviation of the atomic depth."""

    def body(m, log):
        lock, diary, free = getattr(m, sort)("l"), Diary(m, log), m.atomic(0, "free")

        def owner():
            lock.acquire()
            lock.release()
            free.store(1)

        def trier_twice():
            while not free.load():
                m.pause()
            trier(lock, diary, "a")
            trier(lock, diary, "b")

        m.spawn(owner)
        m.spawn(brief_reader, lock, diary, "r")
        trier_twice()

    seen = outcomes(body, locks, "surw", 4000)[0]
    assert fails is (("a!", "b+", "r") in seen)
