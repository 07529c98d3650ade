"""Markers: what a test searches, how, and which bug it is to find."""

import re

import pytest

from inner_session import WORKERS, Counts, each_marked
from vmsmp.campaign.outcome import Failure
from vmsmp.pytest_plugin.marks import MARKERS, is_expected

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions


def failure(kind="lost-wakeup", signature="lost-wakeup: nobody wakes 'pg'"):
    return Failure(kind, "", signature, "", "")


@pytest.mark.parametrize("bug", ["lost-wakeup", "LostWakeup", "lost wakeup", "LOST_WAKEUP", "nobody wakes"])
def test_a_bug_is_named_by_its_kind_or_by_words_of_its_signature(bug):
    assert is_expected(failure(), ("deadlock", bug))


@pytest.mark.parametrize("bug", ["deadlock", "wakeup lost", "lost"[:3] + "s"])
def test_another_bug_is_not_the_one_that_is_named(bug):
    assert not is_expected(failure(signature="x"), (bug,))


def test_any_bug_will_do_where_none_is_named():
    assert is_expected(failure(), ())


def test_markers_are_registered_and_explained(session):
    text = session("@pytest.mark.free_mode\ndef test_it(): pass", "--markers", "--strict-markers")
    for marker in MARKERS:
        assert f"@pytest.mark.{marker}" in text


EXPECTING = """
@pytest.mark.expect_bug("check")
def test_met(explore): explore(lost_update)

@pytest.mark.expect_bug("increments are counted")
def test_met_by_words(explore): assert explore(lost_update).failure is not None

@pytest.mark.expect_bug
def test_met_by_any(explore): explore(lost_update)

@pytest.mark.expect_bug("LostWakeup")
def test_another(explore): explore(lost_update)

@pytest.mark.expect_bug("deadlock", "leak")
def test_none(explore): explore(counted, schedules=5)

@pytest.mark.expect_bug("check")
def test_searches_nothing(explore): pass

@pytest.mark.expect_bug("check")
def test_judges(explore): assert not explore(lost_update, must_pass=False).ok
"""


@WORKERS
def test_a_test_that_expects_a_bug_passes_if_it_finds_that_one_and_no_other(session, workers):
    text = session(EXPECTING, *workers)
    assert Counts(passed=4, failed=3) == session.counts
    assert "expect_bug('deadlock', 'leak'): no such failure (schedules: 5)" in text
    assert "expect_bug('check'): no such failure (schedules: 0)" in text
    assert "test_it.py::test_another: check: both increments are counted" in text


def test_a_marker_without_its_argument_fails_the_test_in_one_line(session):
    text = session(each_marked(["schedules()", "schedules(1, 2)", "scenario(name='x')"]))
    assert Counts(failed=3) == session.counts
    refused = re.findall(r"^the marker (\w+) takes one argument$", text, re.MULTILINE)
    assert ["schedules", "schedules", "scenario"] == refused


def test_markers_of_their_own_name_scenario_and_schedules(session):
    session(
        """
        @pytest.mark.scenario("token_chain_walk")
        @pytest.mark.schedules(4)
        def test_it(explore):
            assert ("token_chain_walk", 4) == ((result := explore()).program, result.executions)
        """
    )
    assert Counts(passed=1) == session.counts


SCHEDULED = """
seeds = set()

@pytest.mark.schedules(3)
def test_it(schedule, request):
    result = schedule(counted)
    assert (1, schedule.seed) == (result.executions, result.seed)
    assert f"[{schedule.seed:08x}]" in request.node.name
    seeds.add(schedule.seed)

def test_all():
    assert 3 == len(seeds)
"""


def test_a_test_that_asks_for_a_schedule_is_made_into_several_with_a_seed_each(session):
    session(SCHEDULED)
    assert Counts(passed=4) == session.counts


def test_as_many_as_usual_if_no_marker_says_how_many(session):
    session("def test_it(schedule): schedule(counted)")
    assert Counts(passed=8) == session.counts


@pytest.mark.ci
def test_workers_collect_the_same_schedules_and_the_base_seed_decides_them(session):
    tests = "@pytest.mark.schedules(3)\ndef test_it(schedule): schedule(counted)"

    def names(*options):
        session(tests, "--junitxml", "junit.xml", *options)
        assert Counts(passed=3) == session.counts
        return sorted(session.properties("junit.xml"))

    alone = names()
    assert alone == names("-n", "2")
    assert not set(alone) & set(names("--vmsmp-seed", "1"))


FOREIGN = """
@pytest.fixture(params=["a", "b"])
def schedule(request): return request.param

@pytest.fixture
def machine(): return "mine"

def test_own_fixtures(schedule, machine): assert schedule in "ab" and machine == "mine"
@pytest.mark.parametrize("schedule, n", [(1, 2)])
def test_own_parameter(schedule, n): assert (1, 2) == (schedule, n)
@pytest.mark.parametrize("machine", [1])
def test_own_machine(machine): assert 1 == machine
"""


def test_fixtures_and_parameters_of_these_names_remain_a_project_s_own(session):
    session(FOREIGN)
    assert Counts(passed=4) == session.counts
