"""Runs that go on after a failure without the CPU that failed, for schedulers that want to see all."""

from __future__ import annotations

import pytest

from vmsmp.engine import ops, trace
from vmsmp.engine.observer import Observer
from vmsmp.sched.policy import base_policy, gave_way
from vmsmp.sched.random_walk import RandomWalk


class Walk(RandomWalk):
    """Any order; counts the ends that it is told of."""

    def __init__(self, seed=0, *, finishes=True):
        super().__init__(seed)
        self.finishes = finishes
        self.ends = 0

    def ended(self, machine):
        self.ends += 1


class InTurn(Walk):
    """The base policy, asked at every step."""

    sees_all = True

    def pick(self, current, run):
        return base_policy(current, run, gave_way(current))


SCHEDULERS = {"asked at every step": InTurn, **{f"walk {n}": lambda n=n: Walk(n) for n in range(5)}}
each_scheduler = pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS)


def verdict(machine):
    return machine.violation and (machine.violation.kind, machine.violation.message)


def performed(machine, cpu):
    return sum(index == cpu for index, _ in trace.steps(machine.engine.log))


def with_failing(role, *, others=2):
    """CPU 1 plays `role(m)` beside CPUs that make four steps each, one of them their start."""

    def program(m):
        word = m.cell(0)

        def worker():
            for n in range(3):
                word.store(n)

        m.spawn(role, m)
        for _ in range(others):
            m.spawn(worker)

    return program


def failed_check(m):
    m.check(False, "nothing is right")


def failed_assert(m):
    assert not m.cpus, "no CPU is there"


def raised(m):
    raise LookupError("not there")


FAILURES = {
    "check": (failed_check, ("check", "nothing is right")),
    "assert": (failed_assert, ("check", "no CPU is there")),
    "exception": (raised, ("exception", "LookupError: not there in raised")),
}


@each_scheduler
@pytest.mark.parametrize(("role", "expected"), FAILURES.values(), ids=FAILURES)
def test_a_cpu_that_fails_stops_alone(controlled, make, role, expected):
    machine = controlled(with_failing(role), make())
    assert (expected, 1, 4, 4) == (verdict(machine), *(performed(machine, cpu) for cpu in (1, 2, 3)))


def test_a_failure_ends_the_run_where_a_scheduler_does_not_want_the_rest(controlled):
    machine = controlled(with_failing(failed_check), Walk(finishes=False))
    assert 4 + 4 > performed(machine, 2) + performed(machine, 3)


@each_scheduler
def test_a_cpu_does_nothing_after_its_failure(controlled, make):
    def role(m):
        word = m.cell(0)
        try:
            failed_check(m)
        finally:
            word.store(1)

    machine = controlled(with_failing(role), make())
    assert (1, 4, 4) == tuple(performed(machine, cpu) for cpu in (1, 2, 3))


@each_scheduler
def test_a_failure_before_any_spawn_is_the_whole_run(controlled, make):
    machine = controlled(failed_check, make())
    assert (("check", "nothing is right"), []) == (verdict(machine), machine.engine.log)


@each_scheduler
def test_the_boot_cpu_fails_alone(controlled, make):
    def program(m):
        with_failing(lambda m: None)(m)
        failed_check(m)

    machine = controlled(program, make())
    assert (("check", "nothing is right"), 3, 1, 4, 4) == (
        verdict(machine),
        *(performed(machine, cpu) for cpu in range(4)),
    )


@each_scheduler
def test_the_boot_cpu_may_fail_after_all_others(controlled, make):
    def program(m):
        with_failing(lambda m: None)(m)
        m.join()
        failed_check(m)

    assert ("check", "nothing is right") == verdict(controlled(program, make()))


@each_scheduler
def test_the_first_failure_is_the_one_that_counts(controlled, make):
    said = []

    def program(m):
        def role(n):
            said.append(n)
            m.check(False, f"failure of {n}")

        for n in range(3):
            m.spawn(role, n)

    machine = controlled(program, make())
    assert (3, f"failure of {said[0]}") == (len(said), machine.violation.message)


@each_scheduler
def test_every_cpu_may_fail_the_boot_cpu_too(controlled, make):
    def program(m):
        for _ in range(3):
            m.spawn(failed_check, m)
        failed_check(m)

    machine = controlled(program, make())
    assert [1, 1, 1] == [performed(machine, cpu) for cpu in (1, 2, 3)]


@each_scheduler
def test_a_join_of_a_cpu_that_failed_returns(controlled, make):
    joined = []

    def program(m):
        m.spawn(failed_check, m).join()
        joined.append(True)

    controlled(program, make())
    assert [True] == joined


@each_scheduler
def test_a_lock_that_a_failed_cpu_holds_ends_the_run_of_those_who_want_it(controlled, make):
    def program(m):
        lock = m.spinlock("l")

        def role():
            with lock:
                failed_check(m)

        def other():
            with lock:
                pass

        m.spawn(role)
        m.spawn(other)

    assert ("check", "nothing is right") == verdict(controlled(program, make()))


def test_a_cpu_that_waits_for_a_failed_cpu_for_ever_unwinds(controlled):
    unwound = []

    def program(m):
        lock = m.spinlock("l")

        def role():
            lock.acquire()
            failed_check(m)

        def other():
            try:
                lock.acquire()
            finally:
                unwound.append(m.curcpu.index)

        m.spawn(role).join()
        m.spawn(other)
        m.spawn(other)

    controlled(program, InTurn())
    assert [2, 3] == sorted(unwound)


