"""--vmsmp-lf reruns the schedules that failed last time."""

import json
import re

import pytest

from inner_session import Counts

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.ci, pytest.mark.timeout(600)]  # each test starts whole sessions


MIXED = """
def test_fails(explore): explore(lost_update)
def test_passes(explore): explore(counted, schedules=2)
@pytest.mark.xdist_group("one")
def test_fails_too(explore): explore(lost_update, sched="random")
def test_fails_without_a_schedule(): assert not 1
"""


def stored(session):
    """What the cache holds: the number of lines by test."""
    path = session.pytester.path / ".pytest_cache/v/vmsmp/failed"
    return {name: len(lines) for name, lines in json.loads(path.read_text()).items()}


@pytest.mark.parametrize(
    "workers", [(), ("-n", "2"), ("-n", "2", "--dist", "loadgroup")], ids=["alone", "xdist", "loadgroup"]
)
def test_lf_reruns_the_schedules_that_failed_and_only_them(session, workers):
    first = session(MIXED, *workers)
    assert {"test_it.py::test_fails": 1, "test_it.py::test_fails_too": 1} == stored(session)
    again = session("", "--vmsmp-lf", *workers)
    assert Counts(failed=2) == session.counts
    assert set(re.findall(r"digest: \S+", first)) == set(re.findall(r"digest: \S+", again))
    assert {"test_it.py::test_fails": 1, "test_it.py::test_fails_too": 1} == stored(session)


def test_lf_runs_one_schedule_for_each_that_failed(session):
    session(MIXED)
    session("", "--vmsmp-lf", "--junitxml", "junit.xml")
    kept = session.properties("junit.xml")
    assert {"test_fails": "1", "test_fails_too": "1"} == {
        name: properties["vmsmp.executions"] for name, properties in kept.items()
    }


def test_a_schedule_that_passes_again_is_forgotten(session):
    session("def test_fails(explore): explore(lost_update)")
    session(
        "lost_update.__code__ = counted.__code__\ndef test_fails(explore): explore(lost_update)",
        "--vmsmp-lf",
    )
    assert Counts(passed=1) == session.counts
    assert {} == stored(session)


def test_lf_runs_everything_if_no_schedule_failed(session):
    text = session("def test_it(explore): explore(counted, schedules=2)", "--vmsmp-lf")
    assert Counts(passed=1) == session.counts
    assert "no schedule failed last time" in text


def store(session, content):
    """Put that into the cache."""
    path = session.pytester.path / ".pytest_cache/v/vmsmp/failed"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.mark.parametrize(
    "content", ["{", "[1, 2]", '"x"', '{"test_it.py::test_it": "v1:lost_update:0:"}', "\0"]
)
def test_a_corrupt_cache_costs_no_test_even_where_warnings_are_errors(session, content):
    store(session, content)
    text = session("def test_it(explore): explore(counted, schedules=2)", "--vmsmp-lf", "-W", "error")
    assert Counts(passed=1) == session.counts
    assert "no schedule failed last time" in text


def test_a_corrupt_cache_costs_a_warning(session):
    store(session, '{"test_it.py::test_it": 7}')
    text = session("def test_it(explore): explore(counted, schedules=2)", "--vmsmp-lf")
    assert "no schedule lines; they are ignored" in text


@pytest.mark.parametrize("line", ["v1:counted+mutant=NO-01:0:", "v2:counted:0:", "nonsense", ""])
def test_a_stored_line_that_nobody_can_follow_costs_a_warning(session, line):
    store(session, json.dumps({"test_it.py::test_it": [line]}))
    text = session("def test_it(explore): explore(counted, schedules=2)", "--vmsmp-lf")
    assert Counts(passed=1) == session.counts
    assert "a schedule stored for --vmsmp-lf is ignored: " in text


def test_a_stored_line_that_does_not_fit_costs_a_warning(session):
    store(session, json.dumps({"test_it.py::test_it": ["v1:counted:0:9.9>1"]}))
    text = session("def test_it(explore): explore(counted, schedules=2)", "--vmsmp-lf")
    assert Counts(passed=1) == session.counts
    assert "the line does not fit this program" in text


def test_a_stored_line_of_another_program_of_the_test_is_not_followed(session):
    store(session, json.dumps({"test_it.py::test_it": ["v1:lost_update:0:1.2>2"]}))
    session("def test_it(explore): explore(counted, schedules=2)", "--vmsmp-lf", "-W", "error")
    assert Counts(passed=1) == session.counts
