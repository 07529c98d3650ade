"""Lost wakeups: who sleeps on though it happened."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

import vmsmp
from verdicts import found, silent
from vmsmp import PINTERLOCKED
from vmsmp.check.wakeup import LostWakeup
from vmsmp.engine import ops

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])


def waiting(m, sleeper):
    """`sleeper(state)` waits for state 2, which the waker sets, waking if somebody published 1."""
    state = m.atomic(0, "state")

    def waker():
        if state.swap(2) == 1:
            m.wakeup("x")

    m.spawn(sleeper, state)
    m.spawn(waker)
    m.join()


@DEPTHS
@pytest.mark.parametrize("timo", [0, 10])
def test_a_wakeup_between_the_publication_and_a_plain_sleep_is_found(locks, timo):
    """With a timeout as well: the kernel would hide it behind one."""

    def program(m):
        def sleeper(state):
            while state.load() != 2:
                if state.cmpset(0, 1) or state.load() == 1:
                    m.tsleep("x", 0, "", timo)

        waiting(m, sleeper)

    failure = found(program, "lost-wakeup", "x: its wakeup came before the sleep", locks=locks)
    assert bool(timo) == any("only its timeout would wake it" in fact for fact in failure.facts)


@DEPTHS
def test_the_right_order_of_steps_is_silent(locks):
    def program(m):
        def sleeper(state):
            while state.load() != 2:
                m.tsleep_interlock("x")
                if state.cmpset(0, 1):
                    m.tsleep("x", PINTERLOCKED)

        waiting(m, sleeper)

    silent(program, locks=locks, sched="dfs", schedules=20_000)


@DEPTHS
def test_an_interlock_after_the_publication_is_found(locks):
    def program(m):
        def sleeper(state):
            if state.cmpset(0, 1):
                m.tsleep_interlock("x")
                m.tsleep("x", PINTERLOCKED)

        waiting(m, sleeper)

    found(program, "lost-wakeup", "x: its wakeup came before the sleep", locks=locks)


@DEPTHS
def test_who_looks_again_after_the_interlock_is_silent(locks):
    def program(m):
        flag = m.atomic(0)

        def sleeper():
            while not flag.load():
                m.tsleep_interlock("x")
                if not flag.load():
                    m.tsleep("x", PINTERLOCKED)

        def waker():
            flag.store(1)
            m.wakeup("x")

        m.spawn(sleeper)
        m.spawn(waker)
        m.join()

    silent(program, locks=locks, schedules=400)


@DEPTHS
def test_a_sleep_whose_owner_says_it_should_be_over_is_found(locks):
    def program(m):
        done = m.atomic(0)

        def sleeper():
            m.tsleep("x", overdue=lambda: "it is done" if done.peek() else None)

        m.spawn(sleeper)
        done.store(1)
        m.join()

    found(program, "lost-wakeup", "x: it is done", locks=locks)


@DEPTHS
def test_a_sleep_that_rightly_times_out_is_silent(locks):
    def program(m):
        def napper(n):
            m.check(m.tsleep(f"nap {n}", 0, "", n) == vmsmp.EWOULDBLOCK, "nobody wakes it")

        for n in (1, 5, 5):
            m.spawn(napper, n)
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_a_wakeup_of_another_ident_is_not_held_against_it(locks):
    def program(m):
        m.spawn(m.tsleep, "x", 0, "", 3)
        m.wakeup("y")
        m.join()

    silent(program, locks=locks)


@DEPTHS
def test_a_wakeup_of_another_domain_is_not_held_against_it(locks):
    def program(m):
        m.spawn(m.tsleep, "x", 0x00100000, "", 3)
        m.wakeup("x")
        m.join()

    silent(program, locks=locks)


def test_a_wait_for_a_lockmgr_lock_that_is_free_is_found():
    """LK-16: a downgrade that forgets those who wait."""
    from vmsmp.patches.patch import Mutant

    planted = Mutant(
        "LK-16",
        "vmsmp.sync.lockmgr.release:lockmgr_downgrade",
        "lkp.machine.wakeup(lkp)",
        "pass",
        "INV-LK7",
        "",
    )

    def program(m):
        lock = m.lockmgr("l")

        def reader():
            lock.acquire_shared()
            m.wakeup("read")
            lock.release()

        lock.acquire()
        m.spawn(reader)
        m.tsleep("until it waits", 0, "", 1)
        lock.downgrade()
        m.tsleep("read", 0, "", 5)
        lock.release()
        m.join()

    with planted.plant():
        found(program, "lost-wakeup", "l: it holds the lock shared", locks="exact")


# -- what it costs --------------------------------------------------------------------------------


def compared(turns, *, asleep, called):
    """How often an ident is compared while a CPU calls and sleeps in turn: the idents count that."""
    count = 0

    class Ident(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            nonlocal count
            count += 1
            return str.__eq__(self, other)

    def program(m):
        nap, nobody = Ident(asleep), Ident(called)

        def sender():
            for _ in range(turns):
                m.wakeup(nobody)
                m.tsleep(nap, 0, "", 1)

        m.spawn(sender)
        m.join()

    assert vmsmp.explore(program, sched="random", schedules=1).failure is None
    return count


def test_a_sleeper_is_not_held_against_wakeups_on_other_idents():
    assert compared(200, asleep="nap", called="nobody") <= 2 * compared(100, asleep="nap", called="nobody")


def test_a_sleeper_is_held_against_each_wakeup_on_its_ident_once():
    assert compared(200, asleep="nap", called="nap") <= 3 * compared(100, asleep="nap", called="nap")


@dataclass(frozen=True)
class Sleeper:
    index: int


class Log(list):
    """A log that counts how many entries are looked at."""

    looked = 0

    def __getitem__(self, at):
        self.looked += 1
        return super().__getitem__(at)


def test_a_log_is_read_once_for_each_sleeper_however_often_it_sleeps():
    log = Log()
    machine = SimpleNamespace(engine=SimpleNamespace(log=log, controlled=True), words={})
    sleepers = [Sleeper(0), Sleeper(1)]
    judge = LostWakeup()
    judge.begin(machine)
    word = ops.identity(0, 1)
    for turn in range(300):
        log += [-1 - turn % 2, ops.op(word, ops.ATOMIC_LOAD), ops.op(word, ops.ATOMIC_STORE)]
        seen = [judge._last_read(machine, cpu) for cpu in sleepers]
        mine = len(log) - 2
        assert mine == seen[turn % 2]
        assert (mine - 3 if turn else -1) == seen[1 - turn % 2]
    assert 2 * len(log) == log.looked
