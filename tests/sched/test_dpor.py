"""Partial-order reduction: every trace once, none missed, and it says when it has seen them all."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

import vmsmp
from reference import deadlock01, reorder, twostages
from vmsmp import PINTERLOCKED
from vmsmp.engine import trace
from vmsmp.engine.controlled import ControlledEngine
from vmsmp.engine.hooks import Hooks
from vmsmp.engine.workers import WorkerPool, current_core
from vmsmp.machine import Machine
from vmsmp.sched.fingerprint import fingerprint
from vmsmp.sched.names import make_scheduler
from vmsmp.sched.witness import Witness

#: More than any program here has executions.
MOST = 60_000


@dataclass
class Seen:
    """What a search went through: every execution's trace and run, how many failed, whether it ended."""

    traces: list[int] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    failing: int = 0
    blocked: int = 0
    exhausted: bool = False


def search(program, sched="dpor", *, executions=MOST, seed=0):
    """Run a program under a scheduler until there is nothing left, without checkers."""
    seen = Seen()
    scheduler = make_scheduler(sched, seed)
    witness = Witness()
    with WorkerPool(current_core()) as pool:
        engine = ControlledEngine(pool)

        def loop():
            while len(seen.traces) < executions:
                if not scheduler.begin():
                    seen.exhausted = True
                    return
                execution = engine.prepare(witness.around(scheduler))
                machine = Machine(execution, seed=len(seen.traces), hooks=Hooks((witness,)))
                log = execution.execute(machine, program)
                effects = witness.finish(machine)
                if witness.learned:  # the search starts again, too
                    seen.traces, seen.digests, seen.failing = [], [], 0
                else:
                    seen.traces.append(fingerprint(log, execution.draws, effects))
                    seen.digests.append(trace.digest(log))
                    seen.failing += machine.violation is not None
                machine.close()

        pool.drive(loop)
    seen.blocked = getattr(scheduler, "sleep_set_blocked", 0)
    return seen


def explore(program, **arguments):
    return vmsmp.explore(program, sched="dpor", check=False, **{"schedules": MOST, **arguments})


# -- the programs of the search literature ---------------------------------------------------------


class Wrong(Exception):
    """A check failed; only its own CPU stops, and it gives its locks back."""


def told(program):
    """The program in which a failed check stops its own CPU, and the boot CPU fails at the end."""

    def quiet(m):
        wrong = []

        def check(ok, _what=""):
            if not ok:
                wrong.append(m.curcpu.index)
                raise Wrong

        def spawn(role, *args):
            def quietly():
                try:
                    role(*args)
                except Wrong:
                    pass

            return m.spawn(quietly)

        try:
            program(
                SimpleNamespace(cell=m.cell, atomic=m.atomic, spinlock=m.spinlock, spawn=spawn, check=check)
            )
        except Wrong:
            pass
        m.join()
        m.check(not wrong, "no check failed")

    quiet.__name__ = program.__name__
    return quiet


def direct(program):
    """The same program with the machine's own checks."""
    return program


# Not those of `reference`: here a check stands after the unlock, so that a run that fails has unlocked
# as well; bluetooth counts down even when it is stopping, and joins nobody.


def account(m):
    balance, lock = m.cell(1), m.spinlock("m")
    deposited, withdrawn = m.cell(0), m.cell(0)

    def checker():
        with lock:
            right = not (deposited.load() and withdrawn.load()) or balance.load() == (1 - 2) - 4
        m.check(right)

    def depositor():
        with lock:
            balance.store(balance.load() + 2)
            deposited.store(1)

    def withdrawer():
        with lock:
            balance.store(balance.load() - 4)
            withdrawn.store(1)

    for role in (checker, depositor, withdrawer):
        m.spawn(role)


def bluetooth(m):
    pending, stopping = m.atomic(1), m.cell(0)
    event, stopped = m.cell(0), m.cell(0)

    def decrement():
        if pending.fetchadd(-1) == 1:
            event.store(1)

    def stop():
        stopping.store(1)
        decrement()
        if event.load():
            stopped.store(1)

    m.spawn(stop)
    if not stopping.load():
        pending.fetchadd(1)
        m.check(not stopped.load())
    decrement()


def lazy01(m):
    lock, d = m.spinlock("m"), m.cell(0)

    def add(n):
        with lock:
            d.store(d.load() + n)

    def checker():
        with lock:
            seen = d.load()
        m.check(seen < 3)

    m.spawn(add, 1)
    m.spawn(add, 2)
    m.spawn(checker)


def wronglock(n):
    def program(m):
        data, this, v = m.spinlock("data"), m.spinlock("this"), m.cell(0)

        def right():
            with data:
                x = v.load()
                v.store(v.load() + 1)
                same = v.load() == x + 1
            m.check(same)

        def wrong():
            with this:
                v.store(v.load() + 1)

        m.spawn(right)
        for _ in range(n):
            m.spawn(wrong)

    program.__name__ = f"wronglock_{n}"
    return program


