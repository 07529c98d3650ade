"""Replay: a line brings the same run back, and a line that cannot is refused."""

from __future__ import annotations

import pytest

import vmsmp
from small_programs import clean, noisy
from vmsmp.campaign.replay import parse_for
from vmsmp.engine.schedule import Schedule
from vmsmp.errors import UsageError


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
    assert f"replay: vmsmp.replay({failure.program}, '{failure.line}')" in failure.report()


def test_that_line_has_the_digest_of_its_run(failure):
    assert f"{failure.schedule}:{failure.digest}" == failure.line


# -- lines that do not fit --------------------------------------------------------------------------


def one(m):
    word = m.cell(0, name="word")
    m.spawn(lambda: word.store(word.load() + 1))
    m.spawn(lambda: word.store(word.load() + 1))
    m.join()
    m.check(word.load() == 2, "both count")


def other(m):
    word = m.cell(0, name="word")
    m.spawn(lambda: word.store(1))
    m.spawn(lambda: word.store(2))
    m.join()


other.__name__ = "one"


@pytest.fixture(scope="module")
def found():
    return vmsmp.explore(one, sched="random", schedules=1000, seed=1).failure


def test_a_line_of_its_own_program_fits(found):
    assert "" == vmsmp.replay(one, found.schedule).misfit == vmsmp.replay(one, found.line).misfit


def test_a_line_of_another_program_of_that_name_does_not_fit(found):
    with pytest.warns(UserWarning, match="the line does not fit this program: .*it is of a run with digest"):
        told = vmsmp.replay(other, found.line)
    assert (None, True) == (told.failure, "it is of another program called 'one', or" in told.misfit)


def test_a_preemption_that_does_not_apply_is_named():
    told = vmsmp.replay(one, "v1:one:0:1.2>2,1.77>2,5.1=3")
    assert "2 of its 3 preemptions do not apply (1.77>2, 5.1=3)" in told.misfit


def test_of_many_preemptions_that_do_not_apply_three_are_named():
    told = vmsmp.replay(one, "v1:one:0:1.71>2,1.72>2,1.73>2,1.74>2")
    assert "4 of its 4 preemptions do not apply (1.71>2, 1.72>2, 1.73>2, ...)" in told.misfit


def test_a_draw_that_applies_fits():
    def draws(m):
        m.check(m.choose(5) == 3, "three")

    told = vmsmp.replay(draws, "v1:draws:0:0.0=3")
    assert ("", None) == (told.misfit, told.failure)


def test_a_line_with_a_digest_can_be_minimized(found):
    assert "" == vmsmp.minimize(one, found.line).digest


@pytest.mark.parametrize("word", ["repair", "mutant"])
def test_a_line_with_an_unknown_patch_is_refused(word):
    with pytest.raises(UsageError, match=f"unknown {word} 'x'"):
        parse_for(noisy, f"v1:noisy+{word}=x:0:")


def test_a_parsed_schedule_is_taken_as_it_is():
    schedule = Schedule("noisy", 3)
    assert schedule is parse_for(noisy, schedule)
