"""What a user calls: explore, replay, minimize, run."""

from __future__ import annotations

import re

import pytest

import vmsmp
from lost_update import lost_update
from vmsmp.campaign import search
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError


def noisy(m):
    """The same bug among much that has nothing to do with it."""
    word, noise = m.cell(0), m.cell(0)

    def incrementer():
        for n in range(5):
            noise.store(n)
        word.store(word.load() + 1)
        for n in range(5):
            noise.store(n)

    for _ in range(3):
        m.spawn(incrementer)
    m.join()
    m.check(word.load() == 3, "every increment is counted")


def two_bugs(m):
    word = m.cell(0)

    def incrementer():
        word.store(word.load() + 1)

    def reader():
        m.check(word.load() != 1, "somebody saw the middle")

    m.spawn(incrementer)
    m.spawn(incrementer)
    m.spawn(reader)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def clean(m):
    word = m.atomic(0)
    m.spawn(word.fetchadd, 1)
    m.spawn(word.fetchadd, 1)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


# -- explore --------------------------------------------------------------------------------------


def test_a_search_finds_the_lost_update():
    failure = vmsmp.explore(lost_update, sched="pct:3", schedules=1000, seed=1).failure
    assert ("check", "both increments are counted") == (failure.kind, failure.message)


def test_a_search_of_a_clean_program_runs_all_its_schedules():
    result = vmsmp.explore(clean, schedules=100)
    assert (100, None, True) == (result.executions, result.failure, result.ok)


def test_the_first_failure_ends_a_search():
    result = vmsmp.explore(lost_update, sched="random", schedules=1000)
    assert (result.failure.execution, True) == (result.executions, result.executions < 1000)


def test_stop_never_goes_on_after_a_failure():
    result = vmsmp.explore(lost_update, sched="random", schedules=300, stop="never")
    assert (300, True) == (result.executions, sum(result.counts.values()) > 1)


def test_stop_never_keeps_the_first_failure_of_each_signature():
    result = vmsmp.explore(two_bugs, sched="random", schedules=300, stop="never")
    assert {"check: both increments are counted", "check: somebody saw the middle"} == {
        failure.signature for failure in result.failures
    }


def test_stop_never_counts_every_signature_that_it_keeps():
    result = vmsmp.explore(two_bugs, sched="random", schedules=300, stop="never")
    assert [failure.signature for failure in result.failures] == list(result.counts)


def test_a_signature_has_no_instance_numbers():
    def program(m):
        m.check(False, f"page {m.choose(1000)} is busy")

    result = vmsmp.explore(program, sched="random", schedules=20, stop="never")
    assert {"check: page N is busy": 20} == result.counts


def test_the_same_seed_finds_the_same_failure():
    one, other = (vmsmp.explore(lost_update, schedules=100, seed=5).failure for _ in range(2))
    assert (one.schedule, one.digest, one.execution) == (other.schedule, other.digest, other.execution)


def test_a_search_is_bounded_by_its_seconds():
    assert 1 == vmsmp.explore(clean, sched="random", schedules=10**9, time_s=0).executions


def test_the_step_limit_ends_a_run_as_a_livelock():
    def program(m):
        word = m.cell(0)
        while True:
            word.store(1)

    assert "livelock" == vmsmp.explore(program, max_steps=200).failure.kind


def test_cpus_are_what_the_program_is_told():
    seen = []
    vmsmp.explore(lambda m: seen.append(m.ncpus), schedules=1, cpus=5)
    assert [5] == seen


def test_options_stand_in_the_schedule_of_a_failure():
    failure = vmsmp.explore(
        lambda m: m.check(False, "down"), locks="exact", timeouts="any", spurious=True, cpus=2
    ).failure
    assert ["exact", "any", "spurious", "cpus=2"] == Schedule.parse(failure.schedule).options.words()


def test_without_checkers_only_the_program_speaks():
    def program(m):
        m.spinlock().acquire()

    kinds = [vmsmp.explore(program, schedules=1, check=check).failure for check in (True, False)]
    assert ("leak", None) == (kinds[0].kind, kinds[1])


