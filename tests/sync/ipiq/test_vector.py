"""IPIs with a vector of their own: taken before any operation, unless interrupts are disabled."""

from __future__ import annotations

import pytest

import vmsmp
from vmsmp.sync.ipiq import all_but_self_ipi, selected_apic_ipi, single_apic_ipi
from vmsmp.sync.thread import (
    cpu_disable_intr,
    cpu_enable_intr,
    crit_enter,
    crit_exit,
    curthread,
    thread_of,
)


def counting(m):
    """Where each interrupt was taken, and how deep it was."""
    taken = []
    m.vector = lambda td: taken.append((td.cpu.index, td.td_critcount, td.gd_intr_nesting_level))
    return taken


@pytest.mark.parametrize("engine", ["controlled", "free"])
def test_a_cpu_takes_it_in_a_critical_section(engine):
    told = []

    def program(m):
        taken = counting(m)
        word = m.atomic(0, name="word")

        def target():
            td = curthread(m)
            crit_enter(td)
            word.store(1)
            while not taken:
                word.load()
                m.yield_()
            crit_exit(td)

        cpu = m.spawn(target)
        while not word.load():
            m.pause()
        single_apic_ipi(m, thread_of(m, cpu))
        m.join()
        told.extend(taken)

    assert None is vmsmp.run(program, engine=engine, seed=1).failure
    assert [(1, 2, 1)] == told


def test_it_comes_before_whatever_operation_the_cpu_stands_before():
    def program(m):
        seen = m.atomic(0, name="seen")
        word = m.atomic(0, name="word")
        m.vector = lambda _td: seen.store(1)

        def target():
            word.load()
            m.check(word.load() == 0 or seen.load(), "who sees what was stored after the IPI has taken it")

        cpu = m.spawn(target)
        single_apic_ipi(m, thread_of(m, cpu))
        word.store(1)
        m.join()

    assert None is vmsmp.explore(program, sched="dfs", schedules=2000).failure


def test_one_that_comes_before_another_was_taken_is_the_same():
    def program(m):
        taken = counting(m)
        cpu = m.spawn(m.yield_)
        for _ in range(3):
            single_apic_ipi(m, thread_of(m, cpu))
        m.join()
        m.check(len(taken) == 1, "one interrupt")

    assert None is vmsmp.replay(program, "v1:program:0:").failure


WAITS = {
    "spinlock": ("spinlock", "acquire", "release"),
    "token": ("token", "acquire", "release"),
    "lockmgr": ("lockmgr", "acquire", "release"),
    "mutex": ("mutex", "acquire", "release"),
    "mutex that is spun for": ("mutex", "spinlock", "spinunlock"),
}


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@pytest.mark.parametrize("kind", WAITS)
def test_one_that_comes_while_its_target_waits_is_taken_before_that_goes_on(kind, locks):
    """Also if the target has what it waits for by then: it must not forget the interrupt as it gets it."""

    def program(m):
        taken = counting(m)
        made, acquire, release = WAITS[kind]
        lock = getattr(m, made)("lock")
        sent = m.atomic(False, name="sent")
        getattr(lock, acquire)()

        def target():
            getattr(lock, acquire)()
            came = sent.load()
            getattr(lock, release)()
            m.check(not came or taken, "it is taken before an operation that follows it")

        cpu = m.spawn(target)
        getattr(lock, release)()
        single_apic_ipi(m, thread_of(m, cpu))
        sent.store(True)
        m.join()
        m.check(len(taken) == 1, "it is taken once")

    assert None is vmsmp.explore(program, locks=locks, sched="dfs:2", schedules=3000).failure


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_one_that_comes_as_a_sleep_or_a_wait_for_a_cpu_ends_is_taken_then(locks):
    def program(m):
        taken = counting(m)
        sent = m.atomic(False, name="sent")

        def went_on():
            came = sent.load()
            mine = [cpu for cpu, *_ in taken if cpu == m.curcpu.index]
            m.check(not came or mine, "it is taken before an operation that follows it")

        def sleeper():
            m.tsleep("ident", 0, "ident", 1, overdue=lambda: None)
            went_on()

        def waiter():
            m.spawn(m.yield_).join()
            went_on()

        cpus = [m.spawn(sleeper), m.spawn(waiter)]
        for cpu in cpus:
            single_apic_ipi(m, thread_of(m, cpu))
        sent.store(True)
        m.join()

    assert None is vmsmp.explore(program, locks=locks, sched="dfs:2", schedules=3000).failure


