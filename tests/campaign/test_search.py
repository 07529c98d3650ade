"""Searching: what `explore` finds, counts, keeps and refuses."""

from __future__ import annotations

import pytest

import vmsmp
from lost_update import lost_update
from small_programs import clean, two_bugs
from vmsmp.campaign.options import options_for
from vmsmp.campaign.search import first_run, search
from vmsmp.engine.options import Options
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError


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