#: program, its traces, and those of them that fail
TABLE = [
    (deadlock01, 3, 1),
    (lazy01, 6, 2),
    (bluetooth, 10, 1),
    (account, 6, 2),
    (reorder(3), 56, 12),
    (reorder(4), 1_248, 216),
    (twostages(1, 1), 3, 1),
    (twostages(2, 1), 40, 10),
    (twostages(3, 1), 1_080, 198),
    (wronglock(2), 48, 26),
    (wronglock(3), 360, 246),
]
#: Programs with more traces than these run with the long tests.
FEW = 1_000


def marked(*row, traces):
    return pytest.param(*row, id=row[0].__name__, marks=[pytest.mark.ci] if traces > FEW else [])


each_body = pytest.mark.parametrize("body", [marked(row[0], traces=row[1]) for row in TABLE])
each_row = pytest.mark.parametrize(
    ("body", "traces", "failing"), [marked(*row, traces=row[1]) for row in TABLE]
)


@each_row
@pytest.mark.parametrize("checked", [told, direct])
def test_a_program_has_as_many_executions_as_traces(checked, body, traces, failing):
    seen = search(checked(body))
    assert (traces, traces, failing) == (len(seen.traces), len(set(seen.traces)), seen.failing)


@each_body
def test_no_execution_is_blocked(body):
    assert 0 == search(told(body)).blocked


@each_row
def test_a_search_knows_that_it_has_seen_everything(body, traces, failing):
    result = explore(told(body), stop="never")
    assert (True, traces, failing) == (result.exhausted, result.executions, sum(result.counts.values()))


@pytest.mark.parametrize(
    "body",
    [deadlock01, bluetooth, reorder(2), twostages(1, 1), wronglock(1)],
    ids=lambda body: body.__name__,
)
def test_depth_first_search_sees_the_same_traces(body):
    everything = search(told(body), "dfs")
    assert everything.exhausted
    assert set(everything.traces) == set(search(told(body)).traces)


# -- random programs --------------------------------------------------------------------------------


class Things:
    """What the CPUs of a random program share: two of each."""

    def __init__(self, m):
        self.m = m
        self.cells = m.cell(0), m.cell(0)
        self.words = m.atomic(0), m.atomic(0)
        self.locks = m.spinlock("a"), m.spinlock("b")
        self.tokens = m.token("t"), m.token("u")


def load(t, n):
    t.cells[n].load()


def store(t, n):
    t.cells[n].store(1)


def fetchadd(t, n):
    t.words[n].fetchadd(1)


def cmpset(t, n):
    t.words[n].cmpset(0, 1)


def look(t, n):
    t.words[n].load()


def locked(t, n):
    with t.locks[n]:
        t.cells[n].store(1)


def nested(t, n):
    with t.locks[n], t.locks[1 - n]:
        pass


def shared(t, n):
    t.locks[n].acquire_shared()
    t.cells[n].load()
    t.locks[n].release_shared()


def tried(t, n):
    if t.locks[n].try_acquire():
        t.cells[1].store(2)
        t.locks[n].release()


def upgraded(t, n):
    t.locks[n].acquire_shared()
    if t.locks[n].try_upgrade():
        t.locks[n].release()
    else:
        t.locks[n].release_shared()


def serialized(t, n):
    with t.tokens[n]:
        t.cells[n].store(1)


def both_tokens(t, n):
    with t.tokens[n], t.tokens[1 - n]:
        pass


def sleep(t, n):
    t.m.tsleep_interlock(t.locks[n])
    if not t.words[n].load():
        t.m.tsleep(t.locks[n], PINTERLOCKED, "bed")


def nap(t, n):
    t.m.tsleep(t.locks[n], 0, "nap", 1)


def wake(t, n):
    t.words[n].store(1)
    t.m.wakeup(t.locks[n])


def spin(t, n):
    for _ in range(3):
        if t.words[n].load():
            break
        t.m.pause()


def choose(t, n):
    t.cells[n].store(t.m.choose(2))


def give_way(t, n):
    t.m.yield_()


OPERATIONS = {
    "cells": (load, store),
    "atomics": (fetchadd, cmpset, look),
    "locks": (locked, load, store),
    "nested": (nested, load),
    "shared": (shared, locked),
    "tries": (tried, locked),
    "upgrades": (upgraded, shared, locked),
    "token": (serialized, load),
    "sleeps": (sleep, wake),
    "naps": (nap, wake, store),
    "spins": (spin, wake),
    "draws": (choose, load),
    "yields": (give_way, store, load),
    "mixed": (fetchadd, locked, wake, sleep, cmpset),
}
each_set = pytest.mark.parametrize("kinds", OPERATIONS)


