"""The machine makes each primitive once, at the depth of its options."""

import time

import pytest

import vmsmp
import vmsmp.machine
from lock_runs import DEPTHS, alone, delay, once
from vmsmp import EINTR, ERESTART, EWOULDBLOCK, PCATCH
from vmsmp.sync import machine as sync_machine
from vmsmp.sync.errno import PDOMAIN_UMTX, PDOMAIN_XLOCK


@DEPTHS
def test_parallel_cpus_that_sleep_for_the_first_time_share_one_set_of_queues(locks, monkeypatch):
    """A constructor that takes its time shows what two CPUs at once would make of it."""
    name = {"atomic": "AtomicSleepQueues", "exact": "ExactSleepQueues"}[locks]
    make = getattr(sync_machine, name)

    def slowly(machine):
        time.sleep(0.02)
        return make(machine)

    monkeypatch.setattr(sync_machine, name, slowly)
    seen = []

    def program(m):
        for _ in range(2):
            m.spawn(lambda: seen.append(m.sleepq))
        m.join()

    assert None is vmsmp.run(program, engine="free", locks=locks).failure
    assert seen[0] is seen[1]


@pytest.mark.parametrize(
    ("make", "depths"),
    [
        (lambda m: m.spinlock(), {"exact": "ExactSpinlock", "atomic": "AtomicSpinlock"}),
        (lambda m: m.token(), {"exact": "ExactToken", "atomic": "AtomicToken"}),
        (lambda m: m.lockmgr(), {"exact": "ExactLockmgr", "atomic": "AtomicLockmgr"}),
        (lambda m: m.mutex(), {"exact": "ExactMutex", "atomic": "AtomicMutex"}),
        (lambda m: m.refcount(), {"exact": "ExactRefcount", "atomic": "AtomicRefcount"}),
        (lambda m: m.sleepq, {"exact": "ExactSleepQueues", "atomic": "AtomicSleepQueues"}),
        (lambda m: m.condvar(), {"exact": "ExactCondvar", "atomic": "AtomicCondvar"}),
        (lambda m: m.semaphore(1), {"exact": "ExactSemaphore", "atomic": "AtomicSemaphore"}),
        (lambda m: m.barrier(1), {"exact": "ExactBarrier", "atomic": "AtomicBarrier"}),
        (lambda m: m.rwlock(), {"exact": "ExactRwLock", "atomic": "AtomicRwLock"}),
        (lambda m: m.futexes, {"exact": "ExactFutexes", "atomic": "AtomicFutexes"}),
    ],
    ids=[
        *("spinlock", "token", "lockmgr", "mutex", "refcount", "sleepq"),
        *("condvar", "semaphore", "barrier", "rwlock", "futexes"),
    ],
)
@DEPTHS
def test_a_primitive_is_of_the_machine_s_depth(make, depths, locks):
    assert [depths[locks]] == alone(lambda m, seen: seen.append(type(make(m)).__name__), locks)


@DEPTHS
def test_the_sleep_queues_are_made_once(locks):
    assert [True] == alone(lambda m, seen: seen.append(m.sleepq is m.sleepq), locks)


@DEPTHS
def test_the_queues_of_futexes_are_made_once(locks):
    assert [True] == alone(lambda m, seen: seen.append(m.futexes is m.futexes), locks)


@DEPTHS
def test_the_names_of_the_contract_are_taken(locks):
    def program(m, seen):
        word, other = m.atomic(0, name="word"), m.atomic(0, name="other")
        seen.append(m.futex_wait(atomic=word, expected=1, timo=1))
        seen.append(m.futex_wake(atomic=word, n=1))
        seen.append(m.futex_requeue(word, other))
        seen.append(m.semaphore(n=1, name="s").acquire(timo=1))
        seen.append(m.barrier(n=1).wait())
        with m.lockmgr("l") as lock:
            seen.append(m.condvar(name="cv").wait(lock=lock, timo=1))

    seen = []
    once(lambda m: program(m, seen), locks, check=False)
    assert [vmsmp.EAGAIN, 0, 0, 0, True, vmsmp.EWOULDBLOCK] == seen