WRONG = {
    "an unknown scheduler": {"sched": "bogus"},
    "an unknown stop": {"stop": "later"},
    "no schedules": {"schedules": 0},
    "negative schedules": {"schedules": -1},
    "no steps": {"max_steps": 0},
    "an unknown depth of locks": {"locks": "both"},
    "unknown timeouts": {"timeouts": "never"},
    "no cpus": {"cpus": 0},
    "too many cpus": {"cpus": 65},
    "an unknown mutant": {"mutants": ["no-such"]},
    "an unknown repair": {"repairs": ["no-such"]},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_an_argument_that_cannot_be_is_a_usage_error(wrong):
    with pytest.raises(UsageError, match=r"\A[^\n]+\Z"):
        vmsmp.explore(clean, **wrong)


def test_results_turn_into_plain_data():
    result = vmsmp.explore(lost_update, sched="random", schedules=50)
    assert result.failure.schedule == result.as_dict()["failures"][0]["schedule"]


# -- replay ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def failure():
    return vmsmp.explore(noisy, sched="random", schedules=1000, seed=1).failure


def test_a_replay_ends_in_the_same_signature(failure):
    assert failure.signature == vmsmp.replay(noisy, failure.schedule).failure.signature


def test_a_replay_goes_the_same_way_step_for_step(failure):
    assert failure.digest == vmsmp.replay(noisy, failure.schedule).digest


def test_a_replay_prints_the_same_line(failure):
    assert failure.schedule == vmsmp.replay(noisy, failure.schedule).schedule


def test_a_replay_takes_a_parsed_schedule_too(failure):
    assert failure.digest == vmsmp.replay(noisy, Schedule.parse(failure.schedule)).digest


def test_a_replay_tells_the_same_story(failure):
    again = vmsmp.replay(noisy, failure.schedule).failure
    # the execution's number is the search's, not the run's
    assert failure.report().splitlines()[2:] == again.report().splitlines()[2:]


def test_a_replay_without_checkers_goes_the_same_way(failure):
    assert failure.digest == vmsmp.replay(noisy, failure.schedule, check=False).digest


def test_a_replay_of_another_programs_line_is_a_value_error(failure):
    with pytest.raises(ValueError, match="of program 'noisy', not of 'clean'"):
        vmsmp.replay(clean, failure.schedule)


def test_a_replay_of_a_malformed_line_is_a_value_error():
    with pytest.raises(ValueError, match="not a preemption"):
        vmsmp.replay(noisy, "v1:noisy:0:1>2")


def test_the_report_shows_the_line_that_replays_it(failure):
    assert f"replay: vmsmp.replay({failure.program}, '{failure.schedule}')" in failure.report()


# -- minimize -------------------------------------------------------------------------------------


def test_a_minimized_schedule_has_fewer_preemptions(failure):
    assert len(vmsmp.minimize(noisy, failure.schedule)) < len(Schedule.parse(failure.schedule))


def test_no_preemption_of_a_minimized_schedule_can_go(failure):
    small = vmsmp.minimize(noisy, failure.schedule)
    steps = small.preemptions
    without = [small.with_steps(steps[:n] + steps[n + 1 :]) for n in range(len(steps))]
    assert [] == [str(line) for line in without if not vmsmp.replay(noisy, line).ok]


def test_a_minimized_schedule_ends_in_the_same_signature(failure):
    small = vmsmp.minimize(noisy, failure.schedule)
    assert failure.signature == vmsmp.replay(noisy, small).failure.signature


def test_minimizing_keeps_the_signature_it_was_asked_for():
    found = vmsmp.explore(two_bugs, sched="random", schedules=300, stop="never").failures
    assert [failure.signature for failure in found] == [
        vmsmp.replay(two_bugs, vmsmp.minimize(two_bugs, failure.schedule)).failure.signature
        for failure in found
    ]


def test_minimizing_what_is_minimal_changes_nothing(failure):
    small = vmsmp.minimize(noisy, failure.schedule)
    assert small == vmsmp.minimize(noisy, small)


def test_minimizing_a_line_that_does_not_fail_is_a_usage_error():
    with pytest.raises(UsageError, match="does not fail"):
        vmsmp.minimize(noisy, "v1:noisy:0:")


def test_minimizing_another_programs_line_is_a_value_error(failure):
    with pytest.raises(ValueError, match="of program 'noisy'"):
        vmsmp.minimize(clean, failure.schedule)


# -- run ------------------------------------------------------------------------------------------


def test_a_controlled_run_is_one_schedule():
    assert vmsmp.run(clean, engine="controlled", seed=1).ok


def test_the_failure_of_a_controlled_run_can_be_replayed():
    def failing(m):
        m.spawn(m.yield_)
        m.check(False, "down")

    outcome = vmsmp.run(failing, engine="controlled", seed=1)
    assert outcome.digest == vmsmp.replay(failing, outcome.schedule).digest


def test_an_address_in_an_exception_does_not_make_a_run_nondeterministic():
    def program(m):
        raise RuntimeError(f"cannot use {object()!r}")

    failure = vmsmp.explore(program, schedules=1).failure
    assert "exception: RuntimeError: cannot use <object object at N> in program" == failure.signature


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
