"""Lost wakeups: who sleeps on though it happened."""

from types import SimpleNamespace

import pytest

import vmsmp
from verdicts import found, silent
from vmsmp import PINTERLOCKED
from vmsmp.check.looks import Looks
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


class Log(list):
    """A log that counts how many entries are looked at."""

    looked = 0

    def __getitem__(self, at):
        self.looked += 1
        return super().__getitem__(at)


def test_a_log_is_read_once_however_often_a_cpu_sleeps():
    log = Log()
    machine = SimpleNamespace(engine=SimpleNamespace(log=log, controlled=True), words={})
    looks = Looks(machine)
    word = ops.identity(0, 1)
    for turn in range(300):
        log += [-1 - turn % 2, ops.op(word, ops.ATOMIC_LOAD), ops.op(word, ops.ATOMIC_STORE)]
        looks.read_to(len(log))
        assert len(log) - 1 == looks.looked[turn % 2][word]
    assert len(log) == log.looked


# -- protocols of users ---------------------------------------------------------------------------


def flagged(m, sleeper, waker):
    """A flag, one CPU that waits for it and one that sets it."""
    flag = m.atomic(0, "flag")
    m.spawn(sleeper, flag)
    m.spawn(waker, flag)
    m.join()


def looks_and_sleeps(m):
    """Tests once, with no interlock before the test."""

    def sleeper(flag):
        if not flag.load():
            m.tsleep("x")

    def waker(flag):
        flag.store(1)
        m.wakeup("x")

    flagged(m, sleeper, waker)


def interlocks_after_the_test(m):
    def sleeper(flag):
        while not flag.load():
            m.tsleep_interlock("x")
            m.tsleep("x", PINTERLOCKED)

    def waker(flag):
        flag.store(1)
        m.wakeup("x")

    flagged(m, sleeper, waker)


def wakes_before_the_change(m):
    def sleeper(flag):
        m.tsleep_interlock("x")
        while not flag.load():
            m.tsleep("x", PINTERLOCKED)
            m.tsleep_interlock("x")

    def waker(flag):
        m.wakeup("x")
        flag.store(1)

    flagged(m, sleeper, waker)


def sleeps_again_without_a_look(m):
    def sleeper(flag):
        while not flag.load():
            m.tsleep_interlock("x")
            if not flag.load():
                m.tsleep("x", PINTERLOCKED)
                m.tsleep("x")  # for the second half, which may have come

    def waker(flag):
        flag.store(1)
        m.wakeup("x")
        flag.store(2)
        m.wakeup("x")

    flagged(m, sleeper, waker)


def sleeps_without_any_test(m):
    m.spawn(m.tsleep, "x")
    m.wakeup("x")
    m.join()


def wakes_another_channel(m):
    def sleeper(flag):
        m.tsleep_interlock("x")
        while not flag.load():
            m.tsleep("x", PINTERLOCKED)
            m.tsleep_interlock("x")

    def waker(flag):
        flag.store(1)
        m.wakeup("y")

    flagged(m, sleeper, waker)


def looks_under_a_lock_and_sleeps_outside(m):
    lock, items = m.spinlock("l"), []

    def consumer():
        with lock:
            empty = not items
        if empty:
            m.tsleep("x")

    def producer():
        with lock:
            items.append(1)
        m.wakeup("x")

    m.spawn(consumer)
    m.spawn(producer)
    m.join()


def comes_late_to_a_broadcast(m):
    opened = m.cell(0, "opened")

    def waiter():
        if not opened.load():
            m.tsleep("x")

    def opener():
        opened.store(1)
        m.wakeup("x")

    for role in (waiter, waiter, opener):
        m.spawn(role)
    m.join()


EARLY = "x: its wakeup came before the sleep"
SILENT = "x: what it had looked at changed, and no wakeup followed"
PASSED = "x: its wakeup went to another CPU"
PROTOCOLS = pytest.mark.parametrize(
    ("program", "messages"),
    [
        (looks_and_sleeps, {EARLY}),
        (interlocks_after_the_test, {EARLY}),
        (wakes_before_the_change, {EARLY, SILENT}),
        (sleeps_again_without_a_look, {EARLY}),
        (sleeps_without_any_test, {EARLY}),
        (wakes_another_channel, {SILENT}),
        (looks_under_a_lock_and_sleeps_outside, {EARLY}),
        (comes_late_to_a_broadcast, {EARLY, PASSED}),
    ],
)


@DEPTHS
@PROTOCOLS
def test_a_wakeup_that_a_user_s_protocol_loses_is_called_that(program, messages, locks):
    result = vmsmp.explore(program, locks=locks, schedules=400, stop="never", sched="random")
    assert messages >= {f.message for f in result.failures}
    assert {"lost-wakeup"} == {f.kind for f in result.failures}


@DEPTHS
@PROTOCOLS
def test_the_facts_name_the_wakeup_or_the_change(program, messages, locks):
    failure = vmsmp.explore(program, locks=locks, schedules=400, sched="random").failure
    assert any("sent a wakeup to" in fact or "sent no wakeup after" in fact for fact in failure.facts)


@pytest.mark.parametrize(
    "program",
    [
        looks_and_sleeps,
        interlocks_after_the_test,
        wakes_before_the_change,
        sleeps_without_any_test,
        sleeps_again_without_a_look,
        wakes_another_channel,
        looks_under_a_lock_and_sleeps_outside,
    ],
)
def test_the_verdict_does_not_depend_on_the_order_of_independent_steps(program):
    everything = vmsmp.explore(program, sched="dfs", schedules=60_000, stop="never")
    orders = vmsmp.explore(program, sched="dpor", schedules=60_000, stop="never")
    assert (True, True, set(everything.counts)) == (
        everything.exhausted,
        orders.exhausted,
        set(orders.counts),
    )


# -- waits that are right -------------------------------------------------------------------------


@DEPTHS
def test_a_timed_wait_over_plain_data_under_a_spinlock_is_silent(locks):
    """The wakeup comes after the look, but tells of nothing that the sleeper has not seen."""

    def program(m):
        lock, data = m.spinlock("l"), {"mine": 0, "other": 0}

        def sleeper():
            for _ in range(2):
                lock.acquire()
                if data["mine"]:
                    lock.release()
                    return
                m.tsleep_interlock("x")
                lock.release()
                m.tsleep("x", PINTERLOCKED, "", 5)

        def waker(name):
            with lock:
                data[name] = 1
            m.wakeup("x")

        m.spawn(sleeper)
        m.spawn(waker, "other")
        m.join()

    silent(program, locks=locks, schedules=600)


@DEPTHS
def test_a_cpu_that_is_only_interlocked_does_not_hide_a_loss(locks):
    def program(m):
        flag = m.atomic(0, "flag")

        def bystander():
            m.tsleep_interlock("x")
            m.yield_()
            m.tsleep("x", PINTERLOCKED, "", 3)

        def sleeper():
            if not flag.load():
                m.tsleep("x", 0, "", 20)

        def waker():
            flag.store(1)
            m.wakeup("x")

        for role in (bystander, sleeper, waker):
            m.spawn(role)
        m.join()

    found(program, "lost-wakeup", EARLY, locks=locks, schedules=2_000)


@DEPTHS
def test_a_sleep_to_which_nobody_sends_a_wakeup_is_a_deadlock(locks):
    def program(m):
        flag = m.atomic(0, "flag")

        def sleeper():
            while not flag.load():
                m.tsleep("x")

        m.spawn(sleeper)
        m.join()

    failure = found(program, "deadlock", "no CPU can run; waited for: x", locks=locks)
    assert "nobody sent a wakeup to x" in failure.facts
