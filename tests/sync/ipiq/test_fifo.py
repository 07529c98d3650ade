"""IPIs that run a function on other CPUs: when they are taken, by whom, and what waits for them."""

import pytest

import vmsmp
from lock_runs import DEPTHS, alone, failure_of, once
from vmsmp import PINTERLOCKED
from vmsmp.sync.ipiq import lwkt_send_ipiq, lwkt_send_ipiq_mask, lwkt_wait_ipiq
from vmsmp.sync.thread import crit_enter, crit_exit, curthread, thread_of

SEARCHES = pytest.mark.parametrize("sched", ["random", "dfs:1", "dpor"])


def passes(program, locks, sched="random", schedules=300, **options):
    result = vmsmp.explore(program, sched=sched, schedules=schedules, locks=locks, **options)
    assert [] == [(f.message, f.facts) for f in result.failures]


def waits_somehow(wait):
    """A program in which CPU 1 is in `wait(m)` when the boot CPU has it run a function and waits for that."""

    def program(m):
        ran = []
        target = m.spawn(wait, m)
        m.yield_()
        seq = m.send_ipiq(target, lambda: ran.append(m.curcpu.index))
        m.wait_ipiq(target, seq)
        m.check(ran == [1], "the target ran it before the wait was over")
        m.wakeup("over")

    return program


def sleeps(m):
    m.tsleep("over", 0, "over", 100)


def spins(m):
    flag = m.atomic(0)
    for _ in range(3):
        flag.load()
        m.pause()


def joins(m):
    m.spawn(m.tsleep, "over", 0, "over", 100).join()


WAYS = {
    "ends": lambda m: None,
    "sleeps": sleeps,
    "spins": spins,
    "joins": joins,
    "yields": lambda m: m.yield_(),
}


@DEPTHS
@SEARCHES
@pytest.mark.parametrize("way", WAYS)
def test_a_cpu_takes_ipis_wherever_it_waits(way, locks, sched):
    passes(waits_somehow(WAYS[way]), locks, sched, 100)


def waits_for_a_lock(kind):
    """The holder of a lock has the CPU that waits for it run a function, and waits for that."""

    def program(m):
        ran = m.cell(0, name="ran")
        lock = getattr(m, kind)()
        lock.acquire()

        def waiter():
            with lock:
                m.check(ran.load() == 1, "the function ran before the lock was free")

        target = m.spawn(waiter)
        m.yield_()
        m.wait_ipiq(target, m.send_ipiq(target, lambda: ran.store(1)))
        lock.release()

    return program


@DEPTHS
@SEARCHES
@pytest.mark.parametrize("kind", ["token", "lockmgr", "mutex", "rwlock"])
def test_a_cpu_that_waits_for_a_lock_takes_ipis(kind, locks, sched):
    passes(waits_for_a_lock(kind), locks, sched, 60)


@DEPTHS
def test_a_cpu_that_sleeps_and_then_waits_for_its_tokens_takes_ipis(locks):
    def program(m):
        token = m.token()

        def sleeper():
            with token:
                m.tsleep("x", 0, "x", 1)

        target = m.spawn(sleeper)
        m.tsleep("later", 0, "later", 3)
        with token:
            m.wait_ipiq(target, m.send_ipiq(target, lambda: None))

    passes(program, locks)


@DEPTHS
def test_who_waits_for_a_spinlock_takes_no_ipi_before_it_has_it(locks):
    def program(m):
        spin = m.spinlock()
        seen = []
        spin.acquire()

        def waiter():
            with spin:
                seen.append("lock")

        target = m.spawn(waiter)
        m.yield_()
        m.send_ipiq(target, seen.append, "ipi")
        m.yield_()
        m.check(seen == [] or seen == ["ipi"], "the ipi came before the spinlock was asked for")
        spin.release()
        m.join()
        m.check(sorted(seen) == ["ipi", "lock"], "both happened")

    passes(program, locks)


def test_a_waiter_for_a_held_spinlock_holds_ipis_off():
    def program(m):
        spin = m.spinlock()
        spin.acquire()
        target = m.spawn(spin.acquire)
        m.yield_()
        m.wait_ipiq(target, m.send_ipiq(target, lambda: None))

    failure = failure_of(program, "atomic", sched="dfs:0", schedules=1)
    assert failure.kind in ("deadlock", "livelock")


@DEPTHS
def test_the_function_runs_on_its_target_with_its_arguments(locks):
    seen = []

    def program(m):
        target = m.spawn(lambda: None)
        m.send_ipiq(target, lambda *args: seen.append((m.curcpu.index, args)), 3, "x")

    once(program, locks)
    assert [(1, (3, "x"))] == seen


@DEPTHS
def test_a_mask_begins_with_the_own_cpu_and_goes_upwards(locks):
    sent = []

    def program(m):
        def sender():
            sent.append(m.send_ipiq_mask(0b1111, lambda: order.append(m.curcpu.index)))

        order = []
        m.spawn(lambda: None)
        m.spawn(sender)
        m.spawn(lambda: None)
        m.join()
        sent.append(sorted(order))
        sent.append(order[0])

    once(program, locks)
    assert [4, [0, 1, 2, 3], 2] == sent


@DEPTHS
def test_a_mask_with_a_cpu_that_is_not_there_is_refused(locks):
    failure = failure_of(lambda m: lwkt_send_ipiq_mask(m, 0b100, lambda: None), locks, schedules=1)
    assert "ValueError: CPU mask 0x4: the machine has 1 CPUs so far" in failure.message


