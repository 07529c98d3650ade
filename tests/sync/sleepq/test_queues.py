"""The steps of a sleep at either depth: how it ends, what a wakeup reaches, the interlock."""

import subprocess
import sys

import pytest

import vmsmp
import vmsmp.machine
from lock_runs import DEPTHS, SCHEDULES, delay, failure_of, once
from vmsmp import EINTR, EWOULDBLOCK, PCATCH, PINTERLOCKED
from vmsmp.patches.patch import Mutant
from vmsmp.sync.errno import PWAKEUP_ONE
from vmsmp.sync.thread import TDF_TSLEEPQ


@DEPTHS
def test_a_woken_sleep_returns_zero(locks):
    seen = []

    def program(m):
        m.spawn(lambda: seen.append(m.tsleep("x")))
        delay(m, 1)
        m.wakeup("x")
        m.join()

    once(program, locks)
    assert [0] == seen


@DEPTHS
def test_a_sleep_that_times_out_would_block_and_time_has_passed(locks):
    seen = []
    once(lambda m: seen.append((m.tsleep("x", 0, "", 7), m.ticks)), locks)
    assert [(EWOULDBLOCK, 7)] == seen


@DEPTHS
def test_a_wakeup_before_the_timeout_ends_the_sleep_with_zero(locks):
    seen = []

    def program(m):
        m.spawn(lambda: seen.append((m.tsleep("x", 0, "", 7), m.ticks)))
        delay(m, 3)
        m.wakeup("x")
        m.join()

    once(program, locks)
    assert [(0, 3)] == seen


@DEPTHS
def test_timeouts_come_in_order_of_their_deadlines(locks):
    seen = []

    def program(m):
        for n in (5, 2, 9):
            m.spawn(lambda n=n: (m.tsleep(f"x{n}", 0, "", n), seen.append((n, m.ticks))))
        m.join()

    once(program, locks)
    assert [(2, 2), (5, 5), (9, 9)] == seen


@DEPTHS
def test_time_stands_still_while_anybody_can_run(locks):
    ticks = []

    def program(m):
        word = m.atomic(0)
        m.spawn(lambda: m.tsleep("x", 0, "", 1))
        for _ in range(50):
            word.fetchadd(1)
            m.yield_()
        ticks.append(m.ticks)
        m.join()

    once(program, locks)
    assert [0] == ticks


@DEPTHS
@SCHEDULES
def test_with_timeouts_at_any_time_a_sleep_may_end_early_or_be_woken(locks, sched):
    seen = set()

    def program(m):
        m.spawn(lambda: seen.add(m.tsleep("x", 0, "", 5)))
        delay(m, 1)
        m.wakeup("x")
        m.join()

    # The wakeup may come too early here, which the checkers would say.
    vmsmp.explore(program, sched=sched, schedules=100, locks=locks, timeouts="any", check=False)
    assert {0, EWOULDBLOCK} == seen


@DEPTHS
def test_a_spurious_end_of_a_sleep_is_a_zero_with_no_wakeup(locks):
    seen = []

    def program(m):
        m.spawn(lambda: seen.append(m.tsleep("x")))
        for _ in range(20):
            m.yield_()
        m.join()

    vmsmp.explore(program, sched="random", schedules=20, stop="never", locks=locks, spurious=True)
    assert {0} == set(seen)


@DEPTHS
def test_a_signal_ends_a_sleep_that_catches_it(locks):
    seen = []

    def program(m):
        sleeper = m.spawn(lambda: seen.append(m.tsleep("x", PCATCH)))
        delay(m, 1)
        m.signal(sleeper)
        m.join()

    once(program, locks)
    assert [EINTR] == seen


@DEPTHS
def test_a_pending_signal_keeps_a_cpu_from_sleeping(locks):
    seen = []

    def program(m):
        def sleeper():
            m.tsleep_interlock("other")
            delay(m, 2)
            seen.append((m.tsleep("x", PCATCH), m.ticks))

        cpu = m.spawn(sleeper)
        m.yield_()
        m.signal(cpu)
        m.join()

    once(program, locks)
    assert [EINTR] == [error for error, _ in seen]


