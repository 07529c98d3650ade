"""The runner: an execution that is run twice must go the same way both times."""

from __future__ import annotations

import re

import pytest

import vmsmp
from lost_update import lost_update
from small_programs import clean
from vmsmp.campaign import search
from vmsmp.campaign.runner import runner_for
from vmsmp.engine.options import Options
from vmsmp.sched.replay import Preempting

# -- other options ----------------------------------------------------------------------------------------


def test_a_runner_with_other_options_keeps_its_engine():
    with runner_for(clean, Options(), check=True) as runner:
        other = runner.with_options(Options(locks="exact"))
        assert runner.engine is other.engine
        assert "exact" == other.options.locks


def test_a_runner_with_other_options_leaves_the_first_as_it_was():
    with runner_for(clean, Options(races=True), check=True) as runner:
        bare = runner.unchecked()
        assert (True, True) == (runner.check, runner.options.races)
        assert (False, False) == (bare.check, bare.options.races)


def test_a_told_run_has_its_line_and_its_story():
    with runner_for(clean, Options(), check=True) as runner:
        told = []
        runner.drive(lambda: told.append(runner.tell(Preempting(()), 7)[0]))
    assert "v1:clean:7:" == told[0].schedule
    assert told[0].steps == len(told[0].story.rows)


# -- one execution in 64 is run twice -------------------------------------------------------------


def counting(program):
    """The program, and a list that grows with every run of it."""
    runs = []

    def counted(m):
        runs.append(0)
        program(m)

    return counted, runs


