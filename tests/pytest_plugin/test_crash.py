"""A worker that dies: the report says what it was searching."""

import pytest

from inner_session import Counts

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(600)  # each test starts whole sessions

DIES = """
import os

def dies(m):
    word = m.atomic(0)
    m.spawn(word.fetchadd, 1)
    m.join()
    os._exit(7)

def test_dies(explore): explore(dies, sched="random")
"""


@pytest.mark.ci
def test_a_worker_that_dies_costs_its_test_and_the_report_says_what_it_searched(session):
    text = session(
        DIES + "def test_next(explore): explore(counted, schedules=2)", "-n", "1", "--vmsmp-seed", "5"
    )
    assert Counts(failed=1, passed=1) == session.counts, text
    assert "the worker died in a search: dies under random, seed 0x" in text
    assert "0 schedules were done" in text
    assert "again: pytest test_it.py::test_dies --vmsmp-seed 0x5" in text
    notes = session.pytester.path / ".pytest_cache/d/vmsmp-running"
    assert [] == [*notes.iterdir()]
    notes.rmdir()
    session("", "test_it.py::test_next")
    assert not notes.exists()  # a session without workers keeps none


@pytest.mark.ci
def test_the_fixture_says_how_far_it_is_to_who_asks(session):
    session(
        """
        def test_it(explore):
            seen = []
            explore(counted, progress=seen.append, schedules=10**6, time_s=1.5)
            assert seen
        """
    )
    assert Counts(passed=1) == session.counts