@DEPTHS
def test_a_signal_does_not_end_a_sleep_that_does_not_catch_it(locks):
    order = []

    def program(m):
        sleeper = m.spawn(lambda: order.append(("sleeper", m.tsleep("x"))))
        delay(m, 1)
        m.signal(sleeper)
        delay(m, 1)
        order.append("wakeup")
        m.wakeup("x")
        m.join()

    once(program, locks)
    assert ["wakeup", ("sleeper", 0)] == order


@DEPTHS
def test_a_wakeup_reaches_all_that_sleep_on_the_ident_and_nobody_else(locks):
    seen = []

    def program(m):
        for name, ident in (("a", "x"), ("b", "y"), ("c", "x")):
            m.spawn(lambda n=name, i=ident: (m.tsleep(i), seen.append(n)))
        delay(m, 1)
        m.wakeup("x")
        delay(m, 1)
        seen.append("then")
        m.wakeup("y")
        m.join()

    once(program, locks)
    assert ["a", "c", "then", "b"] == seen


@DEPTHS
def test_wakeup_one_reaches_at_least_one_and_what_is_left_can_be_woken(locks):
    seen = []

    def program(m):
        for _ in range(2):
            m.spawn(lambda: (m.tsleep("x"), seen.append(m.ticks)))
        delay(m, 1)
        m.wakeup_one("x")
        delay(m, 1)
        m.wakeup("x")
        m.join()

    once(program, locks)
    assert 1 == seen[0]


@DEPTHS
def test_one_that_is_merely_interlocked_does_not_use_up_a_wakeup_one(locks):
    """SL-07: it may not sleep at all, and the one that does must not be forgotten."""
    seen = []

    def program(m):
        def announces():
            m.tsleep_interlock("x")
            delay_until.append(m.curcpu.index)
            while not go.load():
                m.pause()

        delay_until = []
        go = m.atomic(0)
        m.spawn(announces)
        m.yield_()
        m.spawn(lambda: (m.tsleep("x"), seen.append("woken")))
        m.yield_()
        m.wakeup_one("x")
        go.store(1)
        m.join()

    once(program, locks)
    assert ["woken"] == seen


@DEPTHS
def test_a_wakeup_reaches_only_its_own_domain(locks):
    seen = []
    domain = 0x00100000

    def program(m):
        m.spawn(lambda: (m.tsleep("x", domain), seen.append("woken")))
        delay(m, 1)
        m.wakeup("x")
        delay(m, 1)
        seen.append("other domain")
        m.sleepq.wakeup("x", domain)
        m.join()

    once(program, locks)
    assert ["other domain", "woken"] == seen


@DEPTHS
def test_a_wakeup_that_finds_nobody_does_nothing(locks):
    once(lambda m: (m.wakeup("x"), m.wakeup_one("x"), m.sleepq.wakeup("x", PWAKEUP_ONE)), locks)


@DEPTHS
def test_a_wakeup_after_the_interlock_ends_the_sleep_before_it_begins(locks):
    seen = []

    def program(m):
        go = m.atomic(0)

        def sleeper():
            m.tsleep_interlock("x")
            while not go.load():
                m.pause()
            seen.append((m.tsleep("x", PINTERLOCKED, "", 5), m.ticks))

        m.spawn(sleeper)
        m.yield_()
        m.wakeup("x")
        go.store(1)
        m.join()

    once(program, locks)
    assert [(0, 0)] == seen


@DEPTHS
def test_a_wakeup_before_the_interlock_is_not_kept(locks):
    seen = []

    def program(m):
        m.wakeup("x")
        m.tsleep_interlock("x")
        seen.append(m.tsleep("x", PINTERLOCKED, "", 5))

    vmsmp.explore(program, schedules=1, locks=locks, check=False)
    assert [EWOULDBLOCK] == seen


