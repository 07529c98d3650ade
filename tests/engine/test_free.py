"""The free engine: real parallelism or the host's preemption, bounded, watched, and soon over."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

import vmsmp
import vmsmp.engine.supervisor
from vmsmp.check import checkers
from vmsmp.engine import ops
from vmsmp.engine.free import FreeEngine
from vmsmp.engine.free_cpu import RING
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.observer import Observer
from vmsmp.engine.options import Options
from vmsmp.engine.workers import WorkerPool
from vmsmp.machine import Machine
from vmsmp.vm.system import VmSystem


def endless(m):
    word = m.atomic(0)

    def worker():
        while True:
            word.fetchadd(1)

    m.spawn(worker)
    m.spawn(worker)
    m.join()


def verdict(machine):
    return machine.violation and (machine.violation.kind, machine.violation.message)


# -- to the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("locks", ["atomic", "exact"])
@pytest.mark.parametrize("kind", ["spinlock", "token", "lockmgr"])
def test_a_lock_keeps_cpus_apart(free, kind, locks):
    def program(m):
        word, lock = m.cell(0), getattr(m, kind)()

        def worker():
            for _ in range(100):
                with lock:
                    word.store(word.load() + 1)

        for _ in range(3):
            m.spawn(worker)
        m.join()
        m.check(word.load() == 300, f"the lock let somebody in: {word.load()}")

    machine = free(program, options=Options(locks=locks), observers=checkers(True, free=True))
    assert (None, "") == (machine.violation, machine.engine.bounded)


def test_atomic_operations_of_parallel_cpus_are_all_counted(free):
    def program(m):
        word = m.atomic(0)

        def worker():
            for _ in range(2_000):
                word.fetchadd(1)

        for _ in range(4):
            m.spawn(worker)
        m.join()
        m.check(word.load() == 8_000, "every increment is counted")

    assert None is free(program).violation


def test_a_cpu_spawned_by_another_cpu_runs(free):
    ended = []

    def program(m):
        m.spawn(lambda: m.spawn(ended.append, "child"))
        m.join()

    free(program)
    assert ["child"] == ended


def test_the_boot_program_need_not_join(free):
    ended = []
    free(lambda m: m.spawn(ended.append, "worker") and None)
    assert ["worker"] == ended


def test_a_sleeper_is_woken(free):
    def program(m):
        m.tsleep_interlock("bed")
        m.spawn(m.wakeup, "bed")
        m.check(m.tsleep("bed", vmsmp.PINTERLOCKED, "nap", 0) == 0, "woken")
        m.join()

    assert None is free(program).violation


def test_a_sleep_with_a_timeout_ends_by_it(free):
    def program(m):
        m.check(m.tsleep("bed", 0, "nap", 2) == vmsmp.EWOULDBLOCK, "timed out")

    assert None is free(program, observers=checkers(False, free=True)).violation


def test_operations_are_counted(free):
    def program(m):
        word = m.cell(0)
        for n in range(10):
            word.store(n)

    assert 10 == free(program).engine.operations()


def test_a_clean_run_leaves_no_thread(free):
    before = threading.enumerate()
    free(lambda m: [m.spawn(m.yield_) for _ in range(5)] and None)
    assert not set(threading.enumerate()) - set(before)


def test_the_seed_decides_the_data(free):
    def drawn(seed):
        found = []
        free(lambda m: found.extend(m.choose(1000) for _ in range(5)), seed=seed)
        return found

    assert (drawn(1), False) == (drawn(1), drawn(1) == drawn(2))


def test_cpus_spawned_together_start_together(free):
    """None has ended before the last has begun: they all meet, though none of them waits for long."""

    def program(m):
        here = m.atomic(0)

        def worker():
            here.fetchadd(1)
            while here.load() < 4:
                m.pause()

        for _ in range(4):
            m.spawn(worker)
        m.join()

    assert None is free(program).violation


@pytest.mark.parametrize("perturb", [0, 1])
def test_a_program_ends_with_and_without_perturbation(free, perturb):
    def program(m):
        word = m.atomic(0)
        for _ in range(2):
            m.spawn(lambda: [word.fetchadd(1) for _ in range(50)] and None)
        m.join()
        m.check(word.load() == 100, "every increment is counted")

    assert None is free(program, perturb=perturb).violation


# -- bounds ---------------------------------------------------------------------------------------


def test_a_run_is_bounded_by_time(free):
    machine = free(endless, seconds=0.1)
    assert (None, "time") == (machine.violation, machine.engine.bounded)


def test_a_run_is_bounded_by_operations(free):
    machine = free(endless, max_ops=5_000)
    assert (None, "operations") == (machine.violation, machine.engine.bounded)


@pytest.mark.parametrize("perturb", [0, 50])
def test_a_bounded_run_leaves_no_thread(free, perturb):
    before = threading.enumerate()
    free(endless, max_ops=5_000, perturb=perturb)
    assert not set(threading.enumerate()) - set(before)


class LatePool(WorkerPool):
    """Has no thread for CPU 2 until the run is being ended."""

    engine: FreeEngine

    def worker(self, index):
        while index == 2 and not self.engine.execution.halting:
            time.sleep(0.001)
        return super().worker(index)


def test_a_cpu_spawned_while_the_run_is_being_ended_unwinds_too():
    pool = LatePool()
    execution = FreeEngine(pool, seconds=0.05, hang_s=0.5, perturb=0).prepare()
    machine = Machine(execution)
    over = False

    def program(m):
        word = m.cell(0)

        def worker():
            while not over:
                word.store(1)

        m.spawn(worker)
        m.spawn(worker)
        m.join()

    try:
        execution.execute(machine, program)
        verdict = machine.violation, pool.abandoned
    finally:
        over = True
        for cpu in machine.cpus:
            cpu.started = True
        pool.abandoned = False
        pool.close()
    assert (None, False) == verdict


# -- failures -------------------------------------------------------------------------------------


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
    ],
    ids=["check", "panic", "assert", "exception"],
)
def test_what_goes_wrong_on_a_cpu_is_the_verdict(free, how, expected):
    def program(m):
        m.spawn(how, m)
        endless(m)

    assert expected == verdict(free(program))


def test_a_failing_cpu_unwinds_all_others(free):
    waiting, unwound = [], []

    def program(m):
        lock, word = m.spinlock(), m.cell(0)

        def wait(how, name):
            try:
                waiting.append(name)
                while True:
                    how()
            finally:
                unwound.append(name)

        lock.acquire()
        m.spawn(wait, lock.acquire, "lock")
        m.spawn(wait, lambda: m.tsleep("bed"), "sleep")
        m.spawn(wait, m.cpus[2].join, "join")
        m.spawn(wait, word.load, "load")
        m.spawn(wait, m.pause, "pause")
        while len(waiting) < 5:
            m.yield_()
        for _ in range(100):
            m.yield_()
        m.check(False, "down")

    free(program)
    assert ["join", "load", "lock", "pause", "sleep"] == sorted(unwound)


def test_a_failed_run_leaves_no_thread(free):
    def program(m):
        m.spawn(raising, m)
        endless(m)

    before = threading.enumerate()
    free(program)
    assert not set(threading.enumerate()) - set(before)


def test_the_next_run_of_an_engine_starts_afresh():
    with WorkerPool() as pool:
        engine = FreeEngine(pool)
        first = engine.prepare()
        first.execute(Machine(first), raising)
        second = engine.prepare()
        machine = Machine(second)
        second.execute(machine, lambda m: m.spawn(m.yield_) and None)
    assert None is machine.violation


def test_an_observer_that_fails_a_spawn_ends_the_run_without_a_hang():
    class NoSpawns(Observer):
        def spawned(self, cpu, child):
            cpu.machine.fail("check", "no spawns today")

    with WorkerPool() as pool:
        execution = FreeEngine(pool, hang_s=0.5).prepare()
        machine = Machine(execution, hooks=Hooks([NoSpawns()]))
        execution.execute(machine, endless)
        abandoned, pool.abandoned = pool.abandoned, False
    assert (("check", "no spawns today"), False) == (verdict(machine), abandoned)


# -- standstill -------------------------------------------------------------------------------------


def crossed(m):
    """Each CPU holds one lock and wants the other's."""
    a, b, holding = m.spinlock("a"), m.spinlock("b"), m.atomic(0)

    def worker(mine, other):
        with mine:
            holding.fetchadd(1)
            while holding.load() < 2:
                m.pause()
            with other:
                pass

    m.spawn(worker, a, b)
    m.spawn(worker, b, a)
    m.join()


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_crossed_locks_are_a_deadlock(free, locks):
    machine = free(crossed, options=Options(locks=locks), observers=checkers(False, free=True))
    assert ("deadlock", "cycle a -> b -> a") == verdict(machine)


