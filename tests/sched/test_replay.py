"""What is written down comes back: as preemptions, as any subset of them, and as a raw log."""

from __future__ import annotations

from itertools import combinations

import pytest

import vmsmp
from vmsmp.engine import trace
from vmsmp.engine.schedule import Options, Schedule
from vmsmp.errors import ReplayDiverged
from vmsmp.sched.dfs import DepthFirst
from vmsmp.sched.pct import Pct
from vmsmp.sched.random_walk import RandomWalk, RoundRobin
from vmsmp.sched.replay import LogReplay, Preempting


def busy(m):
    """A little of everything: cells, words, locks, sleeps, spins, draws, a spawn within a spawn."""
    word, flag, lock, token = m.cell(0), m.atomic(0), m.spinlock(), m.token()

    def worker(n):
        with lock:
            word.store(word.load() + n)
        with token:
            m.tsleep(("bed", n), 0, "nap", 1 + m.choose(3))
        flag.fetchadd(1)
        m.wakeup(("bed", 3 - n))

    def spinner():
        m.spawn(word.load)
        while flag.load() < 2:
            m.pause()

    m.spawn(worker, 1)
    m.spawn(spinner)
    m.spawn(worker, 2)
    m.yield_()
    m.join()


SCHEDULERS = {
    "random": RandomWalk,
    "rr": lambda _: RoundRobin(),
    "pct": lambda seed: Pct(3, seed),
    "dfs": lambda _: DepthFirst(),
}
OPTIONS = {
    "plain": Options(),
    "exact": Options(locks="exact"),
    "any": Options(timeouts="any"),
    "spurious": Options(spurious=True),
    "all": Options(locks="exact", timeouts="any", spurious=True),
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS)
def test_a_recorded_run_comes_back_from_its_line(tell, make, options):
    lines = []
    for seed in range(8):
        outcome, _, _ = tell(busy, make(seed), seed=seed, options=options)
        schedule = Schedule.parse(outcome.schedule)
        again, _, _ = tell(
            busy, Preempting(schedule.preemptions), seed=schedule.seed, options=schedule.options
        )
        lines.append((outcome.digest, outcome.schedule) == (again.digest, again.schedule))
    assert [True] * 8 == lines


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_log_repeats_a_run_step_for_step(tell, options):
    parted = []
    for seed in range(8):
        _, log, draws = tell(busy, RandomWalk(seed), seed=seed, options=options)
        _, again, _ = tell(busy, LogReplay(log, draws), seed=seed, options=options)
        parted.append(trace.divergence(log, again))
    assert [None] * 8 == parted


def test_a_run_of_the_base_policy_is_an_empty_list(tell):
    outcome, _, _ = tell(busy, Preempting(()))
    assert "v1:busy:0:" == outcome.schedule


def racy(m):
    word = m.cell(0)

    def worker():
        for _ in range(2):
            word.store(word.load() + 1)

    m.spawn(worker)
    m.spawn(worker)
    m.join()
    m.check(word.load() == 4, "every increment is counted")


def test_every_subset_of_the_preemptions_is_a_schedule(tell):
    outcome, _, _ = tell(racy, RandomWalk(3))
    steps = Schedule.parse(outcome.schedule).preemptions
    subsets = [s for n in range(len(steps) + 1) for s in combinations(steps, n)]
    assert 3 < len(steps) < 9
    ran = [vmsmp.replay(racy, Schedule("racy", 0, subset)) for subset in subsets]
    assert {"", "check"} == {outcome.failure.kind if outcome.failure else "" for outcome in ran}


@pytest.mark.parametrize(
    "steps",
    ["9.0>1", "1.99>2", "1.0>9", "0.0>0", "1.1=5", "63.999999999>63", "1.1>1,1.1>2,1.1>3"],
)
def test_a_preemption_that_does_not_apply_is_ignored(steps):
    plain = vmsmp.replay(racy, "v1:racy:0:")
    assert plain.digest == vmsmp.replay(racy, f"v1:racy:0:{steps}").digest