@DEPTHS
def test_a_sleep_on_another_ident_than_the_interlock_returns_at_once(locks):
    seen = []

    def program(m):
        m.tsleep_interlock("x")
        seen.append((m.tsleep("y", PINTERLOCKED, "", 5), m.ticks))

    once(program, locks, check=False)  # a checker calls it misuse
    assert [(0, 0)] == seen


@DEPTHS
@pytest.mark.parametrize("announced", [None, "x"])
def test_a_sleep_that_says_it_was_announced_and_was_not_is_misuse(announced, locks):
    def program(m):
        if announced is not None:
            m.tsleep_interlock(announced)
        m.tsleep("y", PINTERLOCKED, "", 5)

    message = "tsleep on y with PINTERLOCKED, which was not interlocked"
    assert message == failure_of(program, locks).message


@DEPTHS
def test_an_announcement_is_good_for_one_sleep(locks):
    def program(m):
        m.tsleep_interlock("y")
        m.tsleep("y", PINTERLOCKED, "", 2)
        m.tsleep("y", PINTERLOCKED, "", 2)

    assert "lock-misuse" == failure_of(program, locks).kind


@DEPTHS
def test_an_announcement_outlasts_a_sleep_for_a_lock(locks):
    def program(m):
        lock = m.lockmgr("l")

        def holder():
            with lock:
                m.tsleep("a while", 0, "", 3)

        m.spawn(holder)
        m.yield_()
        m.tsleep_interlock("y")
        with lock:
            pass
        m.tsleep("y", PINTERLOCKED, "", 2)
        m.join()

    assert [] == vmsmp.explore(program, sched="random", schedules=50, locks=locks).failures


@DEPTHS
def test_the_last_interlock_is_the_one_that_counts(locks):
    seen = []

    def program(m):
        go = m.atomic(0)

        def sleeper():
            m.tsleep_interlock("x")
            m.tsleep_interlock("y")
            while not go.load():
                m.pause()
            seen.append((m.tsleep("y", PINTERLOCKED, "", 5), m.ticks))

        m.spawn(sleeper)
        m.yield_()
        m.wakeup("x")  # not what it waits for any more
        go.store(1)
        delay(m, 1)
        m.wakeup("y")
        m.join()

    once(program, locks)
    assert [(0, 1)] == seen


def handshake(m):
    """The kernel's way to wait: announce, publish by an atomic that fails if it came true, sleep."""
    state = m.atomic(0, "state")  # 1 wanted, 2 done

    def sleeper():
        value = state.load()
        while value != 2:
            m.tsleep_interlock("x")
            done, value = state.fcmpset(value, 1)
            if done:
                m.tsleep("x", PINTERLOCKED)
                value = state.load()

    def waker():
        if state.swap(2) == 1:
            m.wakeup("x")

    m.spawn(sleeper)
    m.spawn(waker)
    m.join()


@DEPTHS
def test_a_wakeup_between_check_and_sleep_is_not_lost(locks):
    result = vmsmp.explore(handshake, sched="dfs", schedules=40_000, locks=locks)
    assert ([], True) == (result.failures, result.exhausted)


@DEPTHS
def test_a_wakeup_between_check_and_sleep_is_not_lost_between_parallel_cpus(locks):
    def program(m):
        for _ in range(30):
            handshake(m)

    assert None is vmsmp.run(program, engine="free", locks=locks).failure


@DEPTHS
def test_without_the_interlock_it_is_lost(locks):
    def program(m):
        state = m.atomic(0, "state")

        def sleeper():
            if state.cmpset(0, 1):
                m.tsleep("x")

        def waker():
            if state.swap(2) == 1:
                m.wakeup("x")

        m.spawn(sleeper)
        m.spawn(waker)
        m.join()

    result = vmsmp.explore(program, sched="dfs", schedules=2000, locks=locks)
    assert "lost-wakeup" == result.failure.kind