@DEPTHS
def test_a_pool_token_is_made_once_for_each_slot(locks):
    def program(m, seen):
        seen.append(m.pool_token_of(3) is m.pool_token_of(3))
        seen.append(m.pool_token_of(3) is m.pool_token_of(4))

    assert [True, False] == alone(program, locks)


@DEPTHS
def test_a_signal_to_a_cpu_that_never_used_a_primitive_is_kept(locks):
    def program(m, seen):
        other = m.spawn(lambda: seen.append(m.tsleep("x", PCATCH)))
        m.signal(other)
        m.join()

    assert [EINTR] == alone(program, locks)


@DEPTHS
def test_a_signal_may_have_the_call_restarted(locks):
    def program(m, seen):
        other = m.spawn(lambda: seen.append(m.tsleep("x", PCATCH)))
        m.signal(other, restart=True)
        m.join()

    assert [ERESTART] == alone(program, locks)


@DEPTHS
@pytest.mark.parametrize("sched", ["dfs", "dpor"])
def test_signals_right_after_spawn_are_kept_in_every_schedule(locks, sched):
    def program(m):
        sleeper = m.spawn(lambda: m.tsleep("c", PCATCH))
        m.spawn(lambda: m.signal(sleeper))
        m.join()

    result = vmsmp.explore(program, sched=sched, schedules=5000, locks=locks)
    assert ([], True) == (result.failures, result.exhausted)


@DEPTHS
def test_dpor_fails_where_a_signal_comes_too_early_for_its_sleep(locks):
    """One signal for two sleeps: only an order in which a timeout ends one of them is well."""

    def program(m):
        state = m.atomic(0, "state")

        def sleeps():
            state.store(1)
            m.tsleep("c", PCATCH)
            state.store(2)

        sleeper = m.spawn(sleeps)

        def sends():
            seen = state.load()
            m.signal(sleeper)
            m.check(seen != 1, "it came before the sleep")

        m.spawn(sends)
        m.join()

    assert None is not vmsmp.explore(program, sched="dfs:2", schedules=5000, locks=locks).failure
    assert None is not vmsmp.explore(program, sched="dpor", schedules=5000, locks=locks).failure


@DEPTHS
@pytest.mark.parametrize(
    ("form", "arguments", "woken"),
    [
        ("wakeup_domain", ("x", PDOMAIN_UMTX), True),
        ("wakeup_domain_one", ("x", PDOMAIN_UMTX), True),
        ("wakeup_domain", ("x", PDOMAIN_XLOCK), False),
        ("wakeup", ("x",), False),
        ("wakeup_mycpu", ("x",), False),
        ("wakeup_mycpu_one", ("x",), False),
    ],
    ids=["domain", "domain one", "other domain", "no domain", "own CPU", "own CPU one"],
)
def test_who_is_woken_by_which_form(locks, form, arguments, woken):
    def program(m, seen):
        m.spawn(lambda: seen.append(m.tsleep("x", PDOMAIN_UMTX, "", 9)))
        delay(m, 1)
        getattr(m, form)(*arguments)
        m.join()

    assert [0 if woken else EWOULDBLOCK] == alone(program, locks, check=False)


@DEPTHS
@pytest.mark.parametrize("form", ["wakeup_oncpu", "wakeup_oncpu_one"])
def test_a_cpu_can_be_named(locks, form):
    def program(m, seen):
        cpus = [m.spawn(lambda n=n: seen.append((n, m.tsleep("x", 0, "", 9)))) for n in range(2)]
        delay(m, 1)
        getattr(m, form)(cpus[1], "x")
        m.join()

    assert [(1, 0), (0, EWOULDBLOCK)] == alone(program, locks, check=False)