@pytest.mark.parametrize("locks", ["atomic", "exact"])
def test_crossed_locks_without_a_checker_are_a_hang(free, locks):
    machine = free(crossed, options=Options(locks=locks))
    assert ("hang", "no CPU has got on for 0.3 s") == verdict(machine)


def test_a_hang_tells_what_each_cpu_holds_and_wants(free):
    scene = free(crossed).scene
    assert [
        (("exclusive spinlock 'a'",), "exclusive b"),
        (("exclusive spinlock 'b'",), "exclusive a"),
    ] == [(stand.holds, stand.wants) for stand in scene[1:]]


def test_a_sleep_that_nobody_ends_is_a_deadlock(free):
    machine = free(lambda m: m.tsleep("bed"), observers=checkers(False, free=True))
    assert "deadlock" == machine.violation.kind


def test_a_sleep_with_a_timeout_is_no_hang(free):
    machine = free(lambda m: m.tsleep("bed", 0, "nap", 90) and None)
    assert None is machine.violation


def test_a_cpu_that_performs_no_operation_any_more_is_a_hang():
    go_on = threading.Event()

    def program(m):
        m.cell(0).store(1)
        go_on.wait(30)

    assert "hang" == verdict_until(go_on, program, hang_s=0.2)


def test_a_cpu_that_computes_without_end_goes_when_it_has_been_told():
    ended = threading.Event()

    def program(m):
        try:
            while True:
                pass
        finally:
            ended.set()

    assert "hang" == free_verdict(program, hang_s=0.2)
    assert ended.wait(timeout=60)