@DEPTHS
@SCHEDULES
def test_ping_pong_by_sleep_and_wakeup_ends_in_every_schedule(locks, sched):
    def program(m):
        turn = m.atomic(0, "turn")

        def player(me):
            for _ in range(2):
                while turn.load() != me:
                    m.tsleep_interlock(turn)
                    if turn.load() == me:
                        break
                    m.tsleep(turn, PINTERLOCKED)
                turn.store(1 - me)
                m.wakeup(turn)

        m.spawn(player, 0)
        m.spawn(player, 1)
        m.join()
        m.check(m.ticks == 0, "no timeout was needed")

    assert [] == vmsmp.explore(program, sched=sched, schedules=200, locks=locks).failures


@DEPTHS
@pytest.mark.parametrize("turns", [2, 3])
def test_a_spinner_may_wake_a_sleeper_whose_time_is_up_as_well(locks, turns):
    """In a process of its own: the failure to look for is that nothing comes back."""
    code = f"""
import vmsmp
import vmsmp.machine
def program(m):
    word = m.atomic(0)
    def spinner():
        for _ in range({turns}):
            if word.load():
                break
            m.pause()
        m.wakeup("x")
        word.store(2)
    def sleeper():
        m.tsleep("x", 0, "", 10)
        word.store(1)
    m.spawn(spinner)
    m.spawn(sleeper)
    m.join()
print(vmsmp.explore(program, sched="dfs:2", schedules=500, locks={locks!r}).failures)
"""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.fail("the search hangs: a CPU that had ended was picked")
    assert "[]" == done.stdout.strip(), done.stderr


def published_under_a_lock(m):
    """As `handshake`, but with a spinlock around the state: its release comes before the sleep."""
    lock, wanted, done = m.spinlock("s"), m.cell(False), m.cell(False)

    def sleeper():
        while True:
            lock.acquire()
            if done.load():
                lock.release()
                return
            m.tsleep_interlock("x")
            wanted.store(True)
            lock.release()
            m.tsleep("x", PINTERLOCKED)

    def waker():
        lock.acquire()
        done.store(True)
        wake = wanted.load()
        lock.release()
        if wake:
            m.wakeup("x")

    m.spawn(sleeper)
    m.spawn(waker)
    m.join()


@DEPTHS
@SCHEDULES
def test_a_wakeup_between_a_release_and_the_sleep_after_it_is_not_lost(locks, sched):
    result = vmsmp.explore(published_under_a_lock, sched=sched, schedules=300, locks=locks)
    assert [] == result.failures


SL_03 = (
    "SleepQueues.deschedule",
    "if not td.td_flags & TDF_TSLEEPQ:\n    return False\nif td.td_wchan != ident",
    "if td.td_flags & TDF_TSLEEPQ and td.td_wchan != ident",
)


HINT = (
    "ExactSleepQueues._wakeup_remote",
    "if hint.load() in (ident, MATCH_ALL):",
    "if hint.load() == MATCH_ALL:",
)


@pytest.mark.parametrize(
    ("locks", "guard"),
    [("atomic", SL_03), ("exact", SL_03), ("exact", HINT)],
    ids=["SL-03 atomic", "SL-03 exact", "hint"],
)
def test_each_guard_of_the_interlock_is_needed(locks, guard):
    function, old, new = guard
    mutant = Mutant("planted", f"vmsmp.sync.sleepq:{function}", old, new, "INV-SL3", "")
    with mutant.plant():
        result = vmsmp.explore(published_under_a_lock, sched="dfs:2", schedules=3000, locks=locks)
    assert result.failure is not None
    assert result.failure.kind in {"lost-wakeup", "deadlock"}