@pytest.mark.parametrize("sched", ["portfolio", "random", "sticky", "rr", "pos", "surw", "urw", "pct:3"])
@pytest.mark.parametrize("schedules", [63, 64, 65, 200])
def test_one_execution_in_64_is_run_twice(schedules, sched):
    program, runs = counting(clean)
    result = vmsmp.explore(program, sched=sched, schedules=schedules)
    assert (schedules, schedules + schedules // 64) == (result.executions, len(runs))


@pytest.mark.parametrize("sched", ["dfs", "dpor"])
def test_a_systematic_search_runs_them_twice_too(sched):
    def two_increments_each(m):
        word = m.cell(0)
        for _ in range(2):
            m.spawn(lambda: [word.store(word.load() + 1) for _ in range(3)])

    program, runs = counting(two_increments_each)
    result = vmsmp.explore(program, sched=sched, schedules=150)
    assert (150, 152) == (result.executions, len(runs))


def test_nothing_is_run_twice_in_a_search_of_63():
    program, runs = counting(clean)
    vmsmp.explore(program, schedules=63)
    assert 63 == len(runs)


def test_what_is_run_twice_counts_once():
    one, other = (vmsmp.explore(clean, sched="rr", schedules=n) for n in (1, 64))
    assert 64 * one.steps == other.steps


def test_running_twice_does_not_change_what_is_found(monkeypatch):
    found = []
    for every in (64, 2, 10**9):
        monkeypatch.setattr(search, "CHECK_EVERY", every)
        result = vmsmp.explore(lost_update, sched="portfolio", schedules=200, stop="never")
        found.append((result.counts, result.steps, result.certificate.traces))
    assert [found[0]] * 3 == found


def alternating(even, odd):
    """A clean program whose runs are now of one kind, now of the other."""
    runs = []

    def program(m):
        runs.append(0)
        (odd if len(runs) % 2 else even)(m)

    return program


def crowd(m, *words):
    """Two CPUs that store to these words, one after the other."""

    def writer():
        for word in words:
            word.store(1)

    m.spawn(writer)
    m.spawn(writer)
    m.join()


def swapped(order):
    def run(m):
        words = [m.cell(0, name="first"), m.cell(0, name="second")]
        crowd(m, *words[::order])

    return run


HOST_STATE = {
    "another order": (swapped(1), swapped(-1)),
    "a step more": (lambda m: crowd(m, m.cell(0)), lambda m: (crowd(m, m.cell(0)), m.yield_())),
    "a step less": (lambda m: (crowd(m, m.cell(0)), m.cell(0).load()), lambda m: crowd(m, m.cell(0))),
    "another CPU": (lambda m: m.spawn(m.yield_), lambda m: (m.spawn(m.yield_), m.spawn(m.yield_))),
    "a draw more": (lambda m: m.spawn(m.choose, 3), lambda m: m.spawn(lambda: (m.choose(3), m.choose(3)))),
    "a draw among fewer": (lambda m: m.choose(1_000), lambda m: m.choose(2)),
}


@pytest.mark.parametrize("sched", ["portfolio", "random", "rr", "pos"])
@pytest.mark.parametrize("pair", HOST_STATE.values(), ids=HOST_STATE)
def test_a_clean_program_that_draws_on_host_state_is_nondeterministic(pair, sched):
    result = vmsmp.explore(alternating(*pair), sched=sched, schedules=64)
    assert ("nondeterminism", 64) == (result.failure.kind, result.failure.execution)


def test_the_first_operation_that_differs_is_named():
    facts = vmsmp.explore(alternating(swapped(1), swapped(-1)), sched="rr", schedules=64).failure.facts
    assert "the first run ended with clean run: nothing failed" == facts[0]
    assert facts[1].endswith("step 3: recorded cpu1 store object 0.1, now cpu1 store object 0.2")


def test_a_search_that_never_stops_counts_what_is_nondeterministic():
    program = alternating(swapped(1), swapped(-1))
    result = vmsmp.explore(program, sched="rr", schedules=64, stop="never")
    assert {"nondeterminism: the same schedule gives different runs": 1} == result.counts


def dozing(timo, bystanders):
    """A sleep that a wakeup ends; if it has a timeout the search might end it, too."""

    def run(m):
        announced = m.atomic(0)

        def sleeper():
            m.tsleep_interlock("bed")
            announced.store(1)
            m.tsleep("bed", vmsmp.PINTERLOCKED, "", timo)

        m.spawn(sleeper)
        for _ in range(bystanders):
            m.spawn(lambda: [m.yield_() for _ in range(9)])
        while not announced.load():
            m.pause()
        for _ in range(5):
            announced.load()
        m.wakeup("bed")
        m.join()

    return run


def test_a_program_whose_runnable_cpus_differ_is_nondeterministic():
    """The steps are the same, as long as nobody ends the sleep."""
    program = alternating(dozing(0, 1), dozing(1_000, 1))
    failure = vmsmp.explore(program, sched="random", schedules=64, timeouts="any").failure
    assert "nondeterminism" == failure.kind
    assert re.search(r"at choice \d+ other CPUs could run: cpu0, cpu2, then cpu0, cpu1", failure.facts[1])


def test_a_choice_that_there_was_not_before_is_nondeterministic_too():
    program = alternating(dozing(0, 0), dozing(1_000, 0))
    failure = vmsmp.explore(program, sched="random", schedules=64, timeouts="any").failure
    assert "nondeterminism" == (failure and failure.kind)


def test_alternating_programs_that_do_the_same_are_no_failure():
    assert vmsmp.explore(alternating(dozing(0, 1), dozing(0, 1)), sched="random", schedules=64).ok


def test_a_run_that_is_finished_by_fair_picks_is_no_other_run():
    def program(m):
        word = m.cell(0)

        def role():
            for _ in range(40):
                word.store(word.load() + 1)

        for _ in range(3):
            m.spawn(role)

    result = vmsmp.explore(program, sched="random", schedules=64, max_steps=500)
    assert (64, None) == (result.executions, result.failure)


def test_a_verdict_that_only_the_second_run_has_is_nondeterminism():
    runs = []

    def program(m):
        runs.append(m.cell(0).load())
        m.check(len(runs) <= 64, "host state")

    failure = vmsmp.explore(program, sched="random", schedules=64).failure
    assert ("nondeterminism", True) == (failure.kind, "host state" in failure.facts[1])
