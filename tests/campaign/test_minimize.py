"""Minimization: few preemptions, few runs, the same signature, and nothing left that could go."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

import reference
import vmsmp
from small_programs import clean, noisy, two_bugs
from vmsmp.campaign.runner import Runner
from vmsmp.engine.schedule import Preemption, Schedule
from vmsmp.errors import ReplayDiverged, UsageError
from vmsmp.library import find_scenario

DEPTHS = pytest.mark.parametrize("locks", ["atomic", "exact"])
PROGRAMS = pytest.mark.parametrize("program", reference.MEAN, ids=lambda program: program.__name__)


@pytest.fixture
def runs(monkeypatch):
    """Grows by one with every run that anybody makes."""
    made = []
    run = Runner.run

    def counted(self, *arguments):
        made.append(0)
        return run(self, *arguments)

    monkeypatch.setattr(Runner, "run", counted)
    return made


def fails(program, line, check=True):
    """The signature in which a line ends, or None."""
    failure = vmsmp.replay(program, line, check=check).failure
    return failure and failure.signature


# -- the programs of the search literature ---------------------------------------------------------


def failing(program):
    """Ten schedules of the program that fail, from ten searches."""
    found = [
        vmsmp.explore(program, sched="pos", schedules=2_000, seed=seed, check=False).failure
        for seed in range(10)
    ]
    assert None not in found
    return found


@pytest.fixture(scope="module")
def minimized():
    """Ten failures of a program with what each comes down to, made once."""
    known = {}

    def of(program):
        if program not in known:
            known[program] = [
                (failure, vmsmp.minimize(program, failure.schedule, check=False))
                for failure in failing(program)
            ]
        return known[program]

    return of


@PROGRAMS
def test_few_preemptions_are_left(program, minimized):
    assert max(len(small) for _, small in minimized(program)) <= 4


@PROGRAMS
def test_minimizing_takes_few_runs(program, runs):
    counts = []
    for failure in failing(program):
        runs.clear()
        vmsmp.minimize(program, failure.schedule, check=False)
        counts.append(len(runs))
    assert 3 <= statistics.mean(counts) <= 50


@PROGRAMS
def test_a_minimized_schedule_fails_the_same_way(program, minimized):
    pairs = minimized(program)
    assert [failure.signature for failure, _ in pairs] == [
        fails(program, small, check=False) for _, small in pairs
    ]


@PROGRAMS
def test_a_minimized_schedule_is_never_longer(program, minimized):
    assert all(len(small) <= len(Schedule.parse(failure.schedule)) for failure, small in minimized(program))


@PROGRAMS
def test_a_minimized_schedule_comes_back_from_its_line(program, minimized):
    lines = [str(small) for _, small in minimized(program)]
    assert lines == [vmsmp.replay(program, line, check=False).schedule for line in lines]


@PROGRAMS
def test_minimizing_once_more_changes_nothing(program, minimized):
    small = [small for _, small in minimized(program)]
    assert small == [vmsmp.minimize(program, line, check=False) for line in small]


@PROGRAMS
def test_every_preemption_that_is_left_is_needed(program, minimized):
    needless = [
        (str(small), n)
        for failure, small in minimized(program)
        for n in range(len(small))
        if fails(
            program, small.with_steps((*small.preemptions[:n], *small.preemptions[n + 1 :])), check=False
        )
        == failure.signature
    ]
    assert [] == needless


def test_minimizing_the_same_line_twice_gives_the_same():
    line = failing(reference.reorder(5))[0].schedule
    assert 1 == len({str(vmsmp.minimize(reference.reorder(5), line, check=False)) for _ in range(3)})


# -- a long one -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rollup():
    """A scenario, a failure of it with thousands of preemptions, and what it comes down to."""
    program = find_scenario("stats_rollup")
    found = vmsmp.explore(program, sched="random", mutants=["VS-02"], max_steps=20_000).failure
    return program, found, vmsmp.minimize(program, found.schedule)


@pytest.mark.ci
def test_thousands_of_preemptions_come_down_to_a_handful(rollup):
    _, found, small = rollup
    assert len(Schedule.parse(found.schedule)) > 1_000
    assert len(small) <= 8


@pytest.mark.ci
def test_what_is_left_of_thousands_fails_the_same_way(rollup):
    program, found, small = rollup
    assert found.signature == fails(program, small)


@pytest.mark.ci
def test_what_is_left_of_thousands_has_their_options(rollup):
    _, found, small = rollup
    options = Schedule.parse(found.schedule).options
    assert replace(options, cpus=small.options.cpus) == small.options


# -- failures of every kind ------------------------------------------------------------------------


def leaking(m):
    lock, word = m.lockmgr("lock"), m.cell(0)

    def holder():
        word.store(1)
        lock.acquire()
        if word.load() == 1:
            lock.release()

    m.spawn(holder)
    m.spawn(word.store, 2)
    m.join()


def raising(m):
    word = m.cell(1)
    m.spawn(word.store, 0)
    m.spawn(lambda: word.load() and 1 // word.load())
    m.join()


def spinning(m):
    flag = m.cell(1)

    def spinner():
        if flag.load() and not flag.load():
            while True:
                m.pause()

    m.spawn(spinner)
    m.spawn(flag.store, 0)
    m.join()


def oversleeping(m):
    state = m.atomic(0)

    def sleeper():
        if not state.load():
            m.tsleep("bed")

    def waker():
        state.store(1)
        m.wakeup("bed")

    m.spawn(sleeper)
    m.spawn(waker)
    m.join()


def inverting(m):
    a, b = m.spinlock("a"), m.spinlock("b")

    def nest(outer, inner):
        with outer, inner:
            pass

    m.spawn(nest, a, b)
    m.spawn(nest, b, a)
    m.join()


KINDS = {
    "leak": leaking,
    "exception": raising,
    "livelock": spinning,
    "lost-wakeup": oversleeping,
    "lock-order": inverting,
}


@DEPTHS
@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_of_every_kind_can_be_minimized(kind, locks):
    program = KINDS[kind]
    for seed in range(5):
        found = vmsmp.explore(program, sched="random", schedules=500, seed=seed, locks=locks).failure
        small = vmsmp.minimize(program, found.schedule)
        assert (kind, found.signature) == (found.kind, fails(program, small))
        assert len(small) <= 2


@DEPTHS
@pytest.mark.parametrize("how", [{"timeouts": "any"}, {"spurious": True}], ids=["any", "spurious"])
def test_a_sleep_that_has_to_end_early_still_does(locks, how):
    def program(m):
        woken, noise = m.atomic(0), m.cell(0)

        def sleeper():
            m.tsleep_interlock("bed")
            m.tsleep("bed", vmsmp.PINTERLOCKED, "", 1_000)
            m.check(woken.load(), "nobody wakes up by himself")

        def waker():
            for _ in range(6):
                noise.load()
            woken.store(1)
            m.wakeup("bed")

        m.spawn(sleeper)
        m.spawn(waker)
        m.join()

    for seed in range(5):
        found = vmsmp.explore(program, sched="random", schedules=500, seed=seed, locks=locks, **how).failure
        small = vmsmp.minimize(program, found.schedule)
        assert ("check", found.signature) == (found.kind, fails(program, small))
        assert len(small) <= 2


# -- what stays and what goes ----------------------------------------------------------------------


def lost(m):
    """The second CPU's increment is lost if it comes anywhere between the first one's load and store."""
    word, noise, lock = m.cell(0, name="word"), m.cell(0), m.spinlock("lock")

    def slow():
        old = word.load()  # operation 1
        for _ in range(6):
            noise.load()
        with lock:  # acquired by operation 8, released by 10
            noise.load()
        for _ in range(6):
            noise.load()
        word.store(old + 1)  # operation 17

    def fast():
        word.store(word.load() + 1)

    m.spawn(slow)
    m.spawn(fast)
    m.join()
    m.check(word.load() == 2, "both increments are counted")


def test_a_preemption_that_never_applied_goes():
    assert "v1:lost:0:1.8>2" == str(vmsmp.minimize(lost, "v1:lost:0:0.900>1,1.8>2,2.1>9,5.5>1"))


@pytest.mark.parametrize(("at", "boundary"), [(4, 8), (7, 8), (12, 11), (15, 11)])
def test_a_preemption_moves_to_the_nearest_end_of_a_locked_section(at, boundary):
    assert f"v1:lost:0:1.{boundary}>2" == str(vmsmp.minimize(lost, f"v1:lost:0:1.{at}>2"))


@pytest.mark.parametrize("at", [8, 11])
def test_a_preemption_at_the_end_of_a_locked_section_stays(at):
    assert f"v1:lost:0:1.{at}>2" == str(vmsmp.minimize(lost, f"v1:lost:0:1.{at}>2"))


def test_a_preemption_stays_where_it_is_if_no_boundary_would_do():
    def narrow(m):
        word, lock = m.cell(0), m.spinlock()

        def slow():
            with lock:
                pass
            word.load()  # operation 3
            word.store(word.load() + 1)
            word.load()
            with lock:
                pass

        m.spawn(slow)
        m.spawn(lambda: word.store(word.load() + 1))
        m.join()
        m.check(word.load() == 2, "both increments are counted")

    assert "v1:narrow:0:1.5>2" == str(vmsmp.minimize(narrow, "v1:narrow:0:1.5>2"))


def test_a_program_that_always_fails_needs_no_preemption():
    def program(m):
        for _ in range(3):
            m.spawn(m.yield_)
        m.join()
        m.check(False, "down")

    found = vmsmp.explore(program, sched="random").failure
    assert () == vmsmp.minimize(program, found.schedule).preemptions


def drawing(wanted):
    """The program that fails if its first and third draw come out as the given numbers."""

    def program(m):
        first, _, third, _ = (m.choose(10) for _ in range(4))
        m.check((first, third) != wanted, "not these two")

    return program


@pytest.fixture(scope="module")
def drawn():
    """What the seed says that the four draws are."""
    values = []

    def program(m):
        values.extend(m.choose(10) for _ in range(4))

    vmsmp.replay(program, "v1:program:0:")
    return values


def test_data_that_matters_is_kept_and_other_data_goes(drawn):
    one, other = (drawn[0] + 1) % 10, (drawn[2] + 1) % 10
    useless = [(drawn[1] + 1) % 10, (drawn[3] + 1) % 10]
    line = f"v1:program:0:0.0={one},0.1={useless[0]},0.2={other},0.3={useless[1]}"
    assert (Preemption(0, 0, one, choice=True), Preemption(0, 2, other, choice=True)) == (
        vmsmp.minimize(drawing((one, other)), line).preemptions
    )


def test_data_that_comes_out_so_anyway_goes(drawn):
    other = (drawn[2] + 1) % 10
    line = f"v1:program:0:0.0={drawn[0]},0.2={other}"
    assert f"v1:program:0:0.2={other}" == str(vmsmp.minimize(drawing((drawn[0], other)), line))


@pytest.mark.parametrize("sched", ["dfs", "dpor"])
def test_data_that_a_search_enumerated_is_minimized_with_the_schedule(sched):
    def program(m):
        word, wanted = m.cell(0), m.cell(None)

        def chooser():
            wanted.store((m.choose(3), m.choose(3)))

        m.spawn(chooser)
        m.spawn(word.store, 1)
        m.join()
        m.check(wanted.load()[1] != 2, "not two")

    found = vmsmp.explore(program, sched=sched, schedules=5_000).failure
    small = vmsmp.minimize(program, found.schedule)
    assert (found.signature, True) == (fails(program, small), len(small) <= 1)


# -- the bounds of it -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_line():
    program = find_scenario("stats_rollup")
    found = vmsmp.explore(program, sched="random", mutants=["VS-02"], max_steps=2_000, seed=3).failure
    return program, found


@pytest.mark.parametrize("budget", [0, 1, 5, 20])
def test_a_budget_bounds_the_runs(long_line, runs, budget):
    """The two runs of the first line and the one of the last are always made, and a regrouping takes two."""
    program, found = long_line
    vmsmp.minimize(program, found.schedule, budget=budget)
    assert len(runs) <= max(budget, 2) + 3


@pytest.mark.parametrize("budget", [0, 1, 5, 20])
def test_what_a_budget_allows_for_still_fails_the_same_way(long_line, budget):
    program, found = long_line
    assert found.signature == fails(program, vmsmp.minimize(program, found.schedule, budget=budget))


def test_without_a_budget_only_what_never_applied_goes():
    line = "v1:lost:0:0.900>1,1.4>2"
    assert "v1:lost:0:1.4>2" == str(vmsmp.minimize(lost, line, budget=0))


def test_a_program_that_differs_from_run_to_run_cannot_be_minimized():
    runs = []

    def program(m):
        runs.append(0)
        for _ in range(len(runs)):
            m.spawn(m.yield_)
        m.join()
        m.check(False, "down")

    with pytest.raises(ReplayDiverged, match="the same schedule gives different runs"):
        vmsmp.minimize(program, "v1:program:0:")


def test_a_program_that_does_not_fail_again_cannot_be_minimized():
    runs = []

    def program(m):
        runs.append(0)
        m.yield_()
        m.check(len(runs) != 1, "down")

    with pytest.raises(ReplayDiverged):
        vmsmp.minimize(program, "v1:program:0:")


def test_a_line_that_fails_with_the_checkers_only_does_not_fail_without():
    line = vmsmp.explore(inverting, sched="random").failure.schedule
    with pytest.raises(UsageError, match="does not fail"):
        vmsmp.minimize(inverting, line, check=False)


# -- fewer CPUs -----------------------------------------------------------------------------------


def racers(m):
    word = m.cell(0)

    def racer():
        word.store(word.load() + 1)

    for _ in range(m.ncpus):
        m.spawn(racer)
    m.join()
    m.check(word.load() == m.ncpus, "all are counted")


@pytest.mark.parametrize("cpus", [2, 3, 6])
def test_a_program_that_asks_how_many_cpus_there_are_is_given_as_few_as_will_do(cpus):
    found = vmsmp.explore(racers, cpus=cpus, sched="random").failure
    small = vmsmp.minimize(racers, found.schedule)
    assert (2, 1) == (small.options.cpus, len(small))
    assert found.signature == fails(racers, small)


def test_cpus_that_no_preemption_names_go_at_once():
    line = "v1:racers+cpus=40:0:33.2>34"
    small = vmsmp.minimize(racers, line)
    assert (2, 1) == (small.options.cpus, len(small))


def test_a_program_that_does_not_ask_keeps_its_cpus():
    found = vmsmp.explore(lost, sched="random").failure
    assert None is vmsmp.minimize(lost, found.schedule).options.cpus


def test_a_scenario_whose_cpus_have_roles_keeps_them():
    @vmsmp.scenario(cpus=3, fixed=True)
    def fixed(m):
        racers(m)

    found = vmsmp.explore(fixed, sched="random").failure
    assert None is vmsmp.minimize(fixed, found.schedule).options.cpus


def test_a_failure_that_takes_all_cpus_keeps_them():
    def crowded(m):
        here = m.atomic(0)

        def member():
            here.fetchadd(1)
            m.check(here.load() < 4, "not all at once")
            here.fetchadd(-1)

        for _ in range(m.ncpus):
            m.spawn(member)
        m.join()

    found = vmsmp.explore(crowded, cpus=4, sched="random", schedules=5_000).failure
    assert 4 == vmsmp.minimize(crowded, found.schedule).options.cpus


# -- fewer operations -----------------------------------------------------------------------------


def turns(least):
    """A program whose update is lost in its turn number `least`, counted from 1, or later."""

    def program(m):
        word, lost = m.cell(0), m.cell(0)

        def racer():
            for turn in m.rounds(12):
                before = word.load()
                word.store(before + 1)
                if turn + 1 >= least and word.load() != before + 1:
                    lost.store(1)

        m.spawn(racer)
        m.spawn(racer)
        m.join()
        m.check(not lost.load(), "nobody else is there")

    return program


@pytest.mark.parametrize(("least", "rounds"), [(1, 1), (2, 2), (3, 4), (8, 8), (9, None)])
def test_loops_take_as_few_turns_as_will_do(least, rounds):
    program = turns(least)
    found = vmsmp.explore(program, sched="random", schedules=1_000).failure
    small = vmsmp.minimize(program, found.schedule)
    assert (rounds, found.signature) == (small.options.rounds, fails(program, small))
    assert len(small) <= 2


def test_a_loop_that_is_the_program_s_own_keeps_its_turns():
    found = vmsmp.explore(lost, sched="random").failure
    assert None is vmsmp.minimize(lost, found.schedule).options.rounds


def test_turns_that_the_line_has_left_out_stay_out():
    program = turns(1)
    found = vmsmp.explore(program, sched="random", rounds=1).failure
    small = vmsmp.minimize(program, found.schedule)
    assert (1, found.signature) == (small.options.rounds, fails(program, small))


def test_progress_tells_of_ever_shorter_schedules_that_fail_the_same_way(long_line):
    program, found = long_line
    told = []
    small = vmsmp.minimize(program, found.schedule, progress=lambda runs, best: told.append((runs, best)))
    assert [runs for runs, _ in told] == list(range(1, len(told) + 1))
    lengths = [len(best) for _, best in told]
    assert lengths == sorted(lengths, reverse=True)
    assert len(small) == lengths[-1] < lengths[0]
    assert {found.signature} == {fails(program, best) for best in {best for _, best in told[1:]}}


# -- what a user sees ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def failure():
    return vmsmp.explore(noisy, sched="random", schedules=1000, seed=1).failure


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