@DEPTHS
def test_an_interlock_on_the_same_ident_changes_nothing(locks):
    """A waker that came between two of them is not lost: the second one announces anew."""
    seen = []

    def program(m):
        m.tsleep_interlock("x")
        m.tsleep_interlock("x")
        seen.append(m.tsleep("x", PINTERLOCKED, "", 3))

    once(program, locks, check=False)
    assert [EWOULDBLOCK] == seen


def holding_while_a_sleeper_times_out(m, seen):
    """The first sleeper's time is up while the boot CPU has its token; the second is to be woken."""
    token, state = m.token("t"), m.atomic(0, "state")

    def timed():
        with token:
            seen.append(("timed", m.tsleep("x", 0, "", 5)))

    def untimed():
        seen.append(("untimed", m.tsleep("x")))

    m.spawn(timed)
    delay(m, 1)
    m.spawn(untimed)

    def clock():
        m.tsleep("clock", 0, "", 9)
        state.store(1)

    m.spawn(clock)
    with token:
        while not state.load():
            m.pause()
        m.wakeup_one("x")
    m.join()


@DEPTHS
def test_whose_time_is_up_is_off_the_queue_before_he_has_his_tokens(locks):
    """It would eat the wakeup_one that the other sleeper needs."""
    seen = []
    once(lambda m: holding_while_a_sleeper_times_out(m, seen), locks)
    assert [("timed", EWOULDBLOCK), ("untimed", 0)] == sorted(seen)


@DEPTHS
def test_woken_and_timed_out_at_once_would_block(locks):
    """A wakeup came in time, but the sleeper had to wait for its token until its time was up."""
    seen = []

    def program(m):
        token, state = m.token("t"), m.atomic(0, "state")

        def timed():
            with token:
                seen.append(m.tsleep("x", 0, "", 5))

        def clock():
            m.tsleep("clock", 0, "", 9)
            state.store(1)

        m.spawn(timed)
        m.spawn(clock)
        delay(m, 1)
        with token:
            m.wakeup_one("x")
            while not state.load():
                m.pause()
        m.join()

    once(program, locks)
    assert [EWOULDBLOCK] == seen


@DEPTHS
def test_a_signal_is_looked_at_only_if_there_was_no_error(locks):
    """The time is up, a signal comes before the sleeper runs: it is kept for the next sleep."""
    seen = []

    def program(m):
        token, state = m.token("t"), m.atomic(0, "state")

        def timed():
            with token:
                seen.append(m.tsleep("x", PCATCH, "", 5))
                seen.append(m.tsleep("x", PCATCH, "", 5))

        def clock():
            m.tsleep("clock", 0, "", 9)
            state.store(1)

        sleeper = m.spawn(timed)
        m.spawn(clock)
        delay(m, 1)
        with token:
            while not state.load():
                m.pause()
            m.signal(sleeper)
        m.join()

    once(program, locks)
    assert [EWOULDBLOCK, EINTR] == seen


@DEPTHS
def test_a_signal_does_not_take_the_sleeper_off_its_queue(locks):
    """Until it runs, and it waits for its token, a wakeup_one still reaches it."""
    woke = []

    def program(m):
        m.hooks.wakeup = (*m.hooks.wakeup, lambda cpu, ident, domain, n: woke.append(n))
        token = m.token("t")

        def catches():
            with token:
                woke.append(m.tsleep("x", PCATCH))

        sleeper = m.spawn(catches)
        delay(m, 1)
        with token:
            m.signal(sleeper)
            m.wakeup_one("x")
        m.join()

    once(program, locks)
    assert [1, EINTR] == woke


@DEPTHS
def test_a_sleep_that_a_pending_signal_prevents_leaves_the_thread_on_its_queue(locks):
    seen = []

    def program(m):
        m.signal(m.curcpu)
        error = m.tsleep("x", PCATCH)
        seen.append((error, bool(m.curcpu.td.td_flags & TDF_TSLEEPQ)))

    once(program, locks)
    assert [(EINTR, True)] == seen