def verdict_until(go_on, program, **options):
    """The verdict on a program that goes on after its run until the event is set; nobody is left."""
    pool = WorkerPool()
    execution = FreeEngine(pool, **options).prepare()
    machine = Machine(execution)
    try:
        execution.execute(machine, program)
    finally:
        go_on.set()
        pool.abandoned = False
        pool.close()
    return machine.violation.kind


def computes_for(seconds, name):
    """A function that the host takes for one of that module, and that computes for so long."""
    module = {"__name__": name, "monotonic": time.monotonic}
    code = f"def compute(*_):\n    end = monotonic() + {seconds}\n    while monotonic() < end:\n        pass"
    exec(code, module)
    return module["compute"]


@pytest.mark.parametrize(
    ("module", "seconds", "kind"),
    [("vmsmp.check.linearize.long", 1.2, None), ("somebody.elses", 60, "hang")],  # and that is shaken then
)
def test_only_what_the_machinery_computes_may_take_longer(module, seconds, kind):
    compute = computes_for(seconds, module)

    def program(m):
        compute()
        m.cell(0).store(1)

    assert kind == free_verdict(program, hang_s=0.5)


def test_machinery_that_waits_for_what_does_not_come_is_not_waited_for():
    go_on = threading.Event()
    module = {"__name__": "vmsmp.check.linearize.long", "go_on": go_on}
    exec("def wait():\n    go_on.wait(30)", module)

    def program(m):
        m.cell(0).store(1)
        module["wait"]()

    assert "hang" == verdict_until(go_on, program, seconds=0.1, hang_s=0.2)


@pytest.mark.ci
def test_a_cpu_that_goes_on_through_operations_after_its_run_is_not_taken_for_the_machinery():
    def program(m):
        word = m.cell(0)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            try:
                word.load()
            except BaseException:
                continue

    assert "hang" == free_verdict(program, hang_s=0.3, seconds=0.1)


@pytest.mark.parametrize("seconds", [600, 0.1])
def test_the_boot_of_a_large_machine_is_no_hang(monkeypatch, seconds):
    compute = computes_for(1.2, "somebody.elses")
    monkeypatch.setattr("vmsmp.machine.VmSystem", lambda *config: compute() or VmSystem(*config))
    assert free_verdict(lambda m: m.boot() and None, hang_s=0.5, seconds=seconds) is None


def free_verdict(program, **options):
    """The kind of the failure of a free run, which may hang."""
    pool = WorkerPool()
    execution = FreeEngine(pool, **options).prepare()
    machine = Machine(execution)
    try:
        execution.execute(machine, program)
    finally:
        pool.abandoned = False
        pool.close()
    return machine.violation and str(machine.violation.kind)


def test_who_joins_all_waits_for_one_that_had_ended_and_was_interrupted(free):
    late = []

    def program(m):
        ended = m.atomic(0)

        def target():
            ended.store(1)

        def sender(to):
            to.join()
            time.sleep(0.05)  # by now the joiner has seen it end
            m.send_ipiq(to, lambda: (time.sleep(0.1), late.append(m.curcpu.index)))

        m.spawn(sender, m.spawn(target))
        m.join()
        late.append("joined")

    machine = free(program)
    assert (None, [1, "joined"]) == (machine.violation, late)


# -- rendezvous -----------------------------------------------------------------------------------


class Meeting(Observer):
    """Looks, at every rendezvous that falls into the run, at who is not standing still."""

    def __init__(self, stay=0.0):
        self.stay = stay
        self.held = 0
        self.running = []

    def quiescent(self, machine):
        if machine.cpus[0].done or threading.current_thread() is machine.cpus[0].thread:
            return  # the last one, with nobody left
        self.held += 1
        before = [cpu.nops for cpu in machine.cpus]
        time.sleep(self.stay)
        self.running += [
            cpu.index
            for cpu, nops in zip(machine.cpus, before, strict=True)
            if cpu.nops != nops or not (cpu.blocked or cpu.done)
        ]