def test_the_scene_is_of_the_moment_of_the_failure(controlled):
    def program(m):
        word = m.cell(0, name="word")
        m.spawn(word.store, 1)
        failed_check(m)

    machine = controlled(program, InTurn())
    assert (False, "start cpu1", True) == (
        machine.scene[1].done,
        machine.scene[1].before,
        machine.cpus[1].done,
    )


def test_the_place_of_the_failure_in_the_log_is_kept(controlled):
    machine = controlled(with_failing(failed_check), InTurn())
    before = machine.engine.log[: machine.engine.violation_at]
    assert (4, 9) == (trace.count_steps(before), trace.count_steps(machine.engine.log) - 4)


# -- failures while a failed CPU unwinds -----------------------------------------------------------


def test_a_second_failure_of_a_cpu_does_not_keep_the_others_from_running(controlled):
    def role(m):
        try:
            failed_check(m)
        finally:
            m.check(False, "and nothing will be")

    machine = controlled(with_failing(role), InTurn())
    assert (1, 4, 4) == tuple(performed(machine, cpu) for cpu in (1, 2, 3))


# -- warnings --------------------------------------------------------------------------------------


def warned(m):
    m.warn("lock-order", "this may go wrong")
    for n in range(2):
        m.cell(0).store(n)


@each_scheduler
def test_a_cpu_that_warns_goes_on(controlled, make):
    machine = controlled(with_failing(warned), make())
    assert (("lock-order", "this may go wrong"), 3, 4, 4) == (
        verdict(machine),
        *(performed(machine, cpu) for cpu in (1, 2, 3)),
    )


def test_a_warning_ends_the_run_where_a_scheduler_does_not_want_the_rest(controlled):
    machine = controlled(with_failing(warned), Walk(finishes=False))
    assert (("lock-order", "this may go wrong"), 1) == (verdict(machine), performed(machine, 1))


def test_a_failure_after_a_warning_stops_its_cpu_and_leaves_the_verdict(controlled):
    def role(m):
        m.warn("lock-order", "this may go wrong")
        failed_check(m)

    machine = controlled(with_failing(role), InTurn())
    assert ("lock-order", 1, 4) == (machine.violation.kind, performed(machine, 1), performed(machine, 2))


def test_an_observer_that_fails_stops_the_cpu_it_watches(controlled):
    class Strict(Observer):
        def op(self, cpu, code):
            if cpu.index == 1 and ops.kind_of(code) == ops.STORE:
                cpu.machine.fail("queue", "no stores")

    machine = controlled(with_failing(lambda m: m.cell(0).store(1)), InTurn(), observers=(Strict(),))
    assert (("queue", "no stores"), 1, 4) == (verdict(machine), performed(machine, 1), performed(machine, 2))


# -- the end ---------------------------------------------------------------------------------------


def clean(m):
    with_failing(lambda m: None)(m)


def boot_fails(m):
    clean(m)
    failed_check(m)


def all_fail(m):
    for _ in range(2):
        m.spawn(failed_check, m)
    failed_check(m)


def deadlock(m):
    m.spawn(m.tsleep, "bed", 0, "bed")


def failure_then_deadlock(m):
    m.spawn(failed_check, m)
    deadlock(m)


def boot_fails_then_deadlock(m):
    deadlock(m)
    failed_check(m)


def livelock(m):
    flag = m.cell(0)

    def spinner():
        while not flag.load():
            m.pause()

    m.spawn(spinner)


def step_limit(m):
    word = m.cell(0)

    def worker():
        while True:
            word.store(1)

    m.spawn(worker)


ENDINGS = {
    "clean": (clean, None),
    "failed": (with_failing(failed_check), "check"),
    "raised": (with_failing(raised), "exception"),
    "warned": (with_failing(warned), "lock-order"),
    "boot failed": (boot_fails, "check"),
    "all failed": (all_fail, "check"),
    "deadlock": (deadlock, "deadlock"),
    "failed, then deadlock": (failure_then_deadlock, "check"),
    "boot failed, then deadlock": (boot_fails_then_deadlock, "check"),
    "livelock": (livelock, "livelock"),
    "step limit": (step_limit, "livelock"),
}


@pytest.mark.parametrize("finishes", [True, False])
@pytest.mark.parametrize(("program", "kind"), ENDINGS.values(), ids=ENDINGS)
def test_a_scheduler_is_told_once_that_a_run_has_ended(controlled, program, kind, finishes):
    walk = Walk(finishes=finishes)
    machine = controlled(program, walk, max_steps=1_000)
    assert (kind, 1) == (machine.violation and machine.violation.kind, walk.ends)


@each_scheduler
def test_what_cpus_stand_before_is_there_to_be_seen_at_the_end(controlled, make):
    pending = {}

    def program(m):
        lock = m.spinlock("l")

        def role():
            lock.acquire()
            failed_check(m)

        m.spawn(role).join()
        m.spawn(lock.acquire)

    scheduler = make()
    scheduler.ended = lambda machine: pending.update(
        (cpu.index, ops.kind_of(cpu.pending)) for cpu in machine.cpus if not cpu.done
    )
    controlled(program, scheduler)
    assert {0: ops.JOIN_ALL, 2: ops.ACQUIRE} == pending