def random_program(kinds, seed, cpus, longest):
    """So many CPUs with up to that many operations in all, at least one each."""
    rng = random.Random(f"{[kind.__name__ for kind in kinds]} {seed}")
    plan = [[] for _ in range(cpus)]
    for n in range(rng.randint(cpus, longest)):
        steps = plan[n] if n < cpus else rng.choice(plan)
        steps.append((rng.choice(kinds), rng.randrange(2)))

    def program(m):
        things = Things(m)

        def run(steps):
            for operation, n in steps:
                operation(things, n)

        for steps in plan:
            m.spawn(run, steps)
        m.join()

    program.__name__ = "; ".join(" ".join(f"{step.__name__}{n}" for step, n in steps) for steps in plan)
    return program


def random_programs(kinds, cpus, longest, count=8):
    return [random_program(kinds, seed, cpus, longest) for seed in range(count)]


@each_set
def test_two_cpus_of_random_operations_have_the_traces_that_depth_first_search_sees(kinds):
    programs = random_programs(OPERATIONS[kinds], 2, 3)
    assert [] == [
        program.__name__
        for program in programs
        if set(search(program).traces) != set(search(program, "dfs").traces)
    ]


@each_set
def test_two_cpus_of_random_operations_run_no_trace_twice_and_none_in_vain(kinds):
    seen = {program.__name__: search(program) for program in random_programs(OPERATIONS[kinds], 2, 4)}
    assert [] == [name for name, found in seen.items() if found.blocked]
    assert [] == [name for name, found in seen.items() if len(set(found.traces)) != len(found.traces)]


@pytest.mark.ci
@each_set
def test_three_cpus_of_random_operations_have_all_traces_that_random_walks_see(kinds):
    programs = random_programs(OPERATIONS[kinds], 3, 5)
    assert [] == [
        program.__name__
        for program in programs
        if set(search(program, "random", executions=100).traces) - set(search(program).traces)
    ]


def test_two_tokens_at_a_time_hide_no_trace():
    programs = random_programs((both_tokens, serialized), 2, 3)
    assert [] == [
        program.__name__
        for program in programs
        if set(search(program).traces) != set(search(program, "dfs").traces)
    ]


# -- programs whose traces can be counted ----------------------------------------------------------


def spawning(*roles):
    """One CPU for each role; a role is a function of one of each kind of thing."""

    def program(m):
        things = Things(m)
        for role in roles:
            m.spawn(role, things)

    return program


def reader(t):
    t.cells[0].load()


def writer(t):
    t.cells[0].store(1)


def section(t):
    with t.locks[0]:
        pass


def shared_section(t):
    t.locks[0].acquire_shared()
    t.locks[0].release_shared()


def upgrader(t):
    upgraded(t, 0)


def attempt(t):
    if t.locks[0].try_acquire():
        t.locks[0].release()


def adder(t):
    t.words[0].fetchadd(1)


def parent(t):
    t.m.spawn(t.cells[0].load)


def drawing_writer(t):
    t.m.choose(2)
    t.cells[0].store(1)


@pytest.mark.parametrize(
    ("roles", "traces"),
    [
        ((reader,) * 6, 1),
        ((writer,) * 4, 24),
        ((adder,) * 4, 24),
        ((section,) * 4, 24),
        ((writer, *(reader,) * 5), 32),
        ((*(reader,) * 5, writer), 32),
        ((section, attempt), 3),
        ((attempt, attempt), 4),
        ((section, shared_section), 2),
        ((parent, parent), 3),  # the boot CPU's second spawn among theirs
        ((drawing_writer, reader, reader), 8),
        ((reader, drawing_writer, reader), 8),
        ((attempt, section, section), 10),
    ],
    ids=lambda value: " ".join(role.__name__ for role in value) if isinstance(value, tuple) else str(value),
)
def test_a_program_has_the_traces_that_counting_says(roles, traces):
    seen = search(spawning(*roles))
    assert (traces, traces, 0) == (len(seen.traces), len(set(seen.traces)), seen.blocked)


def test_a_writer_between_two_readers_of_a_lock_loses_no_trace():
    program = spawning(section, shared_section, upgrader)
    assert set(search(program, "random", executions=2_000).traces) <= set(search(program).traces)


def test_a_writer_beside_two_readers_of_a_lock_runs_nothing_in_vain():
    seen = search(spawning(section, shared_section, shared_section))
    assert (len(set(seen.traces)), 0) == (len(seen.traces), seen.blocked)


@pytest.mark.parametrize(
    "roles",
    [
        (attempt, attempt, attempt),
        (attempt, attempt, section),
        (attempt, attempt, shared_section),
        (attempt, shared_section, shared_section),
    ],
    ids=lambda roles: " ".join(role.__name__ for role in roles),
)
def test_tries_for_one_lock_run_no_trace_twice(roles):
    seen = search(spawning(*roles))
    assert len(set(seen.traces)) == len(seen.traces)


