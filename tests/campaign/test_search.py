"""Searching: what `explore` finds, counts, keeps and refuses."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from contextlib import contextmanager
from itertools import count

import pytest

import vmsmp
from lost_update import lost_update
from small_programs import clean, two_bugs
from vmsmp.campaign import deadline
from vmsmp.campaign.deadline import Deadline
from vmsmp.campaign.options import options_for
from vmsmp.campaign.search import CUT, RANDOM, first_run, search
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError
from vmsmp.sched import dpor
from vmsmp.sched.dpor import Dpor
from vmsmp.sched.names import CHOICES


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


@pytest.mark.parametrize("sched", ["random", "portfolio", "dfs", "dpor"])
def test_the_first_run_is_that_of_the_search(sched):
    found = vmsmp.explore(lambda m: m.check(False, f"{m.rng.random()}"), sched=sched, schedules=1, seed=7)
    told = first_run(lambda m: m.check(False, f"{m.rng.random()}"), found.options, sched=sched, seed=7)
    assert (found.failure.message, found.failure.schedule) == (told.failure.message, told.schedule)


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


def test_explore_is_a_search_under_the_options_that_its_keywords_make():
    keywords = {"locks": "exact", "timeouts": "any", "cpus": 3, "mutants": ["SP-05"], "max_steps": 900}
    one = vmsmp.explore(lost_update, sched="random", schedules=50, seed=5, **keywords)
    other = search(lost_update, options_for(lost_update, **keywords), sched="random", schedules=50, seed=5)
    assert one.options == other.options
    assert one.failure == other.failure


def test_a_result_knows_its_options_and_its_seed():
    result = search(clean, Options(locks="exact"), schedules=2, seed=7)
    assert Options(locks="exact") == result.options
    assert 7 == result.seed


def test_results_turn_into_plain_data():
    result = vmsmp.explore(lost_update, sched="random", schedules=50)
    assert result.failure.schedule == result.as_dict()["failures"][0]["schedule"]


def test_an_address_in_an_exception_does_not_make_a_run_nondeterministic():
    def program(m):
        raise RuntimeError(f"cannot use {object()!r}")

    failure = vmsmp.explore(program, schedules=1).failure
    assert "exception: RuntimeError: cannot use <object object at N> in program" == failure.signature


# -- the time that a search may take -----------------------------------------------------------------

SCHEDULERS = [choice.name + (":2" if choice.parameter else "") for choice in CHOICES]
each_scheduler = pytest.mark.parametrize("sched", SCHEDULERS)


@pytest.fixture
def ticking(monkeypatch):
    """A clock that goes on by a second each time somebody looks."""
    monkeypatch.setattr(deadline, "now", count().__next__)


@pytest.fixture
def bell(monkeypatch):
    """An alarm that a test rings itself: a list of what there is to call."""
    bells = []

    @contextmanager
    def alarm(_self, ring, _grace):
        bells.append(ring)
        yield

    monkeypatch.setattr(Deadline, "alarm", alarm)
    return bells


def busy(m):
    """Two CPUs store again and again."""
    word = m.cell(0)

    def worker():
        for _ in range(30):
            word.store(word.load() + 1)

    m.spawn(worker)
    m.spawn(worker)


@each_scheduler
def test_a_search_ends_when_its_time_is_up(sched, ticking):
    assert 1 <= vmsmp.explore(busy, sched=sched, time_s=20).executions <= 20


@each_scheduler
def test_an_execution_that_goes_on_when_the_time_is_up_is_ended(sched, bell):
    steps = []

    def endless(m):
        word = m.cell(0)

        def worker():
            while True:
                word.store(1)
                steps.append(1)
                if len(steps) == 100:
                    bell[0]()

        m.spawn(worker)
        m.spawn(worker)

    result = vmsmp.explore(endless, sched=sched, time_s=1, max_steps=100_000)
    assert (0, {}, False, False) == (result.executions, result.counts, result.interrupted, result.exhausted)
    assert len(steps) < 110


def test_a_run_that_looks_closer_at_a_failure_is_not_ended(bell):
    runs = []

    def failing(m):
        runs.append(1)
        if len(runs) > 1:
            bell[0]()
        m.cell(0).store(1)
        m.check(False)

    assert "check" == vmsmp.explore(failing, sched="random", time_s=1).failure.kind


def waiting(m):
    """One CPU looks for a flag that comes late; so a run is long and has many races."""
    words = [m.cell(0) for _ in range(20)]

    def waiter():
        for _ in range(200):
            for word in words:
                word.load()

    def worker():
        for word in words:
            word.store(1)

    m.spawn(waiter)
    m.spawn(worker)


def test_the_analysis_of_a_run_ends_when_the_time_is_up(monkeypatch, bell):
    looks = count()
    monkeypatch.setattr(deadline, "now", lambda: 0 if next(looks) < 5 else 10**6)
    placed = []
    monkeypatch.setattr(dpor, "_insert", lambda *what: placed.append(what))
    result = vmsmp.explore(waiting, sched="dpor", time_s=1)
    assert (1, [], False, 0.0) == (
        result.executions,
        placed,
        result.exhausted,
        result.certificate.share,
    )


def test_ctrl_c_ends_the_analysis_of_a_run(monkeypatch):
    placed = []

    def insert(*what):
        placed.append(what)
        searching[0].result.interrupted = True

    searching = []
    real = Dpor.begin
    monkeypatch.setattr(Dpor, "begin", lambda self: searching.append(self.is_over.__self__) or real(self))
    monkeypatch.setattr(dpor, "_insert", insert)
    vmsmp.explore(waiting, sched="dpor")
    assert 1 == len(placed)


# -- data that a systematic search meets ------------------------------------------------------------

SYSTEMATIC = ["dfs", "dfs:1", "delay:2", "dpor"]
each_systematic = pytest.mark.parametrize("sched", SYSTEMATIC)


def lucky(m):
    m.check(m.rng.random() > 0.05, "lucky")


def drawn_loops(m):
    word = m.cell(0)

    def worker():
        for _ in range(m.rng.randrange(4)):
            word.store(word.load() + 1)

    m.spawn(worker)
    m.spawn(worker)


@each_systematic
@pytest.mark.parametrize("program", [lucky, drawn_loops])
def test_a_search_of_a_program_with_random_numbers_ends_and_is_not_exhaustive(sched, program):
    result = vmsmp.explore(program, sched=sched, schedules=20_000)
    assert ({}, False) == (result.counts, result.exhausted)
    assert result.executions < 20_000


@each_systematic
def test_a_systematic_search_has_one_seed_for_what_is_drawn(sched):
    drawn = set()

    def program(m):
        drawn.add(m.rng.random())
        m.spawn(m.cell(0).load)
        m.choose(3)

    assert vmsmp.explore(program, sched=sched).executions >= 3
    assert 1 == len(drawn)


@each_systematic
def test_random_numbers_are_those_of_the_seed_of_a_systematic_search(sched):
    seeds = range(100)
    found = [vmsmp.explore(lucky, sched=sched, seed=seed).counts for seed in seeds]
    assert [bool(vmsmp.explore(lucky, sched="random", schedules=1, seed=seed).counts) for seed in seeds] == [
        bool(counts) for counts in found
    ]
    assert {} in found
    assert {"check: lucky": 1} in found


@each_systematic
def test_what_is_chosen_is_enumerated(sched):
    chosen = set()

    def program(m):
        chosen.add((m.choose(3), m.choose(2)))

    result = vmsmp.explore(program, sched=sched)
    assert (6, True) == (result.executions, result.exhausted)
    assert {(a, b) for a in range(3) for b in range(2)} == chosen


def three_turns(m):
    word = m.cell(0)

    def worker():
        for _ in range(m.choose(3)):
            word.store(word.load() + 1)

    m.spawn(worker)
    m.spawn(worker)
    m.join()
    m.check(word.load() != 3, "never three")


@each_systematic
def test_a_failure_by_what_is_chosen_comes_back_from_its_line(sched):
    failure = vmsmp.explore(three_turns, sched=sched).failure
    again = vmsmp.replay(three_turns, failure.line)
    assert (failure.signature, failure.digest) == (again.failure.signature, again.digest)


def test_a_failure_by_what_is_chosen_comes_back_in_another_process(tmp_path):
    failure = vmsmp.explore(three_turns, sched="dpor").failure
    script = tmp_path / "again.py"
    script.write_text(
        f"import vmsmp\n\n\n{inspect.getsource(three_turns)}\n\n"
        f"print(vmsmp.replay(three_turns, {failure.line!r}).digest)\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert failure.digest == done.stdout.strip()


@each_systematic
def test_a_program_that_is_another_one_each_time_is_told(sched):
    runs = count(1)

    def program(m):
        word, turns = m.cell(0), next(runs) % 4

        def worker():
            for _ in range(turns):
                word.store(1)

        m.spawn(worker)
        m.spawn(worker)
        if turns % 3:
            m.spawn(worker)

    assert "nondeterminism" == vmsmp.explore(program, sched=sched).failure.kind


@each_systematic
def test_a_program_that_draws_below_another_number_each_time_is_told(sched):
    runs = count(3)

    def program(m):
        m.choose(max(1, 5 - next(runs)))
        m.choose(next(runs) % 3 + 1)

    assert "nondeterminism" == vmsmp.explore(program, sched=sched).failure.kind


# -- how far a systematic search has come -----------------------------------------------------------


def two_stores(m):
    word = m.cell(0)
    m.spawn(word.store, 1)
    m.spawn(word.store, 2)


def never(m):
    """A CPU waits for what nobody writes, and the step limit ends the wait."""
    word, m_word = m.atomic(0), m.atomic(0)

    def waiter():
        while not word.load():
            m_word.fetchadd(1)

    m.spawn(waiter)
    m.spawn(m_word.load)


@each_systematic
@pytest.mark.parametrize("program", [two_stores, busy, never])
def test_a_search_with_runs_left_has_not_explored_all(sched, program):
    result = vmsmp.explore(program, sched=sched, schedules=2, stop="never", max_steps=2_000)
    assert (False, ()) == (result.exhausted, result.certificate.limits)
    assert result.certificate.share < 1.0


@each_systematic
def test_a_search_without_runs_left_that_met_the_step_limit_says_so(sched):
    result = vmsmp.explore(never, sched=sched, schedules=10_000, stop="never", max_steps=40)
    assert (False, None, (CUT,)) == (result.exhausted, result.certificate.share, result.certificate.limits)


@each_systematic
def test_a_search_without_runs_left_whose_program_draws_says_so(sched):
    result = vmsmp.explore(drawn_loops, sched=sched)
    assert (False, None, (RANDOM,)) == (
        result.exhausted,
        result.certificate.share,
        result.certificate.limits,
    )


@each_systematic
def test_a_search_that_has_seen_everything_has_no_limits(sched):
    result = vmsmp.explore(two_stores, sched=sched)
    assert (True, None, ()) == (result.exhausted, result.certificate.share, result.certificate.limits)


def test_a_result_knows_what_the_command_line_is_told():
    result = vmsmp.explore(clean, schedules=1, locks="exact", cpus=3, check=False)
    assert ("--locks", "exact", "--cpus", "3", "--no-check") == result.arguments
