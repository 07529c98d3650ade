"""The end of a session lists the schedules that failed."""

import re

import pytest

from inner_session import Counts

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions

TESTS = """
def test_fails(explore): explore(lost_update)
def test_passes(explore): explore(counted, schedules=2)
def test_judges(explore): assert not explore(lost_update, must_pass=False).ok
@pytest.mark.parametrize("n", ["a b"])
def test_fails_too(explore, n): explore(lost_update, sched="random")
"""


def summary(text):
    """The lines of the summary."""
    found = re.search(r"^=+ vmsmp: failed schedules =+\n(.*?)^=", text, re.MULTILINE | re.DOTALL)
    return found[1].splitlines() if found else []


def test_the_summary_has_the_schedules_that_failed_tests_and_their_commands(session):
    lines = summary(session(TESTS))
    assert Counts(failed=2, passed=2) == session.counts
    assert [
        "test_it.py::test_fails: check: both increments are counted",
        "test_it.py::test_fails_too[a b]: check: both increments are counted",
    ] == lines[::2]
    assert lines[1].startswith("  pytest test_it.py::test_fails --vmsmp-replay 'v1:lost_update:")
    assert lines[3].startswith("  pytest 'test_it.py::test_fails_too[a b]' --vmsmp-replay 'v1:lost_update:")


@pytest.mark.ci
def test_a_session_in_which_nothing_fails_has_no_summary(session):
    assert [] == summary(session("def test_passes(explore): explore(counted, schedules=2)"))


@pytest.mark.ci
def test_workers_find_what_one_process_finds_and_the_junit_file_has_its_command(session):
    alone = summary(session(TESTS))
    assert alone == summary(session(TESTS, "--junitxml", "junit.xml", "-n", "2"))
    first = session.properties("junit.xml")["test_fails"]
    words = re.fullmatch(r"pytest (\S+) (--vmsmp-replay) '(\S+)'", first["vmsmp.replay"]).groups()
    session("", *words, "--junitxml", "again.xml")
    assert Counts(failed=1) == session.counts
    again = session.properties("again.xml")["test_fails"]
    assert ("1", first["vmsmp.schedule"]) == (again["vmsmp.executions"], again["vmsmp.schedule"])
    assert first["vmsmp.replay"] == again["vmsmp.replay"]