def test_a_rendezvous_is_held_while_a_long_program_runs(free):
    meeting = Meeting()
    machine = free(endless, observers=[meeting], seconds=0.8)
    assert (None, True, True) == (
        machine.violation,
        meeting.held > 0,
        meeting.held == machine.engine.rendezvous.held,
    )


def test_every_cpu_stands_still_during_a_rendezvous(free):
    meeting = Meeting(stay=0.02)
    free(endless, observers=[meeting], seconds=0.8)
    assert (True, []) == (meeting.held > 0, meeting.running)


def test_no_cpu_starts_during_a_rendezvous(free, monkeypatch):
    monkeypatch.setattr(vmsmp.engine.supervisor, "RENDEZVOUS_S", 0.0)
    monkeypatch.setattr(vmsmp.engine.supervisor, "LOOK_S", 0.0)
    meeting = Meeting(stay=0.002)

    def program(m):
        word = m.atomic(0)

        def count():
            for _ in range(50):
                word.fetchadd(1)

        for _ in range(40):
            m.spawn(count)
            word.load()  # lets it go
        m.join()

    for seed in range(2):
        free(program, observers=[meeting], seconds=30, seed=seed)
    assert (True, []) == (meeting.held > 0, meeting.running)


def test_no_sleeper_goes_on_during_a_rendezvous(free):
    woken = []
    moved = []

    class Still(Observer):
        def quiescent(self, machine):
            if not machine.engine.halting and not machine.cpus[0].done:
                before = len(woken)
                time.sleep(0.05)
                moved.append(len(woken) - before)
                if len(moved) == 2:
                    machine.engine.interrupt()

    def program(m):
        def sleeper():
            while True:
                m.tsleep("bed", 0, "nap", 1)
                woken.append(m.curcpu)

        m.spawn(sleeper)
        endless(m)

    free(program, observers=[Still()], seconds=30)
    assert [0, 0] == moved


def test_the_run_goes_on_after_a_rendezvous(free):
    counts = []

    class Count(Observer):
        def quiescent(self, machine):
            counts.append(machine.engine.operations())

    free(endless, observers=[Count()], seconds=0.8)
    assert (True, True) == (len(counts) > 1, counts == sorted(set(counts)))


def test_a_rendezvous_may_fail_the_run(free):
    class Never(Observer):
        def quiescent(self, machine):
            machine.fail("queue", "the count is off")

    machine = free(endless, observers=[Never()], seconds=2.0)
    assert ("queue", "the count is off") == verdict(machine)


# -- history --------------------------------------------------------------------------------------


def test_recent_names_the_last_operations_oldest_first(free):
    def program(m):
        word = m.cell(0)
        word.store(1)
        word.load()
        word.store(2)

    machine = free(program)
    recent = machine.engine.recent(machine.cpus[0])
    assert [ops.STORE, ops.LOAD, ops.STORE] == [ops.kind_of(code) for code in recent]


def test_recent_remembers_no_more_than_its_ring(free):
    def program(m):
        word = m.cell(0)
        for n in range(1000):
            word.store(n)
        word.load()

    machine = free(program)
    recent = [ops.kind_of(code) for code in machine.engine.recent(machine.cpus[0])]
    assert [ops.STORE] * (RING - 1) + [ops.LOAD] == recent


def failing(m):
    word = m.cell(0, name="word")
    word.store(1)
    m.check(False, "down")


def test_the_failure_of_a_free_run_tells_the_last_operations_of_every_cpu():
    failure = vmsmp.run(failing, engine="free").failure
    assert (("cpu0", ("store word",)),) == failure.history.recent


def test_the_failure_of_a_free_run_has_no_schedule():
    assert ("", "free") == tuple(
        getattr(vmsmp.run(failing, engine="free").failure, name) for name in ("schedule", "engine")
    )


def test_the_report_of_a_free_run_says_how_to_look_for_it_under_control():
    failure = vmsmp.run(failing, engine="free").failure
    assert "  vmsmp.explore(failing, schedules=10_000)" in failure.report().splitlines()
    assert "  vmsmp run failing --schedules 10000" in replace(failure, listed=True).report().splitlines()


def test_a_clean_free_run_has_no_failure():
    outcome = vmsmp.run(lambda m: m.spawn(m.yield_) and None, engine="free")
    assert (True, True) == (outcome.ok, outcome.operations > 0)


def test_an_unknown_engine_is_a_usage_error():
    with pytest.raises(ValueError, match="engine must be"):
        vmsmp.run(failing, engine="both")
