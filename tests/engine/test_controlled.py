"""The controlled engine: one CPU at a time, a point before every operation, verdicts that are exact."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

import vmsmp
from lost_update import lost_update
from vmsmp import EWOULDBLOCK, LK_EXCLUSIVE, LK_RELEASE, PINTERLOCKED
from vmsmp.engine import ops, trace
from vmsmp.engine.observer import Observer
from vmsmp.engine.options import Options
from vmsmp.engine.scheduler import Scheduler
from vmsmp.errors import UsageError
from vmsmp.sched.random_walk import RandomWalk, RoundRobin


class Stay(Scheduler):
    """Go on with the current CPU as long as it can; remembers before what it was asked."""

    def __init__(self):
        self.asked = []

    def pick(self, current, run):
        self.asked.append((current.index, ops.kind_of(current.pending)))
        return current if current in run else run[0]


class Favour(Scheduler):
    """As unfair as can be: CPU 1 whenever it can run, else the lowest."""

    def pick(self, current, run):
        return next((cpu for cpu in run if cpu.index == 1), run[0])


def kinds(machine, cpu):
    return [ops.kind_of(code) for index, code in trace.steps(machine.engine.log) if index == cpu]


def verdict(machine):
    return machine.violation and (machine.violation.kind, machine.violation.message)


# -- the door -------------------------------------------------------------------------------------


def held(lock):
    lock.acquire()
    return lock


OPERATIONS = {
    "cell.load": lambda m: m.cell(0).load,
    "cell.store": lambda m: partial(m.cell(0).store, 1),
    "atomic.load": lambda m: m.atomic(0).load,
    "atomic.store": lambda m: partial(m.atomic(0).store, 1),
    "atomic.fetchadd": lambda m: partial(m.atomic(0).fetchadd, 1),
    "atomic.swap": lambda m: partial(m.atomic(0).swap, 1),
    "atomic.cmpset": lambda m: partial(m.atomic(0).cmpset, 0, 1),
    "a cmpset that fails": lambda m: partial(m.atomic(0).cmpset, 7, 1),
    "atomic.setbits": lambda m: partial(m.atomic(0).setbits, 1),
    "atomic.clearbits": lambda m: partial(m.atomic(0).clearbits, 1),
    "atomic.rmw": lambda m: partial(m.atomic(0).rmw, lambda old: old + 1),
    "spinlock.acquire": lambda m: m.spinlock().acquire,
    "spinlock.try_acquire": lambda m: m.spinlock().try_acquire,
    "spinlock.release": lambda m: held(m.spinlock()).release,
    "spinlock.acquire_shared": lambda m: m.spinlock().acquire_shared,
    "token.acquire": lambda m: m.token().acquire,
    "token.release": lambda m: held(m.token()).release,
    "lockmgr exclusive": lambda m: partial(m.lockmgr().lock, LK_EXCLUSIVE),
    "lockmgr release": lambda m: partial(held(m.lockmgr()).lock, LK_RELEASE),
    "tsleep_interlock": lambda m: lambda: m.tsleep_interlock("bed"),
    "tsleep": lambda m: lambda: m.tsleep("bed", 0, "nap", 5),
    "wakeup": lambda m: lambda: m.wakeup("bed"),
    "wakeup_one": lambda m: lambda: m.wakeup_one("bed"),
    "yield_": lambda m: m.yield_,
    "pause": lambda m: m.pause,
    "choose": lambda m: lambda: m.choose(2),
    "spawn": lambda m: lambda: m.spawn(lambda: None),
}


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@pytest.mark.parametrize("make", OPERATIONS.values(), ids=OPERATIONS)
def test_a_scheduling_point_lies_before_every_operation(controlled, make, locks):
    stay = Stay()
    asked = []

    def program(m):
        operation = make(m)
        m.spawn(lambda: None)
        m.spawn(lambda: None)
        before = len(stay.asked)
        operation()
        asked.extend(stay.asked[before:])

    machine = controlled(program, stay, options=Options(locks=locks))
    assert (None, True) == (machine.violation, bool(asked))


def test_an_operation_takes_effect_after_its_point(controlled):
    word = None

    class Peek(Stay):
        def pick(self, current, run):
            if word is not None and ops.kind_of(current.pending) == ops.STORE:
                seen.append(word.peek())
            return super().pick(current, run)

    def program(m):
        nonlocal word
        word = m.cell("before")
        m.spawn(lambda: None)
        word.store("after")
        seen.append(word.peek())

    seen = []
    controlled(program, Peek())
    assert ["before", "after"] == seen


def test_every_operation_with_a_choice_is_asked_about_once(controlled):
    def program(m):
        word = m.cell(0)
        m.spawn(word.load)
        word.store(1)
        word.store(2)
        m.join()

    stay = Stay()
    controlled(program, stay)
    assert [(0, ops.STORE), (0, ops.STORE)] == stay.asked


def test_the_log_holds_what_each_cpu_did_in_its_order(controlled):
    def program(m):
        word = m.cell(0)
        m.spawn(lambda: word.store(word.load() + 1)).join()
        word.load()

    machine = controlled(program)
    assert ([ops.SPAWN, ops.JOIN, ops.LOAD, ops.JOIN_ALL], [ops.START, ops.LOAD, ops.STORE]) == (
        kinds(machine, 0),
        kinds(machine, 1),
    )


def test_a_failed_cmpset_is_logged_as_having_only_looked(controlled):
    machine = controlled(lambda m: m.atomic(0).cmpset(1, 2))
    assert [ops.CMPSET_FAILED] == kinds(machine, 0)


def test_a_failed_try_of_a_lock_is_logged_as_having_only_looked(controlled):
    def program(m):
        lock = m.spinlock()
        lock.acquire()
        m.spawn(lock.try_acquire)
        m.join()
        lock.release()

    assert [ops.START, ops.TRY_FAILED] == kinds(controlled(program), 1)


def test_observers_see_every_operation_in_the_order_of_the_log(controlled):
    class Watch(Observer):
        def __init__(self):
            self.seen = []

        def op(self, cpu, code):
            self.seen.append((cpu.index, code))

    def program(m):
        word = m.cell(0)
        for _ in range(3):
            m.spawn(lambda: word.store(word.load() + 1))
        m.join()

    watch = Watch()
    machine = controlled(program, RandomWalk(3), observers=[watch])
    assert list(trace.steps(machine.engine.log)) == watch.seen


def test_only_one_cpu_runs_at_a_time(controlled):
    inside = 0
    most = 0

    def program(m):
        word = m.cell(0)

        def worker():
            nonlocal inside, most
            for _ in range(50):
                inside += 1
                most = max(most, inside)
                inside -= 1
                word.store(1)

        for _ in range(4):
            m.spawn(worker)
        m.join()

    controlled(program, RandomWalk(1))
    assert 1 == most


# -- failing --------------------------------------------------------------------------------------


def failing(m, how):
    word = m.cell(0)

    def bystander():
        while True:
            word.load()

    m.spawn(bystander)
    m.spawn(how, m, name="culprit")
    m.join()


def broken_assert(m):
    assert m is None, "a machine is None"


def raising(m):
    raise KeyError("page 7")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (lambda m: m.check(False, "the flag is up"), ("check", "the flag is up")),
        (lambda m: m.panic("no such page"), ("check", "panic: no such page")),
        (broken_assert, ("check", "a machine is None")),
        (raising, ("exception", "KeyError: 'page 7' in raising")),
        (lambda m: m.fail("queue", "count is off"), ("queue", "count is off")),
    ],
    ids=["check", "panic", "assert", "exception", "fail"],
)
def test_what_goes_wrong_on_a_cpu_is_the_verdict(controlled, how, expected):
    assert expected == verdict(controlled(lambda m: failing(m, how), RoundRobin()))


def test_the_verdict_names_the_cpu_it_came_from(controlled):
    assert 2 == controlled(lambda m: failing(m, raising), RoundRobin()).violation.cpu


def test_a_check_that_holds_is_no_failure(controlled):
    assert None is controlled(lambda m: m.check(True, "fine")).violation


def test_an_exception_of_the_boot_program_is_a_failure(controlled):
    assert "exception" == controlled(raising).violation.kind


def test_choosing_from_nothing_is_a_failure_of_the_program(controlled):
    assert "exception" == controlled(lambda m: m.choose(0)).violation.kind


def test_the_first_verdict_stands(controlled):
    def program(m):
        try:
            m.check(False, "first")
        finally:
            m.check(False, "second")

    assert ("check", "first") == verdict(controlled(program))


def test_a_failing_cpu_unwinds_all_others(controlled):
    unwound = []

    def program(m):
        word = m.cell(0)

        def bystander(n):
            try:
                while True:
                    word.load()
            finally:
                unwound.append(n)

        for n in range(3):
            m.spawn(bystander, n)
        m.spawn(m.check, False, "down")
        m.join()

    controlled(program, RoundRobin())
    assert [0, 1, 2] == sorted(unwound)


def test_sleeping_and_waiting_cpus_unwind_too(controlled):
    unwound = []

    def program(m):
        lock = m.spinlock()

        def wait(how, name):
            try:
                how()
            finally:
                unwound.append(name)

        lock.acquire()
        m.spawn(wait, lock.acquire, "lock")
        m.spawn(wait, lambda: m.tsleep("bed"), "sleep")
        m.spawn(wait, m.cpus[1].join, "join")
        for _ in range(10):
            m.yield_()
        m.check(False, "down")

    controlled(program, RoundRobin())
    assert ["join", "lock", "sleep"] == sorted(unwound)


def test_a_cpu_that_never_started_does_not_start_after_a_failure(controlled):
    started = []

    def program(m):
        m.spawn(started.append, 1)
        m.check(False, "down")

    controlled(program, Stay())
    assert [] == started


def test_the_programs_own_except_clause_does_not_stop_the_unwinding(controlled):
    def program(m):
        word = m.cell(0)

        def stubborn():
            while True:
                try:
                    word.load()
                except Exception:  # the point: what unwinds is no Exception
                    pass

        m.spawn(stubborn)
        m.spawn(m.check, False, "down")
        m.join()

    assert ("check", "down") == verdict(controlled(program, RoundRobin()))


@pytest.mark.parametrize("blocking", ["join", "lock", "sleep", "pause"])
def test_a_blocking_operation_of_an_unwinding_cpu_raises_nothing_that_it_may_catch(controlled, blocking):
    caught = []

    def program(m):
        word, lock = m.cell(0), m.spinlock()

        def holder():
            with lock:
                while True:
                    word.load()

        def bystander():
            while True:
                word.load()

        ways = {
            "join": lambda: m.cpus[4].join(),  # noqa: PLW0108 - spawned below
            "lock": lock.acquire,
            "sleep": lambda: m.tsleep("bed", 0, "nap", 5),
            "pause": m.pause,
        }

        def cleaner():
            try:
                while True:
                    word.load()
                    m.pause()
            finally:
                try:
                    ways[blocking]()
                except Exception as error:
                    caught.append(type(error).__name__)

        def culprit():
            for n in range(5):
                word.store(n)
            m.check(False, "down")

        m.spawn(holder)
        m.spawn(cleaner)
        m.spawn(culprit)
        m.spawn(bystander)
        m.join()

    controlled(program, RoundRobin())
    assert [] == caught


def test_no_cpu_of_a_failed_execution_leaks_into_the_next():
    alive = 0
    found = []

    def program(m):
        nonlocal alive
        found.append(alive)
        word = m.cell(0)

        def worker():
            nonlocal alive
            alive += 1
            try:
                for _ in range(5):
                    word.store(1)
                m.check(m.choose(2), "unlucky")
            finally:
                alive -= 1

        for _ in range(3):
            m.spawn(worker)
        m.join()

    result = vmsmp.explore(program, sched="random", schedules=200, stop="never")
    assert (200, {0}) == (result.executions, set(found))


def test_a_failure_tells_how_every_cpu_stood(controlled):
    def program(m):
        lock = m.spinlock("page")
        lock.acquire()
        m.spawn(lock.acquire, name="fault")
        m.yield_()
        m.check(False, "down")

    scene = controlled(program, RoundRobin()).scene
    assert [("exclusive spinlock 'page'",), "exclusive page"] == [scene[0].holds, scene[1].wants]


# -- two machines -----------------------------------------------------------------------------------


def test_two_searches_in_two_host_threads_do_not_see_each_other():
    def search(seed):
        result = vmsmp.explore(lost_update, sched="random", schedules=300, seed=seed, stop="never")
        return result.executions, result.counts, result.failure.schedule, result.failure.digest

    alone = [search(1), search(2)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(search, [1, 2]))
    assert alone == together


def test_a_search_inside_a_program_does_not_disturb_it():
    def outer(m):
        word = m.cell(0)
        m.spawn(word.store, 1)
        inner.append(vmsmp.explore(lost_update, sched="dfs:1", schedules=1000).failure.kind)
        m.join()
        m.check(word.load() == 1, "the outer program goes on")

    inner = []
    result = vmsmp.explore(outer, sched="rr", schedules=1)
    assert (["check"], {}) == (inner, result.counts)


# -- spawn and join -----------------------------------------------------------------------------------


def test_a_spawned_cpu_may_spawn(controlled):
    order = []

    def program(m):
        def parent():
            m.spawn(order.append, "child").join()
            order.append("parent")

        m.spawn(parent).join()
        order.append("boot")

    controlled(program)
    assert ["child", "parent", "boot"] == order


def test_join_waits_for_cpus_that_are_spawned_meanwhile(controlled):
    ended = []

    def program(m):
        def chain(n):
            if n:
                m.spawn(chain, n - 1)
            m.yield_()
            ended.append(n)

        m.spawn(chain, 5)
        m.join()
        ended.append("boot")

    controlled(program, RandomWalk(2))
    assert ([0, 1, 2, 3, 4, 5], "boot") == (sorted(ended[:-1]), ended[-1])


@pytest.mark.parametrize("seed", range(5))
def test_to_wait_for_all_is_one_step_that_comes_when_all_have_ended(controlled, seed):
    def program(m):
        for _ in range(3):
            m.spawn(m.yield_)
        m.join()

    machine = controlled(program, RandomWalk(seed))
    steps = list(trace.steps(machine.engine.log))
    assert (0, ops.JOIN_ALL) == steps[-1]
    assert [ops.SPAWN, ops.SPAWN, ops.SPAWN, ops.JOIN_ALL] == kinds(machine, 0)


def test_who_waits_for_all_is_shown_to_wait_for_the_first_that_has_not_ended(controlled):
    def program(m):
        m.spawn(lambda: None)
        m.spawn(m.tsleep, "never", 0, "never", 0, name="sleeper")
        m.spawn(lambda: None)
        m.join()

    machine = controlled(program)
    assert ("deadlock", "join sleeper") == (machine.violation.kind, machine.scene[0].wants)


def test_another_cpu_that_waits_for_all_does_not_wait_for_the_boot_cpu(controlled):
    order = []

    def program(m):
        m.spawn(lambda: (m.yield_(), order.append("other")))
        m.spawn(lambda: (m.join(), order.append("waiter"))).join()
        order.append("boot")

    assert controlled(program).violation is None
    assert ["other", "waiter", "boot"] == order


def test_the_boot_program_need_not_join(controlled):
    ended = []
    controlled(lambda m: m.spawn(ended.append, "worker") and None)
    assert ["worker"] == ended


def test_a_cpu_that_has_ended_can_be_joined_again(controlled):
    def program(m):
        cpu = m.spawn(lambda: None)
        cpu.join()
        cpu.join()

    assert [ops.SPAWN, ops.JOIN, ops.JOIN, ops.JOIN_ALL] == kinds(controlled(program), 0)


def test_who_has_waited_for_all_does_not_wait_for_them_again(controlled):
    def program(m):
        m.spawn(lambda: None)
        m.join()

    assert [ops.SPAWN, ops.JOIN_ALL] == kinds(controlled(program), 0)


def test_who_has_waited_for_all_waits_for_those_that_it_spawned_later(controlled):
    def program(m):
        m.spawn(lambda: None)
        m.join()
        m.spawn(m.yield_)

    machine = controlled(program)
    assert [ops.SPAWN, ops.JOIN_ALL, ops.SPAWN, ops.JOIN_ALL] == kinds(machine, 0)
    assert (0, ops.JOIN_ALL) == list(trace.steps(machine.engine.log))[-1]


def test_several_cpus_may_join_one(controlled):
    order = []

    def program(m):
        first = m.spawn(lambda: (m.yield_(), order.append("first")))

        def joiner():
            first.join()
            order.append("joiner")

        m.spawn(joiner)
        m.spawn(joiner)
        m.join()

    controlled(program, RandomWalk(5))
    assert ["first", "joiner", "joiner"] == order


def test_a_cpu_that_joins_itself_is_a_deadlock(controlled):
    def program(m):
        m.spawn(lambda: m.curcpu.join())  # noqa: PLW0108 - not the CPU that spawns
        m.join()

    assert "deadlock" == controlled(program).violation.kind


def test_a_spawned_function_gets_its_arguments_and_leaves_its_result(controlled):
    results = []

    def program(m):
        cpu = m.spawn(divmod, 17, 5, name="divider")
        cpu.join()
        results.append((cpu.name, cpu.result))

    controlled(program)
    assert [("divider", (3, 2))] == results


def test_curcpu_is_the_running_cpu(controlled):
    seen = []

    def program(m):
        for _ in range(3):
            m.spawn(lambda: (m.yield_(), seen.append(m.curcpu.index)))
        m.join()

    controlled(program, RandomWalk(4))
    assert [1, 2, 3] == sorted(seen)


def crowd(n):
    def program(m):
        for _ in range(n):
            m.spawn(m.yield_)
        m.join()

    return program


def test_63_cpus_run_beside_the_boot_cpu(controlled):
    assert (None, 64) == (controlled(crowd(63)).violation, len(controlled(crowd(63)).cpus))


@pytest.mark.parametrize("cpus", [None, 63])
def test_the_64th_spawn_is_a_value_error_of_the_program(controlled, cpus):
    violation = controlled(crowd(64), options=Options(cpus=cpus)).violation
    assert ("exception", "ValueError") == (violation.kind, violation.message.split(":")[0])


def test_no_more_cpus_run_than_were_asked_for(controlled):
    with pytest.raises(UsageError, match="more than the 2 CPUs that were asked for"):
        controlled(crowd(3), options=Options(cpus=2))


def test_two_cpus_that_spawn_at_once_do_not_exceed_the_limit_together():
    most = 0

    def program(m):
        nonlocal most

        def spawner():
            try:
                m.spawn(lambda: None)
            except ValueError:
                pass

        m.spawn(spawner)
        spawner()
        m.join()
        most = max(most, len(m.cpus))

    result = vmsmp.explore(program, sched="dfs", cpus=2, schedules=1000)
    assert (True, 3) == (result.exhausted, most)


# -- spinning ---------------------------------------------------------------------------------------


def spinning(m):
    flag, other = m.cell(0), m.cell(0)

    def spinner():
        while not flag.load():
            m.pause()

    def writer():
        for n in range(100):
            other.store(n)
        flag.store(1)

    m.spawn(spinner)
    m.spawn(writer)
    m.join()


@pytest.mark.parametrize("seed", range(5))
def test_a_spinning_cpu_does_not_run_until_somebody_writes_what_it_read(controlled, seed):
    machine = controlled(spinning, RandomWalk(seed))
    assert (None, True) == (machine.violation, kinds(machine, 1).count(ops.PAUSE) <= 3)


def test_a_spinning_cpu_gets_on_under_the_most_unfair_scheduler(controlled):
    assert None is controlled(spinning, Favour()).violation


def test_a_spin_on_what_nobody_will_write_is_a_livelock(controlled):
    def program(m):
        flag = m.cell(0)
        while not flag.load():
            m.pause()

    assert ("livelock", "every CPU that could run spins on what nobody will write") == verdict(
        controlled(program)
    )


def test_a_spin_that_counts_its_own_turns_ends(controlled):
    def program(m):
        flag = m.cell(0)
        for _ in range(20):
            flag.load()
            m.pause()

    assert None is controlled(program).violation


def test_a_run_beyond_the_step_limit_is_a_livelock(controlled):
    def program(m):
        word = m.cell(0)
        while True:
            word.store(1)

    assert ("livelock", "no end in sight after the step limit") == verdict(controlled(program, max_steps=500))


def test_a_run_just_below_the_step_limit_is_clean(controlled):
    def program(m):
        word = m.cell(0)
        for _ in range(500):
            word.store(1)

    assert None is controlled(program, max_steps=500).violation


def stubborn(nap):
    """CPU 1 spins without telling; CPU 2, which would free it, may sleep for a tick first."""

    def program(m):
        flag = m.cell(0)

        def spinner():
            while not flag.load():
                pass

        def setter():
            if nap:
                m.tsleep("nap", 0, "nap", 1)
            flag.store(1)

        m.spawn(spinner)
        m.spawn(setter)
        m.join()

    return program


def test_an_unfair_scheduler_alone_is_not_reported_as_a_livelock(controlled):
    assert None is controlled(stubborn(nap=False), Favour(), max_steps=1000).violation


def test_picks_stay_fair_after_half_the_step_limit_though_sleeps_may_be_ended(controlled):
    machine = controlled(stubborn(nap=True), Favour(), options=Options(timeouts="any"), max_steps=1000)
    assert None is machine.violation


# -- time -----------------------------------------------------------------------------------------


def test_the_clock_stands_still_while_a_cpu_can_run(controlled):
    def program(m):
        word = m.cell(0)
        for _ in range(1000):
            word.store(1)
        ticks.append(m.ticks)

    ticks = []
    controlled(program)
    assert [0] == ticks


def test_a_sleep_with_a_timeout_takes_exactly_its_ticks(controlled):
    def program(m):
        seen.append((m.tsleep("bed", 0, "nap", 50), m.ticks))

    seen = []
    controlled(program)
    assert [(EWOULDBLOCK, 50)] == seen


def test_sleeps_end_in_the_order_of_their_deadlines(controlled):
    def program(m):
        def sleeper(ticks):
            m.tsleep(("bed", ticks), 0, "nap", ticks)
            order.append((ticks, m.ticks))

        for ticks in (30, 10, 20):
            m.spawn(sleeper, ticks)
        m.join()

    order = []
    controlled(program, RoundRobin())
    assert [(10, 10), (20, 20), (30, 30)] == order


def test_of_sleeps_that_are_overdue_the_one_that_was_due_first_ends_first(controlled):
    def program(m):
        def sleeper(ticks):
            m.engine.sleep(ops.RESUME, ticks)
            order.append((ticks, m.ticks))

        for ticks in (1, 0, -1):
            m.spawn(sleeper, ticks)
        m.join()

    order = []
    controlled(program, RoundRobin())
    assert [(-1, 0), (0, 0), (1, 1)] == order


def test_a_timeout_fires_only_when_nobody_can_run(controlled):
    def program(m):
        word = m.cell(0)

        def sleeper():
            m.tsleep("bed", 0, "nap", 1)
            seen.append(word.peek())

        def worker():
            for n in range(1, 101):
                word.store(n)

        m.spawn(sleeper)
        m.spawn(worker)
        m.join()

    seen = []
    for seed in range(5):
        controlled(program, RandomWalk(seed))
    assert [100] * 5 == seen


def nap(codes, timo):
    """The wakeup cannot be lost here, so the sleep ends by it, unless the scheduler says otherwise."""

    def program(m):
        done = m.cell(False)

        def waker():
            done.store(True)
            m.wakeup("bed")

        m.tsleep_interlock("bed")
        m.spawn(waker)
        code = m.tsleep("bed", PINTERLOCKED, "nap", timo)
        codes.add((code, done.peek()))
        m.join()

    return program


def test_a_wakeup_ends_a_sleep_before_its_timeout():
    codes = set()
    result = vmsmp.explore(nap(codes, 5), sched="dfs", schedules=1000)
    assert (True, {(0, True)}) == (result.exhausted, codes)


def test_timeouts_any_lets_a_timeout_come_before_the_wakeup():
    codes = set()
    result = vmsmp.explore(nap(codes, 5), sched="dfs", schedules=1000, timeouts="any", check=False)
    assert (True, True) == (result.exhausted, (EWOULDBLOCK, False) in codes)


def test_timeouts_any_leaves_a_sleep_without_a_timeout_alone():
    codes = set()
    vmsmp.explore(nap(codes, 0), sched="dfs", schedules=1000, timeouts="any")
    assert {(0, True)} == codes


def test_spurious_lets_a_sleep_end_for_no_reason():
    codes = set()
    vmsmp.explore(nap(codes, 0), sched="dfs", schedules=1000, spurious=True, check=False)
    assert {(0, True), (0, False)} == codes


def test_spurious_wakeups_alone_do_not_hide_a_deadlock():
    def asleep(m):
        while True:
            m.tsleep("bed")

    result = vmsmp.explore(asleep, sched="random", spurious=True)
    assert "deadlock" == result.failure.kind


# -- data -----------------------------------------------------------------------------------------


def test_chosen_data_comes_from_the_seed(controlled):
    def drawn(seed):
        found = []
        controlled(lambda m: found.extend(m.choose(1000) for _ in range(5)), seed=seed)
        return found

    assert (drawn(1), False) == (drawn(1), drawn(1) == drawn(2))


def test_a_cpus_random_numbers_do_not_depend_on_the_interleaving(controlled):
    def numbers(scheduler):
        found = {}

        def program(m):
            def worker():
                mine = found.setdefault(m.curcpu.index, [])
                for _ in range(5):
                    m.yield_()
                    mine.append(m.rng.random())

            m.spawn(worker)
            m.spawn(worker)
            m.join()

        controlled(program, scheduler, seed=9)
        return found

    assert numbers(RoundRobin()) == numbers(RandomWalk(1))


def test_identity_does_not_depend_on_the_interleaving(controlled):
    def identities(scheduler):
        found = {}

        def program(m):
            def worker():
                mine = found.setdefault(m.curcpu.index, [])
                for _ in range(5):
                    m.yield_()
                    mine.append(m.cell(0).ident)

            m.spawn(worker)
            m.spawn(worker)
            m.join()

        controlled(program, scheduler)
        return found

    assert identities(RoundRobin()) == identities(RandomWalk(1))


# -- what is not in the schedule --------------------------------------------------------------------


def outside_message(m):
    m.check(False, f"drew {random.randrange(1 << 60)}")


def outside_steps(m):
    word = m.cell(0)
    for _ in range(random.randrange(1 << 12)):
        word.store(1)
    m.check(False, "down")


def outside_state():
    runs = iter(range(10**9))

    def only_once(m):
        m.check(next(runs) != 3, "the fourth run")

    return only_once


@pytest.mark.parametrize(
    "program",
    [outside_message, outside_steps, outside_state()],
    ids=["random verdict", "random steps", "state that outlives a run"],
)
def test_a_program_that_draws_on_something_outside_its_schedule_is_told_so(program):
    result = vmsmp.explore(program, sched="random", schedules=10)
    assert "nondeterminism" == result.failure.kind