def test_draws_of_data_are_enumerated():
    drawn = []
    search(lambda m: drawn.append((m.choose(3), m.choose(2))))
    assert [(a, b) for a in range(3) for b in range(2)] == sorted(drawn)


def test_a_spinner_is_let_go_on_by_the_write_it_waits_for():
    def program(m):
        flag = m.cell(0)

        def spinner():
            while not flag.load():
                m.pause()

        m.spawn(spinner)
        m.spawn(flag.store, 1)

    seen = search(program)
    assert (True, 0, len(set(seen.traces))) == (seen.exhausted, seen.failing, len(seen.traces))


# -- what a search makes of failures ---------------------------------------------------------------


def lost_wakeup(m):
    ready = m.atomic(0)

    def sleeper():
        if not ready.load():
            m.tsleep("bed", 0, "bed")

    def waker():
        ready.store(1)
        m.wakeup("bed")

    m.spawn(sleeper)
    m.spawn(waker)


def drawn(m):
    word = m.cell(0)
    m.spawn(word.store, 1)
    m.check(m.choose(3) != 2 or not word.load(), "no draw meets the store")


def endless(m):
    flag = m.cell(0)

    def spinner():
        while not flag.load():
            m.pause()

    m.spawn(spinner)


FAILING = {
    "deadlock": (direct(deadlock01), "deadlock"),
    "a check": (direct(reorder(3)), "check"),
    "the boot CPU's check": (direct(bluetooth), "check"),
    "a check at the end": (told(wronglock(2)), "check"),
    "a check of data": (drawn, "check"),
    "livelock": (endless, "livelock"),
    "a lost wakeup": (lost_wakeup, "deadlock"),
}
each_failing = pytest.mark.parametrize(("program", "kind"), FAILING.values(), ids=FAILING)


@each_failing
def test_a_failure_is_found(program, kind):
    assert {kind} == {failure.kind for failure in explore(program, stop="never").failures}


@each_failing
def test_a_failure_comes_back_from_its_line(program, kind):
    found = explore(program).failure
    again = vmsmp.replay(program, found.schedule, check=False).failure
    assert (found.signature, found.digest) == (again.signature, again.digest)


@each_failing
def test_a_search_that_stops_at_the_first_failure_has_run_no_more(program, kind):
    result = explore(program)
    assert (result.failure.execution, 1, False) == (
        result.executions,
        sum(result.counts.values()),
        result.exhausted,
    )


def test_the_checkers_of_a_search_see_what_they_see_in_others():
    assert "lost-wakeup" == vmsmp.explore(lost_wakeup, sched="dpor").failure.kind


def slept_short(m):
    word = m.cell(0)

    def sleeper():
        m.tsleep("bed", 0, "bed", 5)
        m.check(word.load() == 2, "the sleep is long enough")

    def worker():
        word.store(1)
        word.store(2)

    m.spawn(sleeper)
    m.spawn(worker)


@pytest.mark.parametrize("options", [{"timeouts": "any"}, {"spurious": True}], ids=["timeouts", "spurious"])
def test_a_sleep_may_end_early_where_the_options_say_so(options):
    assert explore(slept_short, **options).counts


# -- the search itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [reorder(3), twostages(2, 1), deadlock01], ids=lambda body: body.__name__)
def test_a_search_goes_the_same_way_twice(body):
    assert search(told(body)).digests == search(told(body)).digests


@pytest.mark.parametrize("seed", [1, 7])
def test_the_seed_of_a_search_does_not_matter(seed):
    assert search(told(reorder(3))).digests == search(told(reorder(3)), seed=seed).digests


@pytest.mark.parametrize("schedules", [1, 55])
def test_a_search_that_is_cut_has_not_seen_everything(schedules):
    result = explore(told(reorder(3)), schedules=schedules, stop="never")
    assert (schedules, False) == (result.executions, result.exhausted)


def test_a_search_goes_through_long_programs():
    def program(m):
        word = m.atomic(0)

        def reader():
            for _ in range(3_000):
                word.load()

        m.spawn(reader)
        m.spawn(word.store, 1)
        m.join()

    result = explore(program, schedules=10)
    assert (None, 10) == (result.failure, result.executions)
    assert result.longest > 3_000


@pytest.mark.parametrize("options", [{"timeouts": "any"}, {"spurious": True}])
def test_a_search_that_may_end_sleeps_is_never_called_exhaustive(options):
    def program(m):
        m.spawn(m.tsleep, "a", 0, "", 5)
        m.spawn(m.wakeup, "b")
        m.join()

    assert not vmsmp.explore(program, sched="dpor", check=False, **options).exhausted