def test_a_preemption_stops_its_cpu_before_the_operation_it_names():
    story = vmsmp.replay(racy, "v1:racy:0:1.2>2").story
    ran = [(row.cpu, row.text.split()[0]) for row in story.rows if row.cpu]
    assert [(1, "start"), (1, "load"), (2, "start")] == ran[:3]


def test_a_choice_in_a_line_replaces_the_draw():
    drawn = []

    def draws(m):
        drawn.append([m.choose(10), m.choose(10)])

    for value in range(10):
        vmsmp.replay(draws, f"v1:draws:0:0.1={value}")
    assert list(range(10)) == [second for _, second in drawn]


def test_a_choice_beyond_what_there_is_wraps_around():
    drawn = []
    vmsmp.replay(lambda m: drawn.append(m.choose(10)), "v1:lambda:0:0.0=27")
    assert [7] == drawn


def test_a_log_of_another_program_is_a_divergence(tell):
    def crowd(n):
        def program(m):
            for _ in range(n):
                m.spawn(m.yield_)
            m.join()

        return program

    _, log, draws = tell(crowd(2), RandomWalk(3))
    with pytest.raises(ReplayDiverged):
        tell(crowd(4), LogReplay(log, draws))


def test_a_log_without_the_draws_that_are_made_is_a_divergence(tell):
    with pytest.raises(ReplayDiverged, match="draws below 3"):
        tell(lambda m: m.choose(3), LogReplay([], []))


# -- the second half of the step limit ------------------------------------------------------------


def long(m):
    word = m.atomic(0)

    def worker():
        for _ in range(60):
            word.fetchadd(1)
            m.choose(3)

    for _ in range(3):
        m.spawn(worker)
    m.join()


LATE = Options(max_steps=700)


@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS)
def test_a_run_with_fair_picks_comes_back_from_its_line_and_its_log(tell, make):
    limit = LATE.max_steps
    for seed in range(3):
        outcome, log, draws = tell(long, make(seed), seed=seed, options=LATE, max_steps=limit)
        assert limit // 2 + 20 < len(log)
        steps = Schedule.parse(outcome.schedule).preemptions
        _, again, _ = tell(long, Preempting(steps), seed=seed, options=LATE, max_steps=limit)
        _, followed, _ = tell(long, LogReplay(log, draws), seed=seed, options=LATE, max_steps=limit)
        assert (None, None) == (trace.divergence(log, again), trace.divergence(log, followed))


def test_no_preemption_is_written_down_for_fair_picks(tell):
    outcome, log, _ = tell(long, RandomWalk(1), options=LATE, max_steps=LATE.max_steps)
    half = log[: LATE.max_steps // 2 + 1]
    done = {cpu: sum(c == cpu for c, _ in trace.steps(half)) for cpu in range(4)}
    steps = Schedule.parse(outcome.schedule).preemptions
    assert 20 < len(steps)
    assert [] == [step for step in steps if not step.choice and step.nth > done[step.cpu]]


def test_a_preemption_in_the_second_half_does_not_apply():
    # The first CPU comes to its operation 96 in the first half; the others begin in the second.
    plain = vmsmp.replay(long, "v1:long+steps=200:0:")
    late = [f"1.{n}>3" for n in range(99, 121)] + [f"2.{n}>1" for n in range(3, 30)]
    assert plain.digest == vmsmp.replay(long, f"v1:long+steps=200:0:{','.join(late)}").digest
    assert plain.digest != vmsmp.replay(long, "v1:long+steps=200:0:1.90>3").digest
    both_halves = [
        vmsmp.replay(long, f"v1:long+steps=2000:0:{steps}").digest for steps in ("", ",".join(late))
    ]
    assert both_halves[0] != both_halves[1]