def test_one_that_comes_inside_another_nests_only_with_interrupts_enabled():
    def program(m):
        depth = []

        def vector(td):
            depth.append(td.gd_intr_nesting_level)
            if len(depth) == 1:
                td.cpu.latched = True
                m.yield_()
                m.check(depth == [1], "interrupts are disabled as it begins")
                cpu_enable_intr(td)
                m.check(depth == [1, 2], "one that has come is taken as they are enabled")
                cpu_disable_intr(td)

        m.vector = vector
        cpu = m.spawn(m.yield_)
        single_apic_ipi(m, thread_of(m, cpu))
        m.join()

    assert None is vmsmp.run(program).failure


@pytest.mark.parametrize("mask", [0b0, 0b10, 0b110])
def test_those_of_a_mask_take_it(mask):
    def program(m):
        taken = counting(m)
        for _ in range(2):
            m.spawn(m.yield_)
        selected_apic_ipi(m, mask)
        m.join()
        m.check(sorted(taken) == [(n, 1, 1) for n in (1, 2) if mask >> n & 1], "those and no others")

    assert None is vmsmp.run(program).failure


def test_all_others_take_a_broadcast_which_is_one_operation():
    def program(m):
        taken = counting(m)
        for _ in range(3):
            m.spawn(m.yield_)
        all_but_self_ipi(m)
        m.join()
        m.check(sorted(cpu for cpu, *_ in taken) == [1, 2, 3], "all others")

    outcome = vmsmp.replay(program, "v1:program:0:")
    assert None is outcome.failure
    assert 1 == len([row for row in outcome.story.rows if row.text.strip().startswith("ipi ")])


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_a_cpu_that_waits_takes_it_and_waits_again(locks):
    def program(m):
        taken = counting(m)
        lock, word = m.spinlock("lock"), m.atomic(0, name="word")

        def waiter():
            word.store(1)
            with lock:
                pass
            m.check(taken, "it was taken while the lock was held")

        with lock:
            cpu = m.spawn(waiter)
            while not word.load():
                m.pause()
            single_apic_ipi(m, thread_of(m, cpu))
            while not taken:
                m.yield_()
        m.join()

    for engine in ("controlled", "free"):
        assert None is vmsmp.run(program, engine=engine, locks=locks, seed=1).failure


def test_a_run_with_interrupts_comes_back_from_its_line():
    def program(m):
        word, taken = m.atomic(0, name="word"), m.atomic(0, name="taken")
        m.vector = lambda _td: taken.fetchadd(1)

        def target():
            for n in range(6):
                word.store(n)
            m.check(taken.load() != 2 or word.load() != 5, "interrupts are never taken just so")

        cpu = m.spawn(target)
        for _ in range(3):
            single_apic_ipi(m, thread_of(m, cpu))
            word.load()
        m.join()

    for seed in range(5):
        failure = vmsmp.explore(program, sched="random", schedules=100, seed=seed).failure
        assert "check: interrupts are never taken just so" == failure.signature
        assert failure.digest == vmsmp.replay(program, failure.schedule).failure.digest


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_one_that_comes_as_a_wait_seems_to_end_is_taken_if_it_does_not(locks):
    def program(m):
        lock, taken = m.spinlock("lock"), m.atomic(0, name="taken")
        m.vector = lambda _td: taken.store(1)

        def waiter():
            with lock:
                pass

        def sender():
            single_apic_ipi(m, thread_of(m, cpu))
            with lock:
                while not taken.load():
                    m.pause()

        with lock:
            cpu = m.spawn(waiter)
            m.spawn(sender)
            m.yield_()
        m.join()

    assert None is vmsmp.explore(program, sched="random", schedules=150, locks=locks).failure