@DEPTHS
def test_an_ipi_may_be_late(locks):
    seen = set()

    def program(m):
        done = m.atomic(0)
        m.spawn(lambda: done.store(1))
        m.send_ipiq(m.cpus[1], lambda: seen.add(done.peek()))
        m.join()

    passes(program, locks, "dfs:2")
    assert {1} == seen  # a program that looks nowhere takes it at its end


@DEPTHS
def test_splz_takes_what_has_come(locks):
    seen = set()

    def program(m):
        done = m.atomic(0)

        def target():
            m.splz()
            done.store(1)

        m.spawn(target)
        m.send_ipiq(m.cpus[1], lambda: seen.add(done.peek()))
        m.join()

    passes(program, locks, "dfs:2")
    assert {0, 1} == seen


@DEPTHS
@SEARCHES
def test_what_came_before_the_send_comes_before_the_function(locks, sched):
    def program(m):
        word = m.cell(0, name="word")
        target = m.spawn(lambda: None)
        word.store(1)
        seq = m.send_ipiq(target, lambda: word.store(word.load() + 1))
        m.wait_ipiq(target, seq)
        m.check(word.load() == 2, "the function is done, and seen to be")

    passes(program, locks, sched, races=True)


@DEPTHS
def test_without_a_wait_nothing_orders_what_the_function_did(locks):
    def program(m):
        word = m.cell(0, name="word")
        target = m.spawn(lambda: m.tsleep("x", 0, "x", 1))
        m.yield_()
        m.send_ipiq(target, lambda: word.store(1))
        word.load()

    assert "data-race" == failure_of(program, locks, schedules=300, races=True).kind


@DEPTHS
@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        (lambda m: m.tsleep("x"), "Attempt to switch from a fast interrupt, ipi, or hard code section"),
        (lambda m: m.token("t").acquire(), "wanted from interrupt, ipi, or hard code section"),
        (lambda m: m.token("t").acquire_shared(), "wanted from interrupt, ipi, or hard code section"),
        (lambda m: m.lockmgr("l").acquire(), "called from interrupt, ipi, or hard code section"),
    ],
    ids=["tsleep", "token", "token-shared", "lockmgr"],
)
def test_a_function_may_not_block(blocks, told, locks):
    def program(m):
        target = m.spawn(lambda: None)
        m.send_ipiq(target, blocks, m)
        m.join()

    failure = failure_of(program, locks, sched="dfs:0", schedules=1)
    assert ("check", True) == (failure.kind, told in failure.message)


@DEPTHS
def test_a_function_may_take_spinlocks_try_tokens_wake_and_send(locks):
    def program(m):
        spin, token, awake = m.spinlock(), m.token(), m.atomic(0)

        def there():
            with spin:
                pass
            if token.try_acquire():
                token.release()
            awake.store(1)
            m.wakeup("x")
            m.send_ipiq(m.cpus[0], lambda: None)

        def sleeper():
            m.tsleep_interlock("x")
            if not awake.load():
                m.tsleep("x", PINTERLOCKED)

        m.spawn(sleeper)
        m.spawn(lambda: None)
        m.send_ipiq(m.cpus[2], there)
        m.join()

    passes(program, locks)


@DEPTHS
@SEARCHES
def test_two_cpus_that_wait_for_one_another_take_one_another_s_ipis(locks, sched):
    def program(m):
        def asks(other):
            m.wait_ipiq(m.cpus[other], m.send_ipiq(m.cpus[other], lambda: None))

        m.spawn(lambda: asks(2) if len(m.cpus) > 2 else None)
        m.spawn(asks, 1)
        m.join()

    passes(program, locks, sched, 100)


@DEPTHS
def test_a_wait_for_what_was_never_sent_is_a_panic(locks):
    def program(m):
        target = m.spawn(lambda: None)
        lwkt_wait_ipiq(m, thread_of(m, target), 1)

    assert "lwkt_wait_ipiq: 1 was not sent" in failure_of(program, locks, schedules=1).message


@DEPTHS
def test_functions_to_the_own_cpu_are_calls_that_nobody_waits_for(locks):
    def program(m, seen):
        td = curthread(m)
        crit_enter(td)
        lwkt_wait_ipiq(m, td, lwkt_send_ipiq(m, td, seen.append, 1))
        crit_exit(td)

    assert [1] == alone(program, locks)


@DEPTHS
@SEARCHES
def test_synchronize_sleeps_until_all_have_taken_what_was_sent(locks, sched):
    def program(m):
        ran = m.atomic(0)
        for _ in range(2):
            m.spawn(lambda: None)
        m.send_ipiq_mask(0b110, lambda: ran.fetchadd(1))
        m.synchronize_ipiqs()
        m.check(ran.load() == 2, "both have run it")

    passes(program, locks, sched, 100)


@DEPTHS
def test_the_free_engine_takes_them_too(locks):
    def program(m):
        ran = m.atomic(0)
        lock = m.lockmgr()

        def worker():
            with lock:
                m.wait_ipiq(m.cpus[0], m.send_ipiq(m.cpus[0], ran.fetchadd, 1))

        m.spawn(lambda: None)
        m.spawn(worker)
        m.spawn(worker)
        m.wait_ipiq(m.cpus[1], m.send_ipiq(m.cpus[1], ran.fetchadd, 1))
        m.join()
        m.wait_ipiq(m.cpus[1], m.send_ipiq(m.cpus[1], ran.fetchadd, 1))
        m.check(ran.load() == 4, "all have run")

    for seed in range(10):
        assert vmsmp.run(program, engine="free", seed=seed, locks=locks).failure is None
